// Command ftl is the FTL peer: a program of our own that does what the Spawn
// and Start functions of FTL's plugin package do, in the same order, with the
// same libraries at the same versions and the same settings. The order is
// written down at spawn and serve. FTL itself cannot be imported as a module.
//
// Echo is a unary call like the ones FTL makes to its plugins: gRPC protocol,
// HTTP/2 without TLS on a TCP port of 127.0.0.1. As FTL never turns it off, the
// client offers gzip and the handler compresses every answer.
//
// Left out on both sides: the interceptors that set FTL's own span attributes
// and compare FTL's versions, and the wrapper for external authenticators.
package main

import (
	"context"
	"fmt"
	"os"

	"jackfield.example/bench/driver"
)

func main() {
	if driver.IsPlugin() {
		if err := driver.EndWithHost(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		serve()
		return
	}
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(driver.Main(driver.Peer{
		Name: "ftl",
		Modules: []string{
			"connectrpc.com/connect",
			"connectrpc.com/grpcreflect",
			"connectrpc.com/otelconnect",
			"github.com/alecthomas/kong",
			"github.com/jpillora/backoff",
			"golang.org/x/net",
			"google.golang.org/protobuf",
		},
		Start: func(ctx context.Context, dir string) (driver.Plugin, error) {
			return spawn(ctx, dir, exe)
		},
	}))
}

// Command storyden is the Storyden peer: a program of our own with the same
// parts in the same places as Storyden's plugin host and its Go SDK, and the
// same WebSocket, id and map libraries at the same versions. Storyden itself
// cannot be imported as a module.
//
// The host is a WebSocket server with one JSON-RPC session a plugin (host.go,
// session.go); the plugin is a client that dials the URL it finds in
// STORYDEN_RPC_URL (sdk.go). The codec of both is in wire.go.
//
// The call is named echo. It has the shape of Storyden's robot_tool_call: the
// handler gets an object and answers with an object, here the same one. Numbers
// of bytes count the params object, not the envelope around it.
//
// The host never raises the library's read limit of 32768 bytes a message, so
// an echo of more ends the connection, as it does in Storyden. With -read-limit
// the host sets another limit. The plugin's own limit is 4 MiB.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"jackfield.example/bench/driver"
)

func main() {
	if driver.IsPlugin() {
		if err := plug(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	readLimit := flag.Int64("read-limit", 0, "the host's limit in bytes for a message (0: the library's own)")
	flag.Parse()
	h, err := newHost(*readLimit)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	name := "storyden"
	if *readLimit != 0 {
		name = fmt.Sprintf("storyden, read limit %d", *readLimit)
	}
	os.Exit(driver.Main(driver.Peer{
		Name: name,
		Modules: []string{
			"github.com/coder/websocket",
			"github.com/puzpuzpuz/xsync/v4",
			"github.com/rs/xid",
			"golang.org/x/sync",
		},
		Start: func(ctx context.Context, dir string) (driver.Plugin, error) {
			return h.start(ctx, dir)
		},
	}))
}

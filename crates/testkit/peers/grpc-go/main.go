// Calls a key-value plugin in every way that connect-go knows: client <URL> [<token> [<Unix socket>]].
//
// A line "ok <protocol> <HTTP> <check>" for each check that holds; at the first that does not, it says so and exits
// with 1.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"

	"example.com/kv/kvv1/kvv1connect"
)

const tokenHeader = "jackfield-token"

// way is one way to speak to the plugin.
type way struct {
	protocol string
	options  []connect.ClientOption
	http     string
}

var ways = []way{
	{"grpc", []connect.ClientOption{connect.WithGRPC()}, "2"},
	{"grpc-web", []connect.ClientOption{connect.WithGRPCWeb()}, "2"},
	{"connect", nil, "2"},
	{"connect-json", []connect.ClientOption{connect.WithProtoJSON()}, "2"},
	{"grpc", []connect.ClientOption{connect.WithGRPC()}, "1.1"},
	{"grpc-web", []connect.ClientOption{connect.WithGRPCWeb()}, "1.1"},
	{"connect", nil, "1.1"},
	{"connect-json", []connect.ClientOption{connect.WithProtoJSON()}, "1.1"},
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: client <URL> [<token> [<Unix socket>]]")
		os.Exit(2)
	}
	url, token, socket := os.Args[1], argument(2), argument(3)
	for _, way := range ways {
		caller := caller{token: token, way: way, url: url, over: transport(way.http, socket)}
		for _, check := range checks {
			if check.duplex && way.http == "1.1" {
				continue
			}
			if err := try(check, &caller); err != nil {
				fmt.Printf("failed %s %s %s: %v\n", way.protocol, way.http, check.name, err)
				os.Exit(1)
			}
			fmt.Printf("ok %s %s %s\n", way.protocol, way.http, check.name)
		}
	}
}

func argument(at int) string {
	if len(os.Args) > at {
		return os.Args[at]
	}
	return ""
}

func try(check check, caller *caller) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return check.run(ctx, caller)
}

func transport(version, socket string) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == "1.1")
	protocols.SetUnencryptedHTTP2(version == "2")
	transport := &http.Transport{Protocols: protocols}
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	return &http.Client{Transport: transport}
}

// caller makes clients for one way.
type caller struct {
	way
	url   string
	token string
	over  *http.Client
}

func (c *caller) client(options ...connect.ClientOption) kvv1connect.KvServiceClient {
	all := append([]connect.ClientOption{connect.WithInterceptors(carry(c.token))}, c.options...)
	return kvv1connect.NewKvServiceClient(c.over, c.url, append(all, options...)...)
}

// carry puts the token into every request.
type carry string

func (token carry) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if token != "" {
			request.Header().Set(tokenHeader, string(token))
		}
		return next(ctx, request)
	}
}

func (token carry) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		if token != "" {
			conn.RequestHeader().Set(tokenHeader, string(token))
		}
		return conn
	}
}

func (token carry) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	servicePath = "bench.Echo"
	pingPath    = "/" + servicePath + "/Ping"
	echoPath    = "/" + servicePath + "/Echo"
)

// On the binary wire these two are FTL's PingRequest and PingResponse: no
// fields, and one string that says why the plugin is not ready.
type (
	pingRequest  = emptypb.Empty
	pingResponse = wrapperspb.StringValue
)

// echoClient stands in for the client that FTL generates for a service.
type echoClient struct {
	ping *connect.Client[pingRequest, pingResponse]
	echo *connect.Client[wrapperspb.StringValue, wrapperspb.StringValue]
}

// One HTTP client a process, for all plugins: HTTP/2 with prior knowledge, dial
// timeout 10 s, no timeout on requests, no HTTP/2 pings. The dialer does not
// look at the request's context.
var (
	dialer     = &net.Dialer{Timeout: 10 * time.Second}
	httpClient = &http.Client{Transport: &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(_ context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
			return dialer.Dial(network, addr)
		},
	}}
)

// dial makes a client. It connects with the first call.
func dial(endpoint string) *echoClient {
	// The gRPC protocol, since some of FTL's plugins do not speak Connect.
	options := []connect.ClientOption{connect.WithGRPC(), connect.WithInterceptors(interceptors()...)}
	return &echoClient{
		ping: connect.NewClient[pingRequest, pingResponse](httpClient, endpoint+pingPath, options...),
		echo: connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](httpClient, endpoint+echoPath, options...),
	}
}

// interceptors are those of both sides, outermost first.
func interceptors() []connect.Interceptor {
	otel, err := otelconnect.NewInterceptor(otelconnect.WithTrustRemote(), otelconnect.WithoutServerPeerAttributes())
	if err != nil {
		panic(err)
	}
	return []connect.Interceptor{
		connect.UnaryInterceptorFunc(logPanics),
		connect.UnaryInterceptorFunc(passMetadata),
		otel,
	}
}

// logPanics logs a panic with its stack and lets it go on.
func logPanics(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		defer func() {
			if r := recover(); r != nil {
				fmt.Fprintf(os.Stderr, "panic in a call: %v\n%s", r, debug.Stack())
				panic(r)
			}
		}()
		return next(ctx, req)
	}
}

// The headers in which FTL passes on where a call comes from.
var metadataHeaders = []string{"Ftl-Direct", "Ftl-Verb", "Ftl-Request-Id", "Ftl-Parent-Request-Id"}

type metadataKey string

// passMetadata copies metadata from the context to the client's headers, and
// from the headers to the context in the handler.
func passMetadata(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		for _, name := range metadataHeaders {
			if req.Spec().IsClient {
				if values, ok := ctx.Value(metadataKey(name)).([]string); ok {
					req.Header()[name] = values
				}
			} else if values := req.Header().Values(name); len(values) > 0 {
				ctx = context.WithValue(ctx, metadataKey(name), values)
			}
		}
		return next(ctx, req)
	}
}

// ready pings once.
func (c *echoClient) ready(ctx context.Context) error {
	resp, err := c.ping.CallUnary(ctx, connect.NewRequest(new(pingRequest)))
	if err != nil {
		return err
	}
	if reason := resp.Msg.GetValue(); reason != "" {
		return errors.New("service is not ready: " + reason)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/alecthomas/kong"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serve mirrors FTL's Start, step by step:
//
//   - configuration by kong, in practice from the environment only;
//   - on SIGINT or SIGTERM cancel the base context and exit at once;
//   - the constructor (empty here), and only then listen on FTL_BIND;
//   - one mux: the service, reflection v1 and v1alpha, pprof;
//   - one HTTP server behind h2c, header timeout 30 s, no message limit.
//
// Left out: the JSON logger on stderr (it writes nothing per call at the level
// that hosts ask for), the poll for a dead parent (which does not end the
// process; see EndWithHost), SIGINT to the plugin's own group (it has none) and
// the automaxprocs package (Go does that itself by now).
func serve() {
	var cli struct {
		LogLevel string   `help:"Log level." env:"LOG_LEVEL" default:"info"`
		Bind     *url.URL `help:"URL to listen on." env:"FTL_BIND" required:""`
	}
	kctx := kong.Parse(&cli, kong.Description("FTL peer"))
	mux := http.NewServeMux()
	ctx, cancel := context.WithCancelCause(context.Background())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		cancel(fmt.Errorf("stopping due to signal %s", <-signals))
		os.Exit(0)
	}()

	listener, err := net.Listen("tcp", cli.Bind.Host)
	kctx.FatalIfErrorf(err)

	options := connect.WithInterceptors(interceptors()...)
	mux.Handle(pingPath, connect.NewUnaryHandler(pingPath, ping, options))
	mux.Handle(echoPath, connect.NewUnaryHandler(echoPath, echo, options))
	reflector := grpcreflect.NewStaticReflector(servicePath)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)

	server := &http.Server{
		Handler:           h2c.NewHandler(mux, &http2.Server{}),
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	kctx.FatalIfErrorf(server.Serve(listener))
}

func ping(context.Context, *connect.Request[pingRequest]) (*connect.Response[pingResponse], error) {
	return connect.NewResponse(new(pingResponse)), nil
}

func echo(_ context.Context, req *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
	return connect.NewResponse(wrapperspb.String(req.Msg.GetValue())), nil
}

// Command goplugin is the go-plugin peer: github.com/hashicorp/go-plugin itself
// on both sides, with gRPC over its Unix socket.
//
// As in the original: everything between Client and Serve, that is the
// handshake line, the socket, the broker and stdio streams, the library's own
// message limits (a plugin takes at most 4 MiB a message) and its stop sequence.
//
// With -mtls the host asks for AutoMTLS, which go-plugin leaves off unless told.
//
// Not as in the original: loggers are off on both sides; the plugin ends with
// its host (go-plugin's outlive it); the service is described by hand, with
// well-known messages, in place of generated code.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"jackfield.example/bench/driver"
)

const (
	pluginName = "echo"
	echoMethod = "/bench.Echo/Echo"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "BENCH_ECHO_PLUGIN",
	MagicCookieValue: "echo",
}

// echoServer is what the service description asks of its implementation.
type echoServer interface {
	Echo(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
}

type echo struct{}

func (echo) Echo(_ context.Context, in *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(in.GetValue()), nil
}

var echoService = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	HandlerType: (*echoServer)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: echoHandler}},
}

func echoHandler(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return srv.(echoServer).Echo(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: echoMethod}
	return interceptor(ctx, in, info, func(ctx context.Context, req any) (any, error) {
		return srv.(echoServer).Echo(ctx, req.(*wrapperspb.StringValue))
	})
}

// echoPlugin joins the service to go-plugin.
type echoPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (echoPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&echoService, echo{})
	return nil
}

func (echoPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

var plugins = plugin.PluginSet{pluginName: echoPlugin{}}

// started is a plugin with its host side.
type started struct {
	client   *plugin.Client
	conn     *grpc.ClientConn
	lifeline *driver.Lifeline
}

func start(exe string, mtls bool, dir string) (driver.Plugin, error) {
	cmd := exec.Command(exe)
	lifeline, err := driver.SelfAsPlugin(cmd, dir)
	if err != nil {
		return nil, err
	}
	// The plugin makes its socket in a folder of ours, so that none stays behind.
	cmd.Env = append(cmd.Env, plugin.EnvUnixSocketDir+"="+dir)
	s := &started{
		lifeline: lifeline,
		client: plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig:  handshake,
			Plugins:          plugins,
			Cmd:              cmd,
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
			AutoMTLS:         mtls,
			Logger:           hclog.NewNullLogger(),
		}),
	}
	protocol, err := s.client.Client()
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	raw, err := protocol.Dispense(pluginName)
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	s.conn = raw.(*grpc.ClientConn)
	return s, nil
}

func (s *started) Echo(n int) (func(context.Context) error, error) {
	text := strings.Repeat("x", n)
	return func(ctx context.Context) error {
		out := new(wrapperspb.StringValue)
		if err := s.conn.Invoke(ctx, echoMethod, wrapperspb.String(text), out); err != nil {
			return err
		}
		if len(out.GetValue()) != n {
			return fmt.Errorf("sent %d bytes, got %d", n, len(out.GetValue()))
		}
		return nil
	}, nil
}

// Close stops the plugin as go-plugin does: Shutdown call, 2 s, SIGKILL.
func (s *started) Close() error {
	s.client.Kill()
	return s.lifeline.Close()
}

func main() {
	if driver.IsPlugin() {
		if err := driver.EndWithHost(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig: handshake,
			Plugins:         plugins,
			GRPCServer:      plugin.DefaultGRPCServer,
			Logger:          hclog.NewNullLogger(),
		})
		return
	}
	mtls := flag.Bool("mtls", false, "turn AutoMTLS on")
	flag.Parse()
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	name := "go-plugin"
	if *mtls {
		name = "go-plugin, AutoMTLS"
	}
	os.Exit(driver.Main(driver.Peer{
		Name: name,
		Modules: []string{
			"github.com/hashicorp/go-plugin",
			"google.golang.org/grpc",
			"google.golang.org/protobuf",
		},
		Start: func(_ context.Context, dir string) (driver.Plugin, error) {
			return start(exe, *mtls, dir)
		},
	}))
}

package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/puzpuzpuz/xsync/v4"
	"github.com/rs/xid"

	"jackfield.example/bench/driver"
)

const (
	urlVar    = "STORYDEN_RPC_URL"
	stopGrace = 3 * time.Second
)

// host is the server that plugins dial. As in Storyden: one HTTP server, path
// /rpc, the installation id and a token for one use in the query, compression
// with context takeover when the plugin offers it (the Go SDK does not), and a
// session that outlives the HTTP request.
//
// Left out: sealing the token with a secret from the database, the rate limiter
// and the request log before the upgrade; unpacking the plugin's archive (done
// once per version in Storyden), its rotated log files, restarts, and the API
// in front, which looks every 100 ms whether a plugin has become active.
type host struct {
	logger    *slog.Logger
	base      url.URL
	readLimit int64
	sessions  *xsync.Map[xid.ID, *session]
}

func newHost(readLimit int64) (*host, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &host{
		logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
		base:      url.URL{Scheme: "ws", Host: listener.Addr().String(), Path: "/rpc"},
		readLimit: readLimit,
		sessions:  xsync.NewMap[xid.ID, *session](),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/rpc", h.rpc)
	go func() {
		if err := http.Serve(listener, mux); err != nil {
			h.logger.Error("server", slog.Any("error", err))
			os.Exit(1)
		}
	}()
	return h, nil
}

func (h *host) rpc(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	id, err := xid.FromString(query.Get("plugin_id"))
	if err != nil {
		http.Error(w, "invalid connection parameters", http.StatusBadRequest)
		return
	}
	s, ok := h.sessions.Load(id)
	if !ok || subtle.ConstantTimeCompare([]byte(s.token), []byte(query.Get("token"))) != 1 {
		http.Error(w, "unauthenticated", http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		h.logger.Error("accept", slog.Any("error", err))
		return
	}
	defer conn.CloseNow()
	if h.readLimit != 0 {
		conn.SetReadLimit(h.readLimit)
	}
	if err := s.connect(context.WithoutCancel(r.Context()), &duplex{conn: conn}); err != nil {
		h.logger.Info("connection ended", slog.Any("error", err))
	}
}

// started is a plugin with its host side.
type started struct {
	host     *host
	id       xid.ID
	session  *session
	cmd      *exec.Cmd
	exited   chan struct{}
	lifeline *driver.Lifeline
}

// logSink takes what the plugin writes to stdout and stderr. It is no file, so
// that the process writes to a pipe, which a goroutine reads, as in Storyden.
type logSink struct{}

func (logSink) Write(b []byte) (int, error) { return os.Stderr.Write(b) }

// start mirrors the local runtime's start: working directory of the plugin's
// own, whole environment plus the URL, stdin empty, stdout and stderr in one.
func (h *host) start(ctx context.Context, dir string) (driver.Plugin, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 60)
	_, _ = rand.Read(secret)
	token := base64.RawURLEncoding.EncodeToString(secret)
	id := xid.New()
	to := h.base
	to.RawQuery = url.Values{"plugin_id": {id.String()}, "token": {token}}.Encode()

	s := &started{host: h, id: id, session: newSession(h.logger, token), exited: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, exe)
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), urlVar+"="+to.String())
	s.cmd.Stdout = logSink{}
	s.cmd.Stderr = logSink{}
	if s.lifeline, err = driver.SelfAsPlugin(s.cmd, dir); err != nil {
		return nil, err
	}
	h.sessions.Store(id, s.session)
	if err := s.cmd.Start(); err != nil {
		h.sessions.Delete(id)
		return nil, errors.Join(err, s.lifeline.Close())
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	select {
	case <-s.session.connected:
		return s, nil
	case <-s.exited:
		return nil, errors.Join(fmt.Errorf("plugin: %s", s.cmd.ProcessState), s.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.Close())
	}
}

func (s *started) Echo(n int) (func(context.Context) error, error) {
	envelope := len(`{"text":""}`)
	if n < envelope {
		return nil, fmt.Errorf("bytes must be at least %d, the size of an empty params object", envelope)
	}
	text := strings.Repeat("x", n-envelope)
	params := map[string]any{"text": text}
	return func(ctx context.Context) error {
		value, err := s.session.call(ctx, &echoRequest{
			ID:      xid.New(),
			Jsonrpc: "2.0",
			Method:  echoMethod,
			Params:  params,
		})
		if err != nil {
			return err
		}
		result, ok := value.(*echoResult)
		if !ok {
			return fmt.Errorf("not an echo: %T", value)
		}
		if got, _ := result.Output["text"].(string); len(got) != len(text) {
			return fmt.Errorf("sent %d bytes of text, got %d", len(text), len(got))
		}
		return nil
	}, nil
}

// Close stops the plugin as Storyden does: SIGINT, 3 s, SIGKILL.
func (s *started) Close() error {
	_ = s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.exited:
	case <-time.After(stopGrace):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	select {
	case <-s.session.connected:
		<-s.session.gone
	default:
	}
	s.host.sessions.Delete(s.id)
	return s.lifeline.Close()
}

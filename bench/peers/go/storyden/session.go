package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/puzpuzpuz/xsync/v4"
	"github.com/rs/xid"
	"golang.org/x/sync/errgroup"
)

const outboundSlots = 16

// duplex is the connection: text messages only, one writer at a time.
type duplex struct {
	conn *websocket.Conn
	mu   sync.Mutex
}

func (d *duplex) send(ctx context.Context, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn.Write(ctx, websocket.MessageText, b)
}

func (d *duplex) recv(ctx context.Context) ([]byte, error) {
	for {
		kind, b, err := d.conn.Read(ctx)
		if err != nil || kind == websocket.MessageText {
			return b, err
		}
	}
}

type pendingCall struct {
	sent   time.Time
	answer chan response
}

// session is the host's side of one plugin. As in Storyden:
//
//   - a lock for the state, another for the connection, a concurrent map of
//     pending calls by id;
//   - a queue of 16 encoded messages, which one goroutine sends;
//   - another goroutine that reads, and handles each message itself before it
//     reads the next (requests from the plugin too, which the benchmark has none
//     of);
//   - a call waits for its answer, its context or the end of the connection, and
//     has no timeout of its own.
//
// Left out: event subscriptions, desired state, reconnects.
type session struct {
	logger *slog.Logger
	token  string

	stateMu sync.RWMutex
	active  bool

	connMu   sync.Mutex
	connCtx  context.Context
	outbound chan []byte

	pending *xsync.Map[xid.ID, pendingCall]

	connected chan struct{} // closed at the first connect
	gone      chan struct{} // closed when that connection has ended
}

func newSession(logger *slog.Logger, token string) *session {
	return &session{
		logger:    logger,
		token:     token,
		pending:   xsync.NewMap[xid.ID, pendingCall](),
		connected: make(chan struct{}),
		gone:      make(chan struct{}),
	}
}

// connect runs the connection until it ends.
func (s *session) connect(ctx context.Context, d *duplex) error {
	s.connMu.Lock()
	if s.outbound != nil {
		s.connMu.Unlock()
		return errors.New("there is a connection already")
	}
	ctx, cancel := context.WithCancel(ctx)
	outbound := make(chan []byte, outboundSlots)
	s.connCtx, s.outbound = ctx, outbound
	s.connMu.Unlock()

	s.setActive(true)
	close(s.connected)

	group, loopCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.sendAll(loopCtx, d, outbound) })
	group.Go(func() error { return s.recvAll(loopCtx, d) })
	err := group.Wait()

	s.setActive(false)
	cancel()
	s.pending.Range(func(id xid.ID, call pendingCall) bool {
		s.pending.Delete(id)
		close(call.answer)
		return true
	})
	close(s.gone)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *session) setActive(active bool) {
	s.stateMu.Lock()
	s.active = active
	s.stateMu.Unlock()
}

func (s *session) sendAll(ctx context.Context, d *duplex, outbound <-chan []byte) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case message := <-outbound:
			if err := d.send(ctx, message); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
	}
}

func (s *session) recvAll(ctx context.Context, d *duplex) error {
	for {
		data, err := d.recv(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		var request pluginRequest
		if err := json.Unmarshal(data, &request); err == nil {
			s.logger.Error("a request that the benchmark does not have", slog.String("method", request.method))
			continue
		}
		if err := s.settle(ctx, data); err != nil {
			s.logger.Error(err.Error())
		}
	}
}

func (s *session) settle(ctx context.Context, data []byte) error {
	var resp response
	if err := json.Unmarshal(data, &resp); err != nil {
		return err
	}
	call, ok := s.pending.LoadAndDelete(resp.ID)
	if !ok {
		s.logger.WarnContext(ctx, "answer to an unknown call", slog.String("id", resp.ID.String()))
		return nil
	}
	s.logger.DebugContext(ctx, "answer",
		slog.String("id", resp.ID.String()), slog.Duration("after", time.Since(call.sent)))
	select {
	case call.answer <- resp:
	case <-ctx.Done():
	}
	return nil
}

// call sends one request and waits for its result.
func (s *session) call(ctx context.Context, request *echoRequest) (any, error) {
	id := request.ID
	s.stateMu.RLock()
	active := s.active
	s.stateMu.RUnlock()
	if !active {
		return nil, errors.New("the plugin is not active")
	}
	s.connMu.Lock()
	outbound, connCtx := s.outbound, s.connCtx
	s.connMu.Unlock()

	call := pendingCall{sent: time.Now(), answer: make(chan response, 1)}
	s.pending.Store(id, call)
	message, err := json.Marshal(request)
	if err != nil {
		s.pending.Delete(id)
		return nil, err
	}
	select {
	case <-ctx.Done():
		s.pending.Delete(id)
		return nil, ctx.Err()
	case <-connCtx.Done():
		s.pending.Delete(id)
		return nil, errors.New("the connection has ended")
	case outbound <- message:
		s.logger.Debug("call", slog.String("id", id.String()), slog.Any("payload", request))
	}
	select {
	case <-ctx.Done():
		s.pending.Delete(id)
		return nil, ctx.Err()
	case <-connCtx.Done():
		s.pending.Delete(id)
		return nil, errors.New("the connection ended before the answer came")
	case resp, ok := <-call.answer:
		switch {
		case !ok:
			return nil, errors.New("the connection has ended")
		case resp.Error != nil:
			return nil, fmt.Errorf("the plugin answered with an error: %s", resp.Error.Message)
		}
		return resp.Result.value, nil
	}
}

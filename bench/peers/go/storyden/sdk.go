package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"

	"github.com/coder/websocket"

	"jackfield.example/bench/driver"
)

const pluginReadLimit = 4 << 20

type handler func(context.Context, map[string]any) (map[string]any, error)

// queuedWrite is a message on its way to the writer, which reports back.
type queuedWrite struct {
	data   []byte
	result chan error
}

// sdk mirrors the Go SDK of a plugin that a host has started: read limit 4 MiB,
// a goroutine that reads, one that writes, a goroutine for every call, and the
// end of the plugin when the connection ends.
//
// Left out: calls from the plugin to the host, reconnects (for plugins that no
// host has started).
type sdk struct {
	logger   *slog.Logger
	outbound chan queuedWrite

	handlerMu sync.RWMutex
	handler   handler
}

// plug is the plugin: its echo handler answers with the params.
func plug() error {
	// The host may go before the connection is there.
	if err := driver.EndWithHost(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := &sdk{
		logger:   slog.Default(),
		outbound: make(chan queuedWrite),
		handler: func(_ context.Context, params map[string]any) (map[string]any, error) {
			return params, nil
		},
	}
	err := p.run(ctx)
	driver.RemoveDir()
	return err
}

// run serves one connection.
func (p *sdk) run(ctx context.Context) error {
	to := os.Getenv(urlVar)
	if to == "" {
		return errors.New(urlVar + " environment variable is not set")
	}
	conn, _, err := websocket.Dial(ctx, to, nil)
	if err != nil {
		return errors.New("cannot connect to the host")
	}
	defer conn.CloseNow()
	conn.SetReadLimit(pluginReadLimit)

	connCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- p.readAll(connCtx, conn) }()
	go func() { ended <- p.writeAll(connCtx, conn) }()
	<-ended
	cancel()
	_ = conn.CloseNow()
	<-ended
	return nil
}

func (p *sdk) readAll(ctx context.Context, conn *websocket.Conn) error {
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := p.handle(ctx, message); err != nil {
			p.logger.Error("a message was dropped", slog.Any("error", err))
		}
	}
}

func (p *sdk) writeAll(ctx context.Context, conn *websocket.Conn) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case write := <-p.outbound:
			err := conn.Write(ctx, websocket.MessageText, write.data)
			write.result <- err
			if err != nil {
				return err
			}
		}
	}
}

func (p *sdk) handle(ctx context.Context, message []byte) error {
	var union hostRequest
	if err := json.Unmarshal(message, &union); err != nil {
		return fmt.Errorf("not a request: %w", err)
	}
	request, ok := union.value.(*echoRequest)
	if !ok {
		return fmt.Errorf("unknown request: %T", union.value)
	}
	p.handlerMu.RLock()
	handler := p.handler
	p.handlerMu.RUnlock()
	go func() {
		output, err := handler(ctx, request.Params)
		if err != nil {
			err = p.respond(ctx, response{ID: request.ID, Error: &rpcError{-32000, err.Error()}})
		} else {
			err = p.respond(ctx, response{ID: request.ID, Result: hostResult{&echoResult{echoMethod, output}}})
		}
		if err != nil && ctx.Err() == nil {
			p.logger.Error("an answer was lost", slog.String("id", request.ID.String()), slog.Any("error", err))
		}
	}()
	return nil
}

// respond hands the answer to the writer and waits until it is written.
func (p *sdk) respond(ctx context.Context, resp response) error {
	resp.Jsonrpc = "2.0"
	data, err := json.Marshal(resp)
	if err != nil {
		return err
	}
	write := queuedWrite{data: data, result: make(chan error, 1)}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case p.outbound <- write:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-write.result:
		return err
	}
}

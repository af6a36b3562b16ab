// A plugin for the tests, written as its author would who has the wire contract and the library
// github.com/coder/websocket, and nothing else.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

type object = map[string]any

type frame struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *fault          `json:"error"`
}

type fault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (f *fault) Error() string { return f.Message }

// What access_get answers, as Go programs decode it: the address is a url.URL, field by field.
type access struct {
	Result struct {
		Key string  `json:"access_key"`
		URL url.URL `json:"api_base_url"`
	} `json:"result"`
}

type line struct {
	socket  *websocket.Conn
	mu      sync.Mutex
	last    int
	waiting map[string]chan frame
}

var (
	began = time.Now()
	state = "."
	log   sync.Mutex
	seen  = object{}
)

func (l *line) send(ctx context.Context, message object) error {
	message["jsonrpc"] = "2.0"
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return l.socket.Write(ctx, websocket.MessageText, text)
}

func (l *line) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	l.mu.Lock()
	l.last++
	id := fmt.Sprintf("go-%d", l.last)
	answer := make(chan frame, 1)
	l.waiting[id] = answer
	l.mu.Unlock()
	request := object{"id": id, "method": method}
	if params != nil {
		request["params"] = params
	}
	if err := l.send(ctx, request); err != nil {
		return nil, err
	}
	select {
	case frame := <-answer:
		if frame.Error != nil {
			return nil, frame.Error
		}
		return frame.Result, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *line) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		_, text, err := l.socket.Read(ctx)
		if err != nil {
			return err
		}
		var frame frame
		if err := json.Unmarshal(text, &frame); err != nil {
			return err
		}
		if frame.Method != "" {
			go l.answer(ctx, frame)
			continue
		}
		var id string
		_ = json.Unmarshal(frame.ID, &id)
		l.mu.Lock()
		answer := l.waiting[id]
		delete(l.waiting, id)
		l.mu.Unlock()
		if answer != nil {
			answer <- frame
		}
	}
}

func (l *line) answer(ctx context.Context, frame frame) {
	reply := object{"id": frame.ID}
	handler, known := handlers[frame.Method]
	if !known {
		reply["error"] = fault{-32601, "no method " + frame.Method}
	} else if result, err := handler(ctx, l, frame.Params); err != nil {
		reply["error"] = fault{-32000, err.Error()}
	} else {
		result["method"] = frame.Method
		reply["result"] = result
	}
	_ = l.send(ctx, reply)
}

var handlers map[string]func(context.Context, *line, json.RawMessage) (object, error)

func init() {
	handlers = map[string]func(context.Context, *line, json.RawMessage) (object, error){
		"ping": func(context.Context, *line, json.RawMessage) (object, error) {
			up := time.Since(began).Seconds()
			return object{"pong": true, "status": "healthy", "uptime_seconds": up}, nil
		},
		"configure":       configure,
		"event":           event,
		"robot_tool_call": robotToolCall,
		"echo":            echo,
		"ask":             ask,
		"seen": func(context.Context, *line, json.RawMessage) (object, error) {
			return object{"seen": seen}, nil
		},
	}
}

// Asks the host back before it has answered.
func configure(ctx context.Context, l *line, params json.RawMessage) (object, error) {
	var config object
	if err := json.Unmarshal(params, &config); err != nil {
		return nil, err
	}
	if config["refuse"] != nil {
		return object{"ok": false}, nil
	}
	keys := slices.Sorted(maps.Keys(config))
	raw, err := l.call(ctx, "get_config", object{"keys": keys})
	if err != nil {
		return nil, err
	}
	var told struct {
		Config object `json:"config"`
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		return nil, err
	}
	if raw, err = l.call(ctx, "access_get", nil); err != nil {
		return nil, err
	}
	var access access
	if err := json.Unmarshal(raw, &access); err != nil {
		return nil, err
	}
	seen = object{"config": told.Config, "key": access.Result.Key, "url": access.Result.URL.String()}
	return object{"ok": true}, nil
}

func event(_ context.Context, _ *line, params json.RawMessage) (object, error) {
	log.Lock()
	defer log.Unlock()
	path := filepath.Join(state, "events.log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_, err = file.Write(append(bytes.TrimSpace(params), '\n'))
	return object{"ok": true}, err
}

func robotToolCall(_ context.Context, _ *line, params json.RawMessage) (object, error) {
	var call struct {
		Tool      string `json:"tool_id"`
		Arguments object `json:"arguments"`
	}
	if err := json.Unmarshal(params, &call); err != nil {
		return nil, err
	}
	if call.Tool == "broken" {
		return object{"error": "the tool is broken"}, nil
	}
	return object{"output": object{"tool": call.Tool, "arguments": call.Arguments}}, nil
}

func echo(ctx context.Context, _ *line, params json.RawMessage) (object, error) {
	var given struct {
		Ms int `json:"ms"`
	}
	if err := json.Unmarshal(params, &given); err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Duration(given.Ms) * time.Millisecond):
	case <-ctx.Done():
	}
	return object{"params": params}, nil
}

// Passes a call on to the host.
func ask(ctx context.Context, l *line, params json.RawMessage) (object, error) {
	var given struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(params, &given); err != nil {
		return nil, err
	}
	var inner any
	if given.Params != nil {
		inner = given.Params
	}
	result, err := l.call(ctx, given.Method, inner)
	var refused *fault
	if errors.As(err, &refused) {
		return object{"refused": refused}, nil
	}
	return object{"answer": result}, err
}

// One connection, until it ends. How far it came: the status of a refusal, or 101.
func connect(ctx context.Context, address string) (int, error) {
	socket, response, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		status := 0
		if response != nil {
			status = response.StatusCode
		}
		return status, err
	}
	defer socket.CloseNow()
	socket.SetReadLimit(4 << 20)
	fmt.Println("connected")
	line := &line{socket: socket, waiting: map[string]chan frame{}}
	return http.StatusSwitchingProtocols, line.serve(ctx)
}

func main() {
	address := os.Getenv("STORYDEN_RPC_URL")
	parsed, err := url.Parse(address)
	if err != nil {
		fmt.Println("STORYDEN_RPC_URL is not a URL")
		os.Exit(2)
	}
	external := strings.HasPrefix(parsed.Query().Get("token"), "sdprt_")
	if folder := os.Getenv("JACKFIELD_STATE_DIR"); folder != "" {
		state = folder
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	pause := 50 * time.Millisecond
	for {
		status, err := connect(ctx, address)
		opened := status == http.StatusSwitchingProtocols
		switch {
		case ctx.Err() != nil:
			fmt.Println("told to end")
			return
		case opened:
			fmt.Println("hung up:", websocket.CloseStatus(err))
			pause = 50 * time.Millisecond
		}
		switch {
		case !external && opened:
			return
		case !external, status >= 400 && status < 500:
			fmt.Println("cannot connect, status", status)
			os.Exit(1)
		case websocket.CloseStatus(err) == websocket.StatusPolicyViolation:
			os.Exit(1)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(pause*2, time.Second)
	}
}

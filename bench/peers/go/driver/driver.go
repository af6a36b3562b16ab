// Package driver is the part that all three peers share: it speaks the
// benchmark's line protocol and keeps the clock.
//
// One JSON command per line comes in on stdin, one JSON answer per line goes
// out on stdout, and nothing else is ever written to stdout:
//
//	{"calls":{"count":N,"in_flight":K,"bytes":B}} -> {"elapsed_ns":E,"each_ns":[...]}
//	{"spawns":{"count":N}}                        -> {"each_ns":[...]}
//
// The first line out is {"ready":{...}}, after the peer's plugin has answered
// its first call. A command that fails is answered with {"error":"..."}.
package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// firstCallBytes is the payload of the first call to a plugin just started.
const firstCallBytes = 64

// Plugin is one running plugin, seen from its host.
type Plugin interface {
	// Echo prepares a payload of n bytes and returns a function that sends it
	// once and checks that as much came back. The function may be called by
	// several goroutines at a time.
	Echo(n int) (func(context.Context) error, error)
	// Close ends the plugin's process and waits for it.
	Close() error
}

// Peer is one plugin system under test.
type Peer struct {
	// Name is printed in the ready line.
	Name string
	// Modules are the Go modules whose versions are printed in the ready line.
	Modules []string
	// Start starts one more plugin, which may use dir, an empty folder of its
	// own. The folder is made before the clock starts and removed after Close.
	Start func(ctx context.Context, dir string) (Plugin, error)

	root string // the folder that all those folders are in
}

// running is a plugin together with its folder.
type running struct {
	Plugin
	dir string
}

func (r *running) Close() error {
	return errors.Join(r.Plugin.Close(), os.RemoveAll(r.dir))
}

// start starts a plugin and makes the first call to it. The duration is from
// just before the start until that call was answered.
func (p *Peer) start(ctx context.Context) (*running, time.Duration, error) {
	// A plugin that ends without being told may take an empty root with it.
	if err := os.MkdirAll(p.root, 0o700); err != nil {
		return nil, 0, err
	}
	dir, err := os.MkdirTemp(p.root, "")
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	plugin, err := p.Start(ctx, dir)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("start: %w", err), os.RemoveAll(dir))
	}
	r := &running{Plugin: plugin, dir: dir}
	echo, err := plugin.Echo(firstCallBytes)
	if err == nil {
		err = echo(ctx)
	}
	took := time.Since(begin)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("first call: %w", err), r.Close())
	}
	return r, took, nil
}

type callsCommand struct {
	Count    int `json:"count"`
	InFlight int `json:"in_flight"`
	Bytes    int `json:"bytes"`
}

type spawnsCommand struct {
	Count int `json:"count"`
}

type callsAnswer struct {
	ElapsedNS int64   `json:"elapsed_ns"`
	EachNS    []int64 `json:"each_ns"`
}

type spawnsAnswer struct {
	EachNS []int64 `json:"each_ns"`
}

type errorAnswer struct {
	Error string `json:"error"`
}

type ready struct {
	Name     string            `json:"name"`
	Versions map[string]string `json:"versions"`
}

// Main runs the driver until the end of stdin and returns the exit code.
func Main(peer Peer) int {
	if err := run(&peer, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", peer.Name, err)
		return 1
	}
	return 0
}

func run(peer *Peer, in io.Reader, out io.Writer) (err error) {
	ctx := context.Background()
	versions, err := versionsOf(peer.Modules)
	if err != nil {
		return err
	}
	if peer.root, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	d := &session{peer: peer}
	defer func() { err = errors.Join(err, d.drop(), os.RemoveAll(peer.root)) }()
	if err := d.ensure(ctx); err != nil {
		return err
	}

	enc := json.NewEncoder(out)
	if err := enc.Encode(map[string]ready{"ready": {peer.Name, versions}}); err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	for {
		line, readErr := lines.ReadBytes('\n')
		if readErr != nil && readErr != io.EOF {
			return readErr
		}
		if len(line) > 0 {
			answer, err := d.command(ctx, line)
			if err != nil {
				answer = errorAnswer{err.Error()}
			}
			if err := enc.Encode(answer); err != nil {
				return err
			}
		}
		if readErr == io.EOF {
			return nil
		}
	}
}

// session holds the plugin that the calls go to.
type session struct {
	peer   *Peer
	plugin *running
}

// ensure starts the plugin if there is none.
func (s *session) ensure(ctx context.Context) error {
	if s.plugin != nil {
		return nil
	}
	r, _, err := s.peer.start(ctx)
	s.plugin = r
	return err
}

// drop ends the plugin if there is one.
func (s *session) drop() error {
	r := s.plugin
	s.plugin = nil
	if r == nil {
		return nil
	}
	return r.Close()
}

func (s *session) command(ctx context.Context, line []byte) (any, error) {
	var commands map[string]json.RawMessage
	if err := json.Unmarshal(line, &commands); err != nil {
		return nil, fmt.Errorf("not a command: %w", err)
	}
	if len(commands) != 1 {
		return nil, fmt.Errorf("one command a line, not %d", len(commands))
	}
	for name, raw := range commands {
		switch name {
		case "calls":
			var c callsCommand
			if err := json.Unmarshal(raw, &c); err != nil {
				return nil, err
			}
			return s.calls(ctx, c)
		case "spawns":
			var c spawnsCommand
			if err := json.Unmarshal(raw, &c); err != nil {
				return nil, err
			}
			return s.spawns(ctx, c)
		default:
			return nil, fmt.Errorf("unknown command %q", name)
		}
	}
	panic("unreachable")
}

func (s *session) calls(ctx context.Context, c callsCommand) (any, error) {
	if c.Count < 1 || c.InFlight < 1 || c.Bytes < 0 {
		return nil, errors.New("calls: count and in_flight must be at least 1, bytes at least 0")
	}
	if err := s.ensure(ctx); err != nil {
		return nil, err
	}
	echo, err := s.plugin.Echo(c.Bytes)
	if err != nil {
		return nil, err
	}
	answer := callsAnswer{EachNS: []int64{}}
	if c.InFlight == 1 {
		answer.EachNS = make([]int64, c.Count)
		answer.ElapsedNS, err = oneAtATime(ctx, echo, answer.EachNS)
	} else {
		answer.ElapsedNS, err = manyAtATime(ctx, echo, c.Count, c.InFlight)
	}
	if err != nil {
		// The connection may be gone. The next command gets a fresh plugin.
		return nil, errors.Join(err, s.drop())
	}
	return answer, nil
}

func oneAtATime(ctx context.Context, echo func(context.Context) error, each []int64) (int64, error) {
	begin := time.Now()
	last := begin
	for i := range each {
		if err := echo(ctx); err != nil {
			return 0, err
		}
		now := time.Now()
		each[i] = int64(now.Sub(last))
		last = now
	}
	return int64(last.Sub(begin)), nil
}

func manyAtATime(ctx context.Context, echo func(context.Context) error, count, inFlight int) (int64, error) {
	var (
		left   atomic.Int64
		failed atomic.Pointer[error]
		wg     sync.WaitGroup
	)
	left.Store(int64(count))
	begin := time.Now()
	for range inFlight {
		wg.Go(func() {
			for left.Add(-1) >= 0 && failed.Load() == nil {
				if err := echo(ctx); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return int64(elapsed), nil
}

func (s *session) spawns(ctx context.Context, c spawnsCommand) (any, error) {
	if c.Count < 1 {
		return nil, errors.New("spawns: count must be at least 1")
	}
	answer := spawnsAnswer{EachNS: make([]int64, 0, c.Count)}
	for range c.Count {
		r, took, err := s.peer.start(ctx)
		if err != nil {
			return nil, err
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
		answer.EachNS = append(answer.EachNS, int64(took))
	}
	return answer, nil
}

// versionsOf reads the modules' versions from the running binary.
func versionsOf(modules []string) (map[string]string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("the binary holds no build information")
	}
	found := map[string]string{"go": runtime.Version()}
	for _, m := range info.Deps {
		found[m.Path] = m.Version
	}
	versions := map[string]string{"go": found["go"]}
	for _, path := range modules {
		version, ok := found[path]
		if !ok {
			return nil, fmt.Errorf("the binary holds no module %s", path)
		}
		versions[path] = version
	}
	return versions, nil
}

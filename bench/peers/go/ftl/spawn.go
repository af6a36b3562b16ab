package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/jpillora/backoff"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"jackfield.example/bench/driver"
)

const (
	startTimeout = 30 * time.Second
	retryDelay   = 50 * time.Millisecond
	stopGrace    = 10 * time.Second
	logLineLimit = 1 << 20
)

// spawned is a plugin with its host side.
type spawned struct {
	cmd      *exec.Cmd
	exited   context.Context // done when the process has ended
	client   *echoClient
	lifeline *driver.Lifeline
}

// spawn mirrors FTL's Spawn, step by step:
//
//   - working folder <dir>/.ftl, mode 0700; look for a PID file of an earlier
//     plugin (FTL would kill that process; dir is always new here);
//   - find a free port: listen on 127.0.0.1:0, close, hope;
//   - the command: whole environment, working directory dir, the host's own
//     process group, SIGKILL when the context is cancelled;
//   - two pipes for stdout and stderr, a goroutine each that reads JSON log
//     lines of at most 1 MiB (the lines are parsed and dropped here);
//   - FTL_BIND, FTL_WORKING_DIR and LOG_LEVEL; start; wait in a goroutine;
//   - PID file, mode 0600;
//   - a client, which pings at once and then every 50 ms until the plugin is
//     ready, for at most 30 s.
func spawn(ctx context.Context, dir, exe string) (driver.Plugin, error) {
	workingDir := filepath.Join(dir, ".ftl")
	if err := os.Mkdir(workingDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	pidFile := filepath.Join(workingDir, filepath.Base(exe)+".pid")
	if _, err := os.ReadFile(pidFile); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: not absent as it should be (%v)", pidFile, err)
	}
	addr, err := allocatePort()
	if err != nil {
		return nil, err
	}
	endpoint := (&url.URL{Scheme: "http", Host: addr.String()}).String()

	cmd := exec.CommandContext(ctx, exe)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: syscall.Getpgrp()}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	go readLog(stderr)
	go readLog(stdout)
	cmd.Env = append(os.Environ(),
		"FTL_BIND="+endpoint,
		"FTL_WORKING_DIR="+workingDir,
		"LOG_LEVEL=DEBUG",
	)
	lifeline, err := driver.SelfAsPlugin(cmd, dir)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, lifeline.Close())
	}
	exited, cancel := context.WithCancelCause(context.Background())
	go func() {
		err := cmd.Wait()
		if err == nil {
			err = errors.New("exited")
		}
		cancel(err)
	}()
	s := &spawned{cmd: cmd, exited: exited, client: dial(endpoint), lifeline: lifeline}

	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	pinged := make(chan error, 1)
	go func() { pinged <- s.wait(ctx) }()
	select {
	case <-exited.Done():
		err = fmt.Errorf("plugin process died: %w", context.Cause(exited))
	case err = <-pinged:
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// allocatePort finds a port that was free a moment ago.
func allocatePort() (*net.TCPAddr, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	return addr, l.Close()
}

// wait pings until the plugin is ready. The delay never grows: min is max.
func (s *spawned) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	retry := backoff.Backoff{Min: retryDelay, Max: retryDelay}
	for {
		err := s.client.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("plugin failed to respond to ping: %w", err)
		case <-s.exited.Done():
			return err
		case <-time.After(retry.Duration()):
		}
	}
}

// readLog reads one log entry a line until the pipe ends.
func readLog(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, logLineLimit)
	for lines.Scan() {
		var entry struct {
			Attributes map[string]string `json:"attributes"`
			Level      string            `json:"level"`
			Error      string            `json:"error"`
			Timestamp  string            `json:"timestamp"`
			Message    string            `json:"message"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			fmt.Fprintf(os.Stderr, "plugin: %s\n", lines.Bytes())
		}
	}
}

func (s *spawned) Echo(n int) (func(context.Context) error, error) {
	text := strings.Repeat("x", n)
	return func(ctx context.Context) error {
		resp, err := s.client.echo.CallUnary(ctx, connect.NewRequest(wrapperspb.String(text)))
		if err != nil {
			return err
		}
		if got := len(resp.Msg.GetValue()); got != n {
			return fmt.Errorf("sent %d bytes, got %d", n, got)
		}
		return nil
	}, nil
}

// Close stops the plugin as FTL's runner does: SIGTERM, 10 s, SIGKILL.
func (s *spawned) Close() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited.Done():
	case <-time.After(stopGrace):
		_ = s.cmd.Process.Kill()
		<-s.exited.Done()
	}
	return s.lifeline.Close()
}

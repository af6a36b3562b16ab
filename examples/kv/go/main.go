// A key-value plugin. Of the host it knows FTL_BIND, where to listen, and LOG_LEVEL.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"example.com/kv/kvv1/kvv1connect"
)

// How long calls in flight have when the plugin is told to stop.
const grace = 5 * time.Second

func main() {
	log := newLogger(os.Stderr, os.Getenv("LOG_LEVEL"))
	if err := run(log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	bind, err := url.Parse(os.Getenv("FTL_BIND"))
	if err != nil || bind.Host == "" {
		return errors.New("FTL_BIND must be http://<address>:<port>; a plugin host sets it")
	}
	// For as long it says that it is not ready, as a plugin does that has something to load.
	warmUp, _ := strconv.Atoi(os.Getenv("KV_NOT_READY_MS"))
	store := newStore(log, time.Duration(warmUp)*time.Millisecond)

	mux := http.NewServeMux()
	mux.Handle(kvv1connect.NewKvServiceHandler(store))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)

	told, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", bind.Host)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", "address", bind.Host)

	select {
	case err := <-failed:
		return err
	case <-told.Done():
	}
	log.Info("stopping")
	limit, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		log.Warn("calls were cut off", "error", err)
		return server.Close()
	}
	return nil
}

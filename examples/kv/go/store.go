package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"example.com/kv/kvv1"
)

// store is the service: what is stored lives as long as the process.
type store struct {
	log   *slog.Logger
	ready time.Time

	lock    sync.Mutex
	entries map[string][]byte
}

func newStore(log *slog.Logger, warmUp time.Duration) *store {
	return &store{log: log, ready: time.Now().Add(warmUp), entries: map[string][]byte{}}
}

func (s *store) Ping(context.Context, *kvv1.PingRequest) (*kvv1.PingResponse, error) {
	if time.Now().Before(s.ready) {
		reason := "warming up"
		return &kvv1.PingResponse{NotReady: &reason}, nil
	}
	return &kvv1.PingResponse{}, nil
}

func (s *store) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	value, found := s.get(request.Key)
	if !found {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no key %q", request.Key))
	}
	return &kvv1.GetResponse{Value: value}, nil
}

func (s *store) Put(_ context.Context, request *kvv1.PutRequest) (*kvv1.PutResponse, error) {
	if request.Entry == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("an entry is missing"))
	}
	return &kvv1.PutResponse{Replaced: s.put(request.Entry)}, nil
}

func (s *store) List(
	_ context.Context, request *kvv1.ListRequest, answers *connect.ServerStream[kvv1.Entry],
) error {
	for _, entry := range s.list(request.Prefix) {
		if err := answers.Send(entry); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) Load(
	_ context.Context, entries *connect.ClientStream[kvv1.Entry],
) (*kvv1.LoadResponse, error) {
	stored := uint64(0)
	for entries.Receive() {
		s.put(entries.Msg())
		stored++
	}
	if err := entries.Err(); err != nil {
		return nil, err
	}
	return &kvv1.LoadResponse{Stored: stored}, nil
}

func (s *store) Sync(
	_ context.Context, steps *connect.BidiStream[kvv1.SyncRequest, kvv1.SyncResponse],
) error {
	for {
		request, err := steps.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := &kvv1.SyncResponse{}
		switch step := request.Step.(type) {
		case *kvv1.SyncRequest_Get:
			answer.Key = step.Get
		case *kvv1.SyncRequest_Put:
			s.put(step.Put)
			answer.Key = step.Put.Key
		default:
			return connect.NewError(connect.CodeInvalidArgument, errors.New("a step is missing"))
		}
		if value, found := s.get(answer.Key); found {
			// Present even where it is empty.
			answer.Value = append([]byte{}, value...)
		}
		if err := steps.Send(answer); err != nil {
			return err
		}
	}
}

func (s *store) get(key string) ([]byte, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	value, found := s.entries[key]
	return value, found
}

func (s *store) put(entry *kvv1.Entry) (replaced bool) {
	s.log.Debug("stored", "key", entry.Key)
	s.lock.Lock()
	defer s.lock.Unlock()
	_, replaced = s.entries[entry.Key]
	s.entries[entry.Key] = entry.Value
	return replaced
}

func (s *store) list(prefix string) []*kvv1.Entry {
	s.lock.Lock()
	defer s.lock.Unlock()
	var found []*kvv1.Entry
	for key, value := range s.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, &kvv1.Entry{Key: key, Value: value})
		}
	}
	sort.Slice(found, func(a, b int) bool { return found[a].Key < found[b].Key })
	return found
}

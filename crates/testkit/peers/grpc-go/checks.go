package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	"example.com/kv/kvv1"
)

// check is one thing that has to hold in every way.
type check struct {
	name string
	// Both sides speak at the same time, which HTTP/1.1 cannot.
	duplex bool
	run    func(context.Context, *caller) error
}

var checks = []check{
	{"ping", false, ping},
	{"unary", false, unary},
	{"not-found", false, notFound},
	{"without-token", false, withoutToken},
	{"get", false, get},
	{"client-stream", false, clientStream},
	{"server-stream", false, serverStream},
	{"two-way-stream", true, twoWayStream},
	{"deadline", true, deadline},
	{"gzip", false, gzip},
}

func ping(ctx context.Context, c *caller) error {
	pong, err := c.client().Ping(ctx, &kvv1.PingRequest{})
	if err != nil {
		return err
	}
	if pong.GetNotReady() != "" {
		return errors.New(pong.GetNotReady())
	}
	return nil
}

func unary(ctx context.Context, c *caller) error {
	client := c.client()
	// It is not known whether another way was here before.
	if err := put(ctx, c, "unary", "first"); err != nil {
		return err
	}
	again, err := client.Put(ctx, &kvv1.PutRequest{Entry: &kvv1.Entry{Key: "unary", Value: []byte("blue \x00\xff")}})
	if err != nil {
		return err
	}
	if !again.Replaced {
		return errors.New("the first value is not there")
	}
	got, err := client.Get(ctx, &kvv1.GetRequest{Key: "unary"})
	if err != nil {
		return err
	}
	return same(got.Value, []byte("blue \x00\xff"))
}

func notFound(ctx context.Context, c *caller) error {
	_, err := c.client().Get(ctx, &kvv1.GetRequest{Key: "nowhere ☂"})
	if connect.CodeOf(err) != connect.CodeNotFound {
		return fmt.Errorf("the answer is %v", err)
	}
	return nil
}

func withoutToken(ctx context.Context, c *caller) error {
	if c.token == "" {
		return nil
	}
	stranger := *c
	for _, token := range []string{"", "guessed"} {
		stranger.token = token
		_, err := stranger.client().Get(ctx, &kvv1.GetRequest{Key: "unary"})
		if connect.CodeOf(err) != connect.CodeUnauthenticated {
			return fmt.Errorf("the answer is %v", err)
		}
		err = open(ctx, &stranger)
		if connect.CodeOf(err) != connect.CodeUnauthenticated {
			return fmt.Errorf("the answer to a stream is %v", err)
		}
	}
	return nil
}

// open begins a stream and ends it.
func open(ctx context.Context, c *caller) error {
	stream, err := c.client().Load(ctx)
	if err != nil {
		return err
	}
	_, err = stream.CloseAndReceive()
	return err
}

// get calls what has no side effects, by GET where the protocol can.
func get(ctx context.Context, c *caller) error {
	if err := put(ctx, c, "get", "by GET"); err != nil {
		return err
	}
	got, err := c.client(connect.WithHTTPGet()).Get(ctx, &kvv1.GetRequest{Key: "get"})
	if err != nil {
		return err
	}
	return same(got.Value, []byte("by GET"))
}

func clientStream(ctx context.Context, c *caller) error {
	stream, err := c.client().Load(ctx)
	if err != nil {
		return err
	}
	for n := range 50 {
		if err := stream.Send(&kvv1.Entry{Key: fmt.Sprintf("load/%02d", n), Value: []byte{byte(n)}}); err != nil {
			return err
		}
	}
	answer, err := stream.CloseAndReceive()
	if err != nil {
		return err
	}
	if answer.Stored != 50 {
		return fmt.Errorf("%d are stored", answer.Stored)
	}
	return nil
}

func serverStream(ctx context.Context, c *caller) error {
	stream, err := c.client().List(ctx, &kvv1.ListRequest{Prefix: "load/"})
	if err != nil {
		return err
	}
	defer stream.Close()
	n := 0
	for ; stream.Receive(); n++ {
		if key := fmt.Sprintf("load/%02d", n); stream.Msg().Key != key {
			return fmt.Errorf("%s comes where %s was expected", stream.Msg().Key, key)
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if n != 50 {
		return fmt.Errorf("%d are listed", n)
	}
	return nil
}

func twoWayStream(ctx context.Context, c *caller) error {
	stream, err := c.client().Sync(ctx)
	if err != nil {
		return err
	}
	ask := func(request *kvv1.SyncRequest) (*kvv1.SyncResponse, error) {
		if err := stream.Send(request); err != nil {
			return nil, err
		}
		return stream.Receive()
	}
	nothing, err := ask(&kvv1.SyncRequest{Step: &kvv1.SyncRequest_Get{Get: "nowhere"}})
	if err != nil {
		return err
	}
	if nothing.Key != "nowhere" || nothing.Value != nil {
		return fmt.Errorf("the answer is %v", nothing)
	}
	for n := range 20 {
		value := []byte{byte(n)}
		entry := &kvv1.Entry{Key: "sync", Value: value}
		for _, request := range []*kvv1.SyncRequest{
			{Step: &kvv1.SyncRequest_Put{Put: entry}}, {Step: &kvv1.SyncRequest_Get{Get: "sync"}},
		} {
			answer, err := ask(request)
			if err != nil {
				return err
			}
			if err := same(answer.Value, value); err != nil {
				return err
			}
		}
	}
	if err := stream.CloseRequest(); err != nil {
		return err
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end is %v", err)
	}
	return stream.CloseResponse()
}

// deadline waits on a call that would never end.
func deadline(ctx context.Context, c *caller) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	stream, err := c.client().Sync(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&kvv1.SyncRequest{Step: &kvv1.SyncRequest_Get{Get: "nowhere"}}); err != nil {
		return err
	}
	if _, err := stream.Receive(); err != nil {
		return err
	}
	_, err = stream.Receive()
	if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		return fmt.Errorf("the answer is %v", err)
	}
	if took := time.Since(began); took < 200*time.Millisecond || took > 10*time.Second {
		return fmt.Errorf("it took %v", took)
	}
	return nil
}

func gzip(ctx context.Context, c *caller) error {
	client := c.client(connect.WithSendGzip(), connect.WithCompressMinBytes(0))
	big := bytes.Repeat([]byte("jackfield "), 200_000)
	if _, err := client.Put(ctx, &kvv1.PutRequest{Entry: &kvv1.Entry{Key: "gzip", Value: big}}); err != nil {
		return err
	}
	got, err := client.Get(ctx, &kvv1.GetRequest{Key: "gzip"})
	if err != nil {
		return err
	}
	return same(got.Value, big)
}

func put(ctx context.Context, c *caller, key, value string) error {
	_, err := c.client().Put(ctx, &kvv1.PutRequest{Entry: &kvv1.Entry{Key: key, Value: []byte(value)}})
	return err
}

func same(got, expected []byte) error {
	if !bytes.Equal(got, expected) {
		return fmt.Errorf("%d bytes came, %d were expected", len(got), len(expected))
	}
	return nil
}

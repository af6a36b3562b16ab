package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/xid"
)

// The messages, with keys in alphabetical order as Storyden's are. Like there,
// a union is read twice: once for its "method" and once as the type that the
// method stands for.

const echoMethod = "echo"

var errNoMethod = errors.New("no method")

type echoRequest struct {
	ID      xid.ID         `json:"id"`
	Jsonrpc string         `json:"jsonrpc"`
	Method  string         `json:"method"`
	Params  map[string]any `json:"params"`
}

type echoResult struct {
	Method string         `json:"method"`
	Output map[string]any `json:"output"`
}

// hostRequest is what a plugin may be sent.
type hostRequest struct{ value any }

func (u *hostRequest) UnmarshalJSON(data []byte) error {
	return unmarshalUnion(data, &u.value, func(method string) any {
		if method == echoMethod {
			return new(echoRequest)
		}
		return nil
	})
}

// hostResult is the result part of a plugin's answer.
type hostResult struct{ value any }

func (u hostResult) MarshalJSON() ([]byte, error) {
	if u.value == nil {
		return []byte("null"), nil
	}
	return json.Marshal(u.value)
}

func (u *hostResult) UnmarshalJSON(data []byte) error {
	return unmarshalUnion(data, &u.value, func(method string) any {
		if method == echoMethod {
			return new(echoResult)
		}
		return nil
	})
}

// pluginRequest is what a host may be sent. None of its three methods is part
// of the benchmark, but the host tries every message as one of them first.
type pluginRequest struct{ method string }

func (u *pluginRequest) UnmarshalJSON(data []byte) error {
	var value any
	return unmarshalUnion(data, &value, func(method string) any {
		switch method {
		case "access_get", "get_config", "robot_run":
			u.method = method
			return new(map[string]any)
		}
		return nil
	})
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type response struct {
	Error   *rpcError  `json:"error,omitempty"`
	ID      xid.ID     `json:"id"`
	Jsonrpc string     `json:"jsonrpc"`
	Result  hostResult `json:"result"`
}

func unmarshalUnion(data []byte, value *any, of func(method string) any) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		*value = nil
		return nil
	}
	var head struct {
		Method string `json:"method"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.Method == "" {
		return errNoMethod
	}
	v := of(head.Method)
	if v == nil {
		return fmt.Errorf("unknown method %q", head.Method)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	*value = v
	return nil
}

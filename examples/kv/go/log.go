package main

import (
	"io"
	"log/slog"
	"strings"
)

// newLogger writes what a host takes for records: one JSON object a line, with the keys level,
// timestamp, message and attributes, the last of which holds texts alone.
func newLogger(to io.Writer, level string) *slog.Logger {
	var threshold slog.Level
	switch strings.ToLower(level) {
	case "trace", "debug":
		threshold = slog.LevelDebug
	case "warn":
		threshold = slog.LevelWarn
	case "error":
		threshold = slog.LevelError
	}
	options := slog.HandlerOptions{Level: threshold, ReplaceAttr: rename}
	// What is logged beside the message becomes members of this group.
	return slog.New(slog.NewJSONHandler(to, &options).WithGroup("attributes"))
}

func rename(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return slog.String(attr.Key, attr.Value.String())
	}
	switch attr.Key {
	case slog.TimeKey:
		attr.Key = "timestamp"
	case slog.MessageKey:
		attr.Key = "message"
	case slog.LevelKey:
		return slog.String("level", strings.ToLower(attr.Value.String()))
	}
	return attr
}

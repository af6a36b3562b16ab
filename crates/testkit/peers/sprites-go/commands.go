package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	sprites "github.com/superfly/sprites-go"
)

const path = "PATH=/usr/local/bin:/usr/bin:/bin"

// commands runs what can be run, by one kind of line. Each command gets a client of its own: this
// one closes the control line after a command, and may hand the closed line to the next one.
func commands(ctx context.Context, mode string, open func() *sprites.Sprite) {
	name := func(what string) string { return mode + ": " + what }
	var out, err bytes.Buffer
	command := open().CommandContext(ctx, "sh", "-c", "echo out; echo err >&2; exit 7")
	command.Stdout, command.Stderr = &out, &err
	failed := command.Run()
	var exit *sprites.ExitError
	check(name("exit code"), errors.As(failed, &exit) && exit.ExitCode() == 7, failed)
	check(name("kind of line"), command.ConnectionMode() == mode, command.ConnectionMode())
	check(name("stdout"), out.String() == "out\n", out.String())
	check(name("stderr"), err.String() == "err\n", err.String())

	much := open().CommandContext(ctx, "sh", "-c", "yes 0123456789 | head -n 100000")
	output, failed := much.Output()
	must(name("much output"), failed)
	check(name("all of it"), len(output) == 1_100_000, len(output))

	cat := open().CommandContext(ctx, "cat")
	cat.Stdin = strings.NewReader(strings.Repeat("to be echoed\n", 1000))
	output, failed = cat.Output()
	must(name("stdin"), failed)
	check(name("its echo"), string(output) == strings.Repeat("to be echoed\n", 1000), len(output))

	env := open().CommandContext(ctx, "env")
	env.Env = []string{path, "ONE=1 & 2=3", "EMPTY="}
	output, failed = env.Output()
	must(name("env"), failed)
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	check(name("env replaces"), len(lines) == 3 && lines[1] == "ONE=1 & 2=3", string(output))

	must(name("write a script"), open().Filesystem().
		WriteFile("/plugin/bin/run", []byte("#!/bin/sh\necho \"ran $1 in ${PWD##*/}\"\n"), 0o755))
	script := open().CommandContext(ctx, "/plugin/bin/run", "it")
	script.Dir = "/plugin/bin"
	output, failed = script.Output()
	must(name("an uploaded program"), failed)
	check(name("its folder"), string(output) == "ran it in bin\n", string(output))

	missing := open().CommandContext(ctx, "/plugin/bin/none")
	_, failed = missing.CombinedOutput()
	check(name("no such program"), errors.As(failed, &exit) && exit.ExitCode() == 127, failed)

	signals(ctx, name, open)
	sessions(ctx, name, open)
}

// signals ends a process by one that it handles, and one by one that nothing handles.
func signals(ctx context.Context, name func(string) string, open func() *sprites.Sprite) {
	command, lines := begun(ctx, name("trap"), open(),
		"trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.02; done")
	signal(name("signal"), command, "INT")
	check(name("it was caught"), <-lines == "caught", "")
	var exit *sprites.ExitError
	failed := command.Wait()
	check(name("it ended by itself"), errors.As(failed, &exit) && exit.ExitCode() == 3, failed)

	command, _ = begun(ctx, name("deaf"), open(),
		"trap '' INT TERM; echo ready; while :; do sleep 0.02; done")
	signal(name("kill"), command, "KILL")
	failed = command.Wait()
	check(name("it was killed"), errors.As(failed, &exit) && exit.ExitCode() != 0, failed)
}

// signal sends one. When the command ends of it at once, the client may have closed the line before
// it sees that the signal has gone out; what becomes of the command shows that it has.
func signal(what string, command *sprites.Cmd, signal string) {
	err := command.Signal(signal)
	check(what, err == nil || err.Error() == "adapter closed", err)
}

// sessions finds a process again by the list, and looks on from a second line.
func sessions(ctx context.Context, name func(string) string, open func() *sprites.Sprite) {
	sprite := open()
	first, _ := begun(ctx, name("long"), sprite,
		"trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done")
	list, err := sprite.ListSessions(ctx)
	must(name("list sessions"), err)
	found := len(list) == 1 && strings.HasPrefix(list[0].Command, "sh -c") && !list[0].TTY
	check(name("the session"), found && !list[0].Created.IsZero() && list[0].IsActive, list)

	second := sprite.AttachSessionContext(ctx, list[0].ID)
	lines := output(second)
	must(name("attach"), second.Start())
	check(name("what was said before"), <-lines == "ready", "")
	signal(name("signal from the second line"), second, "TERM")
	check(name("what is said now"), <-lines == "bye", "")
	var exit *sprites.ExitError
	failed := second.Wait()
	check(name("the second line's exit"), errors.As(failed, &exit) && exit.ExitCode() == 5, failed)
	failed = first.Wait()
	check(name("the first line's exit"), errors.As(failed, &exit) && exit.ExitCode() == 5, failed)
	list, err = sprite.ListSessions(ctx)
	check(name("no session is left"), err == nil && len(list) == 0, fmt.Sprint(list, err))
}

// begun starts a script and waits for its first line, "ready".
func begun(
	ctx context.Context, what string, sprite *sprites.Sprite, script string,
) (*sprites.Cmd, <-chan string) {
	command := sprite.CommandContext(ctx, "sh", "-c", script)
	lines := output(command)
	must(what, command.Start())
	check(what+" is ready", <-lines == "ready", "")
	return command, lines
}

// output hands on what a command prints, line by line. It is read at once: a line whose reader waits
// would not go on.
func output(command *sprites.Cmd) <-chan string {
	reader, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, io.Discard
	lines := make(chan string, 100)
	go func() {
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

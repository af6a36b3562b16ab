package driver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

const (
	roleVar     = "BENCH_ROLE"
	lifelineVar = "BENCH_LIFELINE_FD"
	dirVar      = "BENCH_DIR"
)

// IsPlugin says whether this process was started as a plugin by SelfAsPlugin.
func IsPlugin() bool { return os.Getenv(roleVar) == "plugin" }

// Lifeline is the pipe by which a plugin notices that its host is gone, however
// the host ended. None of the originals has such a pipe; it is here so that a
// killed benchmark leaves no process behind.
type Lifeline struct{ r, w *os.File }

// SelfAsPlugin makes cmd, which runs this same binary, start it as a plugin
// that ends with this process. The plugin, whose folder is dir, then also
// removes what the host can no longer remove. Adds to cmd.Env and cmd.ExtraFiles.
func SelfAsPlugin(cmd *exec.Cmd, dir string) (*Lifeline, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fd := 3 + len(cmd.ExtraFiles)
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	cmd.Env = append(cmd.Env,
		roleVar+"=plugin",
		lifelineVar+"="+strconv.Itoa(fd),
		dirVar+"="+dir,
	)
	return &Lifeline{r, w}, nil
}

// Close frees the pipe. Only to be called once the process has ended.
func (l *Lifeline) Close() error { return errors.Join(l.r.Close(), l.w.Close()) }

// EndWithHost ends this process when its host is gone.
func EndWithHost() error {
	fd, err := strconv.Atoi(os.Getenv(lifelineVar))
	if err != nil {
		return fmt.Errorf("%s: %w", lifelineVar, err)
	}
	pipe := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		_, _ = io.Copy(io.Discard, pipe)
		_ = os.RemoveAll(filepath.Dir(os.Getenv(dirVar)))
		os.Exit(0)
	}()
	return nil
}

// RemoveDir removes the folder of this plugin. A plugin calls it before it ends
// for any other reason that may have to do with its host.
func RemoveDir() {
	dir := os.Getenv(dirVar)
	_ = os.RemoveAll(dir)
	_ = os.Remove(filepath.Dir(dir)) // only if empty
}

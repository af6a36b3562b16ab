package main

import (
	"bytes"
	"errors"
	"io/fs"

	sprites "github.com/superfly/sprites-go"
)

func files(sprite *sprites.Sprite) {
	disk := sprite.Filesystem()
	content := bytes.Repeat([]byte("0123456789abcdef\x00\xff"), 30_000)
	must("write", disk.WriteFile("/plugin/deep/data.bin", content, 0o640))
	read, err := disk.ReadFile("/plugin/deep/data.bin")
	must("read", err)
	check("what was written", bytes.Equal(read, content), len(read))
	info, err := disk.Stat("/plugin/deep/data.bin")
	must("stat", err)
	fits := info.Size() == int64(len(content)) && info.Mode() == 0o640 && !info.IsDir()
	check("size and mode", fits && info.Name() == "data.bin", info)
	must("overwrite", disk.WriteFile("/plugin/deep/data.bin", []byte("short"), 0o755))
	info, err = disk.Stat("/plugin/deep/data.bin")
	check("it is shorter", err == nil && info.Size() == 5 && info.Mode() == 0o755, info)

	_, err = disk.ReadFile("/plugin/none")
	check("read what is not there", errors.Is(err, fs.ErrNotExist), err)
	_, err = disk.Stat("/plugin/none")
	check("stat what is not there", errors.Is(err, fs.ErrNotExist), err)
	err = disk.RemoveAll("/none")
	check("remove what is not there", errors.Is(err, fs.ErrNotExist), err)

	must("mkdir", disk.MkdirAll("/plugin/made/inside", 0o755))
	entries, err := disk.ReadDir("/plugin")
	must("list a folder", err)
	names := len(entries) == 2 && entries[0].Name() == "deep" && entries[1].Name() == "made"
	check("what is in it", names && entries[0].IsDir() && entries[1].IsDir(), entries)

	must("copy", disk.Copy("/plugin/deep", "/plugin/twin"))
	must("rename", disk.Rename("/plugin/twin/data.bin", "/plugin/moved"))
	must("chmod", disk.Chmod("/plugin/moved", 0o600))
	info, err = disk.Stat("/plugin/moved")
	check("it has moved", err == nil && info.Size() == 5 && info.Mode() == 0o600, info)
	within, err := sprite.FilesystemAt("/plugin").(fs.ReadFileFS).ReadFile("moved")
	check("from a working folder", err == nil && string(within) == "short", err)

	must("remove a file", disk.Remove("/plugin/moved"))
	err = disk.Remove("/plugin/deep")
	check("a full folder stays", err != nil && !errors.Is(err, fs.ErrNotExist), err)
	must("remove a folder", disk.RemoveAll("/plugin"))
	_, err = disk.ReadDir("/plugin")
	check("it is gone with all in it", errors.Is(err, fs.ErrNotExist), err)

	err = disk.WriteFile("/large", make([]byte, 16<<20+1), 0o644)
	check("too large", err != nil, err)
}

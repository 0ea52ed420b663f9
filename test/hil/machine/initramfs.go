package machine

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

//go:embed init.sh
var initScript []byte

// File is a file for a guest's initramfs. Its directories are made.
type File struct {
	Path string // in the guest, absolute
	From string // a file of the host whose content it gets; or
	Data []byte // the content itself
	Mode fs.FileMode
}

// Initramfs is what a guest finds when it starts. It is all in memory, so a reboot
// begins anew.
//
// Three paths mean something: /start.sh is read by the first process, a shell, when
// modules are loaded and the network is up, before it takes commands; it may as
// well mount a disk and never come back. /lib/modules/list and /init are made here.
type Initramfs struct {
	Modules []Module
	Files   []File
}

// Build makes the archive for a kernel.
func (i Initramfs) Build(k Kernel) ([]byte, error) {
	modules, err := k.load(i.Modules)
	if err != nil {
		return nil, err
	}
	files := []File{
		{Path: "/init", Data: initScript, Mode: 0o755},
		{Path: "/bin/busybox", From: k.BusyBox, Mode: 0o755},
	}
	var list strings.Builder
	for _, m := range modules {
		name := moduleName(m.Path) + ".ko"
		files = append(files, File{Path: "/lib/modules/" + name, From: m.Path, Mode: 0o644})
		fmt.Fprintln(&list, name, m.Params)
	}
	files = append(files, File{Path: "/lib/modules/list", Data: []byte(list.String()), Mode: 0o644})
	a := &archive{made: map[string]bool{"/": true}}
	a.node("/dev/console", 5, 1) // what the first process writes to before it can make any
	for _, f := range append(files, i.Files...) {
		if err := a.file(f); err != nil {
			return nil, err
		}
	}
	a.entry("TRAILER!!!", 0, nil, 0, 0)
	return a.out.Bytes(), nil
}

// archive is in the format "newc" of cpio(5), as the kernel reads it.
type archive struct {
	out   bytes.Buffer
	made  map[string]bool
	inode uint32
}

// Kinds of files, from sys/stat.h.
const (
	directory = 0o040000
	character = 0o020000
	regular   = 0o100000
)

func (a *archive) file(f File) error {
	data := f.Data
	if f.From != "" {
		var err error
		if data, err = os.ReadFile(f.From); err != nil {
			return fmt.Errorf("put %s into the initramfs: %w", f.Path, err)
		}
	}
	a.parents(f.Path)
	a.entry(f.Path, regular|uint32(f.Mode.Perm()), data, 0, 0)
	return nil
}

func (a *archive) node(name string, major, minor uint32) {
	a.parents(name)
	a.entry(name, character|0o600, nil, major, minor)
}

func (a *archive) parents(name string) {
	var missing []string
	for dir := path.Dir(name); !a.made[dir]; dir = path.Dir(dir) {
		a.made[dir] = true
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		a.entry(dir, directory|0o755, nil, 0, 0)
	}
}

func (a *archive) entry(name string, mode uint32, data []byte, major, minor uint32) {
	name = strings.TrimPrefix(name, "/")
	a.inode++
	// ino, mode, uid, gid, nlink, mtime, filesize, dev (2), rdev (2), namesize, check
	a.out.WriteString("070701")
	for _, field := range []uint32{a.inode, mode, 0, 0, 1, 0, uint32(len(data)), 0, 0, major, minor, uint32(len(name) + 1), 0} {
		fmt.Fprintf(&a.out, "%08X", field)
	}
	a.out.WriteString(name + "\x00")
	a.pad()
	a.out.Write(data)
	a.pad()
}

// pad fills up to a multiple of four, as the format wants behind names and contents.
func (a *archive) pad() { a.out.Write(make([]byte, -a.out.Len()&3)) }

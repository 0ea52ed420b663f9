package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// rootNode is the mount point: its directories are volumes.
type rootNode struct {
	fs.Inode
	words []atomic.Uint32

	mu      sync.Mutex
	volumes map[string]*volume
}

var _ = fs.NodeMkdirer((*rootNode)(nil))

// Mkdir makes a volume. Its name is its number.
func (r *rootNode) Mkdir(ctx context.Context, name string, _ uint32, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	var n int
	if _, err := fmt.Sscanf(name, "%d", &n); err != nil || n < 0 || n >= volumes {
		return nil, syscall.EINVAL
	}
	v := newVolume(r.words[n*wordsEach : (n+1)*wordsEach])
	r.mu.Lock()
	r.volumes[name] = v
	r.mu.Unlock()
	return r.NewInode(ctx, &dirNode{v: v}, fs.StableAttr{Mode: syscall.S_IFDIR}), 0
}

// Rmdir forgets a volume and all that is in it.
func (r *rootNode) Rmdir(_ context.Context, name string) syscall.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.volumes, name)
	return 0
}

// dirNode is a volume's only directory.
type dirNode struct {
	fs.Inode
	v *volume
}

var (
	_ = fs.NodeCreater((*dirNode)(nil))
	_ = fs.NodeRenamer((*dirNode)(nil))
	_ = fs.NodeUnlinker((*dirNode)(nil))
	_ = fs.NodeOpendirHandler((*dirNode)(nil))
)

func (d *dirNode) Create(ctx context.Context, name string, _, _ uint32, _ *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	file, errno := d.v.create(name)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return d.NewInode(ctx, &fileNode{v: d.v, file: file}, fs.StableAttr{Mode: syscall.S_IFREG}), nil, 0, 0
}

func (d *dirNode) Rename(_ context.Context, name string, _ fs.InodeEmbedder, to string, _ uint32) syscall.Errno {
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	return d.v.rename(name, to)
}

func (d *dirNode) Unlink(_ context.Context, name string) syscall.Errno {
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	return d.v.unlink(name)
}

func (d *dirNode) OpendirHandle(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return &dirHandle{d.v}, 0, 0
}

// dirHandle is an open directory, which is there to be flushed.
type dirHandle struct{ v *volume }

var _ = fs.FileFsyncdirer((*dirHandle)(nil))

func (h *dirHandle) Fsyncdir(context.Context, uint32) syscall.Errno {
	h.v.mu.Lock()
	defer h.v.mu.Unlock()
	return h.v.syncDir()
}

// fileNode is a file.
type fileNode struct {
	fs.Inode
	v    *volume
	file int
}

var (
	_ = fs.NodeOpener((*fileNode)(nil))
	_ = fs.NodeReader((*fileNode)(nil))
	_ = fs.NodeWriter((*fileNode)(nil))
	_ = fs.NodeGetattrer((*fileNode)(nil))
	_ = fs.NodeSetattrer((*fileNode)(nil))
	_ = fs.NodeFsyncer((*fileNode)(nil))
	_ = fs.NodeFlusher((*fileNode)(nil))
	_ = fs.NodeAllocater((*fileNode)(nil))
)

func (f *fileNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (f *fileNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	content := f.v.files[f.file]
	from := min(off, int64(len(content)))
	n := copy(dest, content[from:])
	return fuse.ReadResultData(dest[:n]), 0
}

func (f *fileNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	if errno := f.v.write(f.file, data, off); errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

func (f *fileNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	f.attr(out)
	return 0
}

func (f *fileNode) attr(out *fuse.AttrOut) {
	out.Mode, out.Nlink, out.Size = syscall.S_IFREG|0o600, 1, uint64(len(f.v.files[f.file]))
}

// Setattr changes a size; modes and times make no difference to anybody here.
func (f *fileNode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if errno := f.v.resize(f.file, int64(size)); errno != 0 {
			return errno
		}
	}
	f.attr(out)
	return 0
}

func (f *fileNode) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, _ uint32) syscall.Errno {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	if end := int64(off + size); end > int64(len(f.v.files[f.file])) {
		return f.v.resize(f.file, end)
	}
	return 0
}

func (f *fileNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	return f.v.sync(f.file)
}

// Flush is what close(2) is called here: it makes nothing durable.
func (f *fileNode) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say what to boot.
type Options struct {
	Kit        Kit
	Board      Board
	Initramfs  Initramfs
	DeviceTree string    // a path; empty: the board's usual one
	Forwards   []Forward // none: the guest has no network
	Append     []string  // more words for the kernel's command line
	Args       []string  // more arguments for qemu: disks, devices, -smp
	Log        io.Writer // gets the console as it comes; may be nil
}

// patience bounds every wait for the guest. The longest, the boot of the slowest
// board, takes 10 s on an idle desk with two processors; with thirty others at work
// on them it was seen to take 90 s.
const patience = 5 * time.Minute

// Machine is a running emulator.
type Machine struct {
	Board  Board
	Kernel Kernel
	Ended  chan struct{} // closed when the process is gone

	cmd     *exec.Cmd
	dir     string // of the QMP socket and the initramfs
	stdin   io.WriteCloser
	log     io.Writer
	console console
	qmp     *qmp

	turn   sync.Mutex // one command at a time
	number int
}

// Start boots a machine and does not wait for it: Ready does. It lasts until ctx
// ends, or Close.
func Start(ctx context.Context, o Options) (*Machine, error) {
	k, err := o.Kit.Kernel(o.Board.Arch)
	if err != nil {
		return nil, err
	}
	if len(o.Forwards) > 0 {
		o.Initramfs.Modules = append(o.Board.Modules[:len(o.Board.Modules):len(o.Board.Modules)], o.Initramfs.Modules...)
	}
	archive, err := o.Initramfs.Build(k)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hil") // short: a socket's path must stay below 108 bytes
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	m := &Machine{Board: o.Board, Kernel: k, Ended: make(chan struct{}), dir: dir, log: o.Log}
	m.console.grown = make(chan struct{})
	if err := os.WriteFile(m.path("initramfs"), archive, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write initramfs: %w", err), os.RemoveAll(dir))
	}
	m.cmd = exec.CommandContext(ctx, o.Kit.Tool(o.Board.program), m.args(o)...)
	// A test that is killed takes its emulators along: with nobody to end it, one
	// would use a processor for ever.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.run(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", o.Board.Name, err), os.RemoveAll(dir))
	}
	return m, nil
}

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *Machine) args(o Options) []string {
	// panic=-1 and -no-reboot: a guest that panics ends the process at once. The
	// console is for the first process; the kernel's own log is asked for.
	words := []string{"console=" + o.Board.console, "quiet", "loglevel=1", "panic=-1", fmt.Sprintf("hil.now=%d", time.Now().Unix())}
	if len(o.Forwards) > 0 {
		words = append(words, "hil.net="+address)
	}
	args := append([]string{"-accel", "tcg"}, o.Board.args...)
	args = append(args, "-nographic", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-qmp", "unix:"+m.path("qmp")+",server=on,wait=off",
		"-kernel", m.Kernel.Image, "-initrd", m.path("initramfs"), "-append", strings.Join(append(words, o.Append...), " "))
	if o.DeviceTree == "" && o.Board.tree != "" {
		o.DeviceTree = m.Kernel.DeviceTree(o.Board.tree)
	}
	if o.DeviceTree != "" {
		args = append(args, "-dtb", o.DeviceTree)
	}
	args = append(args, o.Board.network(o.Kit, o.Forwards)...)
	return append(args, o.Args...)
}

// run starts the process, and what reads it until it ends.
func (m *Machine) run() error {
	stdin, err := m.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	m.stdin = stdin
	m.cmd.Stderr = m.cmd.Stdout // what qemu itself has to say comes between the lines
	if err := m.cmd.Start(); err != nil {
		return err
	}
	go func() {
		m.console.read(stdout, m.log)
		_ = m.cmd.Wait() // it says "signal: killed", which is how each of them ends
		close(m.Ended)
	}()
	return nil
}

// Pid is the emulator's process.
func (m *Machine) Pid() int { return m.cmd.Process.Pid }

// Kill ends the emulator without a word to the guest, and waits until it is gone.
func (m *Machine) Kill() {
	_ = m.cmd.Process.Kill() // it may be gone already
	<-m.Ended
}

// Close kills it and removes its files.
func (m *Machine) Close() error {
	m.Kill()
	if m.qmp != nil {
		m.qmp.close()
	}
	return os.RemoveAll(m.dir)
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const endSoftly = syscall.SIGTERM

// other is a processor that this machine emulates.
type other struct {
	arch     string // as cross-build.sh names it
	emulator []string
	goarch   string
	goarm    string
}

func others() []other {
	return []other{
		{"arm64", []string{"qemu-aarch64-static"}, "arm64", ""},
		{"armv6", []string{"qemu-arm-static", "-cpu", "arm1176"}, "arm", "6"},
		{"amd64", []string{"qemu-x86_64-static"}, "amd64", ""}, // to compare with the native one
	}
}

// emulated starts actuatord, and a program that only waits, under every emulator
// that is installed.
func (b *bench) emulated(ctx context.Context) ([]*quiet, error) {
	if runtime.GOARCH != "amd64" {
		return nil, nil // what is told apart below (guestOf) is so on x86-64
	}
	var all []*quiet
	for _, o := range others() {
		path, err := exec.LookPath(o.emulator[0])
		if err != nil {
			b.note("no %s: its figures are left out (apt-get install qemu-user-static)", o.emulator[0])
			continue
		}
		emulator := append([]string{path}, o.emulator[1:]...)
		v, err := b.actuatord("emulated-"+o.arch, o.arch, emulator...)
		if err != nil {
			return nil, err
		}
		p, err := v.start(ctx)
		if err != nil {
			return nil, err
		}
		w, err := b.trivial(ctx, o, emulator)
		if err != nil {
			return nil, err
		}
		all = append(all, &quiet{process: p, what: "emulated " + o.arch}, &quiet{process: w, what: "trivial " + o.arch})
	}
	return all, nil
}

// waiter is the least that a Go program can be: it waits for its input to end.
const waiter = `package main

import "os"

func main() {
	os.Stdout.WriteString("up\n")
	os.Stdin.Read(make([]byte, 1))
}
`

// trivial builds and starts the waiting program.
func (b *bench) trivial(ctx context.Context, o other, emulator []string) (*process, error) {
	source, binary := filepath.Join(b.dir, "waiter.go"), filepath.Join(b.dir, "waiter-"+o.arch)
	if err := os.WriteFile(source, []byte(waiter), 0o600); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+o.goarch, "GOARM="+o.goarm)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", source, err, out)
	}
	v := &rival{name: "waiter-" + o.arch, dir: b.dir, rig: b.rig, program: append(emulator[:len(emulator):len(emulator)], binary)}
	p := v.process()
	if _, err := p.cmd.StdinPipe(); err != nil { // Wait closes it
		return nil, err
	}
	if err := p.launch(); err != nil {
		return nil, err
	}
	for !strings.Contains(p.said.String(), "up") {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return p, nil
}

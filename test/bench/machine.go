package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// conditions say where and how the figures were made.
func (b *bench) conditions() []string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail on an address of ours
	machine := fmt.Sprintf("Machine: %s, %d processors, Linux %s, %s; load %s.", processor(), runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), b.fileSystem(), firstFields("/proc/loadavg", 3))
	said := []string{
		machine,
		fmt.Sprintf("actuatord %s, by cross-build.sh with %s; hub in the harness's process, TLS 1.2 over loopback, window 50; journals of %d commands but where a row says otherwise.", b.version(), runtime.Version(), remembered),
		fmt.Sprintf("%d rounds of %d commands, %d of starts, taking turns; a figure is the median of the rounds (smallest–largest).", b.rounds, b.commands, b.starts),
	}
	if b.node == nil {
		return append(said, fmt.Sprintf("No Node peer: %v.", b.noNode))
	}
	return append(said, "Peer: "+b.node.about+": a handler with a set of ids and one synced append before the message is completed; no report, no checks.")
}

// version is what cross-build.sh wrote beside the binaries.
func (b *bench) version() string { return firstFields(filepath.Join(b.dist, "VERSION"), 1) }

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range bytes.Lines(text) {
		if name, value, found := strings.Cut(string(line), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// fileSystem says what the directory lies on.
func (b *bench) fileSystem() string {
	out, err := exec.Command("df", "--output=fstype,source", b.dir).Output()
	if err != nil {
		return "an unknown file system"
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(strings.Fields(lines[len(lines)-1]), " on ")
}

func firstFields(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return none
	}
	f := strings.Fields(string(text))
	return strings.Join(f[:min(n, len(f))], " ")
}

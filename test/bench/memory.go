package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// memory is a process's, in KiB.
type memory struct{ pss, rss, guest, binary float64 }

// region is one mapping of /proc/PID/smaps.
type region struct {
	start, end uint64
	path       string
	pss, rss   float64
}

// readMemory adds up smaps. guest is the share of what runs in an emulator, and all
// of it where nothing is emulated.
func (p *process) readMemory() (m memory, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", p.pid))
	if err != nil {
		return m, err
	}
	regions, err := parseSmaps(text)
	if err != nil {
		return m, err
	}
	for _, r := range regions {
		m.pss += r.pss
		m.rss += r.rss
		if r.path == p.binary { // code and constants, clean: the kernel takes them back when it wants
			m.binary += r.pss
		}
	}
	if m.guest = m.pss; p.emulated() {
		m.guest = 0
		for _, r := range guestOf(regions) {
			m.guest += r.pss
		}
	}
	return m, nil
}

func (v *rival) emulated() bool { return strings.HasPrefix(filepath.Base(v.program[0]), "qemu-") }

func parseSmaps(text []byte) (regions []region, err error) {
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		line := in.Text()
		name, rest, _ := strings.Cut(line, " ")
		if !strings.HasSuffix(name, ":") { // start-end perms offset dev inode path
			var r region
			if _, err := fmt.Sscanf(name, "%x-%x", &r.start, &r.end); err != nil {
				return nil, fmt.Errorf("read mapping %q: %w", line, err)
			}
			if f := strings.Fields(rest); len(f) > 4 {
				r.path = f[4]
			}
			regions = append(regions, r)
			continue
		}
		if len(regions) == 0 || name != "Pss:" && name != "Rss:" {
			continue
		}
		last, n := &regions[len(regions)-1], 0.0
		if _, err := fmt.Sscan(rest, &n); err != nil {
			return nil, fmt.Errorf("read %q: %w", line, err)
		}
		if name == "Pss:" {
			last.pss = n
		} else {
			last.rss = n
		}
	}
	return regions, nil
}

// emulatorsOwn is where Linux puts what an x86-64 process maps without an address of
// its choice: below the stack, at most 1 TiB of randomness away (28 bits of pages).
const emulatorsOwn = 0x7e00_0000_0000

// guestOf are the mappings of the emulated program: qemu-user keeps them at the
// program's own addresses, and has its heap and everything near its stack for
// itself. (Go's heap may by chance lie as high, once in some hundred runs; the
// figure is then a few MiB short, which the whole and the difference show.)
func guestOf(regions []region) []region {
	var own []region
	for _, r := range regions {
		if r.path != "[heap]" && r.start < emulatorsOwn {
			own = append(own, r)
		}
	}
	return own
}

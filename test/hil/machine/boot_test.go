package machine

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// kit is the cache that `make hil` names.
func kit(t *testing.T) Kit {
	t.Helper()
	dir := os.Getenv("ACTUATORD_HIL")
	if dir == "" {
		t.Skip("needs emulators and kernels: make hil")
	}
	k, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestBoot: each board comes up, carries out commands, reaches the one port it was
// given and nothing else, and is gone after Close.
func TestBoot(t *testing.T) {
	k := kit(t)
	for _, b := range []Board{VirtARM64(), VirtARM(), AST2600(), PC()} {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := k.Kernel(b.Arch); err != nil {
				t.Skip(err) // hil.sh fetches what its own tests want
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go greet(ln)
			port := ln.Addr().(*net.TCPAddr).Port
			o := Options{
				Kit: k, Board: b,
				Forwards:  []Forward{{8883, port}, {443, port}},
				Initramfs: Initramfs{Files: []File{{Path: "/etc/deep/greeting", Data: []byte("hello\n"), Mode: 0o600}}},
			}
			m, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.Ready(); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				line, out string
				code      int
			}{
				{"cat /etc/deep/greeting; stat -c %a /etc/deep/greeting", "hello\n600", 0},
				{"printf 'no newline'; exit 7", "no newline", 7},
				{"nc -w 5 10.0.2.100 8883 </dev/null", "from the host", 0},
				{"nc -w 5 10.0.2.100 443 </dev/null", "from the host", 0},
				{fmt.Sprintf("nc -w 2 10.0.2.2 %d </dev/null 2>/dev/null", port), "", 1}, // the host, as qemu's network shows it
				{"uname -r", m.Kernel.Version, 0},
			} {
				if out, code, err := m.Run(c.line); err != nil || out != c.out || code != c.code {
					t.Errorf("%s: %q, exit %d, %v; want %q, exit %d", c.line, out, code, err, c.out, c.code)
				}
			}
			var status struct{ Running bool }
			if err := m.QMP("query-status", nil, &status); err != nil || !status.Running {
				t.Errorf("qemu says running=%v, %v", status.Running, err)
			}
			if err := m.QMP("no-such-command", nil, nil); err == nil || !strings.Contains(err.Error(), "no-such-command") {
				t.Errorf("a command that qemu has not: %v", err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if _, _, err := m.Run("true"); err == nil {
				t.Error("a machine that is gone answered")
			}
		})
	}
}

func greet(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "from the host\n")
		_ = c.Close()
	}
}

package machine

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestArchive reads an archive back as the kernel does (initramfs-buffer-format in
// its documentation).
func TestArchive(t *testing.T) {
	a := &archive{made: map[string]bool{"/": true}}
	a.node("/dev/console", 5, 1)
	for _, f := range []File{
		{Path: "/etc/deep/a", Data: []byte("12345"), Mode: 0o600},
		{Path: "/etc/deep/b", Mode: 0o755},
	} {
		if err := a.file(f); err != nil {
			t.Fatal(err)
		}
	}
	a.entry("TRAILER!!!", 0, nil, 0, 0)
	var got []string
	seen := map[uint64]bool{}
	for rest := a.out.Bytes(); len(rest) > 0; {
		if !bytes.HasPrefix(rest, []byte("070701")) {
			t.Fatalf("no entry begins at %.20q", rest)
		}
		field := func(i int) uint64 {
			n, err := strconv.ParseUint(string(rest[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		inode, mode, size, length := field(0), field(1), field(6), field(11)
		if seen[inode] {
			t.Errorf("inode %d twice: the kernel would take it for a hard link", inode)
		}
		seen[inode] = true
		name := string(rest[110 : 110+length-1])
		begin := (110 + length + 3) &^ 3
		got = append(got, fmt.Sprintf("%s %o %d,%d %s", name, mode, field(9), field(10), rest[begin:begin+size]))
		rest = rest[(begin+size+3)&^3:]
	}
	want := []string{
		"dev 40755 0,0 ", "dev/console 20600 5,1 ", "etc 40755 0,0 ", "etc/deep 40755 0,0 ",
		"etc/deep/a 100600 0,0 12345", "etc/deep/b 100755 0,0 ", "TRAILER!!! 0 0,0 ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := a.file(File{Path: "/x", From: "/no/such/file"}); err == nil {
		t.Error("a file that is not there was put in")
	}
}

func TestModuleName(t *testing.T) {
	for path, want := range map[string]string{"/x/i2c-dev.ko": "i2c_dev", "virtio_pci": "virtio_pci", "gpio-sim": "gpio_sim"} {
		if got := moduleName(path); got != want {
			t.Errorf("%s: %s; want %s", path, got, want)
		}
	}
}

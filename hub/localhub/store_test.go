package localhub

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"actuatord/hub"
)

func TestDevicesAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := Devices(dir, "pump-1", "pump-2")
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	again, err := Devices(dir, "pump-2", "pump-3")
	if err != nil || len(again) != 3 {
		t.Fatal(again, err)
	}
	for i, d := range first {
		if again[i].ConnectionString("h") != d.ConnectionString("h") || string(again[i].Secondary.Reveal()) != string(d.Secondary.Reveal()) {
			t.Errorf("%s got other keys", d.ID)
		}
	}
	if again[2].ID != "pump-3" {
		t.Errorf("the new device is %s", again[2].ID)
	}
	if info, err := os.Stat(filepath.Join(dir, devicesFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys are kept with mode %v, %v", info.Mode(), err)
	}
	path, err := WriteConnectionString(dir, first[0], "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the connection string is kept with mode %v, %v", info.Mode(), err)
	}
	if c, err := hub.ParseConnectionString(readFile(t, path)); err != nil || c.DeviceID != "pump-1" {
		t.Errorf("the file reads as %v, %v", c, err)
	}
}

// TestDevicesFaults: a file that cannot be read is an error that names it and
// shows no key, and is left alone.
func TestDevicesFaults(t *testing.T) {
	const key = "c2VjcmV0IHNlY3JldA=="
	cases := map[string]string{
		"not JSON":      `{"devices":[` + key,
		"a bad id":      `{"devices":[{"id":"a/b","primaryKey":"` + key + `","secondaryKey":"` + key + `"}]}`,
		"a bad key":     `{"devices":[{"id":"a","primaryKey":"` + key + `!","secondaryKey":"` + key + `"}]}`,
		"a bad 2nd key": `{"devices":[{"id":"a","primaryKey":"` + key + `","secondaryKey":"` + key + `!"}]}`,
	}
	for name, text := range cases {
		dir := t.TempDir()
		path := filepath.Join(dir, devicesFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Devices(dir, "pump-1")
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: error %v; want one that names the file and no key", name, err)
		}
		if readFile(t, path) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := Devices(t.TempDir(), "not/an/id"); err == nil {
		t.Error("a bad id was taken")
	}
	if _, err := Devices(filepath.Join(t.TempDir(), "missing"), "pump-1"); err == nil {
		t.Error("keys were kept in a directory that is not there")
	}
}

// FuzzDevices: whatever stands in the file, it is refused without a word of it that may
// be a key, or each device can be registered, and all are read again as they are
// written.
func FuzzDevices(f *testing.F) {
	f.Add([]byte(`{"devices":[{"id":"pump-1","primaryKey":"hunter2=","secondaryKey":"a2V5"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, devicesFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		devices, err := readDevices(dir)
		if err != nil {
			if s := err.Error(); devices != nil || strings.Contains(s, "hunter2") || strings.ContainsFunc(s, unicode.IsControl) || len(s) > 600+len(dir) {
				t.Errorf("beside %d devices: %q", len(devices), s)
			}
			return
		}
		h := New(Options{})
		defer h.Close()
		for _, d := range devices {
			if err := h.PutDevice(d); err != nil {
				t.Errorf("read, and then: %v", err)
			}
		}
		again := t.TempDir()
		if err := writeDevices(again, devices); err != nil {
			t.Fatal(err)
		}
		back, err := readDevices(again)
		if err != nil || !slices.EqualFunc(back, devices, func(a, b Device) bool {
			return a.ID == b.ID && bytes.Equal(a.Primary.Reveal(), b.Primary.Reveal()) && bytes.Equal(a.Secondary.Reveal(), b.Secondary.Reveal())
		}) {
			t.Errorf("read %d devices, written and read %d, %v", len(devices), len(back), err)
		}
	})
}

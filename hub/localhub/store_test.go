package localhub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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

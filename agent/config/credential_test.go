package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	aKey  = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	ofPi  = "HostName=h.azure-devices.net;DeviceId=pi;SharedAccessKey=" + aKey
	ofOld = "HostName=h.azure-devices.net;DeviceId=old;SharedAccessKey=" + aKey
)

func write(t *testing.T, path, text string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// TestConnectionString has a row for each state that the file can be in; PATH
// stands for its path.
func TestConnectionString(t *testing.T) {
	for _, tt := range []struct {
		name   string
		make   func(t *testing.T, path string)
		device string
		err    string
	}{
		{"0600", func(t *testing.T, p string) { write(t, p, ofPi+"\n", 0o600) }, "pi", ""},
		{"0400", func(t *testing.T, p string) { write(t, p, ofPi, 0o400) }, "pi", ""},
		{"0644", func(t *testing.T, p string) { write(t, p, ofPi, 0o644) }, "", "read connection string: PATH has mode 0644, so other users can get at the key; run: chmod 600 PATH"},
		{"0640", func(t *testing.T, p string) { write(t, p, ofPi, 0o640) }, "", "read connection string: PATH has mode 0640, so other users can get at the key; run: chmod 600 PATH"},
		{"0602", func(t *testing.T, p string) { write(t, p, ofPi, 0o602) }, "", "read connection string: PATH has mode 0602, so other users can get at the key; run: chmod 600 PATH"},
		{"missing", func(*testing.T, string) {}, "", "read connection string: open PATH: no such file or directory; put the device's connection string there (HostName=…;DeviceId=…;SharedAccessKey=…) and chmod 600 it"},
		{"empty", func(t *testing.T, p string) { write(t, p, "", 0o600) }, "", "read connection string: PATH is empty"},
		{"blank", func(t *testing.T, p string) { write(t, p, " \n\n", 0o600) }, "", "read connection string: PATH is empty"},
		{"long", func(t *testing.T, p string) { write(t, p, strings.Repeat("x", maxCredential+1), 0o600) }, "", "read connection string: PATH is longer than 4096 bytes, so it is something else"},
		{"directory", func(t *testing.T, p string) {
			if err := os.Mkdir(p, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "", "read connection string: PATH is no regular file"},
		{"symlink", func(t *testing.T, p string) {
			if err := os.Symlink(write(t, p+".real", ofPi, 0o600), p); err != nil {
				t.Fatal(err)
			}
		}, "", "read connection string: PATH is a symbolic link, which others may be able to point elsewhere; name the file itself in [hub] connection_string_file"},
		{"FIFO", func(t *testing.T, p string) {
			if err := syscall.Mkfifo(p, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "", "read connection string: PATH is no regular file"},
		{"no key", func(t *testing.T, p string) { write(t, p, "HostName=h;DeviceId=d", 0o600) }, "", "PATH: "},
		{"garbage", func(t *testing.T, p string) { write(t, p, aKey, 0o600) }, "", "PATH: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "connection-string")
			tt.make(t, path)
			c := defaults()
			c.Hub.ConnectionStringFile = path
			got, err := ConnectionString(c, "")
			want := strings.ReplaceAll(tt.err, "PATH", path)
			switch {
			case tt.err == "" && (err != nil || got.DeviceID != tt.device):
				t.Errorf("got device %q, %v; want %q", got.DeviceID, err, tt.device)
			case tt.err != "" && err == nil:
				t.Errorf("accepted; want %s", want)
			case strings.HasSuffix(want, ": ") && strings.HasPrefix(err.Error(), want): // the rest is package hub's
			case tt.err != "" && err.Error() != want:
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if err != nil && strings.Contains(err.Error(), aKey[:12]) {
				t.Errorf("shows the key: %v", err)
			}
		})
	}
}

// TestConnectionStringUnreadable needs a user that permissions hold for.
func TestConnectionStringUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	c := defaults()
	c.Hub.ConnectionStringFile = write(t, filepath.Join(t.TempDir(), "c"), ofPi, 0)
	if _, err := ConnectionString(c, ""); err == nil || !strings.Contains(err.Error(), "chown it") {
		t.Errorf("got %v", err)
	}
}

// TestCredentialWins: what systemd hands over comes first, in whatever mode it
// has; the file is only looked at if there is no credential at all.
func TestCredentialWins(t *testing.T) {
	for _, tt := range []struct {
		name       string
		credential string // "": none
		mode       fs.FileMode
		device     string
		err        string
	}{
		{"none", "", 0, "old", ""},
		{"there", ofPi, 0o440, "pi", ""},
		{"readable by all", ofPi, 0o444, "pi", ""},
		{"bad", "x", 0o400, "", "/credentials/connection-string: "},
		{"empty", "\n", 0o400, "", "/credentials/connection-string is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c := defaults()
			c.Hub.ConnectionStringFile = write(t, filepath.Join(dir, "file"), ofOld, 0o600)
			credentials := filepath.Join(dir, "credentials")
			if err := os.Mkdir(credentials, 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.credential != "" {
				write(t, filepath.Join(credentials, "connection-string"), tt.credential, tt.mode)
			}
			got, err := ConnectionString(c, credentials)
			if tt.err == "" && (err != nil || got.DeviceID != tt.device) {
				t.Errorf("got device %q, %v; want %q", got.DeviceID, err, tt.device)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v; want it to say %q", err, tt.err)
			}
		})
	}
}

// TestRenewed: what a reload copied wins over credential and file, and only what was
// copied since the start counts.
func TestRenewed(t *testing.T) {
	dir := t.TempDir()
	runtime, credentials := filepath.Join(dir, "run"), filepath.Join(dir, "credentials")
	for _, d := range []string{runtime, credentials} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := defaults()
	c.Hub.ConnectionStringFile = write(t, filepath.Join(dir, "file"), ofOld, 0o600)
	copied := filepath.Join(runtime, "connection-string")
	device := func(runtime, credentials string) string {
		t.Helper()
		s, err := Renewed(c, runtime, credentials)
		if err != nil {
			return err.Error()
		}
		return s.DeviceID
	}
	expect := func(what, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	expect("no copy, no credential", device(runtime, credentials), "old")
	expect("outside systemd", device("", ""), "old")
	write(t, copied, ofPi, 0o600)
	write(t, filepath.Join(credentials, "connection-string"), ofOld, 0o400)
	expect("copy and credential", device(runtime, credentials), "pi")
	expect("several directories", device(runtime+":"+dir, credentials), "pi")
	expect("not told of the directory", device("", credentials), "old")
	write(t, copied, "x", 0o600)
	expect("copy that is no connection string", device(runtime, credentials), copied+": ")
	write(t, copied, ofPi, 0o644)
	expect("copy that others can read", device(runtime, credentials), "read connection string: "+copied+" has mode 0644")
	if err := ForgetRenewal(runtime); err != nil {
		t.Fatal(err)
	}
	expect("forgotten", device(runtime, credentials), "old")
	for _, d := range []string{runtime, "", filepath.Join(dir, "none")} {
		if err := ForgetRenewal(d); err != nil {
			t.Errorf("nothing to forget in %q: %v", d, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(copied, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ForgetRenewal(runtime); err == nil {
		t.Error("what cannot be removed is said to be forgotten")
	}
}

// TestKeyIsReadWhole: the key that signs is the file's.
func TestKeyIsReadWhole(t *testing.T) {
	c := defaults()
	c.Hub.ConnectionStringFile = write(t, filepath.Join(t.TempDir(), "c"), ofPi+"\r\n", 0o600)
	got, err := ConnectionString(c, "")
	if err != nil || string(got.Key.Reveal()) != "secretsecretsecretsecretsecretse" || got.HostName != "h.azure-devices.net" {
		t.Errorf("got %v, %v", got, err)
	}
}

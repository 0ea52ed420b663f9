package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/test/site"
)

// checkOnline runs `check --online` in this process, where the kernel's clock can be
// what the test says.
func checkOnline(t *testing.T, s *site.Site, kernel func() (time.Time, bool), environ ...string) (lines []string, code int) {
	t.Helper()
	var out bytes.Buffer
	code = run([]string{"check", "--online", "--config", s.Config}, env{
		out: &out, err: &out, kernel: kernel, getenv: func(string) string { return "" },
	})
	return strings.Split(strings.TrimSpace(out.String()), "\n"), code
}

func right() (time.Time, bool) { return time.Now(), true }

// edit replaces text in the site's configuration.
func edit(t *testing.T, s *site.Site, from, to string) {
	t.Helper()
	text, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("the configuration has no %q", from)
	}
	s.Write("a.toml", strings.ReplaceAll(string(text), from, to), 0o644)
}

// closedPort is one that nobody serves.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// want has the beginnings of lines that must be there, each once, in any order, and
// something that the line must say behind a "…".
func want(t *testing.T, lines []string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		begin, said, _ := strings.Cut(w, "…")
		n := 0
		for _, line := range lines {
			if strings.HasPrefix(line, begin) && strings.Contains(line, said) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines begin with %q and say %q in\n%s", n, begin, said, strings.Join(lines, "\n"))
		}
	}
}

// TestOnline: everything in order, asked while a daemon runs, whose session goes on.
func TestOnline(t *testing.T) {
	s := newSite(t, localhub.Options{})
	d := s.Start()
	s.Eventually("subscribed", d, func() bool { return s.Count(localhub.KindSubscribed, "") > 0 })
	connects := s.Count(localhub.KindConnected, "")
	s.Send("on", `{"target":"pump","action":"on"}`)
	s.Eventually("completed", d, func() bool { return s.Count(localhub.KindCompleted, "on") == 1 })
	lines, code := checkOnline(t, s, right)
	want(t, lines, "ok    proxy: none", "ok    name: localhost is …127.0.0.1", "ok    clock against the hub's: within seconds",
		"ok    MQTT, port ", "ok    MQTT over WebSocket, port ", "ok    HTTPS, port …until 20", "ok    key: …dev-1", "ok    journal's disk: …MiB free")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	s.Send("off", `{"target":"pump","action":"off"}`)
	s.Eventually("completed behind it", d, func() bool { return s.Count(localhub.KindCompleted, "off") == 1 })
	if n := s.Count(localhub.KindConnected, ""); n != connects {
		t.Errorf("%d CONNECTs instead of %d: the daemon's session was taken over", n, connects)
	}
	d.Stop()
}

// TestOnlineTouchesNothing: no CONNECT and no message touched when nobody else is there
// either, however often it is asked.
func TestOnlineTouchesNothing(t *testing.T) {
	s := newSite(t, localhub.Options{})
	s.Send("on", `{"target":"pump","action":"on"}`)
	before := len(s.Hub.Events())
	for range 3 {
		if lines, code := checkOnline(t, s, right); code != 0 {
			t.Fatalf("exit %d\n%s", code, strings.Join(lines, "\n"))
		}
	}
	requests := 0
	// The hub writes an upgrade down when it has answered it, and by then the check may
	// be over.
	<-waitFor(func() bool { return s.Count(localhub.KindRequest, "") >= 3*3 })
	for _, e := range s.Hub.Events()[before:] {
		switch e.Kind {
		case localhub.KindRequest: // the time, a WebSocket, and the key
			requests++
		case localhub.KindClosed:
		default:
			t.Errorf("check --online made this happen: %v", e)
		}
	}
	if requests != 3*3 {
		t.Errorf("%d requests in three checks, want three each", requests)
	}
}

// TestOnlineFaults: each fault of the way has its line, which says what to do.
func TestOnlineFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(t *testing.T, s *site.Site)
		kernel func() (time.Time, bool)
		date   func(time.Time) time.Time
		code   int
		want   []string
	}{
		{
			name: "8883 is closed",
			spoil: func(t *testing.T, s *site.Site) {
				edit(t, s, "mqtt_port = "+port(t, s, "mqtt_port"), "mqtt_port = "+closedPort(t))
			},
			want: []string{"warn  MQTT, port …opened", "ok    MQTT over WebSocket", "ok    HTTPS", "ok    key"},
		},
		{
			name: "443 is closed", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				edit(t, s, "_port = "+port(t, s, "https_port"), "_port = "+closedPort(t))
			},
			want: []string{"ok    MQTT, port", "warn  MQTT over WebSocket…opened", "FAIL  HTTPS…on_unrejectable", "warn  clock against the hub's: not told"},
		},
		{
			name: "443 is closed, and it does not matter",
			spoil: func(t *testing.T, s *site.Site) {
				edit(t, s, "_port = "+port(t, s, "https_port"), "_port = "+closedPort(t))
				edit(t, s, "[hub]", "[hub]\non_unrejectable = \"1h\"")
			},
			want: []string{"ok    MQTT, port", "warn  HTTPS…as on_unrejectable says"},
		},
		{
			name: "everything is closed", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				edit(t, s, "_port = "+port(t, s, "https_port"), "_port = "+closedPort(t))
				edit(t, s, "mqtt_port = "+port(t, s, "mqtt_port"), "mqtt_port = "+closedPort(t))
			},
			want: []string{"FAIL  MQTT, port…25m", "FAIL  MQTT over WebSocket", "FAIL  HTTPS"},
		},
		{
			name: "no such name", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				s.Write("connection-string", s.Device.ConnectionString("nowhere.invalid"), 0o600)
			},
			want: []string{"FAIL  name: …resolv.conf"},
		},
		{
			name: "wrong key", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				d := s.Device
				d.Primary = hub.NewSecret([]byte("another key of thirty-two bytes!"))
				s.Write("connection-string", d.ConnectionString("localhost"), 0o600)
			},
			want: []string{"ok    HTTPS", "FAIL  key: …portal"},
		},
		{
			name: "unknown device", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				d := s.Device
				d.ID = "dev-2"
				s.Write("connection-string", d.ConnectionString("localhost"), 0o600)
			},
			want: []string{"ok    HTTPS", "FAIL  key: …portal"},
		},
		{
			name: "a hub that is not ours", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				other := newSite(t, localhub.Options{})
				edit(t, s, filepath.Join(s.Dir, "ca.pem"), filepath.Join(other.Dir, "ca.pem"))
			},
			want: []string{"FAIL  MQTT, port…ca_file", "FAIL  MQTT over WebSocket…ca_file", "FAIL  HTTPS…ca_file"},
		},
		{
			name: "a proxy that is not there", code: exitFailed,
			spoil: func(t *testing.T, s *site.Site) {
				s.Write("connection-string", s.Device.ConnectionString("hub.invalid"), 0o600)
				edit(t, s, "[hub]", "[hub]\nproxy = \"http://localhost:"+closedPort(t)+"\"")
			},
			want: []string{"ok    proxy: …through localhost:", "ok    name: localhost is", "FAIL  MQTT, port…through proxy localhost", "FAIL  HTTPS"},
		},
		{
			name: "a clock that was never set", kernel: func() (time.Time, bool) { return time.Unix(1000, 0), false },
			want: []string{"warn  clock: 1970", "warn  clock against the hub's: …the agent goes by the hub's", "ok    MQTT, port", "ok    HTTPS", "ok    key"},
		},
		{
			name: "a clock that somebody set wrong", code: exitFailed, kernel: func() (time.Time, bool) { return time.Now().Add(-time.Hour), true },
			want: []string{"ok    clock: the kernel", "FAIL  clock against the hub's: …time server", "FAIL  key"},
		},
		{
			name: "a clock that is a minute off", kernel: func() (time.Time, bool) { return time.Now().Add(time.Minute), true },
			want: []string{"warn  clock against the hub's: 1m…time server", "ok    key"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, localhub.Options{})
			if tt.spoil != nil {
				tt.spoil(t, s)
			}
			if tt.kernel == nil {
				tt.kernel = right
			}
			lines, code := checkOnline(t, s, tt.kernel)
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, strings.Join(lines, "\n"))
			}
			want(t, lines, tt.want...)
			key := strings.SplitAfter(s.Device.ConnectionString("localhost"), "SharedAccessKey=")[1]
			if text := strings.Join(lines, "\n"); strings.Contains(text, key[:12]) || strings.Contains(text, "sig=") {
				t.Errorf("shows the key or a token:\n%s", text)
			}
		})
	}
}

// port is the value of a port's key in the site's configuration.
func port(t *testing.T, s *site.Site, key string) string {
	t.Helper()
	text, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), key+" = ")
	value, _, ok := strings.Cut(rest, "\n")
	if !ok {
		t.Fatalf("the configuration has no %s", key)
	}
	return value
}

// TestWatchdog: what the kernel says of the board's watchdog, and what to do.
func TestWatchdog(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string // nil: no watchdog
		want  string
	}{
		{"none", nil, "warn  hardware watchdog: none…dtparam=watchdog=on"},
		{"armed", map[string]string{"identity": "Broadcom BCM2835 Watchdog timer\n", "timeout": "14\n", "state": "active\n"}, "ok    hardware watchdog: …\"Broadcom BCM2835 Watchdog timer\", 14 s, armed"},
		{"idle", map[string]string{"identity": "x\n", "timeout": "15\n", "state": "inactive\n"}, "warn  hardware watchdog: …not armed"},
		{"silent", map[string]string{}, "warn  hardware watchdog: …RuntimeWatchdogUSec"},
	} {
		class := t.TempDir()
		for name, text := range tt.files {
			if err := errors.Join(os.MkdirAll(filepath.Join(class, "watchdog0"), 0o755), os.WriteFile(filepath.Join(class, "watchdog0", name), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if tt.files != nil {
			if err := os.MkdirAll(filepath.Join(class, "watchdog0"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		k := checker{out: &out}
		k.watchdog(class)
		want(t, strings.Split(out.String(), "\n"), tt.want)
		if k.failed {
			t.Errorf("%s: a missing watchdog fails the check", tt.name)
		}
	}
}

// TestPlace: the journal's disk is looked at where the journal will be, also before
// anybody has made the directory.
func TestPlace(t *testing.T) {
	var out bytes.Buffer
	k := checker{out: &out}
	k.place(filepath.Join(t.TempDir(), "not", "yet", "journal.db"))
	want(t, strings.Split(out.String(), "\n"), "ok    journal's disk: …MiB free")
	out.Reset()
	k.place("/proc/self/journal.db") // no disk at all has no room either
	want(t, strings.Split(out.String(), "\n"), "FAIL  journal's disk: …16 MiB when it is made")
}

package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/agent"
	"actuatord/agent/config"
	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/systemd"
	"actuatord/test/site"
)

// manager is a service manager's end of the notification socket.
type manager struct {
	t    *testing.T
	d    *site.Daemon
	conn *net.UnixConn
}

func newManager(t *testing.T, s *site.Site) (m *manager, environ string) {
	t.Helper()
	path := filepath.Join(s.Dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{t: t, conn: c}, "NOTIFY_SOCKET=" + path
}

// hear waits for a message that begins with want, and answers it. Those in between
// are dropped, but for never, which must not come.
func (m *manager) hear(want, never string) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			_ = m.d.Cmd.Process.Kill()
			<-m.d.Ended
			m.t.Fatalf("waiting for %s: %v\n%s", want, err, m.d.Log.String())
		}
		switch got := string(b[:n]); {
		case strings.HasPrefix(got, want):
			return got
		case never != "" && strings.HasPrefix(got, never):
			m.t.Fatalf("%s before %s", got, want)
		}
	}
}

// reload sends the signal and hears the reload out.
func (m *manager) reload() {
	m.t.Helper()
	if err := m.d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
	if got := m.hear("RELOADING=1", "READY=1"); !strings.Contains(got, "\nMONOTONIC_USEC=") {
		m.t.Errorf("%q has no time", got)
	}
	m.hear("READY=1", "")
}

// TestReload: a string that a reload has copied is taken up, by a new session and
// without a command lost; one that cannot be used changes nothing; and systemd hears
// of the beginning and the end of each.
func TestReload(t *testing.T) {
	s := newSite(t, localhub.Options{})
	m, environ := newManager(t, s)
	copied := filepath.Join(s.Dir, "run")
	if err := os.Mkdir(copied, 0o700); err != nil {
		t.Fatal(err)
	}
	stale := s.Device
	stale.ID = "left-by-an-earlier-run"
	s.Write("run/connection-string", stale.ConnectionString("localhost"), 0o600)
	m.d = s.Start(environ, "RUNTIME_DIRECTORY="+copied)
	connected := func(n int) func() bool { return func() bool { return s.Count(localhub.KindConnected, "") == n } }
	m.hear("READY=1", "")
	s.Eventually("subscribed", m.d, func() bool { return s.Count(localhub.KindSubscribed, "") == 1 })

	m.reload() // nothing has changed
	s.Send("on", `{"target":"pump","action":"on"}`)
	s.Eventually("completed", m.d, func() bool { return s.Count(localhub.KindCompleted, "on") == 1 })

	second := s.Device
	second.Primary = s.Device.Secondary
	s.Write("run/connection-string", second.ConnectionString("localhost"), 0o600)
	m.reload()
	s.Eventually("connected with the second key", m.d, connected(2))
	s.Send("off", `{"target":"pump","action":"off"}`)
	s.Eventually("completed again", m.d, func() bool { return s.Count(localhub.KindCompleted, "off") == 1 })

	s.Write("run/connection-string", "HostName=localhost", 0o600)
	m.reload()
	s.Write("run/connection-string", stale.ConnectionString("localhost"), 0o600)
	m.reload()
	s.Send("on-again", `{"target":"pump","action":"on"}`)
	s.Eventually("completed by the session that was there", m.d, func() bool { return s.Count(localhub.KindCompleted, "on-again") == 1 })
	if !connected(2)() {
		t.Errorf("%d connections; want no new one for a string that cannot be used", s.Count(localhub.KindConnected, ""))
	}
	m.d.Stop()
	text := m.d.Log.String()
	for _, said := range []string{"it is what it was", "cannot be read", "left-by-an-earlier-run"} {
		if strings.Count(text, said) != 1 {
			t.Errorf("%q is not said once in\n%s", said, text)
		}
	}
	if key := string(s.Device.Secondary.Reveal()); strings.Contains(text, key) {
		t.Error("the log shows a key")
	}
}

// TestReloadBeforeReady: a signal that comes while the daemon starts is served, and
// systemd is told neither that it reloads nor that it is ready.
func TestReloadBeforeReady(t *testing.T) {
	s := newSite(t, localhub.Options{})
	m, environ := newManager(t, s)
	name, socket, _ := strings.Cut(environ, "=")
	heard := make(chan string, 8)
	r := reloader{
		e:      env{getenv: func(string) string { return "" }},
		notify: systemd.FromEnv(func(n string) string { return map[string]string{name: socket}[n] }),
		log:    slog.New(slog.NewTextHandler(lines(heard), nil)),
	}
	r.c.Hub.ConnectionStringFile = filepath.Join(s.Dir, "none")
	hup := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.follow(ctx, hup, hub.ConnectionString{})
	}()
	hup <- syscall.SIGHUP
	if line := <-heard; !strings.Contains(line, "cannot be read") {
		t.Errorf("log: %s", line)
	}
	cancel()
	<-ended
	if err := m.conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := m.conn.Read(b); err == nil {
		t.Errorf("systemd was told %q", b[:n])
	}
}

// lines is a writer of a log.
type lines chan<- string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// TestReloadIsBounded: an agent that does not take a string, or does not answer for
// it, holds up nobody.
func TestReloadIsBounded(t *testing.T) {
	for _, takes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			device := func(key string) string { return "HostName=h.azure-devices.net;DeviceId=d;SharedAccessKey=" + key }
			file := filepath.Join(dir, "c")
			if err := os.WriteFile(file, []byte(device("bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3")), 0o600); err != nil {
				t.Fatal(err)
			}
			old, err := hub.ParseConnectionString(device("b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"))
			if err != nil {
				t.Fatal(err)
			}
			to := make(chan agent.Reload)
			var c config.Config
			c.Hub.ConnectionStringFile = file
			r := reloader{c: c, e: env{getenv: func(string) string { return "" }}, log: slog.New(slog.DiscardHandler), to: to}
			if takes {
				go func() { <-to }()
			}
			began := time.Now()
			if after := r.once(context.Background(), old); !sameIdentity(after, old) {
				t.Error("a string counts as in use that nobody took up")
			}
			if took := time.Since(began); took != reloadWithin {
				t.Errorf("takes=%v: %v, want %v", takes, took, reloadWithin)
			}
		})
	}
}

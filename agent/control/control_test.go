package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actuatord/agent"
	"actuatord/agent/command"
)

// serve runs the socket with a loop that answers by fn.
func serveWith(t *testing.T, fn func(agent.Request) agent.Answer) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "actd") // a socket's path must stay short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := Path(filepath.Join(dir, "journal.db"))
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	loop, done := make(chan agent.Request), make(chan struct{})
	go func() {
		Serve(ctx, l, loop)
		close(done)
	}()
	go func() {
		for {
			select {
			case r := <-loop:
				r.Reply <- fn(r)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return path
}

func TestAsk(t *testing.T) {
	rec := command.Record{Key: "m:1", State: command.Interrupted, Fingerprint: command.FingerprintOfPayload([]byte("x"))}
	path := serveWith(t, func(r agent.Request) agent.Answer {
		switch r.Verb {
		case agent.AskHistory:
			return agent.Answer{History: []command.Record{rec}}
		case agent.AskDo:
			return agent.Answer{Outcome: &command.Report{Detail: string(r.Payload)}}
		}
		return agent.Answer{Error: "the loop says no"}
	})
	if mode := stat(t, path); mode.Perm() != 0o660 {
		t.Errorf("socket has mode %v; want 0660", mode.Perm())
	}
	a, err := Ask(context.Background(), path, agent.Request{Verb: agent.AskHistory})
	if err != nil || len(a.History) != 1 || a.History[0].State != rec.State || a.History[0].Fingerprint != rec.Fingerprint {
		t.Errorf("history = %+v, %v; want what the loop answered", a, err)
	}
	big := strings.Repeat("x", 64<<10)
	if a, err = Ask(context.Background(), path, agent.Request{Verb: agent.AskDo, Payload: []byte(big)}); err != nil || a.Outcome.Detail != big {
		t.Errorf("a payload of 64 KiB did not come through: %v", err)
	}
	if _, err = Ask(context.Background(), path, agent.Request{Verb: agent.AskStatus}); err == nil || err.Error() != "the loop says no" {
		t.Errorf("refusal came as %v", err)
	}
}

func stat(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// TestNobodyThere: no socket, and a socket that a killed daemon left.
func TestNobodyThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	var none *NoDaemonError
	if _, err := Ask(context.Background(), path, agent.Request{}); !errors.As(err, &none) {
		t.Errorf("no socket: %v; want a NoDaemonError", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := Ask(context.Background(), path, agent.Request{}); !errors.As(err, &none) {
		t.Errorf("dead socket: %v; want a NoDaemonError", err)
	}
	if l, err = Listen(path); err != nil {
		t.Fatalf("listen over a dead socket: %v", err)
	}
	l.Close()
}

// TestRudeClients: garbage, silence and a flood cost the loop nothing.
func TestRudeClients(t *testing.T) {
	asked := make(chan agent.Request, 64)
	path := serveWith(t, func(r agent.Request) agent.Answer { asked <- r; return agent.Answer{Error: "no"} })
	for _, bytes := range []string{"garbage\n", "{\n", "", "{\"verb\":1}\n", strings.Repeat("x", largest+10) + "\n"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(bytes)) // the server may hang up in the middle
		c.Close()
	}
	var silent []net.Conn
	for range most {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	for _, c := range silent {
		c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for { // the places of those that hung up come free in their own time
		_, err := Ask(ctx, path, agent.Request{Verb: "polite"})
		if err != nil && err.Error() == "no" {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("a polite client is not served any more: %v", err)
		}
	}
	close(asked)
	for r := range asked {
		if r.Verb != "polite" {
			t.Errorf("the loop was asked %+v", r)
		}
	}
}

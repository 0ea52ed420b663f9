package https

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
	"actuatord/hub/localhub"
)

// local is the local hub, which was written by the same description and not from
// this client, and the device that asks it.
type local struct {
	t     *testing.T
	hub   *localhub.Hub
	c     *Client
	cfg   Config
	token string
	dials int
}

// withHub runs f in a bubble with a local hub behind TLS.
func withHub(t *testing.T, o localhub.Options, f func(t *testing.T, l *local)) {
	t.Helper()
	id, err := testIdentity()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o.Host = testHost
		l := &local{t: t, hub: localhub.New(o)}
		defer l.hub.Close()
		device, err := l.hub.AddDevice(testDevice)
		if err != nil {
			t.Fatal(err)
		}
		l.token = hub.SignSAS(hub.Resource(testHost, testDevice), device.Primary, "", time.Now().Add(time.Hour))
		l.cfg = Config{Host: testHost, DeviceID: testDevice, Road: dial.Config{Roots: id.pool, Proxy: "none"}}
		l.cfg.Road.TCP = func(context.Context, string, string) (net.Conn, error) {
			l.dials++
			near, far := newPipe()
			go l.hub.ServeWebConn(tls.Server(far, &tls.Config{Certificates: []tls.Certificate{id.cert}}))
			return near, nil
		}
		l.c = New(l.cfg)
		defer l.c.Close()
		f(t, l)
	})
}

func (l *local) send(m hub.Message) {
	l.t.Helper()
	if _, err := l.hub.Send(testDevice, m); err != nil {
		l.t.Fatal(err)
	}
}

func (l *local) inject(f localhub.Fault) {
	l.t.Helper()
	if err := l.hub.Inject(f); err != nil {
		l.t.Fatal(err)
	}
}

// receive insists on a message.
func (l *local) receive(id string) Received {
	l.t.Helper()
	r, ok, err := l.c.Receive(l.t.Context(), l.token)
	if err != nil || !ok || r.Fault != nil || r.Message.ID != id {
		l.t.Fatalf("Receive = %+v, %v, %v; want message %s", r, ok, err, id)
	}
	return r
}

func (l *local) empty() {
	l.t.Helper()
	if r, ok, err := l.c.Receive(l.t.Context(), l.token); ok || err != nil {
		l.t.Fatalf("Receive = %+v, %v, %v; want an empty queue", r, ok, err)
	}
}

// record gives the hub's lines about messages.
func (l *local) record() []string {
	synctest.Wait()
	var lines []string
	for _, e := range l.hub.Events() {
		switch e.Kind {
		case localhub.KindCompleted, localhub.KindDeadLettered, localhub.KindFeedback:
			lines = append(lines, strings.TrimSuffix(e.String(), " device="+testDevice))
		}
	}
	return lines
}

func (l *local) wantRecord(want ...string) {
	l.t.Helper()
	if got := l.record(); !slices.Equal(got, want) {
		l.t.Errorf("the hub has %q; want %q", got, want)
	}
}

// TestHubReceive: every property arrives, however the hub writes it.
func TestHubReceive(t *testing.T) {
	for name, o := range map[string]localhub.Options{
		"as the CLI shows": {},
		"round trip":       {HTTPTime: "2006-01-02T15:04:05.0000000Z", OmitEmptyHeaders: true},
		"RFC 1123":         {HTTPTime: "Mon, 02 Jan 2006 15:04:05 GMT"},
		"invariant":        {HTTPTime: "01/02/2006 15:04:05"},
	} {
		t.Run(name, func(t *testing.T) {
			withHub(t, o, func(t *testing.T, l *local) {
				now := time.Now().UTC()
				m := hub.Message{
					ID: "m1", CorrelationID: "c1", UserID: "u1", To: "/devices/pump-1/messages/deviceBound", Expiry: now.Add(time.Hour),
					ContentType: "application/json", ContentEncoding: "utf-8", Ack: "full",
					Properties: map[string]string{"sent": now.Format(time.RFC3339), "a.b_c-d!~": "x y=ä", "empty": ""},
					Body:       []byte("{\"v\":\"\x00\xff\r\n\"}"),
				}
				l.send(m)
				m.Enqueued = now
				if r := l.receive("m1"); !reflect.DeepEqual(r, Received{Message: m, Lock: r.Lock, Sequence: 1}) {
					t.Errorf("received %+v\nwant %+v", r, m)
				}
				l.empty()
			})
			withHub(t, o, func(t *testing.T, l *local) {
				m := hub.Message{Body: bytes.Repeat([]byte("b"), 60<<10)}
				l.send(m)
				m.To, m.Ack, m.Enqueued = "/devices/pump-1/messages/devicebound", "none", time.Now().UTC()
				if r := l.receive(""); !reflect.DeepEqual(r, Received{Message: m, Lock: r.Lock, Sequence: 1}) {
					t.Errorf("received %+v", r)
				}
			})
		})
	}
}

// TestHubSettle: the verbs do what they say, on one connection.
func TestHubSettle(t *testing.T) {
	withHub(t, localhub.Options{}, func(t *testing.T, l *local) {
		for _, id := range []string{"m1", "m2", "m3"} {
			l.send(hub.Message{ID: id, Ack: "full"})
		}
		ctx := t.Context()
		r1, r2, r3 := l.receive("m1"), l.receive("m2"), l.receive("m3")
		for _, err := range []error{l.c.Complete(ctx, l.token, r1.Lock), l.c.Reject(ctx, l.token, r2.Lock), l.c.Abandon(ctx, l.token, r3.Lock)} {
			if err != nil {
				t.Error(err)
			}
		}
		if r := l.receive("m3"); r.Deliveries != 1 || r.Lock == r3.Lock {
			t.Errorf("after abandon: %+v", r)
		}
		l.wantRecord("completed m1", "feedback m1 Success", "dead-lettered m2 Rejected", "feedback m2 Rejected")
		if l.dials != 1 {
			t.Errorf("%d connections", l.dials)
		}
	})
}

// TestHubLockLost: settled already, or lapsed; the message comes again or not.
func TestHubLockLost(t *testing.T) {
	withHub(t, localhub.Options{}, func(t *testing.T, l *local) {
		l.send(hub.Message{ID: "m1", Ack: "full"})
		r := l.receive("m1")
		time.Sleep(61 * time.Second)
		for name, settle := range map[string]func(context.Context, string, string) error{"complete": l.c.Complete, "reject": l.c.Reject, "abandon": l.c.Abandon} {
			err := settle(t.Context(), l.token, r.Lock)
			wantError(t, err, refused, hub.RetrySoon, hub.CauseLockLost)
			var s *StatusError
			if !errors.Is(err, ErrLockLost) || !errors.As(err, &s) || s.Code != "DeviceMessageLockLost" {
				t.Errorf("%s: %v", name, err)
			}
		}
		again := l.receive("m1")
		if err := l.c.Complete(t.Context(), l.token, again.Lock); err != nil {
			t.Error(err)
		}
		if err := l.c.Complete(t.Context(), l.token, again.Lock); !errors.Is(err, ErrLockLost) {
			t.Errorf("completed twice: %v", err)
		}
		l.wantRecord("completed m1", "feedback m1 Success")
	})
}

func TestHubSend(t *testing.T) {
	withHub(t, localhub.Options{}, func(t *testing.T, l *local) {
		sent := hub.Telemetry{
			MessageID: "b7-182", CorrelationID: "m1", ContentType: "application/json", ContentEncoding: "utf-8",
			Properties: map[string]string{"kind": "outcome", "outcome": "done"}, Body: []byte(`{"v":1}`),
		}
		if err := l.c.Send(t.Context(), l.token, sent); err != nil {
			t.Fatal(err)
		}
		big := hub.Telemetry{Body: bytes.Repeat([]byte("b"), 255<<10)}
		if err := l.c.Send(t.Context(), l.token, big); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var got []hub.Telemetry
		for _, e := range l.hub.Events() {
			if e.Kind == localhub.KindTelemetry {
				got = append(got, e.Telemetry)
			}
		}
		if !reflect.DeepEqual(got, []hub.Telemetry{sent, big}) {
			t.Errorf("the hub has %d: %+v", len(got), got[0])
		}
	})
}

// TestHubNo: what the hub says to whom it does not like, in both its forms.
func TestHubNo(t *testing.T) {
	for _, nested := range []bool{false, true} {
		withHub(t, localhub.Options{NestedErrors: nested, ReceivesPerMinute: 1, RetryAfter: 7 * time.Second}, func(t *testing.T, l *local) {
			other, err := l.hub.AddDevice("other")
			if err != nil {
				t.Fatal(err)
			}
			foreign := hub.SignSAS(hub.Resource(testHost, testDevice), other.Primary, "", time.Now().Add(time.Hour))
			unknown := l.cfg
			unknown.DeviceID = "nobody"
			for name, test := range map[string]struct {
				cfg         Config
				token       string
				status      int
				class       hub.Class
				cause, code string
			}{
				"wrong key":      {l.cfg, foreign, 401, hub.RetrySlowly, hub.CauseCredential, "IotHubUnauthorizedAccess"},
				"unknown device": {unknown, l.token, 404, hub.RetrySlowly, hub.CauseCredential, "DeviceNotFound"},
			} {
				c := New(test.cfg)
				_, _, noReceive := c.Receive(t.Context(), test.token)
				c.Close()
				for call, err := range map[string]error{
					"receive":   noReceive,
					"check key": CheckKey(t.Context(), test.cfg, test.token),
				} {
					wantError(t, err, refused, test.class, test.cause)
					var s *StatusError
					if !errors.As(err, &s) || s.Status != test.status || s.Code != test.code {
						t.Errorf("%s, %s: %v", name, call, err)
					}
				}
			}
			l.empty()
			_, _, err = l.c.Receive(t.Context(), l.token)
			wantError(t, err, refused, hub.RetrySoon, hub.CauseThrottled)
			var s *StatusError
			if !errors.As(err, &s) || s.Status != 429 || s.Code != "ThrottlingException" || s.RetryAfter != 7*time.Second {
				t.Errorf("throttled: %v", err)
			}
			if err := CheckKey(t.Context(), l.cfg, l.token); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHubLost: an answer that is lost is told from a request that was, as far as
// it can be, and what the hub did shows at the next request.
func TestHubLost(t *testing.T) {
	withHub(t, localhub.Options{}, func(t *testing.T, l *local) {
		l.send(hub.Message{ID: "m1", Ack: "full"})
		for i, effect := range []localhub.Effect{localhub.DropAfter, localhub.Swallow} {
			l.inject(localhub.Fault{Packet: localhub.PacketHTTPReceive, Effect: effect})
			_, _, err := l.c.Receive(t.Context(), l.token)
			wantError(t, err, unsure, hub.RetrySoon, hub.CauseNetwork)
			l.empty() // it is locked, and nobody knows the lock
			time.Sleep(61 * time.Second)
			if l.dials != i+2 {
				t.Errorf("%d connections after %d lost answers", l.dials, i+1)
			}
		}
		for _, effect := range []localhub.Effect{localhub.DropBefore, localhub.BlackHole} {
			l.inject(localhub.Fault{Packet: localhub.PacketHTTPReceive, Effect: effect})
			_, _, err := l.c.Receive(t.Context(), l.token)
			wantError(t, err, unsure, hub.RetrySoon, hub.CauseNetwork)
		}
		r := l.receive("m1")
		l.inject(localhub.Fault{Packet: localhub.PacketHTTPReject, Effect: localhub.DropAfter})
		wantError(t, l.c.Reject(t.Context(), l.token, r.Lock), unsure, hub.RetrySoon, hub.CauseNetwork)
		if err := l.c.Reject(t.Context(), l.token, r.Lock); !errors.Is(err, ErrLockLost) {
			t.Errorf("rejected again: %v", err)
		}
		l.wantRecord("dead-lettered m1 Rejected", "feedback m1 Rejected")
	})
}

// A connection that the hub has ended for doing nothing is no lost answer.
func TestHubIdle(t *testing.T) {
	withHub(t, localhub.Options{}, func(t *testing.T, l *local) {
		for range 3 {
			l.empty()
			time.Sleep(5 * time.Minute)
		}
		if l.dials != 3 {
			t.Errorf("%d connections; want 3", l.dials)
		}
	})
}

func TestHubTime(t *testing.T) {
	told := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	withHub(t, localhub.Options{Date: func(time.Time) time.Time { return told }}, func(t *testing.T, l *local) {
		l.send(hub.Message{ID: "m1"})
		for _, now := range []time.Time{time.Now(), time.Unix(0, 0)} {
			l.cfg.Road.Now = clock(now)
			date, _, err := Time(t.Context(), l.cfg, true)
			if err != nil || !date.Equal(told) {
				t.Errorf("Time at %v = %v, %v", now, date, err)
			}
		}
		if _, ok, err := l.c.Receive(t.Context(), l.token); !ok || err != nil {
			t.Errorf("it took the message: %v", err)
		}
		if date, _ := l.c.Date(); !date.Equal(told) {
			t.Errorf("Date = %v", date)
		}
		if want := fmt.Sprintf("request GET other 401 device=%s", testDevice); !slices.ContainsFunc(l.hub.Events(), func(e localhub.Event) bool {
			return strings.HasPrefix(e.String(), want)
		}) {
			t.Errorf("the hub has no %q in %v", want, l.hub.Events())
		}
	})
}

package https

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
)

// certain is the year's middle in which the certificate of these tests is valid:
// from 2026 to the end of 2027.
func certain() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

func unauthorized(date string) string {
	return "HTTP/1.1 401 Unauthorized\r\nDate: " + date + "\r\nContent-Length: 0\r\n\r\n"
}

// hubOf2026 runs f in a bubble, with a hub whose certificate is valid from 2026
// to the end of 2027 and that answers with one date after the other, and with the
// last for ever. It keeps what it was asked.
func hubOf2026(t *testing.T, dates []string, f func(t *testing.T, cfg Config, asked *[]string)) {
	t.Helper()
	id, err := newIdentity(testHost, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		n := &network{id: id, script: func(p *peer) {
			asked = append(asked, p.request())
			p.say("%s", unauthorized(dates[min(len(asked), len(dates))-1]))
			p.listen()
		}}
		defer n.peers.Wait()
		f(t, n.config(), &asked)
	})
}

// clock goes on from a date at which it was set.
func clock(at time.Time) func() time.Time {
	start := time.Now()
	return func() time.Time { return at.Add(time.Since(start)) }
}

func httpDate(at time.Time) string { return at.Format(http.TimeFormat) }

func TestTime(t *testing.T) {
	const second = "Mon, 01 Jun 2026 12:00:01 GMT"
	began := time.Unix(0, 0).UTC()
	tests := []struct {
		name  string
		dates []string
		now   time.Time
		lax   bool
		want  string // of the date
		fate  fate   // if want is ""
		asked int
		words string // in the error
	}{
		{"a right clock", []string{second}, certain(), false, second, "", 1, ""},
		{"a right clock, lax", []string{second}, certain(), true, second, "", 1, ""},
		{"a clock a year off", []string{second}, certain().AddDate(1, 0, 0), false, second, "", 1, ""},
		{"1970", []string{second}, began, true, second, "", 2, ""},
		{"2100", []string{second}, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), true, second, "", 2, ""},
		{"1970, the second counts", []string{second, "Mon, 01 Jun 2026 12:00:07 GMT"}, began, true, "Mon, 01 Jun 2026 12:00:07 GMT", "", 2, ""},
		{"1970, the hub's machines differ", []string{second, "Mon, 01 Jun 2026 11:59:57 GMT"}, began, true, "Mon, 01 Jun 2026 11:59:57 GMT", "", 2, ""},
		{"1970, not lax", []string{second}, began, false, "", unsent, 0, "not yet valid"},
		{"1970, a date before the certificate", []string{"Wed, 31 Dec 2025 23:59:59 GMT"}, began, true, "", unsent, 1, "at the date it gave"},
		{"1970, a date behind the certificate", []string{"Wed, 01 Jan 2031 00:00:00 GMT"}, began, true, "", unsent, 1, "at the date it gave"},
		{"1970, the second is elsewhere", []string{second, "Mon, 01 Jun 2026 12:05:02 GMT"}, began, true, "", unsure, 2, "it said 2026-06-01T12:00:01Z first and then"},
		{"1970, the second is earlier", []string{second, "Mon, 01 Jun 2026 11:55:00 GMT"}, began, true, "", unsure, 2, "first and then"},
		{"1970, the second is beyond", []string{"Thu, 30 Dec 2027 23:59:00 GMT", "Fri, 31 Dec 2027 00:00:01 GMT"}, began, true, "", unsure, 2, "certificate is not valid at its date"},
		{"1970, no date", []string{"now"}, began, true, "", unsure, 1, "it has no date"},
		{"1970, no second date", []string{second, "now"}, began, true, "", unsure, 2, "it has no date"},
		{"a date outside", []string{"Wed, 01 Jan 2031 00:00:00 GMT"}, certain(), true, "", unsure, 1, "certificate is not valid at its date, 2031"},
		{"an earlier date", []string{"Wed, 31 Dec 2025 23:59:59 GMT"}, certain(), true, "", unsure, 1, "certificate is not valid at its date, 2025"},
		{"two dates", []string{second + "\r\nDate: " + second}, certain(), true, "", unsure, 1, "it has no date"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hubOf2026(t, test.dates, func(t *testing.T, cfg Config, asked *[]string) {
				cfg.Road.Now = clock(test.now)
				cfg.Road.LeafDate = true // of no effect
				date, at, err := Time(t.Context(), cfg, test.lax)
				if test.want != "" && (err != nil || httpDate(date) != test.want || date.Location() != time.UTC || !at.Equal(time.Now())) {
					t.Errorf("Time = %v, %v, %v; want %s", date, at, err, test.want)
				}
				if test.want == "" && (fateOf(err) != test.fate || !date.IsZero() || !at.IsZero() || !strings.Contains(err.Error(), test.words)) {
					t.Errorf("Time = %v, %v, %v (%s); want %s with %q", date, at, err, fateOf(err), test.fate, test.words)
				}
				wantPresentable(t, err)
				if len(*asked) != test.asked {
					t.Errorf("%d requests; want %d", len(*asked), test.asked)
				}
				for _, request := range *asked {
					if want := "GET /devices/pump-1?api-version=2021-04-12 HTTP/1.1\r\nHost: hub.example\r\nUser-Agent: actuatord\r\n\r\n"; request != want {
						t.Errorf("asked %q; want %q", request, want)
					}
				}
			})
		})
	}
}

// TestTimeNotLax: lax forgives dates and nothing else, and nobody is asked who is
// not the hub but for them.
func TestTimeNotLax(t *testing.T) {
	other, err := newIdentity(testHost, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(cfg *Config){
		"another host": func(cfg *Config) { cfg.Gateway = "other.example" },
		"unknown root": func(cfg *Config) { cfg.Road.Roots = other.pool },
	} {
		t.Run(name, func(t *testing.T) {
			hubOf2026(t, []string{httpDate(certain())}, func(t *testing.T, cfg Config, asked *[]string) {
				change(&cfg)
				for _, now := range []time.Time{time.Unix(0, 0), certain()} {
					cfg.Road.Now = clock(now)
					_, _, err := Time(t.Context(), cfg, true)
					wantError(t, err, unsent, hub.RetrySlowly, hub.CauseTLS)
				}
				if len(*asked) != 0 {
					t.Errorf("asked %q", *asked)
				}
			})
		})
	}
}

// Time is bounded like any request, and so is each of its parts.
func TestTimeNoAnswer(t *testing.T) {
	bubble(t, func(p *peer) { p.request(); p.listen() }, func(t *testing.T, n *network, _ *Client) {
		start := time.Now()
		_, _, err := Time(t.Context(), n.config(), true)
		wantError(t, err, unsure, hub.RetrySoon, hub.CauseNetwork)
		if took := time.Since(start); took != requestLimit {
			t.Errorf("took %v", took)
		}
	})
}

// TestDate: the latest date of a verified connection, and when it came.
func TestDate(t *testing.T) {
	dates := []string{"Mon, 01 Jun 2026 12:00:00 GMT", "Mon, 01 Jun 2026 12:00:05 GMT", "tomorrow", "Wed, 01 Jan 2031 00:00:00 GMT", "Monday, 01-Jun-26 12:00:09 GMT"}
	id, err := newIdentity(testHost, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := &network{id: id, script: func(p *peer) {
			for _, date := range dates {
				p.request()
				p.say("%s", unauthorized(date))
			}
			p.listen()
		}}
		defer n.peers.Wait()
		cfg := n.config()
		cfg.Road.Now = clock(certain())
		c := New(cfg)
		if date, at := c.Date(); !date.IsZero() || !at.IsZero() {
			t.Errorf("Date before anything = %v, %v", date, at)
		}
		for i := range dates {
			time.Sleep(time.Minute)
			_ = c.Complete(t.Context(), testToken, testLock)
			date, at := c.Date()
			wantDate, age := certain(), time.Duration(0)
			if i > 0 {
				wantDate, age = certain().Add(5*time.Second), time.Duration(i-1)*(time.Minute+staleWait)
			}
			if !date.Equal(wantDate) || time.Since(at) != age {
				t.Errorf("after answer %d: %v, %v ago; want %v, %v ago", i, date, time.Since(at), wantDate, age)
			}
		}
		c.Close()
		if date, _ := c.Date(); date.IsZero() {
			t.Error("Close has taken the date")
		}
		loose := cfg
		loose.Road = dial.Config{Roots: cfg.Road.Roots, TCP: cfg.Road.TCP, Proxy: "none", LeafDate: true}
		c = New(loose)
		defer c.Close()
		_ = c.Complete(t.Context(), testToken, testLock)
		if date, _ := c.Date(); !date.IsZero() {
			t.Errorf("a date of a connection judged by its own certificate: %v", date)
		}
	})
}

func TestCheckKey(t *testing.T) {
	for status, want := range map[int]fate{
		204: done, 400: done, 412: done, 401: refused, 403: refused, 404: refused, 405: refused, 429: refused, 500: refused, 302: refused,
	} {
		got := ""
		bubble(t, func(p *peer) {
			got = p.request()
			p.say("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)
			p.listen()
		}, func(t *testing.T, n *network, _ *Client) {
			err := CheckKey(t.Context(), n.config(), testToken)
			class, cause := meaning(status)
			wantError(t, err, want, class, cause)
			const nil36 = "00000000-0000-0000-0000-000000000000"
			want := fmt.Sprintf("POST /devices/pump-1/messages/devicebound/%s/abandon?api-version=2021-04-12 HTTP/1.1\r\n"+
				"Host: hub.example\r\nUser-Agent: actuatord\r\nContent-Length: 0\r\nAuthorization: %s\r\nIf-Match: \"%s\"\r\n\r\n", nil36, testToken, nil36)
			if got != want {
				t.Errorf("asked %q; want %q", got, want)
			}
		})
	}
	bubble(t, func(p *peer) { p.request() }, func(t *testing.T, n *network, _ *Client) {
		wantError(t, CheckKey(t.Context(), n.config(), testToken), unsure, hub.RetrySoon, hub.CauseNetwork)
	})
}

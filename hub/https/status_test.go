package https

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
)

// meaning is what a status says, by itself.
func meaning(status int) (class hub.Class, cause string) {
	switch {
	case status == 401, status == 403, status == 404:
		return hub.RetrySlowly, hub.CauseCredential
	case status == 412:
		return hub.RetrySoon, hub.CauseLockLost
	case status == 429:
		return hub.RetrySoon, hub.CauseThrottled
	case status == 408, status >= 500 && status < 600:
		return hub.RetrySoon, hub.CauseServerUnavailable
	}
	return hub.RetrySlowly, hub.CauseProtocol
}

// TestStatuses: every final status there can be, to every call.
func TestStatuses(t *testing.T) {
	said := ""
	bubble(t, func(p *peer) {
		for p.request() != "" {
			p.say("HTTP/1.1 %s\r\nContent-Length: 0\r\nLocation: https://elsewhere.example/\r\n\r\n", said)
		}
	}, func(t *testing.T, n *network, c *Client) {
		for status := range 1000 {
			if status/100 == 1 && status != 101 {
				continue // interim: see TestOneConnection
			}
			said = fmt.Sprintf("%03d", status)
			for name, call := range calls() {
				class, cause := meaning(status)
				want := refused
				switch {
				case status == 204, status/100 == 2 && name != "receive":
					want = done
				case status/100 == 2: // it may have locked a message
					class, cause, want = hub.RetrySoon, hub.CauseProtocol, unsure
				}
				err := call(t.Context(), c)
				wantError(t, err, want, class, cause)
				if errors.Is(err, ErrLockLost) != (status == 412) {
					t.Errorf("%d to %s: ErrLockLost is %v", status, name, errors.Is(err, ErrLockLost))
				}
				var s *StatusError
				if errors.As(err, &s) && s.Status != status {
					t.Errorf("%d to %s says %d", status, name, s.Status)
				}
			}
		}
		for _, addr := range n.dials {
			if addr != "hub.example:443" {
				t.Errorf("a redirection was followed to %s", addr)
			}
		}
	})
}

// TestRefusal: code, quota and wish for a pause reach the caller, and nothing else
// of the body.
func TestRefusal(t *testing.T) {
	tests := []struct {
		said  string // between status line and length, and the body
		body  string
		want  StatusError
		class hub.Class
		cause string
	}{
		{"404 Not Found\r\n", `{"Message":"ErrorCode:DeviceNotFound;Device pump-1 not registered","ExceptionMessage":"Tracking ID:1"}`,
			StatusError{Status: 404, Code: "DeviceNotFound"}, hub.RetrySlowly, hub.CauseCredential},
		{"403 Forbidden\r\n", `{"Message":"ErrorCode:IoTHubQuotaExceeded;Total number of messages exceeded"}`,
			StatusError{Status: 403, Code: "IoTHubQuotaExceeded"}, hub.RetrySlowly, hub.CauseQuota},
		{"403 Forbidden\r\n", `{"Message":"{\"errorCode\":403002,\"message\":\"x\"}","ExceptionMessage":""}`,
			StatusError{Status: 403, Code: "403002"}, hub.RetrySlowly, hub.CauseQuota},
		{"403 Forbidden\r\niothub-errorcode: IotHubSuspended\r\n", "",
			StatusError{Status: 403, Code: "IotHubSuspended"}, hub.RetrySlowly, hub.CauseCredential},
		{"429 Too Many Requests\r\nRetry-After: 30\r\n", `{"Message":"{\"errorCode\":429001}"}`,
			StatusError{Status: 429, Code: "429001", RetryAfter: 30 * time.Second}, hub.RetrySoon, hub.CauseThrottled},
		{"503 Service Unavailable\r\nRetry-After: Thu, 10 Apr 2031 10:02:00 GMT\r\nDate: Thu, 10 Apr 2031 10:00:00 GMT\r\n", "<html>busy</html>",
			StatusError{Status: 503, RetryAfter: 2 * time.Minute}, hub.RetrySoon, hub.CauseServerUnavailable},
		{"503 Service Unavailable\r\nRetry-After: Sat, 01 Jan 2000 00:01:00 GMT\r\n", "",
			StatusError{Status: 503, RetryAfter: time.Minute}, hub.RetrySoon, hub.CauseServerUnavailable},
		{"500 Oh\r\n", `{"Message":"` + strings.Repeat("x", 3000) + testToken + `"}`, StatusError{Status: 500}, hub.RetrySoon, hub.CauseServerUnavailable},
		{"500 Oh\r\n", `{"Message":"ErrorCode:` + strings.Repeat("x", maxError) + `"}`, StatusError{Status: 500}, hub.RetrySoon, hub.CauseServerUnavailable},
	}
	for _, test := range tests {
		bubble(t, func(p *peer) {
			p.request()
			p.say("HTTP/1.1 %sContent-Length: %d\r\n\r\n%s", test.said, len(test.body), test.body)
			p.listen()
		}, func(t *testing.T, _ *network, c *Client) {
			_, _, err := c.Receive(t.Context(), testToken)
			wantError(t, err, refused, test.class, test.cause)
			var got *StatusError
			if !errors.As(err, &got) || *got != test.want {
				t.Errorf("%s is %+v; want %+v", test.said, got, test.want)
			}
		})
	}
}

// A refusal is one even if its body is cut, endless or without a length: the
// hub has said no.
func TestRefusalCut(t *testing.T) {
	for name, rest := range map[string]string{
		"cut":       "Content-Length: 10\r\n\r\n{",
		"no length": "\r\n{}",
		"endless":   "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 2*maxError),
		"nonsense":  "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(p *peer) {
				p.request()
				p.say("HTTP/1.1 404 Not Found\r\n%s", rest)
			}, func(t *testing.T, n *network, c *Client) {
				wantError(t, c.Complete(t.Context(), testToken, testLock), refused, hub.RetrySlowly, hub.CauseCredential)
				_ = c.Complete(t.Context(), testToken, testLock)
				if len(n.dials) != 2 {
					t.Errorf("%d connections for two such answers; want two", len(n.dials))
				}
			})
		})
	}
}

func TestReadRetryAfter(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "3600": time.Hour, "3601": time.Hour,
		"18446744073709551616": time.Hour, "-5": 0, "1.5": 0, "soon": 0,
		"Mon, 01 Jun 2026 12:00:10 GMT": 10 * time.Second,
		"Mon, 01 Jun 2026 11:00:10 GMT": 0,
		"Mon, 01 Jun 2099 11:00:10 GMT": time.Hour,
	} {
		if got := readRetryAfter(s, now); got != want {
			t.Errorf("Retry-After %q is %v; want %v", s, got, want)
		}
	}
}

func TestReadCode(t *testing.T) {
	message := func(s string) string { return fmt.Sprintf(`{"Message":%q}`, s) }
	for body, want := range map[string]string{
		message("ErrorCode:DeviceNotFound;text;more"):   "DeviceNotFound",
		message("ErrorCode:DeviceNotFound"):             "DeviceNotFound",
		message("ErrorCode:"):                           "",
		message("ErrorCode:two words;x"):                "",
		message("ErrorCode:\x1b[2J;x"):                  "",
		message("ErrorCode:" + strings.Repeat("x", 64)): strings.Repeat("x", 64),
		message("ErrorCode:" + strings.Repeat("x", 65)): "",
		message(`{"errorCode":404103,"message":"x"}`):   "404103",
		message(`{"errorCode":"DeviceNotFound"}`):       "DeviceNotFound",
		message(`{"errorCode":null}`):                   "",
		message(`{"errorCode":{"a":1}}`):                "",
		message(`{}`):                                   "",
		message("text"):                                 "",
		`{"message":"ErrorCode:InLowerCase"}`:           "InLowerCase",
		`{"Message":5}`:                                 "",
		`[]`:                                            "",
		``:                                              "",
		"<html>":                                        "",
	} {
		if got := readCode(http.Header{}, []byte(body)); got != want {
			t.Errorf("code of %s is %q; want %q", body, got, want)
		}
	}
	h := http.Header{"Iothub-Errorcode": {"FromHeader"}}
	if got := readCode(h, []byte(message("ErrorCode:FromBody;"))); got != "FromHeader" {
		t.Errorf("code is %q", got)
	}
	h.Set("iothub-errorcode", "not\tone")
	if got := readCode(h, []byte(message("ErrorCode:FromBody;"))); got != "FromBody" {
		t.Errorf("code is %q", got)
	}
}

// What a person reads says what to do.
func TestErrorTexts(t *testing.T) {
	for want, a := range map[string]answer{
		"credential: complete a message: hub answered 401: unknown device, wrong key, or this clock is off by more than 5 minutes": {status: 401},
		"lock-lost: complete a message: hub answered 412: the lock on the message has lapsed":                                      {status: 412},
		"throttled: complete a message: hub answered 429: too many requests to this hub; not again before 30s":                     {status: 429, header: http.Header{"Retry-After": {"30"}}},
		"quota: complete a message: hub answered 403 IoTHubQuotaExceeded: the hub's quota is used up":                              {status: 403, body: []byte(`{"Message":"ErrorCode:IoTHubQuotaExceeded;x"}`)},
		"protocol: complete a message: hub answered 302":                                                                           {status: 302},
	} {
		if got := a.refusal("complete a message").Error(); got != want {
			t.Errorf("error reads %q; want %q", got, want)
		}
	}
	bubble(t, func(p *peer) { p.request(); p.say("HTTP/1.1 204 No Content\r\n") }, func(t *testing.T, n *network, c *Client) {
		_, _, err := c.Receive(t.Context(), testToken)
		if want := "network: receive a message: read the answer: EOF"; err.Error() != want {
			t.Errorf("error reads %q; want %q", err, want)
		}
		cfg := n.config()
		cfg.Road.TCP = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }
		_, _, err = New(cfg).Receive(t.Context(), testToken)
		if want := "network: receive a message: not sent: dial hub.example:443: no route"; err.Error() != want {
			t.Errorf("error reads %q; want %q", err, want)
		}
	})
	odd := short{errors.New("a\x1b[2J\xff" + strings.Repeat("ä", 1000))}
	if s := odd.Error(); len(s) > sentence+3 || !strings.HasPrefix(s, "a?[2J") || !errors.Is(odd, odd.error) {
		t.Errorf("error reads %q", s)
	}
}

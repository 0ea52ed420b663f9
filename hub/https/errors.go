package https

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"actuatord/hub"
)

var (
	// ErrNotSent says that the request certainly never reached the hub: the
	// connection could not be made, or the caller had already given up.
	ErrNotSent = errors.New("not sent")

	// ErrLockLost says that the lock has lapsed or the message is settled already
	// (412). If the hub still has the message, it comes again.
	ErrLockLost = errors.New("lock lost")
)

const (
	// maxRetryAfter bounds what Retry-After may ask for: the hub counts by minutes
	// and days, and an hour costs nobody more than two polls.
	maxRetryAfter = time.Hour
	// maxCode bounds an error code; the longest that is documented has 40 letters.
	maxCode = 64
	// sentence bounds the text of an error that quotes what a peer sent.
	sentence = 300
)

// StatusError is an answer of the hub that is no success.
type StatusError struct {
	Status     int
	Code       string        // such as "DeviceNotFound" or "404001": at most 64 of A-Z a-z 0-9 . _ -; "": not known
	RetryAfter time.Duration // the hub's wish for a pause, at most 1 h; 0: none
}

func (e *StatusError) Error() string {
	s := "hub answered " + strconv.Itoa(e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if hint := e.hint(); hint != "" {
		s += ": " + hint
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf("; not again before %s", e.RetryAfter)
	}
	return s
}

// Is makes a 412 an ErrLockLost.
func (e *StatusError) Is(target error) bool {
	return target == ErrLockLost && e.Status == http.StatusPreconditionFailed
}

func (e *StatusError) hint() string {
	switch _, cause := e.class(); {
	case cause == hub.CauseQuota:
		return "the hub's quota is used up"
	case cause == hub.CauseThrottled:
		return "too many requests to this hub"
	case cause == hub.CauseServerUnavailable:
		return "the hub is busy or in trouble"
	case e.Status == http.StatusUnauthorized:
		return "unknown device, wrong key, or this clock is off by more than 5 minutes"
	case e.Status == http.StatusForbidden:
		return "the hub is suspended, or keeps this device out"
	case e.Status == http.StatusNotFound:
		return "no such device: check the connection string"
	case e.Status == http.StatusPreconditionFailed:
		return "the lock on the message has lapsed"
	case e.Status == http.StatusRequestEntityTooLarge:
		return "too large"
	}
	return ""
}

// class says how soon to try again, and why not sooner. What is wrong with one
// request and not with us (400, 413) is slow too: it will not get better.
func (e *StatusError) class() (hub.Class, string) {
	switch {
	case e.Status == http.StatusForbidden && e.quota():
		return hub.RetrySlowly, hub.CauseQuota
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, e.Status == http.StatusNotFound:
		return hub.RetrySlowly, hub.CauseCredential
	case e.Status == http.StatusPreconditionFailed:
		return hub.RetrySoon, hub.CauseLockLost
	case e.Status == http.StatusTooManyRequests:
		return hub.RetrySoon, hub.CauseThrottled
	case e.Status == http.StatusRequestTimeout, e.Status/100 == 5:
		return hub.RetrySoon, hub.CauseServerUnavailable
	}
	return hub.RetrySlowly, hub.CauseProtocol
}

// quota knows 403002 IoTHubQuotaExceeded and what its relatives are called.
func (e *StatusError) quota() bool {
	return e.Code == "403002" || strings.Contains(strings.ToLower(e.Code), "quota")
}

// refusal makes an error of an answer that is no success.
func (a answer) refusal(what string) error {
	now := a.date // the hub's own clock, which it counts by
	if now.IsZero() {
		now = time.Now()
	}
	e := &StatusError{Status: a.status, Code: readCode(a.header, a.body), RetryAfter: readRetryAfter(a.header.Get("Retry-After"), now)}
	class, cause := e.class()
	return &hub.Error{Class: class, Cause: cause, Err: fmt.Errorf("%s: %w", what, e)}
}

// readCode finds the hub's name or number for an error: in a header, which is
// known of the service's side; or in the body's Message, which is
// "ErrorCode:Name;text" or, newer, itself JSON with an errorCode (captures).
func readCode(h http.Header, body []byte) string {
	if code := word(h.Get("Iothub-Errorcode")); code != "" {
		return code
	}
	var outer struct{ Message string }
	if json.Unmarshal(body, &outer) != nil {
		return ""
	}
	if rest, ok := strings.CutPrefix(outer.Message, "ErrorCode:"); ok {
		name, _, _ := strings.Cut(rest, ";")
		return word(name)
	}
	var inner struct {
		ErrorCode json.RawMessage `json:"errorCode"` // 404103, or in quotes
	}
	if json.Unmarshal([]byte(outer.Message), &inner) != nil || string(inner.ErrorCode) == "null" {
		return ""
	}
	return word(strings.Trim(string(inner.ErrorCode), `"`))
}

// word gives s if it can be an error code, and otherwise nothing: it goes into
// logs and reports.
func word(s string) string {
	s = strings.TrimSpace(s)
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}
	if len(s) > maxCode || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}

// readRetryAfter reads seconds or an HTTP date.
func readRetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// told says what was being done when err came. It keeps class and cause.
func told(what string, err error) error {
	e := &hub.Error{Class: hub.ClassOf(err), Cause: hub.CauseOf(err)}
	if inner, ok := err.(*hub.Error); ok {
		err = inner.Err // its cause would be said twice
	}
	e.Err = fmt.Errorf("%s: %w", what, err)
	return e
}

func notSent(what string, err error) error {
	e := &hub.Error{Class: hub.ClassOf(err), Cause: hub.CauseOf(err)}
	if inner, ok := err.(*hub.Error); ok {
		err = inner.Err
	}
	e.Err = fmt.Errorf("%s: %w: %w", what, ErrNotSent, err)
	return e
}

// useless is an answer that cannot be used, though it says yes: something may
// have happened at the hub.
func useless(what, format string, args ...any) error {
	return &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseProtocol, Err: fmt.Errorf(what+": the hub's answer cannot be used: "+format, args...)}
}

// short bounds an error's text and takes out what moves a terminal's cursor: it
// may quote what a stranger sent.
type short struct{ error }

func (e short) Error() string {
	s := e.error.Error()
	if len(s) > sentence {
		s = strings.ToValidUTF8(s[:sentence], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (e short) Unwrap() error { return e.error }

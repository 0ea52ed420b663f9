package https

import (
	"context"
	"net/http"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
)

// dateTolerance is how far the hub's second date may be from its first. It is
// what the hub itself tolerates in a device's clock; it has several machines, and
// a slow request takes half a minute.
const dateTolerance = 5 * time.Minute

// Time asks the hub for the time: date is its Date header, in UTC and whole
// seconds, and at when it came by time.Now. It takes one request of 30 s at most,
// without credentials, which touches no queue; whatever the hub answers to it, a
// 401 as well, has a date.
//
// The connection is fully verified, at cfg.Road.Now. If lax is true and the
// hub's certificates are refused for their dates and nothing else, as they are
// when Road.Now is a clock that was never set, they are judged once at the first
// moment of the hub's own certificate. The date that comes then only serves to
// verify another connection fully, and it is the date from there that counts, if
// the two agree. So whoever could pose as the hub at some time in the past, with
// a key that has since been taken from him, can make us believe that time: that
// is the price of having no clock.
func Time(ctx context.Context, cfg Config, lax bool) (date, at time.Time, err error) {
	const what = "ask the hub for the time"
	cfg.Road.LeafDate = false
	date, at, err = ask(ctx, what, cfg)
	if err == nil || !lax || !dial.OnlyDates(err) {
		return date, at, err
	}
	hint := cfg
	hint.Road.LeafDate = true
	first, came, err := ask(ctx, what+" with a clock that is not set", hint)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	cfg.Road.Now = func() time.Time { return first.Add(time.Since(came)) }
	date, at, err = ask(ctx, what+" again, at the date it gave", cfg)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if expected := first.Add(at.Sub(came)); date.Sub(expected).Abs() > dateTolerance {
		return time.Time{}, time.Time{}, useless(what, "it said %s first and then %s", first.Format(time.RFC3339), date.Format(time.RFC3339))
	}
	return date, at, nil
}

// ask makes the one request and gives its date: one at which the certificate is
// valid, or with Road.LeafDate any.
func ask(ctx context.Context, what string, cfg Config) (date, at time.Time, err error) {
	c := New(cfg)
	defer c.Close()
	a, err := c.do(ctx, request{what: what, method: http.MethodGet, path: hub.DevicePath(cfg.DeviceID), limit: maxError})
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if date, at = c.Date(); cfg.Road.LeafDate {
		date, at = a.date, a.at
	}
	switch {
	case a.date.IsZero():
		return time.Time{}, time.Time{}, useless(what, "it has no date")
	case date.IsZero():
		return time.Time{}, time.Time{}, useless(what, "the hub's certificate is not valid at its date, %s", a.date.Format(time.RFC3339))
	}
	return date, at, nil
}

// nobody is the lock token of no message.
const nobody = "00000000-0000-0000-0000-000000000000"

// CheckKey asks whether the hub takes the token, by one request that touches no
// message: to abandon under a lock that nobody has. That the hub has no such lock
// (412, 400) it says only to a device that it knows; what it says to others is the
// error.
func CheckKey(ctx context.Context, cfg Config, token string) error {
	c := New(cfg)
	defer c.Close()
	a, err := c.do(ctx, request{
		what: "check the key", method: http.MethodPost, path: c.message(nobody) + "/abandon", token: token, lock: nobody, limit: maxError,
	})
	if err != nil {
		return err
	}
	if a.status/100 == 2 || a.status == http.StatusPreconditionFailed || a.status == http.StatusBadRequest {
		return nil
	}
	return a.refusal("check the key")
}

package localhub

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"actuatord/hub"
)

// refusal is an answer that says no.
type refusal struct {
	status int
	number int    // Microsoft's, such as 412002
	name   string // … and its name
	text   string // for the device
	why    string // for the record, if there is more to say
}

// refuse makes a refusal with the code that usually goes with a status (the
// enum ErrorCode of Microsoft's C# SDK; the numbers ending in 000 are generic).
func refuse(status int, text string) *refusal {
	r := refusal{status: status, number: status * 1000, name: "Generic", text: text}
	code := func(number int, name string) { r.number, r.name = number, name }
	switch status {
	case http.StatusBadRequest:
		code(400004, "ArgumentInvalid")
	case http.StatusUnauthorized:
		code(401002, "IotHubUnauthorizedAccess")
	case http.StatusForbidden:
		code(403002, "IotHubQuotaExceeded")
	case http.StatusPreconditionFailed:
		code(412002, "DeviceMessageLockLost")
	case http.StatusRequestEntityTooLarge:
		code(413001, "MessageTooLarge")
	case http.StatusTooManyRequests:
		code(429001, "ThrottlingException")
	case http.StatusInternalServerError:
		code(500001, "ServerError")
	case http.StatusServiceUnavailable:
		code(503001, "ServiceUnavailable")
	}
	return &r
}

// answer is what a request is answered with.
type answer struct {
	status int
	header http.Header // names are written as they are
	body   []byte
	why    string // for the record
}

// deny makes the answer of a refusal, with Microsoft's body in one of its two
// forms, both seen in captures, and the header iothub-errorcode of one.
func (h *Hub) deny(r *refusal, now time.Time) answer {
	track := make([]byte, 16)
	_, _ = rand.Read(track) // never fails: documented since Go 1.24
	id := fmt.Sprintf("%x-G:0-TimeStamp:%s", track, now.UTC().Format("01/02/2006 15:04:05"))
	body := struct{ Message, ExceptionMessage string }{"ErrorCode:" + r.name + ";" + r.text, "Tracking ID:" + id}
	if h.options.NestedErrors {
		inner, _ := json.Marshal(struct { // of strings and a number: cannot fail
			ErrorCode    int    `json:"errorCode"`
			TrackingID   string `json:"trackingId"`
			Message      string `json:"message"`
			TimestampUTC string `json:"timestampUtc"`
		}{r.number, id, r.text, now.UTC().Format(time.RFC3339Nano)})
		body.Message, body.ExceptionMessage = string(inner), ""
	}
	text, _ := json.Marshal(body) // as above
	return answer{status: r.status, body: text, why: cmp.Or(r.why, r.text),
		header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "iothub-errorcode": {r.name}}}
}

// retryAfter asks the device to wait; 0: it does not.
func (a answer) retryAfter(d time.Duration) answer {
	if d > 0 {
		a.header["Retry-After"] = []string{strconv.Itoa(int(d.Seconds()))}
	}
	return a
}

// perform acts on a request and gives its answer, under the mutex.
func (h *Hub) perform(req request, f Fault, now time.Time) answer {
	if f.Effect == Refuse {
		r := refuse(cmp.Or(f.Code, http.StatusInternalServerError), "fault")
		r.why = "fault: " + f.String()
		return h.deny(r, now).retryAfter(f.Retry)
	}
	if req.stray != nil {
		return h.deny(req.stray, now)
	}
	d, no := h.whose(req, now)
	if no = cmp.Or(no, req.bad); no != nil {
		return h.deny(no, now)
	}
	defer h.follow(d, now)
	switch req.kind {
	case PacketHTTPReceive:
		return h.receive(d, req, now)
	case PacketHTTPTelemetry:
		for _, t := range req.telemetry {
			h.add(Event{Kind: KindTelemetry, Device: d.ID, Telemetry: t})
		}
		return answer{status: http.StatusNoContent}
	}
	return h.settle(d, req, f, now)
}

// whose finds the device that sent a request, and checks that it did.
func (h *Hub) whose(req request, now time.Time) (d *device, no *refusal) {
	because := func(r *refusal, why string) (*device, *refusal) {
		r.why = why
		return nil, r
	}
	d = h.devices[req.device]
	if req.token == "" {
		return because(refuse(http.StatusUnauthorized, "Unauthorized"), "there is no Authorization")
	}
	if d == nil {
		r := refuse(h.options.UnknownDevice, "Unauthorized")
		if r.status == http.StatusNotFound {
			r.number, r.name, r.text = 404001, "DeviceNotFound", "the device is not registered"
		}
		return because(r, "unknown device")
	}
	if _, why := h.verify(d, req.token, now); why != "" {
		return because(refuse(http.StatusUnauthorized, "Unauthorized"), why)
	}
	if d.disabled {
		r := refuse(h.options.DisabledDevice, "Unauthorized")
		if r.status == http.StatusForbidden { // not for its quota
			r.number, r.name = 403000, "Generic"
		}
		return because(r, "device is disabled")
	}
	return d, nil
}

// receive answers a GET: with the oldest free message, locked.
func (h *Hub) receive(d *device, req request, now time.Time) answer {
	if h.throttled(now) {
		return h.deny(refuse(http.StatusTooManyRequests, "too many receives"), now).retryAfter(h.options.RetryAfter)
	}
	e, ok := d.queue.receive(now, req.hold, nil)
	if !ok {
		return answer{status: http.StatusNoContent}
	}
	maps.DeleteFunc(d.locks, func(_ string, t Token) bool { return !d.queue.holds(t) })
	if d.locks == nil {
		d.locks = map[string]Token{}
	}
	lock := newGUID()
	d.locks[lock] = e.token
	h.add(Event{Kind: KindDelivered, Device: d.ID, ID: nameOf(e), Via: hub.HTTPS})
	return answer{status: http.StatusOK, header: h.messageHeader(e, lock), body: e.message.Body}
}

// throttled counts a receive, and tells whether it is one too many.
func (h *Hub) throttled(now time.Time) bool {
	limit := h.options.ReceivesPerMinute
	if limit <= 0 {
		return false
	}
	h.receives = slices.DeleteFunc(h.receives, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if len(h.receives) >= limit {
		return true
	}
	h.receives = append(h.receives, now)
	return false
}

// settle answers the requests about one lock.
func (h *Hub) settle(d *device, req request, f Fault, now time.Time) answer {
	t := d.locks[req.lock] // 0, which is no lock, if it is another device's or nobody's
	var err error
	if f.Effect == LockLost {
		_ = d.queue.lapse(t, now) // it may be lost already
	}
	switch req.kind {
	case PacketHTTPComplete:
		err = d.queue.complete(t, now)
	case PacketHTTPReject:
		err = d.queue.reject(t, now)
	case PacketHTTPAbandon:
		err = d.queue.abandon(t, now)
	}
	if err != nil {
		return h.deny(refuse(http.StatusPreconditionFailed, err.Error()), now)
	}
	return answer{status: http.StatusNoContent}
}

// newGUID makes a lock token nobody can guess.
func newGUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)                         // as above
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4: RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

package https

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
)

const (
	// requestLimit bounds one request, dialling included. A slow board needs
	// seconds for the handshake; a lock lasts 60 s, so that with double of it an
	// answer could come when the lock has lapsed.
	requestLimit = 30 * time.Second
	// maxHeader bounds an answer's status line and headers. A message's properties
	// count to the hub's 64 KB of a message, and each has some 15 bytes around it
	// here that the hub does not count: with 12 000 of them there is room.
	maxHeader = 256 << 10
	// maxMessage is the hub's 64 KiB and 1 KiB of slack, should it count otherwise.
	maxMessage = 65 << 10
	// maxError bounds the body of a refusal; those seen have 300 bytes.
	maxError = 4 << 10
	// maxTelemetry is the hub's bound on a device-to-cloud message, properties
	// included.
	maxTelemetry = 256 << 10
)

// Config says which hub to ask, as whom, and over which road.
type Config struct {
	Host     string // the hub's name: where to connect unless Gateway is set
	Gateway  string // "": Host; otherwise the name to connect to and to verify
	Port     int    // 0: 443
	DeviceID string

	Road dial.Config
}

// Client asks one hub for one device, over one connection. One goroutine at a
// time may use it.
type Client struct {
	cfg  Config
	wire *wire // nil: there is no connection

	date, at time.Time
}

// New makes a client; it does no I/O. The connection is made at the first
// request, kept, and made again if it broke or after [Client.Close].
func New(cfg Config) *Client {
	cfg.Gateway = cmp.Or(cfg.Gateway, cfg.Host)
	cfg.Port = cmp.Or(cfg.Port, 443)
	return &Client{cfg: cfg}
}

// Close closes the connection, if there is one, without waiting for anybody.
func (c *Client) Close() {
	if c.wire != nil {
		_ = c.wire.raw.Close()
		c.wire = nil
	}
}

// Date is the latest Date header, in UTC and whole seconds, and when it came by
// time.Now. It counts only if the connection was verified by Road.Now and the
// hub's certificate is valid at that date too. date is zero if there was none.
func (c *Client) Date() (date, at time.Time) { return c.date, c.at }

// Receive takes the next message, which the hub then locks for a minute. ok is
// false, and err nil, when the queue is empty.
//
// A 200 without a usable ETag is an error, and not a [*StatusError]: a message is
// locked then, but nothing can be done with it but wait.
func (c *Client) Receive(ctx context.Context, token string) (r Received, ok bool, err error) {
	const what = "receive a message"
	a, err := c.do(ctx, request{what: what, method: http.MethodGet, path: c.queue(), token: token, limit: maxMessage})
	switch {
	case err != nil:
		return Received{}, false, err
	case a.status == http.StatusNoContent:
		return Received{}, false, nil
	case a.status/100 == 2 && a.status != http.StatusOK:
		return Received{}, false, useless(what, "status %d", a.status)
	case a.status != http.StatusOK:
		return Received{}, false, a.refusal(what)
	case a.cut != nil:
		return Received{}, false, told(what, a.cut)
	case !a.measured:
		return Received{}, false, useless(what, "the body's length is not announced")
	}
	if r, err = readHeaders(a.header); err != nil {
		return Received{}, false, useless(what, "%w", err)
	}
	r.Message.Body = a.body
	return r, true, nil
}

// Complete takes a message off the queue: its sender sees Success.
// errors.Is(err, [ErrLockLost]) if the lock has lapsed; the message comes again.
func (c *Client) Complete(ctx context.Context, token, lock string) error {
	return c.settle(ctx, request{what: "complete a message", method: http.MethodDelete, path: c.message(lock), token: token, lock: lock})
}

// Reject takes a message off the queue: its sender sees Rejected. Errors are
// those of [Client.Complete].
func (c *Client) Reject(ctx context.Context, token, lock string) error {
	return c.settle(ctx, request{what: "reject a message", method: http.MethodDelete, path: c.message(lock), query: "reject=true&", token: token, lock: lock})
}

// Abandon gives a message back: it is delivered again, until the hub has done so
// often enough. Errors are those of [Client.Complete].
func (c *Client) Abandon(ctx context.Context, token, lock string) error {
	return c.settle(ctx, request{what: "abandon a message", method: http.MethodPost, path: c.message(lock) + "/abandon", token: token, lock: lock})
}

// Send sends telemetry; nil means that the hub has it. Telemetry that is larger
// than the hub takes is not sent, and answered as the hub would: by a
// [*StatusError] 413. Header names have no case, so properties that differ in
// nothing else become one.
func (c *Client) Send(ctx context.Context, token string, t hub.Telemetry) error {
	const what = "send telemetry"
	header, size := telemetryHeader(t)
	if size+len(t.Body) > maxTelemetry {
		return answer{status: http.StatusRequestEntityTooLarge}.refusal(what)
	}
	return c.settle(ctx, request{
		what: what, method: http.MethodPost, path: hub.DevicePath(c.cfg.DeviceID) + "/messages/events",
		token: token, header: header, body: t.Body,
	})
}

// settle makes a request whose answer says no more than yes or no.
func (c *Client) settle(ctx context.Context, r request) error {
	r.limit = maxError
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if a.status/100 != 2 {
		return a.refusal(r.what)
	}
	return nil
}

func (c *Client) queue() string {
	return hub.DevicePath(c.cfg.DeviceID) + "/messages/devicebound"
}

func (c *Client) message(lock string) string { return c.queue() + "/" + hub.Escape(lock) }

// do makes one request and reads its answer, whatever it says.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	req, err := r.http(ctx, c.authority())
	if err != nil {
		return answer{}, notSent(r.what, err)
	}
	if err := c.open(ctx); err != nil {
		return answer{}, notSent(r.what, err)
	}
	w := c.wire
	a, keep, err := w.exchange(ctx, req, r.limit)
	if !keep {
		c.Close()
	}
	if err != nil {
		return answer{}, told(r.what, err)
	}
	if !c.cfg.Road.LeafDate && w.validAt(a.date) {
		c.date, c.at = a.date, a.at
	}
	return a, nil
}

// open sees to a connection that can carry a request.
func (c *Client) open(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.wire != nil && c.wire.alive() {
		return nil
	}
	c.Close()
	conn, raw, err := dial.TLS(ctx, c.cfg.Road, c.cfg.Gateway, c.cfg.Port)
	if err != nil {
		return err
	}
	c.wire = newWire(conn, raw)
	return nil
}

// authority is the host as URLs and the Host header have it.
func (c *Client) authority() string {
	if c.cfg.Port == 443 {
		return c.cfg.Gateway
	}
	return net.JoinHostPort(c.cfg.Gateway, strconv.Itoa(c.cfg.Port))
}

// request is what one call of ours asks.
type request struct {
	what         string // for errors: "complete a message"
	method, path string // path: escaped
	query        string // what comes before api-version; "" or ending in '&'
	token        string // "": without credentials
	lock         string // for If-Match; "": none
	header       http.Header
	body         []byte
	limit        int64 // of the answer's body
}

func (r request) http(ctx context.Context, authority string) (*http.Request, error) {
	url := "https://" + authority + r.path + "?" + r.query + "api-version=" + hub.APIVersion
	req, err := http.NewRequestWithContext(ctx, r.method, url, body(r.body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", short{err})
	}
	if r.header != nil {
		req.Header = r.header
	}
	req.Header.Set("User-Agent", "actuatord") // Go's own name says less in the hub's logs
	if r.token != "" {
		req.Header.Set("Authorization", r.token)
	}
	if r.lock != "" {
		// The C SDK quotes it, others do not, and the hub takes both; by HTTP it is quoted.
		req.Header.Set("If-Match", `"`+r.lock+`"`)
	}
	return req, nil
}

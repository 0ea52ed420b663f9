package https

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
)

const (
	// staleWait is how long a kept connection is looked at for its end before it
	// is used again. What has arrived is seen without waiting; half of it would do,
	// double of it is nothing beside the way to the hub.
	staleWait = time.Millisecond
	// writeGrace is how long the rest of a request may take when its answer is
	// already there, before the connection is given up.
	writeGrace = 50 * time.Millisecond
	// framing is what chunks may add to a body: one of 64 KiB in chunks of 128
	// bytes, fewer than any server would write, needs 3 KiB.
	framing = 4 << 10
)

// wire is one connection, and how much may be read from it.
type wire struct {
	tls *tls.Conn
	raw net.Conn // below TLS: closing it ends both and never waits
	in  *meter
	buf *bufio.Reader // of in
}

func newWire(conn *tls.Conn, raw net.Conn) *wire {
	m := &meter{conn: conn}
	return &wire{tls: conn, raw: raw, in: m, buf: bufio.NewReader(m)}
}

// meter lets through so many bytes and remembers how the connection ended:
// net/http has one error for an end and for several kinds of nonsense.
type meter struct {
	conn io.Reader
	left int64
	err  error // of the latest reading
}

var errTooLarge = errors.New("the answer is larger than an answer of the hub can be")

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.conn.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.err = err
	return n, err
}

// alive tells whether a kept connection can carry another request. It cannot if
// the hub has ended it, or said something that was not asked for. Without this
// look, a request on a connection that had ended long ago would be one without
// an answer, and the caller would have to wait for a lock that nobody has.
func (w *wire) alive() bool {
	if err := w.tls.SetReadDeadline(time.Now().Add(staleWait)); err != nil {
		return false
	}
	w.in.left = 1
	_, err := w.buf.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && w.tls.SetReadDeadline(time.Time{}) == nil
}

// validAt tells whether the hub's certificate is valid at date; never at the
// zero time.
func (w *wire) validAt(date time.Time) bool {
	chain := w.tls.ConnectionState().PeerCertificates
	return !date.IsZero() && len(chain) > 0 && !date.Before(chain[0].NotBefore) && !date.After(chain[0].NotAfter)
}

// answer is what the hub said.
type answer struct {
	status   int
	header   http.Header
	body     []byte    // at most the limit asked for
	cut      error     // why body is not the whole; nil: it is, as far as can be told
	measured bool      // the body's length was announced, so that it can be told
	date     time.Time // of the Date header, UTC; zero: none that can be read
	at       time.Time // when the headers had come
}

// exchange sends a request and reads its answer, until ctx ends. keep tells
// whether the connection can be used again; otherwise it is closed. An error is a
// [*hub.Error] and means that there is no answer.
func (w *wire) exchange(ctx context.Context, req *http.Request, limit int64) (a answer, keep bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = w.raw.Close() })
	// At the same time: the hub may answer before it has read all, and then not
	// read on.
	written := make(chan error, 1)
	go func() { written <- req.Write(w.tls) }()
	a, keep, err = w.read(req, limit)
	wrote := w.finish(written, err == nil)
	if ended := !stop(); ended {
		over := &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("wait for the whole answer: %w", ctx.Err())}
		keep = false
		if err != nil {
			err = over
		}
		if a.cut != nil {
			a.cut = over
		}
	}
	return a, keep && wrote, err
}

// finish waits for the request to be written, which ends at once if there is no
// answer, and tells whether it was.
func (w *wire) finish(written <-chan error, answered bool) bool {
	if answered {
		timer := time.NewTimer(writeGrace)
		defer timer.Stop()
		select {
		case err := <-written:
			return err == nil
		case <-timer.C:
		}
	}
	_ = w.raw.Close()
	<-written
	return false
}

// read reads one answer. Interim answers (1xx) are skipped; the bound on the
// headers holds for all of them together.
func (w *wire) read(req *http.Request, limit int64) (a answer, keep bool, err error) {
	w.in.left = maxHeader
	resp, err := http.ReadResponse(w.buf, req)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(w.buf, req)
	}
	if err == nil && resp.ProtoMajor != 1 {
		err = fmt.Errorf("the answer is in HTTP/%d", resp.ProtoMajor)
	}
	if err != nil {
		return answer{}, false, w.why(err)
	}
	a = answer{
		status: resp.StatusCode, header: resp.Header, date: readDate(resp.Header), at: time.Now(),
		measured: resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0,
	}
	w.in.left = limit + framing
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case int64(len(a.body)) > limit:
		a.body = a.body[:limit]
		a.cut = w.why(errTooLarge)
	case err != nil:
		a.cut = w.why(err)
	}
	return a, a.cut == nil && a.measured && !resp.Close, nil
}

// why gives the class and cause of an error of reading: the connection's end, if
// it has ended, and otherwise what was said.
func (w *wire) why(err error) error {
	e := &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseProtocol, Err: err}
	if w.in.err != nil {
		e.Cause, e.Err = hub.CauseTLS, w.in.err
		if dial.Broke(w.in.err) {
			e.Cause = hub.CauseNetwork
		}
	}
	e.Err = fmt.Errorf("read the answer: %w", short{e.Err})
	return e
}

// readDate is lenient in nothing: a date decides about certificates. time.Parse alone
// would take a fraction of a second, another weekday and any case.
func readDate(h http.Header) time.Time {
	if v := h.Values("Date"); len(v) == 1 {
		if at, err := time.Parse(http.TimeFormat, v[0]); err == nil && at.Format(http.TimeFormat) == v[0] {
			return at.UTC()
		}
	}
	return time.Time{}
}

func body(b []byte) io.Reader {
	if len(b) == 0 {
		return http.NoBody // a POST then says Content-Length: 0, which the hub wants to hear
	}
	return bytes.NewReader(b)
}

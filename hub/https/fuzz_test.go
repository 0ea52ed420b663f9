package https

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
)

// FuzzReadHeaders: whatever headers an answer has, either there is no lock, or a
// lock that can be sent back and a message or a fault; and what could be read is
// within the bounds that others rely on.
func FuzzReadHeaders(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n"+text+"\r\n\r\n")), nil)
		if err != nil {
			return
		}
		r, err := readHeaders(resp.Header)
		again, errAgain := readHeaders(resp.Header)
		if !reflect.DeepEqual(r, again) || (err == nil) != (errAgain == nil) {
			t.Fatalf("read twice: %+v, %+v", r, again)
		}
		if err != nil {
			if !reflect.DeepEqual(r, Received{}) {
				t.Fatalf("beside the error: %+v", r)
			}
			return
		}
		req, err := request{method: http.MethodDelete, path: New(Config{DeviceID: "d"}).message(r.Lock), lock: r.Lock}.http(t.Context(), "h")
		if err != nil || req.URL.Path != "/devices/d/messages/devicebound/"+r.Lock || len(req.Header.Get("If-Match")) != len(r.Lock)+2 {
			t.Fatalf("lock %q cannot be sent back: %+v, %v", r.Lock, req, err)
		}
		if r.Fault != nil {
			wantPresentable(t, r.Fault)
			r.Message = hub.Message{Properties: r.Message.Properties}
		}
		if y := r.Message.Expiry.Year(); len(r.Message.ID) > hub.MaxMessageID || y < 1 || y > 9999 || r.Deliveries < 0 {
			t.Fatalf("out of bounds: %+v", r)
		}
		for name := range r.Message.Properties {
			if name == "" || name != strings.ToLower(name) || r.Fault != nil {
				t.Fatalf("property %q, fault %v", name, r.Fault)
			}
		}
	})
}

// FuzzAnswer: whatever comes in answer to a request, in whatever pieces, it is read as
// package http reads it, up to the bounds; what is not the whole is not taken for it;
// and a connection is kept only behind an answer whose end was announced.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nhi"), uint8(100), uint8(3), false)
	f.Fuzz(func(t *testing.T, b []byte, limit, piece uint8, settles bool) {
		req := &http.Request{Method: http.MethodGet}
		if settles {
			req.Method = http.MethodDelete
		}
		from := &drops{left: b, piece: int(piece) + 1}
		m := &meter{conn: from}
		a, keep, err := (&wire{in: m, buf: bufio.NewReader(m)}).read(req, int64(limit))
		if most := maxHeader + int(limit) + framing; len(b)-len(from.left) > most {
			t.Errorf("%d bytes were read; want %d at most", len(b)-len(from.left), most)
		}
		whole, body, wantErr := plainAnswer(b, req)
		if err != nil {
			var e *hub.Error
			if wantPresentable(t, err); !errors.As(err, &e) || !reflect.DeepEqual(a, answer{}) || keep || wantErr == nil && len(b) < maxHeader && whole.ProtoMajor == 1 {
				t.Errorf("error %v (%T), kept %v, beside it %+v", err, err, keep, a)
			}
			return
		}
		wantPresentable(t, a.cut)
		wantPresentable(t, a.refusal("ask"))
		if whole == nil || a.status != whole.StatusCode || int64(len(a.body)) > int64(limit) || !bytes.HasPrefix(body, a.body) || a.cut == nil && (wantErr != nil || len(a.body) != len(body)) {
			t.Errorf("%d, %q, cut: %v; want %q, %v", a.status, a.body, a.cut, body, wantErr)
		}
		if keep && (a.cut != nil || !a.measured || whole.Close) {
			t.Errorf("kept behind %+v", a)
		}
		if dates := a.header.Values("Date"); !a.date.IsZero() && (len(dates) != 1 || a.date.Format(http.TimeFormat) != dates[0]) {
			t.Errorf("the date is read as %v; it says %q", a.date, dates)
		}
	})
}

// plainAnswer is what package http takes for the answer to req, and its body as far as
// it comes.
func plainAnswer(b []byte, req *http.Request) (*http.Response, []byte, error) {
	r := bufio.NewReader(bytes.NewReader(b))
	resp, err := http.ReadResponse(r, req)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(r, req)
	}
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// drops is a connection from which bytes come some at a time.
type drops struct {
	left  []byte
	piece int
}

func (d *drops) Read(p []byte) (int, error) {
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), d.piece)], d.left)
	d.left = d.left[n:]
	return n, nil
}

// FuzzRefusal: whatever the body of a refusal and its headers say, the error is
// one short line.
func FuzzRefusal(f *testing.F) {
	f.Fuzz(func(t *testing.T, status uint16, code, retry string, body []byte) {
		a := answer{status: int(status), header: http.Header{"Iothub-Errorcode": {code}, "Retry-After": {retry}}, body: body}
		err := a.refusal("receive a message")
		wantPresentable(t, err)
		s := &StatusError{Code: readCode(a.header, body), RetryAfter: readRetryAfter(retry, time.Now())}
		if len(s.Code) > maxCode || s.Code != word(s.Code) || s.RetryAfter < 0 || s.RetryAfter > maxRetryAfter {
			t.Fatalf("%+v", s)
		}
	})
}

// FuzzTelemetryHeader: whatever a report holds, its headers are as many as they
// should be when they are read at the other end.
func FuzzTelemetryHeader(f *testing.F) {
	f.Fuzz(func(t *testing.T, id, kind, name, value string) {
		h, size := telemetryHeader(hub.Telemetry{MessageID: id, ContentType: kind, Properties: map[string]string{name: value}})
		req, err := request{method: http.MethodPost, path: "/", header: h}.http(t.Context(), "h")
		if err != nil {
			t.Fatal(err)
		}
		var sent bytes.Buffer
		if err := req.Write(&sent); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadRequest(bufio.NewReader(&sent))
		if err != nil {
			t.Fatalf("not read at the other end: %v", err)
		}
		if rest, _ := io.ReadAll(got.Body); len(rest) > 0 {
			t.Fatalf("a body: %q", rest)
		}
		want, bytes := 3, len("Content-Typeapplication/octet-stream") // Content-Length, Content-Type, User-Agent
		for header, v := range map[string]string{headMessageID: safe(id, visible), sendContentType: safe(kind, visible), headApplication + safe(name, inProperty): safe(value, inProperty)} {
			if header == headApplication || v == "" && !strings.HasPrefix(header, headApplication) {
				continue
			}
			want++
			bytes += len(header) + len(v)
			if got.Header.Get(header) != v {
				t.Fatalf("%s arrives as %q; want %q", header, got.Header.Get(header), v)
			}
		}
		if len(got.Header) != want || size != bytes {
			t.Fatalf("%d headers of %d bytes arrive; want %d of %d: %v", len(got.Header), size, want, bytes, got.Header)
		}
	})
}

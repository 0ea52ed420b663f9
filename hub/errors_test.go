package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestConnackError(t *testing.T) {
	if err := ConnackError(0); err != nil {
		t.Errorf("ConnackError(0) = %v; want nil", err)
	}
	want := map[byte]struct {
		class Class
		cause string
	}{
		1: {Misconfigured, "protocol"},
		2: {Misconfigured, "identity"},
		3: {RetrySoon, "server-unavailable"},
		4: {RetrySlowly, "credential"},
		5: {RetrySlowly, "credential"},
	}
	for code := range 255 {
		code := byte(code + 1)
		w, ok := want[code]
		if !ok {
			w.class, w.cause = RetrySlowly, "protocol"
		}
		err := ConnackError(code)
		var e *Error
		if !errors.As(err, &e) || e.Class != w.class || e.Cause != w.cause || !strings.Contains(err.Error(), fmt.Sprint(code)) {
			t.Errorf("ConnackError(%d) = %v; want class %v, cause %s and the code", code, err, w.class, w.cause)
		}
	}
}

func TestClassOf(t *testing.T) {
	slow := &Error{Class: RetrySlowly, Cause: CauseCredential, Err: io.EOF}
	tests := []struct {
		err   error
		class Class
		cause string
	}{
		{nil, RetrySoon, ""},
		{io.EOF, RetrySoon, "network"},
		{slow, RetrySlowly, "credential"},
		{fmt.Errorf("connect: %w", slow), RetrySlowly, "credential"},
		{&Error{Err: io.EOF}, RetrySoon, "network"},
	}
	for _, test := range tests {
		if class, cause := ClassOf(test.err), CauseOf(test.err); class != test.class || cause != test.cause {
			t.Errorf("class and cause of %v = %v, %q; want %v, %q", test.err, class, cause, test.class, test.cause)
		}
	}
	if !errors.Is(slow, io.EOF) || slow.Error() != "credential: EOF" || (&Error{Cause: "tls"}).Error() != "tls" {
		t.Errorf("Error says %q and wraps EOF: %v", slow, errors.Is(slow, io.EOF))
	}
	for class, want := range map[Class]string{RetrySoon: "retry soon", RetrySlowly: "retry slowly", Misconfigured: "misconfigured", 0: "unclassified"} {
		if class.String() != want {
			t.Errorf("Class(%d) = %q; want %q", class, class, want)
		}
	}
	for transport, want := range map[Transport]string{MQTT: "mqtt", HTTPS: "https", 0: "unknown transport"} {
		if transport.String() != want {
			t.Errorf("Transport(%d) = %q; want %q", transport, transport, want)
		}
	}
}

// TestSecretIsNeverPrinted tries every way in which a key inside something else
// has leaked somewhere: verbs that bypass String, JSON, slog, and fields that
// fmt reads without asking methods.
func TestSecretIsNeverPrinted(t *testing.T) {
	type nested struct{ c ConnectionString }
	const text = "hunter2"
	c := ConnectionString{HostName: "h", Key: NewSecret([]byte(text))}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%o", "%b", "%U", "%t"} {
		for _, v := range []any{c.Key, &c.Key, c, &c, nested{c}, &nested{c}, []ConnectionString{c}, map[string]nested{"a": {c}}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", c.Key, "c", c, "n", nested{c})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", c.Key, "c", c, "n", nested{c})
	out.WriteString(c.Key.String() + c.Key.GoString() + c.Key.LogValue().String())

	for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), strings.Trim(fmt.Sprint([]byte(text)), "[]"), "aHVudGVyMg"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("the key was printed as %q", leak)
		}
	}
	if !strings.Contains(out.String(), hidden) {
		t.Error("nothing says [secret]: this test looked at nothing")
	}
}

func TestSecretOwnsItsBytes(t *testing.T) {
	b := []byte("key")
	s := NewSecret(b)
	b[0] = 'x'
	if !bytes.Equal(s.Reveal(), []byte("key")) || (Secret{}).Reveal() != nil {
		t.Errorf("Secret holds %q, the zero one %q; want a copy, and nothing", s.Reveal(), Secret{}.Reveal())
	}
}

package hub

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	testKey = func() Secret {
		b := make([]byte, 32)
		for i := range b {
			b[i] = byte(i)
		}
		return NewSecret(b)
	}()
	testExpiry = time.Unix(1795000000, 0).UTC()
)

// Made with Python's hmac, base64 and urllib, not with this package.
const (
	pythonToken = "SharedAccessSignature sr=contoso.azure-devices.net%2Fdevices%2Fpump-1&sig=5dqQLMw%2FRpdS98yh6clysQwjl%2BquvC0wlZysnJ1%2BHUM%3D&se=1795000000"
	lowerToken  = "SharedAccessSignature sr=contoso.azure-devices.net%2fdevices%2fpump-1&sig=9VRW%2BtDfPeqeUHeN/TWd83HwgDV7QXEnauTAI%2BXfQqc%3D&se=1795000000"
)

func TestSignSAS(t *testing.T) {
	if got := SignSAS(Resource("contoso.azure-devices.net", "pump-1"), testKey, "", testExpiry); got != pythonToken {
		t.Errorf("SignSAS = %q; want %q", got, pythonToken)
	}
	got := SignSAS("h", testKey, "my policy", testExpiry.Add(999*time.Millisecond))
	if !strings.HasSuffix(got, "&se=1795000000&skn=my%20policy") {
		t.Errorf("SignSAS with a policy = %q; want whole seconds, then skn", got)
	}
}

func TestParseSAS(t *testing.T) {
	for _, token := range []string{
		pythonToken,
		lowerToken,
		// any order, any case of names, unknown fields
		"SharedAccessSignature SE=1795000000&Sig=5dqQLMw%2FRpdS98yh6clysQwjl%2BquvC0wlZysnJ1%2BHUM%3D&x=y&SR=contoso.azure-devices.net%2Fdevices%2Fpump-1",
	} {
		s, err := ParseSAS(token)
		if err != nil {
			t.Errorf("ParseSAS(%q): %v", token, err)
			continue
		}
		if s.Resource != "contoso.azure-devices.net/devices/pump-1" || !s.Expiry.Equal(testExpiry) || s.Policy != "" {
			t.Errorf("ParseSAS(%q) = %+v", token, s)
		}
		if err := s.Verify(testKey); err != nil {
			t.Errorf("Verify(%q): %v", token, err)
		}
	}
}

// TestVerifyLiteral: the resource is signed as it is written. The same resource
// escaped in another way, or the same time written in another way, is another
// text and needs another signature.
func TestVerifyLiteral(t *testing.T) {
	for _, token := range []string{
		strings.Replace(pythonToken, "%2Fdevices", "%2fdevices", 1),
		strings.Replace(pythonToken, "%2Fdevices", "/devices", 1),
		strings.Replace(pythonToken, "se=1795", "se=01795", 1),
		strings.Replace(pythonToken, "se=1795000000", "se=1795000001", 1),
		strings.Replace(pythonToken, "sig=5d", "sig=6d", 1),
	} {
		s, err := ParseSAS(token)
		if err != nil {
			t.Errorf("ParseSAS(%q): %v", token, err)
			continue
		}
		if err := s.Verify(testKey); !errors.Is(err, ErrSignature) {
			t.Errorf("Verify(%q) = %v; want ErrSignature", token, err)
		}
	}
	s, _ := ParseSAS(pythonToken)
	if err := s.Verify(NewSecret([]byte("another"))); !errors.Is(err, ErrSignature) {
		t.Errorf("Verify with another key = %v; want ErrSignature", err)
	}
	empty, _ := ParseSAS(SignSAS("h", Secret{}, "", testExpiry))
	if err := empty.Verify(Secret{}); !errors.Is(err, ErrSignature) {
		t.Errorf("Verify with no key = %v; want ErrSignature: anybody can sign with nothing", err)
	}
}

func TestParseSASFaults(t *testing.T) {
	tests := []struct{ token, says string }{
		{"", "does not start"},
		{"sharedaccesssignature sr=a&sig=YQ%3D%3D&se=1", "does not start"},
		{"SharedAccessSignature  sr=a&sig=YQ%3D%3D&se=1", "sr is missing"}, // two blanks
		{"SharedAccessSignature sig=YQ%3D%3D&se=1", "sr is missing"},
		{"SharedAccessSignature sr=a&se=1", "sig is missing"},
		{"SharedAccessSignature sr=a&sig=YQ%3D%3D", "se is missing"},
		{"SharedAccessSignature sr=a&sig=YQ%3D%3D&se=1&SE=2", "twice"},
		{"SharedAccessSignature sr", "without '='"},
		{"SharedAccessSignature sr=%&sig=YQ%3D%3D&se=1", "bad escape in sr"},
		{"SharedAccessSignature sr=a&sig=%&se=1", "bad escape in sig"},
		{"SharedAccessSignature sr=a&sig=YQ%3D%3D&se=1&skn=%ff", "invalid UTF-8 in skn"},
		{"SharedAccessSignature sr=a&sig=hunter2!&se=1", "sig is not base64"},
		{"SharedAccessSignature sr=a&sig=YQ%3D%3D&se=never", "se is not a number"},
		{"SharedAccessSignature sr=a&sig=YQ%3D%3D&se=-1", "se is not a number"},
		{"SharedAccessSignature sr=a&sig=YQ%3D%3D&se=253402300800", "se is not a number"},
	}
	for _, test := range tests {
		_, err := ParseSAS(test.token)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("ParseSAS(%q) = %v; want %q", test.token, err, test.says)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseSAS(%q) = %v: shows the signature", test.token, err)
		}
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		own, asked string
		want       bool
	}{
		{"h/devices/a", "h/devices/a", true},
		{"h/devices/a", "h/devices/a/messages/events", true},
		{"h/devices/a", "h/devices/ab", false},
		{"h/devices/a", "h/devices/A", false},
		{"H/devices/a", "h/devices/a", true},
		{"h/devices/a", "h2/devices/a", false},
		{"h/devices/a", "h/devices", false},
		{"h/devices", "h/devices/a", true},
		{"h", "h/devices/a", true},
		{"h/devices/a/", "h/devices/a", true},
		{"h/devices/a/api-version=2016-11-14", "h/devices/a", true},
		{"h/devices/a/api-version=2016-11-14", "h/devices/b", false},
		{"api-version=1", "h/devices/a", false},
		{"", "h/devices/a", false},
		{"", "", false},
	}
	for _, test := range tests {
		if got := (SAS{Resource: test.own}).Covers(test.asked); got != test.want {
			t.Errorf("token for %q covers %q = %v; want %v", test.own, test.asked, got, test.want)
		}
	}
}

// FuzzParseSAS: what can be read can be signed again and still says the same.
func FuzzParseSAS(f *testing.F) {
	f.Add(pythonToken)
	f.Add(lowerToken + "&skn=iothubowner")
	f.Add("SharedAccessSignature sr=hunter2%&sig=hunter2!&se=hunter2&skn=%ff")
	f.Fuzz(func(t *testing.T, token string) {
		s, err := ParseSAS(token)
		if err != nil {
			if text := err.Error(); len(text) > 100 || strings.Contains(text, "hunter2") || !reflect.DeepEqual(s, SAS{}) {
				t.Fatalf("beside %+v: %q", s, text)
			}
			return
		}
		if err := s.Verify(Secret{}); err == nil {
			t.Fatalf("%q verified without a key", token)
		}
		back, err := ParseSAS(SignSAS(s.Resource, testKey, s.Policy, s.Expiry))
		if s.Resource == "" {
			return // an escape of nothing cannot be made again
		}
		if err != nil || back.Resource != s.Resource || back.Policy != s.Policy || !back.Expiry.Equal(s.Expiry) || back.Verify(testKey) != nil || bytes.Equal(back.Signature, nil) {
			t.Fatalf("%q read as %+v, signed again and read as %+v, %v", token, s, back, err)
		}
	})
}

package hub

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const sasScheme = "SharedAccessSignature "

// maxExpiry is the last second of the year 9999; a later one is nonsense and
// would not survive being written as RFC 3339.
const maxExpiry = 253402300799

// SignSAS makes a token for resource (such as [Resource] gives) that is valid
// until expiry, in whole seconds. policy is "" for a device's own key. The
// token is itself a secret for as long as it is valid.
func SignSAS(resource string, key Secret, policy string, expiry time.Time) string {
	sr := Escape(resource)
	se := strconv.FormatInt(expiry.Unix(), 10)
	sig := base64.StdEncoding.EncodeToString(sasMAC(key, sr, se))
	token := sasScheme + "sr=" + sr + "&sig=" + Escape(sig) + "&se=" + se
	if policy != "" {
		token += "&skn=" + Escape(policy)
	}
	return token
}

func sasMAC(key Secret, sr, se string) []byte {
	mac := hmac.New(sha256.New, key.Reveal())
	mac.Write([]byte(sr + "\n" + se))
	return mac.Sum(nil)
}

// SAS is a shared access signature as received. Only [ParseSAS] makes one that
// can be verified.
type SAS struct {
	Resource  string // decoded
	Raw       string // the literal text of sr: what was signed
	Signature []byte
	Expiry    time.Time
	Policy    string // "": a device's own key

	rawExpiry string // the literal text of se, signed too
}

// ErrSignature says that a token was not made with the key it was checked with.
var ErrSignature = errors.New("signature does not match the key")

// ParseSAS reads a token as Microsoft's own parser does: the scheme is case
// sensitive and followed by one blank, field names are not case sensitive,
// their order does not matter, unknown ones are ignored. Errors name the field
// and never show a value.
func ParseSAS(token string) (SAS, error) {
	rest, ok := strings.CutPrefix(token, sasScheme)
	if !ok {
		return SAS{}, errors.New("read token: it does not start with \"SharedAccessSignature \"")
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, "&") {
		name, value, ok := strings.Cut(field, "=")
		name = strings.ToLower(name)
		switch _, twice := fields[name]; {
		case !ok:
			return SAS{}, errors.New("read token: a field without '='")
		case twice:
			return SAS{}, errors.New("read token: the same field twice")
		}
		fields[name] = value
	}
	for _, name := range []string{"sr", "sig", "se"} {
		if fields[name] == "" {
			return SAS{}, fmt.Errorf("read token: %s is missing", name)
		}
	}
	return sasFrom(fields)
}

func sasFrom(fields map[string]string) (SAS, error) {
	s := SAS{Raw: fields["sr"], rawExpiry: fields["se"]}
	var bad *PropertyError
	if s.Resource, bad = unescape(s.Raw, 0, "sr"); bad != nil {
		return SAS{}, errors.New("read token: " + bad.Reason)
	}
	if s.Policy, bad = unescape(fields["skn"], 0, "skn"); bad != nil {
		return SAS{}, errors.New("read token: " + bad.Reason)
	}
	sig, bad := unescape(fields["sig"], 0, "sig")
	if bad != nil {
		return SAS{}, errors.New("read token: " + bad.Reason)
	}
	var err error
	if s.Signature, err = base64.StdEncoding.Strict().DecodeString(sig); err != nil {
		return SAS{}, errors.New("read token: sig is not base64")
	}
	seconds, err := strconv.ParseInt(s.rawExpiry, 10, 64)
	if err != nil || seconds < 0 || seconds > maxExpiry {
		return SAS{}, errors.New("read token: se is not a number of seconds since 1970")
	}
	s.Expiry = time.Unix(seconds, 0).UTC()
	return s, nil
}

// Verify checks the signature over the literal text of the token: SDKs escape
// the resource in several ways, and each signs what it sent. Expiry and
// resource are not looked at. The error is [ErrSignature].
func (s SAS) Verify(key Secret) error {
	if len(key.Reveal()) == 0 || !hmac.Equal(s.Signature, sasMAC(key, s.Raw, s.rawExpiry)) {
		return ErrSignature
	}
	return nil
}

// Covers tells whether the token is good for resource: its own resource must be
// a prefix of it by path segment, so hub/devices/a covers hub/devices/a/messages
// and not hub/devices/ab. Host names compare without case. A last segment
// "api-version=…", which some of Microsoft's tools glue on, is ignored.
func (s SAS) Covers(resource string) bool {
	own := strings.Split(strings.TrimSuffix(s.Resource, "/"), "/")
	if last := len(own) - 1; last > 0 && strings.HasPrefix(own[last], "api-version=") {
		own = own[:last]
	}
	asked := strings.Split(resource, "/")
	if len(own) > len(asked) || own[0] == "" || !strings.EqualFold(own[0], asked[0]) {
		return false
	}
	for i := 1; i < len(own); i++ {
		if own[i] != asked[i] {
			return false
		}
	}
	return true
}

package hub

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTopic is MQTT's own bound on a topic: its length is sent as 16 bits. A
// longer text cannot have come over the wire.
const maxTopic = 65535

// MaxMessageID is the hub's documented bound on message-id, in bytes. The
// journal keys its records by it, so a longer one is a fault and not cut.
const MaxMessageID = 128

// PropertyError reports a message whose properties cannot be read: the bag in its
// topic, or its headers over HTTPS. It is final for the message: delivering it
// again will not change a byte of it.
type PropertyError struct {
	Pos    int    // byte offset in the topic where reading stopped; -1: it is about a header
	Reason string // one phrase, such as "bad escape in value of iothub-ack"
}

func (e *PropertyError) Error() string {
	if e.Pos < 0 {
		return "read message properties: " + e.Reason
	}
	return fmt.Sprintf("read message properties: %s at byte %d of the topic", e.Reason, e.Pos)
}

// eachPair calls f for each key and value of the bag that starts at byte from
// of topic. Pairs are split before anything is unescaped, since an escaped '&'
// or '=' belongs to a name or value. "key" and "key=" both give an empty value:
// the hub writes a null as the first and an empty string as the second, and
// nothing in a message tells them apart for us. Empty pairs are skipped.
func eachPair(topic string, from int, f func(pos int, key, value string) *PropertyError) *PropertyError {
	if len(topic) > maxTopic {
		return &PropertyError{Pos: maxTopic, Reason: "oversize topic"}
	}
	// The documentation's example shows "/?" before the bag, captures of real
	// hubs do not: both are read.
	if strings.HasPrefix(topic[from:], "?") {
		from++
	}
	for pair := range strings.SplitSeq(topic[from:], "&") {
		if pair != "" {
			rawKey, rawValue, _ := strings.Cut(pair, "=")
			key, err := unescape(rawKey, from, "a property name")
			if err != nil {
				return err
			}
			if key == "" {
				return &PropertyError{Pos: from, Reason: "empty property name"}
			}
			value, err := unescape(rawValue, from+len(rawKey)+1, "the value of "+quoteShort(key))
			if err != nil {
				return err
			}
			if err := f(from, key, value); err != nil {
				return err
			}
		}
		from += len(pair) + 1
	}
	return nil
}

// unescape decodes %XX and nothing else: '+' is a plus sign here, unlike in web
// forms. pos is where s starts in the topic and what names it in an error.
func unescape(s string, pos int, what string) (string, *PropertyError) {
	if strings.Contains(s, "%") {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b = append(b, s[i])
				continue
			}
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return "", &PropertyError{Pos: pos + i, Reason: "bad escape in " + what}
			}
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		}
		s = string(b)
	}
	if !utf8.ValidString(s) {
		return "", &PropertyError{Pos: pos, Reason: "invalid UTF-8 in " + what}
	}
	return s, nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Escape writes s as .NET's Uri.EscapeDataString does, which is what the hub
// uses: letters, digits and -._~ stay, every other byte becomes %XX in upper
// case. So '+', '#' and '/', which have a meaning in topics, never appear.
func Escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// bagWriter joins escaped pairs with '&'.
type bagWriter struct{ strings.Builder }

func (w *bagWriter) pair(key, value string) {
	if w.Len() > 0 {
		w.WriteByte('&')
	}
	w.WriteString(Escape(key))
	w.WriteByte('=')
	w.WriteString(Escape(value))
}

// set writes the pair only if there is a value.
func (w *bagWriter) set(key, value string) {
	if value != "" {
		w.pair(key, value)
	}
}

// quoteShort quotes what a stranger sent, cut so that an error stays one line.
func quoteShort(s string) string {
	const most = 64 // a property name longer than this is not one anybody reads
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

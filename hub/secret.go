package hub

import (
	"fmt"
	"io"
	"log/slog"
)

const hidden = "[secret]"

// Secret holds a key that must not be printed by accident. Every way of
// formatting, logging or marshalling it gives "[secret]". The bytes sit behind
// two pointers because fmt calls no methods below an unexported field: there it
// prints an address, but for a verb that does not fit it follows one pointer.
// The zero Secret is empty.
type Secret struct{ key **[]byte }

// NewSecret keeps its own copy of key.
func NewSecret(key []byte) Secret {
	own := append([]byte(nil), key...)
	p := &own
	return Secret{key: &p}
}

// Reveal gives the bytes, for signing and for the one place that prints a
// connection string. The caller must not change or log them.
func (s Secret) Reveal() []byte {
	if s.key == nil {
		return nil
	}
	return **s.key
}

// String gives "[secret]".
func (s Secret) String() string { return hidden }

// GoString gives "[secret]", for %#v.
func (s Secret) GoString() string { return hidden }

// Format gives "[secret]" for every verb: without it %d would print the bytes.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue gives "[secret]" to log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText gives "[secret]", for JSON and TOML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

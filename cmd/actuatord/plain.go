package main

import (
	"io"
	"strings"
	"unicode"
)

// plain is what a person reads. What the daemon tells may quote a message id, a peer's
// words or a chip's label: nothing of them moves the cursor or turns the text around.
type plain struct{ w io.Writer }

func (p plain) Write(b []byte) (int, error) {
	text := strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b))
	if _, err := io.WriteString(p.w, text); err != nil {
		return 0, err
	}
	return len(b), nil
}

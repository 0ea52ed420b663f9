package main

import (
	"bytes"
	"io"
)

// levelled puts journald's level in front of each line that slog writes. A slog
// handler makes exactly one Write a record.
type levelled struct{ w io.Writer }

func (l levelled) Write(line []byte) (int, error) {
	prefix := "<6>" // info
	switch {
	case bytes.HasPrefix(line, []byte("level=ERROR")):
		prefix = "<3>"
	case bytes.HasPrefix(line, []byte("level=WARN")):
		prefix = "<4>"
	case bytes.HasPrefix(line, []byte("level=DEBUG")):
		prefix = "<7>"
	}
	if _, err := l.w.Write(append([]byte(prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

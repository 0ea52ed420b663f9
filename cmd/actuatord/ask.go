package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// asker puts questions to whoever is at the other end of standard input: a person at
// a terminal, or a program that has written its answers in advance, a line each.
type asker struct {
	in     *bufio.Reader
	out    io.Writer
	ctx    context.Context
	term   int  // the terminal's descriptor; -1 where it is none
	silent bool // its echo is off
}

// maxAnswer is as long as a line of a terminal can be, and four times the longest
// connection string.
const maxAnswer = 4096

var (
	errStopped = errors.New("stopped; nothing was written")
	errTooLong = errors.New("that is no answer: it is too long")
)

func newAsker(ctx context.Context, e env) *asker {
	a := &asker{in: bufio.NewReaderSize(e.in, maxAnswer), out: plain{e.out}, ctx: ctx, term: -1}
	if f, ok := e.in.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			a.term = int(f.Fd())
		}
	}
	return a
}

// say writes a line.
func (a *asker) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// line asks one question and answers one line, without the space or quotes around it.
// The reading knows no cancelling, so it has a goroutine, which ends with the process.
func (a *asker) line(question string) (string, error) {
	fmt.Fprint(a.out, question)
	if a.term < 0 {
		fmt.Fprintln(a.out) // nobody's Enter ends the line
	}
	type reply struct {
		text string
		err  error
	}
	got := make(chan reply, 1)
	go func() {
		text, err := a.in.ReadSlice('\n')
		got <- reply{string(text), err}
	}()
	select {
	case <-a.ctx.Done():
		a.say("")
		return "", errStopped
	case r := <-got:
		if a.silent {
			a.say("") // the Enter that was not shown
		}
		switch {
		case errors.Is(r.err, bufio.ErrBufferFull):
			return "", errTooLong
		case r.err != nil && r.text == "":
			return "", fmt.Errorf("the answers end before %q: %w; nothing was written", strings.TrimSpace(question), r.err)
		}
		return unquoted(strings.TrimSpace(r.text)), nil
	}
}

// until asks the same again, with the reason, until take has no objection.
func (a *asker) until(question string, take func(answer string) error) error {
	for {
		answer, err := a.line(question)
		if err != nil {
			return err
		}
		err = errUnreadable
		if printable(answer) {
			err = take(answer)
		}
		if err == nil {
			return nil
		}
		a.say("  %v", err)
	}
}

// unquoted takes a pair of quotes away: what is copied out of JSON or a configuration
// has them.
func unquoted(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

var errUnreadable = errors.New("that has characters in it that cannot be shown; write it again")

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// yes asks for a yes or a no; Enter means without.
func (a *asker) yes(question string, without bool) (bool, error) {
	yes := without
	hint := map[bool]string{true: "[Y/n]", false: "[y/N]"}[without]
	err := a.until(question+" "+hint+" ", func(answer string) error {
		switch strings.ToLower(answer) {
		case "":
		case "y", "yes":
			yes = true
		case "n", "no":
			yes = false
		default:
			return errors.New("y or n?")
		}
		return nil
	})
	return yes, err
}

// secretly is until for what must not be seen: the terminal does not show what is typed.
// It shows it again whatever ends the question, a signal included.
func (a *asker) secretly(question string, take func(answer string) error) error {
	if a.term < 0 {
		return a.until(question, take)
	}
	before, err := unix.IoctlGetTermios(a.term, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("ask the terminal for its modes: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG // lines, and Ctrl-C means what it says
	if err := unix.IoctlSetTermios(a.term, unix.TCSETS, &silent); err != nil {
		return fmt.Errorf("turn the terminal's echo off: %w", err)
	}
	a.silent = true
	err = a.until(question, take)
	a.silent = false
	return errors.Join(err, unix.IoctlSetTermios(a.term, unix.TCSETS, before))
}

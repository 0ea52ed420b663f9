package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"actuatord/board/linux"
)

// drawing writes a board for people, in as many columns as the terminal has.
type drawing struct {
	w     io.Writer
	width int
}

// plainWidth is for what is no terminal: that of a terminal nobody has widened.
const plainWidth = 80

func terminalWidth(e env) int {
	if f, ok := e.out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	if n, err := strconv.Atoi(e.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return plainWidth
}

const noBuses = "there is no I2C bus; on a Raspberry Pi, dtparam=i2c_arm=on in config.txt makes bus 1"

// board draws everything, or the buses alone.
func (d drawing) board(s linux.Survey, everything bool) error {
	if everything {
		if s.Model != "" {
			fmt.Fprintf(d.w, "%s\n\n", cell(s.Model))
		}
		for _, c := range s.Chips {
			d.chip(c)
		}
		if len(s.Chips) == 0 {
			fmt.Fprintf(d.w, "no GPIO chip: this machine has none, or its driver is not loaded\n\n")
		}
		d.header(s.Header)
	}
	for _, b := range s.Buses {
		d.bus(b)
	}
	if len(s.Buses) == 0 {
		fmt.Fprintln(d.w, noBuses)
	}
	if !everything {
		return nil
	}
	for _, p := range s.PWM {
		fmt.Fprintf(d.w, "PWM %s  %s  %d channels\n", p.Name, cell(p.Device), p.Channels)
	}
	_, err := io.WriteString(d.w, "\n[x] is what this configuration calls it, (x) who holds a line. Nothing was moved.\n")
	return err
}

// cell is a name that somebody chose, fit for a table.
func cell(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (d drawing) chip(c linux.Chip) {
	head := c.Path
	for _, p := range c.Also {
		head += ", also " + p
	}
	if c.Fault != "" {
		fmt.Fprintf(d.w, "%s  not read: %s\n\n", head, cell(c.Fault))
		return
	}
	fmt.Fprintf(d.w, "%s  label %s  %d lines\n", head, cell(c.Label), len(c.Lines))
	var rows [][]string
	for i := 0; i < len(c.Lines); {
		l, last := c.Lines[i], i
		for last+1 < len(c.Lines) && idle(c.Lines[last+1], l) {
			last++
		}
		offset, name := fmt.Sprint(l.Offset), cell(l.Name)
		if last > i {
			offset += fmt.Sprintf("-%d", c.Lines[last].Offset)
		}
		if name == "" {
			name = "-"
		}
		rows = append(rows, []string{offset, name, l.Direction, use(l.Used, l.Holder, l.Target) + flagWords(l)})
		i = last + 1
	}
	d.table(rows)
	fmt.Fprintln(d.w)
}

// idle tells whether two neighbours have no name, no user and nothing else to tell
// apart: a row for the run of them says as much.
func idle(a, b linux.Line) bool {
	a.Offset = b.Offset
	return a == b && a.Name == "" && !a.Used && a.Target == ""
}

// use is who has a line: by this configuration, and by the kernel.
func use(used bool, holder, target string) string {
	var words []string
	if target != "" {
		words = append(words, "["+cell(target)+"]")
	}
	if used && holder == "" {
		words = append(words, "(in use)")
	} else if used {
		words = append(words, "("+cell(holder)+")")
	}
	return strings.Join(words, " ")
}

func flagWords(l linux.Line) string {
	text := ""
	if l.ActiveLow {
		text += " active-low"
	}
	for _, word := range []string{l.Bias, l.Drive} {
		switch word {
		case "":
		case "disabled":
			text += " no bias"
		default:
			text += " " + word
		}
	}
	return text
}

// table draws rows of three columns and a rest, which goes into a line of its own
// where it does not fit.
func (d drawing) table(rows [][]string) {
	var widths [3]int
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		rest := strings.TrimSpace(row[3])
		begin := fmt.Sprintf("  %*s  %-*s  %-*s", widths[0], row[0], widths[1], row[1], widths[2], row[2])
		gap := "  "
		if utf8.RuneCountInString(begin+gap+rest) > d.width {
			begin, gap = strings.TrimRight(begin, " "), fmt.Sprintf("\n%*s", widths[0]+4, "")
		}
		if rest == "" {
			gap = ""
		}
		fmt.Fprintln(d.w, strings.TrimRight(begin+gap+rest, " "))
	}
}

// header draws the pins as they lie on the board, odd ones left; or below each other
// where the terminal is narrow.
func (d drawing) header(pins []linux.Pin) {
	if len(pins) == 0 {
		return
	}
	fmt.Fprintf(d.w, "header, as seen with pin 1 at the top left\n")
	left, right := 0, 0
	for i, p := range pins {
		n := utf8.RuneCountInString(p.Name + " " + use(p.Used, p.Holder, p.Target))
		if i%2 == 0 {
			left = max(left, n)
		} else {
			right = max(right, n)
		}
	}
	for i := 0; i < len(pins); i += 2 {
		odd, even := pins[i], pins[i+1]
		o, e := use(odd.Used, odd.Holder, odd.Target), use(even.Used, even.Holder, even.Target)
		if left+right+len("   1 |  2  ") > d.width {
			fmt.Fprintln(d.w, strings.TrimRight(fmt.Sprintf("%2d %s %s", odd.Number, odd.Name, o), " "))
			fmt.Fprintln(d.w, strings.TrimRight(fmt.Sprintf("%2d %s %s", even.Number, even.Name, e), " "))
			continue
		}
		fmt.Fprintln(d.w, strings.TrimRight(fmt.Sprintf("%*s  %2d | %-2d  %s %s", left, strings.TrimSpace(o+" "+odd.Name), odd.Number, even.Number, even.Name, e), " "))
	}
	fmt.Fprintln(d.w)
}

func (d drawing) bus(b linux.Bus) {
	fmt.Fprintf(d.w, "I2C bus %d  %s", b.Number, cell(b.Adapter))
	if b.Fault == "" {
		b.Fault = "takes plain transfers"
	}
	fmt.Fprintf(d.w, "  %s\n", cell(b.Fault))
	for _, a := range b.Addresses {
		text := use(false, "", a.Target)
		switch a.State {
		case "driver":
			text += fmt.Sprintf(" not asked: the kernel's driver %s has it", cell(a.Driver))
		case "fault":
			text += " " + cell(a.Fault)
		default:
			text += " answers"
		}
		fmt.Fprintf(d.w, "  %s  %s\n", a.Address, strings.TrimSpace(text))
	}
	if b.Scanned && len(b.Addresses) == 0 {
		fmt.Fprintln(d.w, "  no address answers")
	}
}

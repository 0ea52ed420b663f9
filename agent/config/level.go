package config

import (
	"strconv"
	"strings"

	"actuatord/board"
)

const (
	wantLevelLine = `must be a line of an expander with chip = "pca9685", such as "dimmers:0", or of a PWM chip of the kernel, such as "pwmchip0:1"`
	wantFrequency = `must be a whole number of Hz or kHz in quotes, such as "200Hz" or "25kHz"`
	wantPercent   = "must be a number from 0 to 100 with at most two decimals, without quotes"
)

func (s *section) level() board.PWM {
	w := board.PWM{
		Name:      s.name(),
		Line:      s.text("line", "", wantLevelLine, validLine),
		Frequency: s.frequency(),
		Safe:      s.percent("safe"),
		MaxOn:     s.maxOn(),
		MaxAge:    s.maxAge(),
		Permit:    s.permit(),
	}
	if !s.has("max_on") {
		s.r.warn(s.table.line, `level %s has no max_on, so it may stay away from its safe level for ever; set one, or max_on = "none" if that is meant`, quote(w.Name))
	}
	return w
}

// frequency has a unit, as durations have: 25 is a servo's or a fan's, and the wrong
// one can harm either. What can be had is the board's rule.
func (s *section) frequency() int {
	n := s.get("frequency", isString, wantFrequency)
	if n == nil {
		return 0
	}
	digits, kilo := strings.CutSuffix(n.text, "kHz")
	hertz := true
	if !kilo {
		digits, hertz = strings.CutSuffix(n.text, "Hz")
	}
	f, err := strconv.ParseUint(digits, 10, 20) // a million at most
	if kilo {
		f *= 1000
	}
	if !hertz || err != nil || f == 0 || strings.HasPrefix(digits, "0") {
		s.fault("frequency", wantFrequency)
		return 0
	}
	return int(f)
}

// percent reads a number, whole or not.
func (s *section) percent(key string) board.Percent {
	s.keys = append(s.keys, key)
	n := s.table.fields[key]
	if n == nil {
		return 0
	}
	p, err := board.ParsePercent(n.text)
	if err != nil || n.kind != isInteger && n.kind != isOther {
		s.fault(key, wantPercent)
		return 0
	}
	return p
}

package config

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxShown is the most bytes of a value that an error shows.
const maxShown = 60

const hidden = "[hidden: it looks like a secret]"

// show renders a value for an error.
func show(n *node) string {
	switch n.kind {
	case isTable:
		return "{...}"
	case isArray:
		return "[...]"
	case isString:
		return quote(n.text)
	}
	return plain(n.text)
}

// quote quotes s, cut short, with control characters escaped and nothing in it
// that looks like a secret.
func quote(s string) string {
	if looksSecret(s) {
		return hidden
	}
	return strconv.Quote(cut(s)) + dots(s)
}

// plain is s itself where that can be shown, and quoted otherwise.
func plain(s string) string {
	if looksSecret(s) || len(s) > 2*maxShown || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return quote(s)
	}
	return s
}

// named is plain for names of keys and words about them: there a pasted key has lost
// its padding, and nothing of ours is as long.
func named(s string) string {
	if hasKey(s, false) {
		return hidden
	}
	return plain(s)
}

func cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	n := maxShown
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func dots(s string) string {
	if len(s) > maxShown {
		return "..."
	}
	return ""
}

// looksSecret knows connection strings and tokens by their field names, and a
// bare key by its form: base64 of 32 bytes or more, with its padding. Such a
// thing in a value, or even in a key, is a slip of the clipboard.
func looksSecret(s string) bool {
	return strings.Contains(strings.ToLower(s), "sharedaccess") || hasKey(s, true)
}

// hasKey tells whether base64 of 30 bytes or more is in s, padded or not.
func hasKey(s string, padded bool) bool {
	const shortest = 40 // a hub's keys have 44 characters, or 88
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '=' && run >= shortest:
			return true
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/':
			if run++; run >= shortest && !padded {
				return true
			}
		default:
			run = 0
		}
	}
	return false
}

// short writes a duration as people do: 25m, not 25m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// nearest finds the known key that s was most likely meant to be: the same but
// for case, or at most two slips away; "" if there is none.
func nearest(s string, known []string) string {
	if len(s) > maxShown {
		return ""
	}
	best, least := "", 3
	for _, k := range known {
		if n := slips(strings.ToLower(s), k); n < least && n < len(k)-1 {
			best, least = k, n
		}
	}
	return best
}

// slips counts the letters to insert, delete or replace between a and b.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package handlers

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxQuote = 40  // bytes of a sender's text, escaped, in a sentence of at most 300
	maxList  = 140 // bytes of a list of names in one
)

// quote quotes s with control characters, direction marks and the like
// escaped, since it ends up in logs and on terminals; what is longer than
// maxQuote once escaped is cut between two characters.
func quote(s string) string {
	out := []byte{'"'}
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		q := strconv.Quote(s[i : i+size])
		if len(out)+len(q)-2 > maxQuote+1 {
			return string(out) + `"...`
		}
		out = append(out, q[1:len(q)-1]...)
		i += size
	}
	return string(out) + `"`
}

// describe says what a JSON value is, with its text where it is a scalar.
func describe(tok json.Token) string {
	switch v := tok.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		if len(v) > maxQuote {
			return "the number " + string(v[:maxQuote]) + "..."
		}
		return "the number " + string(v)
	case string:
		return quote(v)
	case json.Delim:
		if v == '[' {
			return "an array"
		}
		return "an object"
	}
	return fmt.Sprintf("a %T", tok)
}

// list joins names and says how many did not fit.
func list(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if b.Len()+len(n) > maxList {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n)
	}
	return b.String()
}

// short writes a duration as people do: 10m, not 10m0s.
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

// nearest finds the known word that s was most likely meant to be: the same
// but for case, or at most two slips away; "" if there is none.
func nearest(s string, known []string) string {
	if len(s) > 2*maxQuote {
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

// slips counts the letters to insert, delete or replace between a and b, by
// the usual table, one row at a time.
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

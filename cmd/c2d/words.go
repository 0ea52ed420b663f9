package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// word is one word of a line. quoted: it was a JSON string, so that its text is
// meant as it is.
type word struct {
	text   string
	quoted bool
}

// split takes a line apart at blanks. A word that starts with { or [ is one JSON
// value, blanks and all, and keeps its text; one that starts with a double quote
// is a JSON string, and so may be the value in key="…".
func split(line string) ([]word, error) {
	var words []word
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return words, nil
		}
		var w word
		var err error
		switch line[0] {
		case '{', '[':
			w.text, line, err = takeJSON(line)
			if err != nil {
				err = fmt.Errorf("%q starts like JSON but is not: %w; text that is not JSON goes in double quotes, like \"{oops\"", short(line), err)
			}
		case '"':
			w, line, err = takeString(line)
		default:
			w, line, err = takeWord(line)
		}
		if err != nil {
			return nil, err
		}
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			return nil, fmt.Errorf("a blank is missing before %q", short(line))
		}
		words = append(words, w)
	}
}

// takeJSON takes one JSON value off the front of line, as it is written.
func takeJSON(line string) (text, rest string, err error) {
	d := json.NewDecoder(strings.NewReader(line))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return "", line, err
	}
	n := d.InputOffset()
	return line[:n], line[n:], nil
}

func takeString(line string) (w word, rest string, err error) {
	text, rest, err := takeJSON(line)
	if err == nil {
		err = json.Unmarshal([]byte(text), &w.text)
	}
	if err != nil {
		return w, line, errors.New("a double quote is not closed, or what is between two is not a JSON string (a quote in it is written \\\")")
	}
	w.quoted = true
	return w, rest, nil
}

func takeWord(line string) (w word, rest string, err error) {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		end = len(line)
	}
	if eq := strings.Index(line[:end], `="`); eq >= 0 {
		value, rest, err := takeString(line[eq+1:])
		return word{text: line[:eq+1] + value.text}, rest, err
	}
	return word{text: line[:end]}, line[end:], nil
}

// short cuts what is quoted in an answer.
func short(s string) string {
	const most = 40 // enough to see which part of the line is meant
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

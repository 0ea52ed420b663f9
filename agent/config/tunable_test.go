package config

import (
	"fmt"
	"strings"
	"testing"
)

// levels is a file of n levels, every second one on an expander of its own.
func levels(n int) []byte {
	var b strings.Builder
	for i := range n {
		line := fmt.Sprintf("pwmchip0:%d", i)
		if i%2 == 0 {
			line = fmt.Sprintf("d%d:1", i)
			fmt.Fprintf(&b, "[[expander]]\nname = \"d%d\"\nbus = \"%d\"\naddress = 0x40\nchip = \"pca9685\"\n", i, i)
		}
		fmt.Fprintf(&b, "[[level]]\nline = %q\nfrequency = \"50Hz\"\n", line)
	}
	return []byte(b.String())
}

// TestSalvageOfManyLevels: the work grows with the file, not with its square, since
// `actuatord safe` has 5 seconds also on the slowest board.
func TestSalvageOfManyLevels(t *testing.T) {
	work := func(n int) float64 {
		text := levels(n)
		return testing.AllocsPerRun(1, func() {
			if p := Outputs(text); len(p.Levels) != n || len(p.Expanders) != n/2 {
				t.Fatalf("%d levels and %d expanders of %d", len(p.Levels), len(p.Expanders), n)
			}
		})
	}
	if few, many := work(50), work(200); many > 6*few {
		t.Errorf("%v allocations for 50 levels, %v for 200", few, many)
	}
}

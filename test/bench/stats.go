package main

import (
	"fmt"
	"slices"
)

// quantile is the value that q of all values do not exceed (nearest rank); 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	rank := int(q*float64(len(s)) + 0.999999)
	return s[min(max(rank, 1), len(s))-1]
}

// spread is a figure over the rounds: its median, and how far they lie apart.
type spread struct{ median, least, most float64 }

func over(rounds []float64) spread {
	if len(rounds) == 0 {
		return spread{}
	}
	return spread{quantile(rounds, 0.5), slices.Min(rounds), slices.Max(rounds)}
}

// ratios divides round by round: what disturbs one of two disturbs the other.
func ratios(a, b []float64) spread {
	var all []float64
	for n := range min(len(a), len(b)) {
		if b[n] > 0 {
			all = append(all, a[n]/b[n])
		}
	}
	return over(all)
}

// in writes the spread, three digits of each.
func (s spread) in(unit string) string {
	if s.least == s.most {
		return figure(s.median) + unit
	}
	return fmt.Sprintf("%s%s (%s–%s)", figure(s.median), unit, figure(s.least), figure(s.most))
}

func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

package command

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestPercentInAReport: every one is a number that comes back as itself, also 0,
// which is something else than none.
func TestPercentInAReport(t *testing.T) {
	for p := range Percent(10001) {
		b, err := json.Marshal(Report{Percent: &p})
		var back Report
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || back.Percent == nil || *back.Percent != p {
			t.Fatalf("%d: %s, %v", p, b, err)
		}
	}
	for _, s := range []string{`"5"`, "-1", "101", "1e9", "true"} {
		if err := json.Unmarshal([]byte(s), new(Percent)); err == nil {
			t.Errorf("%s is taken", s)
		}
	}
	b, err := json.Marshal(Report{Percents: map[string]Percent{"fan": 1250}})
	if err != nil || !strings.Contains(string(b), `"percents":{"fan":12.5}`) || strings.Contains(string(b), `"percent":`) {
		t.Errorf("%s, %v", b, err)
	}
}

package linux

import (
	"fmt"

	"actuatord/board"
)

// Twins finds lines that are written differently and are one: "GPIO17" and
// "pinctrl-bcm2711:17". Under the name of the later target it answers what is wrong,
// with both named. A line that cannot be found is nobody's twin yet; once it appears,
// taking it says the same.
func Twins(lines []board.LineSpec) map[string]error { return New().twins(lines) }

func (d *Driver) twins(lines []board.LineSpec) map[string]error {
	all, err := d.readChips()
	if err != nil {
		return nil
	}
	first, twins := map[spot]board.LineSpec{}, map[string]error{}
	for _, l := range lines {
		found, err := all.find(l.Line)
		if err != nil || len(found.places) != 1 {
			continue
		}
		at := found.places[0]
		if o, taken := first[at.spot]; taken {
			twins[l.Target] = &board.LineError{
				Target: l.Target, Line: l.Line, Input: l.Input, Fault: board.LineBusy, Holder: board.Consumer, Twin: o,
				Err: fmt.Errorf("both are %s", at),
			}
			continue
		}
		first[at.spot] = l
	}
	return twins
}

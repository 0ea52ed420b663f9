package main

import (
	"errors"

	"actuatord/agent/config"
	"actuatord/board"
)

// refuseTwins answers an error where two outputs are one line of this board, written
// differently: whichever were driven last would win, and the other's safe level, lease
// and interlock would be worth nothing. It takes no line and moves none.
func refuseTwins(c config.Config, e env) error {
	var all []error
	twins := e.twinsOf(c)
	for _, target := range sorted(twins) {
		all = append(all, twins[target])
	}
	if len(all) == 0 {
		return nil
	}
	return &usageError{errors.Join(all...)}
}

// twinsOf has what is wrong under the name of the later of two. The simulated board's
// lines are what they are called.
func (e env) twinsOf(c config.Config) map[string]error {
	if c.Board.Driver == config.DriverSim {
		return nil
	}
	twins := e.hardware().twins(wired(c.Profile))
	for _, in := range c.Profile.Inputs {
		var line *board.LineError
		if errors.As(twins[in.Name], &line) {
			line.Input = true // the board was asked about lines, whatever they are for
		}
	}
	return twins
}

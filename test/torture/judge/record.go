package judge

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"actuatord/hub/localhub"
)

// Record is everything the judge looks at.
type Record struct {
	Board  Board
	Sent   []Sent           // in the order in which the hub took them
	Events []localhub.Event // all of the hub's, in its order
	Traces map[string][]Move
	Lives  map[string][]Life // the processes of each device, oldest first
	End    time.Time

	// Slack is how much later than on a processor of its own a device may make an
	// output safe: for emulated ones.
	Slack time.Duration
}

// Board is what every device of a run drives.
type Board struct {
	Outputs   []Output
	Registers []Register
}

// Output is what the judge must know of one.
type Output struct {
	Name   string
	SafeOn bool
	MaxOn  time.Duration // 0: none
	MaxAge time.Duration // 0: none
}

// Register is likewise.
type Register struct {
	Name       string
	Repeatable bool
	Allowed    []int  // the registers that may be written
	Safe       string // as the trace writes it, "40:0000"; "": none
}

// Sent is one message that the hub took.
type Sent struct {
	Device string
	Name   string // what the hub's record calls it
	ID     string // message id; may be empty
	Body   string
	Expiry time.Time // zero: the hub's default
	Dated  time.Time // the property "sent"; zero: none
	Ack    string
	At     time.Time
}

// Move is one line of a board's trace.
type Move struct {
	At     time.Time
	Target string
	Level  string
	Write  string
	Cause  string
}

// Life is one process on a device's board.
type Life struct {
	Start, End time.Time // End is zero while it runs
	Killed     bool      // by SIGKILL: it could do nothing any more
	Frozen     []Span    // stopped by SIGSTOP
	Why        string    // for stories
}

// Span is a time from one moment to another.
type Span struct{ From, To time.Time }

// ReadTrace reads a board's trace; none is an empty one. A line that a killed
// process tore is not a movement.
func ReadTrace(file string) (moves []Move, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	defer f.Close()
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return moves, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read trace: %w", err)
		}
		var m Move
		if json.Unmarshal(line, &m) == nil {
			moves = append(moves, m)
		}
	}
}

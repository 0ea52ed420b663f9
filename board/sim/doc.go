// Package sim is the simulated board: a board.Driver whose hardware is memory
// and whose wiring is a trace file.
//
// # Promises
//
// Every level change and every register write is one line of JSON in the trace
// file, complete in the file when the call that made it returns. A line that is
// taken is written with its first level, whatever the file says before it. A
// call whose line cannot be written fails, and nothing has moved.
//
// # What it costs
//
// One write(2) for each level change and register write. It is not synced: the
// trace survives the end of the process, however violent, not that of the
// machine.
//
// # Power loss
//
// The process's death writes nothing: as on a kernel that keeps its levels, the
// last line stands until a later process takes the line again. After a power
// cut the trace may end in half a line; New ends that line and goes on.
//
// # Inputs
//
// An input's line is driven by whoever writes the file named like the trace with
// ".inputs" behind it: one line of text for each, its name and then "high" or "low"
// (the voltage, which active = "low" inverts), or "broken", which cannot be read.
// The last word on a line counts, and what is not mentioned is not wired: it is where
// its bias pulls it, and low without one. So a simulated board permits nothing until
// somebody says so, as a real one with nothing wired to it; an input that is active
// there is one that a cut wire would leave active. The file is looked at twenty times
// a second (for one that is not there, once), and read for each look at an input.
// Write a new one beside it and rename it: half a file is believed as it stands. It is
// no part of the board's memory: nothing here writes it, and it survives what its
// writer made it survive.
//
// Fault switches make lines and buses fail, hang and dawdle for tests.
package sim

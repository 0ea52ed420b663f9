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
// Fault switches make lines and buses fail, hang and dawdle for tests.
package sim

package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"actuatord/board"
)

// Config is a valid configuration. It is a value; treat it as immutable.
type Config struct {
	Hub     Hub
	Clock   Clock
	Journal Journal
	Board   Board
	Profile board.Profile // the [[output]], [[level]], [[input]], [[register]] and [[expander]] tables
	Default Default

	// Warnings name what is allowed but unwise, one sentence each with its
	// line, in the file's order; `actuatord check` shows them.
	Warnings []string
}

// Hub is how the hub is reached.
type Hub struct {
	ConnectionStringFile string // absolute path
	CAFile               string // extra trust roots, PEM; "": none
	Proxy                string // "": the environment's; "none"; or "http://host:port", without credentials
	MQTTPort             int
	WebSocketPort        int
	HTTPSPort            int
	KeepAlive            time.Duration // whole seconds
	FallbackAfter        time.Duration // no stable session for so long: polls begin
	PollEvery            time.Duration // at least 25 minutes
	SettleVisits         int           // per hour
	OnUnrejectable       Unrejectable
}

// Unrejectable says what becomes of a message that should be rejected while
// HTTPS cannot be reached. MQTT has no reject.
type Unrejectable struct {
	Hold  bool          // leave it on the hub until its time to live ends
	After time.Duration // if not Hold: complete it after so long, with a report; 0: at once
}

// Clock is how long to wait for a trusted time before the best known one signs.
type Clock struct{ Wait time.Duration }

// Journal is where the journal is and how long it remembers a command.
type Journal struct {
	Path string        // absolute
	Keep time.Duration // at least 48 h
}

// Board is which kind of board drives the outputs.
type Board struct {
	Driver string // DriverLinux or DriverSim
	Trace  string // DriverSim: the file that gets every level change; "": none
}

// The kinds of boards.
const (
	DriverLinux = "linux" // real lines and buses
	DriverSim   = "sim"   // the simulated board
)

// Default is what happens to a message that is no command.
type Default struct {
	Log bool // log and complete it; otherwise refuse it
}

// MaxFile is the longest configuration that is read, in bytes: room for five
// hundred outputs, ten times the lines that any such board has.
const MaxFile = 64 << 10

// Load reads and parses the file at path.
func Load(path string) (Config, error) {
	text, err := readFile(path)
	if err != nil {
		return Config{}, err
	}
	return Parse(path, text)
}

// ErrUnreadable is wrapped where a configuration file cannot be read at all.
var ErrUnreadable = errors.New("read configuration")

// readFile reads one byte more than is allowed, for the parser to refuse.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return text, nil
}

// Parse reads a configuration. Its error wraps [Problems] and starts with name,
// the file's.
func Parse(name string, text []byte) (Config, error) {
	c, problems := parse(text)
	if len(problems) > 0 {
		return Config{}, fmt.Errorf("%s: %w", name, problems)
	}
	return c, nil
}

func parse(text []byte) (Config, Problems) {
	if len(text) > MaxFile {
		return Config{}, Problems{{Line: 1, Rule: fmt.Sprintf("the file is longer than %d bytes", MaxFile)}}
	}
	root, problem := parseTree(text)
	if problem != nil {
		return Config{}, Problems{*problem}
	}
	r := &reader{root: root}
	c := Config{
		Hub:     r.hub(),
		Clock:   r.clock(),
		Journal: r.journal(),
		Board:   r.board(),
		Profile: r.profile(),
		Default: r.fallback(),
	}
	r.unknownTables()
	if len(c.Profile.Outputs) == 0 && len(c.Profile.Levels) == 0 && len(c.Profile.Registers) == 0 {
		r.warn(1, "there is no [[output]], no [[level]] and no [[register]]: every command will be refused")
	}
	c.Warnings = r.sortedWarnings()
	sort.Stable(byPlace(r.problems))
	return c, r.problems
}

// Problem is one fault of a configuration file.
type Problem struct {
	Line  int    // from 1; of the table's head where a key is missing
	Key   string // table and key, such as "hub.poll_every"; "" where the text is no TOML
	Value string // as it stands in the file, cut short; "" where there is none or it must not be shown
	Rule  string // what would be right
}

func (p Problem) String() string {
	s := fmt.Sprintf("line %d: ", p.Line)
	switch {
	case p.Key != "" && p.Value != "":
		s += p.Key + " = " + p.Value + ": "
	case p.Key != "":
		s += p.Key + ": "
	}
	return s + p.Rule
}

// Problems is everything that is wrong with a file, sorted by line.
type Problems []Problem

func (p Problems) Error() string {
	var b strings.Builder
	if b.WriteString("1 fault"); len(p) != 1 {
		b.Reset()
		fmt.Fprintf(&b, "%d faults", len(p))
	}
	for _, problem := range p {
		b.WriteString("\n" + problem.String())
	}
	return b.String()
}

// byPlace orders faults by line, and those of a line by key.
type byPlace Problems

func (p byPlace) Len() int      { return len(p) }
func (p byPlace) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p byPlace) Less(i, j int) bool {
	return p[i].Line < p[j].Line || p[i].Line == p[j].Line && p[i].Key < p[j].Key
}

// AsProblems gives the faults inside an error of [Parse] or [Load]; none if it
// is of another kind, such as a file that is not there.
func AsProblems(err error) Problems {
	var p Problems
	errors.As(err, &p)
	return p
}

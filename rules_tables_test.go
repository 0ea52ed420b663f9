package rules_test

// tables say who may do what. A row without a reason is a fault, and so is an
// exception that nothing needs any more.
type tables struct {
	module     string
	imports    map[string][]string // package: what it may import beyond the standard library
	keptStd    map[string][]string // parts of the standard library: the only packages that may
	pure       []string
	goroutines map[string]goroutines

	// Exceptions from a rule: what, and why.
	sleeps, panics, functions, interfaces, fileSizes, variables map[string]string
}

type goroutines struct {
	count int
	why   string
}

func (t tables) exceptions() map[string]map[string]string {
	return map[string]map[string]string{
		"sleep": t.sleeps, "panic": t.panics, "function": t.functions,
		"interface": t.interfaces, "file": t.fileSizes, "variable": t.variables,
	}
}

func houseTables() tables {
	const (
		paho    = "github.com/eclipse/paho.mqtt.golang"
		packets = paho + "/packets"
		conn    = "periph.io/x/conn/v3/..."
		host    = "periph.io/x/host/v3/..."
		bbolt   = "go.etcd.io/bbolt/..."
		unix    = "golang.org/x/sys/unix"
		toml    = "github.com/pelletier/go-toml/v2/..."
	)
	return tables{
		module: "actuatord",

		// Read it downwards: the pure core, the edges that each know one outside
		// thing, the loop that knows the edges, and the programs that wire them.
		imports: map[string][]string{
			"agent/clock":   {},
			"agent/command": {},
			"hub":           {},
			"hub/link":      {"actuatord/hub"}, // the class of an error; nothing else
			"systemd":       {},

			"handlers":        {"actuatord/agent/command", "actuatord/board"}, // the profile: cannot act
			"board":           {"periph.io/x/conn/v3/gpio", "periph.io/x/conn/v3/i2c", "periph.io/x/conn/v3/physic", "periph.io/x/conn/v3/pin"},
			"board/boardtest": {"actuatord/board", conn},
			"board/expander":  {"actuatord/board", conn},
			"board/linux":     {"actuatord/board", conn, host, unix}, // the only one that can touch a pin
			"board/sim":       {"actuatord/board", conn},
			"hub/dial":        {"actuatord/hub"},
			"hub/https":       {"actuatord/hub", "actuatord/hub/dial"},
			"hub/localhub":    {"actuatord/hub", packets, "github.com/gorilla/websocket"},
			"hub/mqtt":        {"actuatord/hub", "actuatord/hub/dial", paho, packets, "github.com/gorilla/websocket"}, // packets: its guard reads frames
			"persist":         {"actuatord/agent/command", bbolt, unix},

			"agent/config": {"actuatord/board", "actuatord/hub", toml},
			"agent": {
				"actuatord/agent/clock", "actuatord/agent/command", "actuatord/agent/config", "actuatord/board", "actuatord/handlers", "actuatord/hub",
				"actuatord/hub/https", "actuatord/hub/link", "actuatord/hub/mqtt", "actuatord/persist", "actuatord/systemd",
			},
			"agent/control": {"actuatord/agent"},

			"cmd/actuatord": {
				"actuatord/agent/...", "actuatord/board", "actuatord/board/expander", "actuatord/board/linux", "actuatord/board/sim", "actuatord/handlers",
				"actuatord/hub", "actuatord/hub/dial", "actuatord/hub/https", "actuatord/hub/link", "actuatord/hub/mqtt", "actuatord/persist", "actuatord/systemd", unix,
			}, // never hub/localhub: the device carries no hub
			"cmd/c2d":            {"actuatord/hub", "actuatord/hub/localhub"},
			"test/demo":          {}, // drives the programs, as a person would
			"test/bench":         {"actuatord/agent/command", "actuatord/board", "actuatord/board/sim", "actuatord/hub", "actuatord/hub/localhub", "actuatord/persist", bbolt, unix},
			"test/hil/guest":     {conn, host}, // periph's own driver, to be caught
			"test/hil/machine":   {},           // drives the emulator
			"test/mutants":       {},           // drives the compiler
			"test/powercut":      {"actuatord/hub", "actuatord/hub/localhub", "actuatord/test/hil/machine", "actuatord/test/powercut/card", "actuatord/test/torture/judge"},
			"test/powercut/card": {}, // a disk knows nothing of what lies on it
			"test/torture":       {"actuatord/hub", "actuatord/hub/localhub", "actuatord/test/torture/judge", unix},
			"test/torture/judge": {"actuatord/hub/localhub"}, // the record's words; nothing of the device
			"test/site":          {"actuatord/board/sim", "actuatord/hub", "actuatord/hub/localhub"},

			"persist/persisttest": {unix},
			"tools/powerdisk":     {unix, "github.com/hanwen/go-fuse/v2/..."}, // a module of its own: nothing that ships sees it
		},

		keptStd: map[string][]string{
			"net":         {"agent/control", "board/linux", "cmd/actuatord", "cmd/c2d", "hub/dial", "hub/https", "hub/localhub", "hub/mqtt", "systemd", "test/bench", "test/demo", "test/hil/guest", "test/hil/machine", "test/powercut", "test/powercut/card", "test/site", "test/torture"}, // cmd/actuatord: names, for check --online; it opens no socket
			"net/http":    {"hub/https", "hub/localhub"},                                                                                                                                                                                                                                     // hub/https: for reading and writing, not its Transport
			"crypto/tls":  {"cmd/c2d", "hub/dial", "hub/https", "hub/localhub", "hub/mqtt", "test/bench", "test/powercut", "test/site", "test/torture"},
			"os/exec":     {"persist", "persist/persisttest", "test/bench", "test/demo", "test/hil/machine", "test/mutants", "test/powercut", "test/site", "test/torture"}, // persist: the child that checks the journal
			"unsafe":      {"board/linux", "persist/persisttest", "tools/powerdisk"},                                                                                       // ioctl; memory shared by two processes
			"C":           {},
			"plugin":      {},
			"math/rand":   {}, // v2 has a seed and no global state worth having
			"reflect":     {},
			"expvar":      {},
			"flag":        {"cmd/actuatord", "cmd/c2d", "test/bench", "test/demo", "test/powercut", "test/torture"},
			"testing":     {"board/boardtest", "persist/persisttest", "test/site"},
			"runtime/cgo": {},
		},

		pure: []string{"agent/clock", "agent/command", "hub/link"},

		// How many places start one, why, and what ends it.
		goroutines: map[string]goroutines{
			"agent": {18, "whatever waits for the hub, the board or the disk, so that the loop never does: probe, connect, subscribe, publish, a drain's request, asking the " +
				"hub for the time, the board's ping, opening the journal, telling of an outage and asking about a new key, each bounded by a context and answering through the loop's channel; five times Close of a " +
				"session and two of a drain's connection, which bound themselves; the storage's timer"},
			"agent/control": {5, "one a connection, at most 8, ended by the client, a deadline or the daemon's end; one each that notices a client's going; " +
				"three that close a socket when the end comes"},
			"board": {2, "the keeper, which owns outputs and leases until Close; one worker a bus, so that a stuck bus holds up only itself"},
			"cmd/actuatord": {5, "the control socket and reloads, until the daemon's context ends; opening a board and scanning a bus, which may hang, and reading an answer, " +
				"which knows no cancelling, where the process ends without it"},
			"test/bench":         {6, "serves the hub's two ports; the service manager's side of sd_notify and what closes it; waits for a started process; two that kill one that is late"},
			"test/powercut":      {6, "the hub's two ports and a boot's card, until they are closed; who reads a trace, a sender and a lane of series, each ended with its series or the run"},
			"test/powercut/card": {3, "one a client and what hangs up on it; what closes the listener: all ended by the context"},
			"test/torture":       {6, "the hub's listeners, a sender and a mischief-maker a device, a daemon's keeper, and who samples the daemons in a soak, all ended by the run's context"},
			"cmd/c2d":            {2, "reads standard input, which knows no cancelling: ends with the process; serves HTTPS beside MQTT, until either cannot or the end"},
			"board/expander":     {1, "one a bus with expanders, so that a stuck one holds up nobody; ends at Close, or with the transfer it sits in"},
			"board/linux":        {2, "one an input, which waits for its edges, or looks where there are none, until the pin is closed"},
			"board/sim":          {1, "one an input, which looks at the control file until the pin is closed"},
			"hub/https": {2, "sending a request while its answer is read, until it is written or the connection is closed, which both end before the call does; " +
				"closing the connection under a request whose context ended"},
			"hub/dial":     {1, "closes the connection under a proxy whose answer was given up"},
			"hub/localhub": {6, "one a connection of a listener, and a writer, ended by its close; three that close a listener and its connections with the context; the timer of what is due, stopped by Close"},
			"hub/mqtt": {5, "PUBACKs in order, until the session's end; sending, which paho does without regard to a context; the session's tearing down, " +
				"once and bounded; closing the connection under a WebSocket upgrade or a CONNECT that was given up"},
			"test/site":        {2, "serves the local hub until the test's cleanup; waits for a process that was started, until it ends"},
			"test/hil/machine": {1, "reads an emulator's console and waits for its process, until it ends"},
			"test/demo":        {2, "reads a child's output until it ends; kills a child that is late"},
		},

		sleeps:     map[string]string{},
		panics:     map[string]string{},
		functions:  map[string]string{},
		interfaces: map[string]string{},
		fileSizes: map[string]string{
			"rules_checks_test.go": "one rule after the other; a reader looks up the one that stopped him",
		},
		variables: map[string]string{
			"cmd/actuatord.built":   "set by the linker, read once",
			"cmd/actuatord.version": "set by the linker, read once",
			"cmd/c2d.version":       "set by the linker, read once",
		},
	}
}

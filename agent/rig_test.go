package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/agent/config"
	"actuatord/board"
	"actuatord/board/sim"
	"actuatord/hub"
	"actuatord/hub/dial"
	"actuatord/hub/https"
	"actuatord/hub/link"
	"actuatord/hub/localhub"
	"actuatord/hub/mqtt"
	"actuatord/persist"
	"actuatord/persist/persisttest"
)

// A rig is what outlives the agent's process: the hub and its queue, the disk,
// and the wiring, whose every movement is in the trace. It lives in a synctest
// bubble; the network is net.Pipe with real TLS and real MQTT on it.
type rig struct {
	t       *testing.T
	hub     *localhub.Hub
	device  localhub.Device
	server  *tls.Config
	roots   *x509.CertPool
	dir     string
	profile board.Profile
	logs    strings.Builder
	logMu   sync.Mutex

	edgesMu  sync.Mutex
	cut      int      // end the process at this edge, counted from 0; -1: never
	cutAt    string   // or at the first edge of this name
	edges    []string // passed so far by the present process
	noLink   atomic.Bool
	trusted  bool
	deft     config.Default
	visits   int // [hub] settle_visits
	policy   config.Unrejectable
	noMQTT   atomic.Bool // 8883 and 443's WebSocket are closed
	no8883   atomic.Bool
	mute     func(context.Context) (net.Conn, error) // how a session's connection fares; nil: well
	muteREST func(context.Context) (net.Conn, error) // and one over HTTPS
	noREST   atomic.Bool                             // 443 is closed
	mangle   func(*Options)
	disk     *persisttest.Volume // that the journal is on; nil: it is in dir
	image    string              // where it is after a cut of the power; "": not there
	pipes    []net.Conn
	pipesMu  sync.Mutex
	open     atomic.Int64 // connections that the agent has not closed
}

func profile() board.Profile {
	return board.Profile{
		Outputs: []board.Output{
			{Name: "pump", Line: "GPIO17", MaxOn: 10 * time.Minute},
			{Name: "lamp", Line: "GPIO27"},
			{Name: "valve-1", Line: "GPIO22", Interlock: "valves", MaxAge: time.Minute},
			{Name: "valve-2", Line: "GPIO23", Interlock: "valves"},
		},
		Registers: []board.Register{{
			Name: "dac", Bus: "1", Address: 0x60, Registers: []byte{0x40}, Verify: true, Repeatable: true,
			Safe: &board.SafeWrite{Register: 0x40, Bytes: []byte{0, 0}},
		}, {
			Name: "fifo", Bus: "1", Address: 0x61, Registers: []byte{0x01}, Repeatable: false,
		}},
	}
}

func newRig(t *testing.T, o localhub.Options) *rig {
	t.Helper()
	r := &rig{t: t, dir: memoryDir(t), profile: profile(), cut: -1, trusted: true, visits: 12, policy: config.Unrejectable{Hold: true}}
	t.Cleanup(func() { time.Sleep(time.Minute) }) // whatever still has a time limit reaches it in the bubble
	r.hub = localhub.New(o)
	t.Cleanup(r.hub.Close)
	var err error
	if r.device, err = r.hub.AddDevice("dev-1"); err != nil {
		t.Fatal(err)
	}
	var ca string
	if r.server, ca, err = localhub.TLSConfig(r.dir, "localhost"); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(pem)
	return r
}

// memoryDir is a directory in memory where there is one: what these tests prove
// is the order of writes, not the disk, and waiting for it takes nine tenths of
// their time.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "actuatord")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (r *rig) session(rung link.Rung, at func() time.Time, log *slog.Logger) mqtt.Config {
	return mqtt.Config{Host: "localhost", DeviceID: r.device.ID, WebSocket: rung == link.RungWebSocket, Road: dial.Config{Roots: r.roots, Proxy: "none", TCP: r.dialSession, Now: at}, Log: log}
}

func (r *rig) rest(at func() time.Time) https.Config {
	return https.Config{Host: "localhost", DeviceID: r.device.ID, Road: dial.Config{Roots: r.roots, Proxy: "none", TCP: r.dialREST, Now: at}}
}

func (r *rig) dialREST(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.muteREST != nil {
		return r.muteREST(ctx)
	}
	return r.dial(ctx, network, addr)
}

func (r *rig) dialSession(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.noMQTT.Load() || r.no8883.Load() && strings.HasSuffix(addr, ":8883") {
		return nil, errors.New("the port is closed")
	}
	if r.mute != nil {
		return r.mute(ctx)
	}
	return r.dial(ctx, network, addr)
}

// dial is the network: a pipe whose other end the hub serves under TLS, by port.
func (r *rig) dial(_ context.Context, _, addr string) (net.Conn, error) {
	web := strings.HasSuffix(addr, ":443")
	if r.noLink.Load() || r.dark() || web && r.noREST.Load() {
		return nil, errors.New("no route to the hub")
	}
	device, server := net.Pipe()
	r.pipesMu.Lock()
	r.pipes = append(r.pipes, device, server)
	r.pipesMu.Unlock()
	serve := r.hub.ServeConn
	if web {
		serve = r.hub.ServeWebConn
	}
	go serve(tls.Server(server, r.server))
	r.open.Add(1)
	return &closable{Conn: device, closed: sync.OnceFunc(func() { r.open.Add(-1) })}, nil
}

// A closable is a connection that tells when the agent closes it: a socket is there
// until then, whatever became of the link.
type closable struct {
	net.Conn
	closed func()
}

func (c *closable) Close() error {
	c.closed()
	return c.Conn.Close()
}

// pull cuts every connection, without a goodbye.
func (r *rig) pull() {
	r.pipesMu.Lock()
	defer r.pipesMu.Unlock()
	for _, p := range r.pipes {
		p.Close()
	}
	r.pipes = nil
}

// A process is one run of the agent on the rig.
type process struct {
	r       *rig
	agent   *Agent
	board   *board.Board
	sim     *sim.Driver
	wires   *mortal
	control chan Request
	cancel  context.CancelFunc
	ended   chan error
}

var errCut = errors.New("the process was killed")

// start is power-on: outputs safe, then the agent.
func (r *rig) start() *process {
	r.t.Helper()
	r.edges = nil
	driver, err := sim.New(r.trace())
	if err != nil {
		r.t.Fatal(err)
	}
	p := &process{r: r, sim: driver, control: make(chan Request), ended: make(chan error, 1)}
	p.wires = &mortal{Driver: driver, dark: r.dark, at: func(where string) { r.atBoard(p, where) }}
	log := slog.New(slog.NewTextHandler(r, nil))
	p.board = board.Open(r.profile, p.wires, nil)
	p.wires.armed.Store(true)
	o := Options{
		Config:   config.Config{Profile: r.profile, Hub: config.Hub{SettleVisits: r.visits, FallbackAfter: 5 * time.Minute, PollEvery: 25 * time.Minute, OnUnrejectable: r.policy}, Journal: config.Journal{Path: r.journal()}, Default: r.deft},
		Identity: hub.ConnectionString{HostName: "localhost", DeviceID: r.device.ID, Key: r.device.Primary},
		Board:    p.board, Version: "test", Log: log, Control: p.control,
		Open: func(ctx context.Context, now time.Time) (*persist.Journal, persist.Opened, error) {
			return persist.Open(ctx, r.journal(), persist.Identity{Hub: "localhost", Device: r.device.ID}, now, persist.Options{Volatile: true, LogPages: 6})
		},
		Connect: func(ctx context.Context, rung link.Rung, generation uint64, _ hub.ConnectionString, at func() time.Time, password string) (*mqtt.Session, error) {
			return mqtt.Connect(ctx, r.session(rung, at, log), generation, password)
		},
		Probe: func(ctx context.Context, rung link.Rung, _ hub.ConnectionString, at func() time.Time) error {
			return mqtt.Probe(ctx, r.session(rung, at, log))
		},
		REST: func(_ hub.ConnectionString, at func() time.Time) *https.Client { return https.New(r.rest(at)) },
		CheckKey: func(ctx context.Context, _ hub.ConnectionString, at func() time.Time, token string) error {
			return https.CheckKey(ctx, r.rest(at), token)
		},
		Kernel: func() (time.Time, bool) { return time.Now(), r.trusted },
		Edge:   func(where string) { r.at(p, where) },
	}
	if r.mangle != nil {
		r.mangle(&o)
	}
	p.agent = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		defer func() {
			if cut := recover(); cut != nil {
				if cut != errCut { //nolint:errorlint // the very value
					panic(cut)
				}
				p.ended <- errCut
			}
		}()
		p.ended <- p.agent.Run(ctx)
	}()
	return p
}

func (r *rig) journal() string {
	dir := cmp.Or(r.image, r.dir)
	if r.disk != nil && r.image == "" {
		dir = r.disk.Dir()
	}
	return filepath.Join(dir, "journal.db")
}

// dark reports whether the power has gone.
func (r *rig) dark() bool { return r.disk != nil && r.image == "" && r.disk.Gone() }

func (r *rig) trace() string { return filepath.Join(r.dir, "trace.jsonl") }

// Write takes the agent's log.
func (r *rig) Write(line []byte) (int, error) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.logs.Write(line)
}

// at is every edge of the loop; at the chosen one the process ends there.
func (r *rig) at(p *process, where string) {
	if r.pass(where) {
		time.Sleep(time.Millisecond) // what has left the loop by now is out: a PUBACK too early, if there is one
		p.die()
		panic(errCut)
	}
}

// pass counts an edge and reports whether it is the one to die at.
func (r *rig) pass(where string) bool {
	r.edgesMu.Lock()
	defer r.edgesMu.Unlock()
	r.edges = append(r.edges, where)
	return len(r.edges)-1 == r.cut || r.cutAt != "" && where == r.cutAt
}

// atBoard is an edge in the board's goroutine: the loop dies at its next one,
// but from here on nothing moves any more.
func (r *rig) atBoard(p *process, where string) {
	if r.pass(where) {
		p.die()
		r.edgesMu.Lock()
		r.cut = len(r.edges)
		r.edgesMu.Unlock()
	}
}

// die is what SIGKILL does to the world: no wire moves, no packet leaves.
func (p *process) die() {
	p.wires.dead.Store(true)
	p.r.pull()
	p.r.noLink.Store(true)
}

// bury cleans up behind a killed process what the kernel would.
func (p *process) bury() {
	p.cancel()
	p.board.Close()
	if p.agent.journal != nil {
		p.agent.journal.Close()
	}
	p.r.noLink.Store(false)
	synctest.Wait()
}

// stop ends the process as systemd does.
func (p *process) stop() {
	p.r.t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		p.r.t.Fatalf("run ended with %v", err)
	}
	if err := p.board.Close(); err != nil {
		p.r.t.Fatal(err)
	}
	synctest.Wait()
}

// send puts a message into the hub's queue.
func (r *rig) send(id, body string, edit ...func(*hub.Message)) {
	r.t.Helper()
	m := hub.Message{ID: id, Body: []byte(body), Ack: "full"}
	if id == "" {
		m.Ack = ""
	}
	for _, e := range edit {
		e(&m)
	}
	if _, err := r.hub.Send(r.device.ID, m); err != nil {
		r.t.Fatal(err)
	}
}

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"actuatord/hub/localhub"
)

// mischief makes trouble for one device.
type mischief struct {
	r      *run
	s      *station
	draw   *rand.Rand
	faults [][]localhub.Fault // by what brings their packets about
	sweep  []moment
	sicked int // storage troubles so far
}

// moment is when a kill is aimed at: so long after an event.
type moment struct {
	kind  localhub.Kind
	after time.Duration
}

func newMischief(r *run, s *station, n uint64) *mischief {
	m := &mischief{r: r, s: s, draw: rand.New(rand.NewPCG(r.seed, 'm'+n<<8)), faults: linkFaults(s.id, r.long())}
	for _, k := range []localhub.Kind{localhub.KindDelivered, localhub.KindCompleted, localhub.KindTelemetry, localhub.KindConnected,
		localhub.KindSubscribed, localhub.KindRequest, localhub.KindReleased, localhub.KindDeadLettered, localhub.KindEnqueued} {
		for _, after := range []time.Duration{0, time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond, 8 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond} {
			m.sweep = append(m.sweep, moment{k, after})
		}
	}
	m.draw.Shuffle(len(m.sweep), func(i, j int) { m.sweep[i], m.sweep[j] = m.sweep[j], m.sweep[i] })
	return m
}

// make makes one trouble after the other until ctx ends. What each breaks it puts
// right before it returns.
func (m *mischief) make(ctx context.Context) {
	calm := 2 * time.Second // on average, between two
	if m.r.long() {
		calm = 16 * time.Second
	}
	if m.r.soak { // else no session lasts, and who lives has long learnt to wait
		calm = time.Minute
	}
	for pause(ctx, time.Duration(m.draw.Int64N(int64(2*calm)))) {
		m.one(ctx)
	}
}

func (m *mischief) one(ctx context.Context) {
	n := m.draw.IntN(100)
	if m.r.soak { // of the below, what no process ends by
		n = 57 + n*36/100
	}
	switch {
	case n < 15:
		m.kill("killed at random")
	case n < 45:
		m.aimed(ctx)
	case n < 50: // while it starts
		if m.kill("killed twice") {
			pause(ctx, restartAfter+time.Duration(m.draw.IntN(300))*time.Millisecond)
			m.kill("killed while it starts")
		}
	case n < 57:
		if m.s.signal(terminate) {
			m.r.tally.count("stopped")
		}
	case n < 67:
		if m.s.freeze(ctx, time.Duration(50+m.draw.IntN(3000))*time.Millisecond) {
			m.r.tally.count("frozen")
		}
	case n < 90:
		m.link(ctx)
	case n < 93:
		m.r.tally.fail(m.r.site.hub.Drop(m.s.id))
		m.r.tally.count("connection dropped")
	default:
		m.storage(ctx)
	}
}

func (m *mischief) kill(how string) bool {
	if !m.s.signal(kill) {
		return false
	}
	m.r.tally.count(how)
	return true
}

// aimed kills at the next moment of the sweep. What belongs to a connection's
// beginning and end is brought about by breaking it.
func (m *mischief) aimed(ctx context.Context) {
	at := m.sweep[0]
	m.sweep = append(m.sweep[1:], at)
	skip := m.draw.IntN(4)
	switch at.kind {
	case localhub.KindConnected, localhub.KindSubscribed, localhub.KindReleased:
		m.r.tally.fail(m.r.site.hub.Drop(m.s.id))
		skip = 0
	}
	if m.r.record.next(ctx, m.s.id, at.kind, skip, 4*time.Second) && (at.after == 0 || pause(ctx, at.after)) {
		m.kill("killed at " + string(at.kind))
	}
}

// link injects one of the hub's faults, and takes it back if it did not strike in
// time. One that waits for a session's beginning has the session broken.
func (m *mischief) link(ctx context.Context) {
	sort := []int{busy, busy, busy, opening, opening, visiting}[m.draw.IntN(6)]
	f := m.faults[sort][m.draw.IntN(len(m.faults[sort]))]
	f.Times = 1 + m.draw.IntN(2)
	wait := time.Duration(1+m.draw.IntN(5)) * time.Second
	switch sort {
	case busy:
		f.Skip = m.draw.IntN(4)
	case visiting:
		f.Skip = m.draw.IntN(2)
		if m.r.long() {
			wait *= 10 // until a visit comes
		}
	}
	if err := m.r.site.hub.Inject(f); err != nil {
		m.r.tally.fail(err)
		return
	}
	m.r.tally.count("link: " + string(f.Effect))
	if sort == opening {
		m.r.tally.fail(m.r.site.hub.Drop(m.s.id))
	}
	m.r.record.next(ctx, m.s.id, localhub.KindFault, f.Times-1, wait)
	m.r.site.hub.ClearFaults(m.s.id)
}

// What brings the packets of a fault about.
const (
	busy     = iota // commands and reports
	opening         // a session's beginning and end
	visiting        // HTTPS
	sorts
)

// sortOf is a packet's sort; sorts: a daemon never sends it, or it names no device.
func sortOf(p localhub.Packet) int {
	switch p {
	case localhub.PacketDelivery, localhub.PacketPuback, localhub.PacketTelemetry, localhub.PacketTelemetryAck, localhub.PacketPing, localhub.PacketPong:
		return busy
	case localhub.PacketConnect, localhub.PacketConnack, localhub.PacketSubscribe, localhub.PacketSuback, localhub.PacketDisconnect:
		return opening
	case localhub.PacketUnsubscribe, localhub.PacketUnsubscribeAck, localhub.PacketHTTPS, localhub.PacketWebSocket:
		return sorts
	}
	return visiting
}

// linkFaults is every fault that the hub knows for a device, by its sort. In a short
// run there is none that has a device wait for minutes by design: a refusal, or a
// session that is lost and must be drained for again.
func linkFaults(device string, long bool) [][]localhub.Fault {
	all := make([][]localhub.Fault, sorts)
	hub := localhub.New(localhub.Options{}) // knows which effect goes with which packet
	defer hub.Close()
	if _, err := hub.AddDevice(device); err != nil {
		return nil
	}
	for _, p := range localhub.Packets() {
		for _, e := range localhub.Effects() {
			f := localhub.Fault{Device: device, Packet: p, Effect: e}
			if e == localhub.Delay || e == localhub.BlackHole || e == localhub.Stall {
				f.For = 2 * time.Second
			}
			if !long && (e == localhub.Refuse || e == localhub.Forget) {
				continue
			}
			if sort := sortOf(p); sort < sorts && hub.Inject(f) == nil {
				all[sort] = append(all[sort], f)
			}
		}
	}
	return all
}

// storage has the disk fail for some seconds, once in a short run: the daemon looks
// at it again only every 30 s.
func (m *mischief) storage(ctx context.Context) {
	if m.s.disk == nil || !m.r.long() && m.sicked > 0 {
		m.kill("killed at random")
		return
	}
	m.sicked++
	m.s.ill(true) // for good: what it meets now it may notice much later
	ill := time.Duration(2+m.draw.IntN(6)) * time.Second
	trouble := []func(context.Context, time.Duration) error{m.full, m.eio, m.readOnly}[m.draw.IntN(3)]
	if err := trouble(ctx, ill); err != nil {
		m.r.tally.fail(err)
	}
	m.s.ill(false)
}

func (m *mischief) full(ctx context.Context, ill time.Duration) error {
	m.r.tally.count("disk full")
	if err := m.s.disk.full(); err != nil {
		return errors.Join(err, m.s.disk.free())
	}
	pause(ctx, ill)
	return m.s.disk.free()
}

// eio: what was written while the disk failed is lost with its cache, as it would
// be on a card that comes back after a reboot; the daemon dies with it.
func (m *mischief) eio(ctx context.Context, ill time.Duration) error {
	m.r.tally.count("disk failing (EIO)")
	if err := m.s.disk.fail(); err != nil {
		return err
	}
	pause(ctx, ill)
	return m.without(m.s.disk.heal)
}

// readOnly: the kernel makes nothing read-only that has a file open for writing, so
// it is the next daemon that finds it so.
func (m *mischief) readOnly(ctx context.Context, ill time.Duration) error {
	m.r.tally.count("disk read-only")
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	err := m.without(func(ctx context.Context) error {
		for tries := 100; ; tries-- { // a child of the daemon may have outlived it for a moment
			err := m.s.disk.readOnly(true)
			if err == nil || tries == 0 {
				return err
			}
			<-again.C
		}
	})
	if err != nil {
		return err
	}
	pause(ctx, ill)
	return m.s.disk.readOnly(false)
}

// without does something while no daemon runs.
func (m *mischief) without(do func(context.Context) error) error {
	defer m.s.up()
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin) // also if the run is over: what is broken must be made whole
	defer cancel()
	if !m.s.down(ctx) {
		return errors.New("the daemon that was killed is still there")
	}
	m.r.tally.count("killed for its disk")
	return do(ctx)
}

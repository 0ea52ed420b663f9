package localhub

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"actuatord/hub"
)

// Hub is a local IoT Hub. Its methods may be called from any goroutine.
//
// One mutex guards everything below it; nothing that can wait is done under it.
// It is given back through unlock, which also sets the timer and tells the
// observer.
type Hub struct {
	options Options
	running sync.WaitGroup // connections being served

	mu       sync.Mutex
	devices  map[string]*device
	conns    []*conn     // oldest first
	webs     []*web      // HTTPS connections
	receives []time.Time // of the last minute, if Options bound them
	faults   faults
	record   record
	feedback []feedback // collected for the next batch
	batchDue time.Time
	down     time.Time   // no connection is taken before; see Restart
	timer    *time.Timer // runs tick at the earliest deadline
	closed   bool
}

// device is what the hub knows of one device.
type device struct {
	Device
	disabled bool
	queue    queue
	session  *session         // stored or current; nil: none
	conn     *conn            // nil: not connected
	locks    map[string]Token // by the lock token that HTTPS gave out for it
}

// session is an MQTT session: with CleanSession 0 it outlives its connection,
// for ever (how long the real hub keeps one is not known).
type session struct {
	clean      bool
	subscribed bool
	qos        byte
	after      uint64 // the newest message when the subscription was made
}

// New makes a hub without devices.
func New(o Options) *Hub {
	o = o.filled()
	return &Hub{options: o, devices: map[string]*device{}, record: record{observe: o.Observe}}
}

// Host is the name devices must use.
func (h *Hub) Host() string { return h.options.Host }

// Send puts a message into a device's queue, as the service side of a hub does.
// The name it returns is what the record calls the message: its id, or "#N" if
// it has none. Errors are ErrUnknownDevice, ErrQueueFull, ErrTooLarge,
// ErrInvalid and ErrClosed, in a sentence. A disabled device takes messages
// (what the real hub does is not known).
func (h *Hub) Send(deviceID string, m hub.Message) (name string, err error) {
	m = ownCopy(deviceID, m)
	if err := checkMessage(deviceID, m); err != nil {
		return "", err
	}
	err = h.with(deviceID, func(d *device, now time.Time) error {
		seq, err := d.queue.enqueue(m, now)
		if err != nil {
			return err
		}
		name = nameOf(entry{seq: seq, message: m})
		h.add(Event{Kind: KindEnqueued, Device: d.ID, ID: name})
		return nil
	})
	return name, err
}

// Received is a message that a receiver holds a lock on.
type Received struct {
	Token      Token
	Message    hub.Message // with Enqueued
	Sequence   uint64      // of the message in its device's queue, from 1
	Deliveries int         // the delivery count, from 0; raised by Abandon only
	Expires    time.Time   // also when the sender set none
}

// Receive locks a device's oldest free message for lock (0: the usual minute),
// whatever the transport: what an HTTPS GET does. It has no session and so
// never rejects what was sent before a subscription. ok is false if there is
// none.
func (h *Hub) Receive(deviceID string, lock time.Duration) (r Received, ok bool, err error) {
	if lock <= 0 {
		lock = lockTime
	}
	err = h.with(deviceID, func(d *device, now time.Time) error {
		var e entry
		if e, ok = d.queue.receive(now, lock, nil); ok {
			r = Received{Token: e.token, Message: ownCopy(deviceID, e.message), Sequence: e.seq, Deliveries: e.deliveries, Expires: e.expires}
		}
		return nil
	})
	return r, ok, err
}

// Complete settles a received message as done. ErrLockLost: too late.
func (h *Hub) Complete(deviceID string, t Token) error {
	return h.with(deviceID, func(d *device, now time.Time) error { return d.queue.complete(t, now) })
}

// Reject dead letters a received message. ErrLockLost: too late.
func (h *Hub) Reject(deviceID string, t Token) error {
	return h.with(deviceID, func(d *device, now time.Time) error { return d.queue.reject(t, now) })
}

// Abandon gives a received message back and counts a delivery; the last one
// dead letters it. ErrLockLost: too late.
func (h *Hub) Abandon(deviceID string, t Token) error {
	return h.with(deviceID, func(d *device, now time.Time) error { return d.queue.abandon(t, now) })
}

// Purge dead letters everything in a device's queue and says how much that was.
func (h *Hub) Purge(deviceID string) (n int, err error) {
	err = h.with(deviceID, func(d *device, now time.Time) error {
		n = d.queue.purge(now)
		return nil
	})
	return n, err
}

// QueuedMessage is one message that has not ended.
type QueuedMessage struct {
	Name        string // its id, or "#N"
	State       State  // Enqueued or Locked
	Sequence    uint64
	Deliveries  int
	Enqueued    time.Time
	Expires     time.Time
	LockedUntil time.Time // zero: it is not locked
	Body        []byte
}

// Queue lists what is pending for a device, oldest first; nil if there is no
// such device.
func (h *Hub) Queue(deviceID string) (list []QueuedMessage) {
	h.mu.Lock()
	defer h.unlock()
	d := h.devices[deviceID]
	if d == nil {
		return nil
	}
	h.follow(d, time.Now())
	for _, e := range d.queue.pending {
		list = append(list, QueuedMessage{Name: nameOf(*e), State: e.state(), Sequence: e.seq, Deliveries: e.deliveries,
			Enqueued: e.message.Enqueued, Expires: e.expires, LockedUntil: e.lockedUntil, Body: slices.Clone(e.message.Body)})
	}
	return list
}

// Known gives nil for a device of this hub, otherwise ErrUnknownDevice.
func (h *Hub) Known(deviceID string) error {
	return h.with(deviceID, func(*device, time.Time) error { return nil })
}

// Status tells whether a device is connected, and whether it has a session
// (also a stored one) that is subscribed to its messages.
func (h *Hub) Status(deviceID string) (connected, subscribed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.devices[deviceID]
	return d != nil && d.conn != nil, d != nil && d.session != nil && d.session.subscribed
}

// Events gives what happened so far, oldest first: at least the last 5000.
func (h *Hub) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.record.events)
}

// Inject adds a scripted fault. It is refused if it could never strike.
func (h *Hub) Inject(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.Times == 0 {
		f.Times = 1
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Device != "" && h.devices[f.Device] == nil {
		return h.unknown(f.Device)
	}
	h.faults = append(h.faults, f)
	return nil
}

// ClearFaults takes back the faults of a device that are not used up; "": all
// faults. Connections in a black hole or stalled stay so; see Drop.
func (h *Hub) ClearFaults(deviceID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = slices.DeleteFunc(h.faults, func(f Fault) bool { return deviceID == "" || f.Device == deviceID })
}

// Drop breaks a device's connection, if it has one, and those over which it sent
// an HTTPS request last.
func (h *Hub) Drop(deviceID string) error {
	return h.with(deviceID, func(d *device, _ time.Time) error {
		if d.conn != nil {
			h.end(d.conn, "dropped on request")
		}
		h.endWebs(d.ID, "dropped on request")
		return nil
	})
}

// ForgetSession breaks a device's connection and loses its stored session: the
// next CONNECT is answered without session present, and what is queued until
// the next SUBSCRIBE will be rejected.
func (h *Hub) ForgetSession(deviceID string) error {
	return h.with(deviceID, func(d *device, _ time.Time) error {
		if d.conn != nil {
			h.end(d.conn, "session forgotten on request")
		}
		d.session = nil
		return nil
	})
}

// Restart breaks all connections and takes no new one for the time down.
// Queues, sessions and faults stay, as in the service.
func (h *Hub) Restart(down time.Duration) {
	h.mu.Lock()
	defer h.unlock()
	h.down = time.Now().Add(down)
	for _, c := range slices.Clone(h.conns) {
		h.end(c, "hub restarts")
	}
	h.endWebs("", "hub restarts")
}

// Close ends all connections and waits until nothing of the hub is running. It
// must not be called by the observer.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for _, c := range slices.Clone(h.conns) {
		h.end(c, "hub closed")
	}
	h.endWebs("", "hub closed")
	h.unlock()
	h.running.Wait()
}

// with runs f on a device under the lock, and then does what follows from it.
func (h *Hub) with(deviceID string, f func(d *device, now time.Time) error) error {
	h.mu.Lock()
	defer h.unlock()
	d := h.devices[deviceID]
	switch {
	case h.closed:
		return ErrClosed
	case d == nil:
		return h.unknown(deviceID)
	}
	now := time.Now()
	err := f(d, now)
	h.follow(d, now)
	return err
}

// unknown gives ErrUnknownDevice with the devices there are.
func (h *Hub) unknown(deviceID string) error {
	if len(h.devices) == 0 {
		return fmt.Errorf("%w %q; the hub has no devices", ErrUnknownDevice, deviceID)
	}
	names := slices.Sorted(maps.Keys(h.devices))
	if len(names) > 10 { // a sentence, not a listing
		names = append(names[:10], "…")
	}
	return fmt.Errorf("%w %q; the hub has %s", ErrUnknownDevice, deviceID, strings.Join(names, ", "))
}

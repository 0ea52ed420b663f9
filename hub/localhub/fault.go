package localhub

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Packet names a kind of MQTT packet by its direction and use, or a kind of
// HTTPS request, for faults.
type Packet string

// The packets a fault can wait for.
const (
	PacketConnect        Packet = "connect"         // from the device
	PacketConnack        Packet = "connack"         // to the device
	PacketSubscribe      Packet = "subscribe"       // from the device
	PacketSuback         Packet = "suback"          // to the device
	PacketDelivery       Packet = "delivery"        // a message's PUBLISH, to the device
	PacketPuback         Packet = "puback"          // the device's answer to a delivery
	PacketTelemetry      Packet = "telemetry"       // a PUBLISH from the device
	PacketTelemetryAck   Packet = "telemetry-ack"   // the hub's PUBACK for it, to the device
	PacketPing           Packet = "ping"            // PINGREQ, from the device
	PacketPong           Packet = "pong"            // PINGRESP, to the device
	PacketUnsubscribe    Packet = "unsubscribe"     // from the device
	PacketUnsubscribeAck Packet = "unsubscribe-ack" // UNSUBACK, to the device
	PacketDisconnect     Packet = "disconnect"      // from the device

	// Requests over HTTPS: a fault strikes the request or its answer, by its
	// effect. A fault for PacketHTTPAny waits for each of the five, and for
	// requests that there are none of.
	PacketHTTPReceive   Packet = "http-receive"
	PacketHTTPComplete  Packet = "http-complete"
	PacketHTTPReject    Packet = "http-reject"
	PacketHTTPAbandon   Packet = "http-abandon"
	PacketHTTPTelemetry Packet = "http-telemetry"
	PacketHTTPAny       Packet = "http-any"

	// These name no device: only a fault for any device strikes them.
	PacketHTTPS     Packet = "https"     // an HTTPS connection, before its TLS
	PacketWebSocket Packet = "websocket" // the request for the upgrade
)

// packetHTTPOther is a request that no fault has a word of its own for.
const packetHTTPOther Packet = "http-other"

// Effect is what a fault does to the packet it waited for.
type Effect string

// The effects. A packet from the device "takes effect" when the hub acts on it.
const (
	DropBefore Effect = "drop-before" // the connection breaks first: the packet takes no effect, or is not sent
	DropAfter  Effect = "drop-after"  // it takes effect but is not answered, or is sent; then the connection breaks
	Swallow    Effect = "swallow"     // it vanishes; the hub believes that it sent it
	Refuse     Effect = "refuse"      // only connect (CONNACK Code, default 3), subscribe (SUBACK 0x80), HTTPS and websocket (status Code, default 500)
	BlackHole  Effect = "black-hole"  // from here on the hub takes in everything, acts on nothing, answers nothing
	Stall      Effect = "stall"       // from here on the hub reads nothing and writes nothing: writes to it block
	Delay      Effect = "delay"       // it and all behind it in its direction wait For
	Forget     Effect = "forget"      // only connect: the stored session is lost first
	LockLost   Effect = "lock-lost"   // only http-complete, http-reject, http-abandon: the lock lapses first, so the answer is 412
)

// Fault is one scripted fault. It waits for the packets it names, lets Skip of
// them pass, strikes Times times and is used up.
type Fault struct {
	Device string // "": any device
	Packet Packet
	Effect Effect
	Skip   int           // let this many pass first
	Times  int           // how often it strikes; 0: once; negative: until ClearFaults
	Code   int           // Refuse: on connect the CONNACK code, 1 to 5, 0: 3; over HTTPS the status, 400 to 599, 0: 500
	Retry  time.Duration // Refuse over HTTPS: the answer's Retry-After, in whole seconds; 0: none
	For    time.Duration // Delay: how long. BlackHole, Stall: break the connection after that time; 0: never
}

// Packets lists every packet a fault can wait for.
func Packets() []Packet {
	return []Packet{PacketConnect, PacketConnack, PacketSubscribe, PacketSuback, PacketDelivery, PacketPuback, PacketTelemetry,
		PacketTelemetryAck, PacketPing, PacketPong, PacketUnsubscribe, PacketUnsubscribeAck, PacketDisconnect,
		PacketHTTPReceive, PacketHTTPComplete, PacketHTTPReject, PacketHTTPAbandon, PacketHTTPTelemetry, PacketHTTPAny, PacketHTTPS, PacketWebSocket}
}

// Effects lists every effect.
func Effects() []Effect {
	return []Effect{DropBefore, DropAfter, Swallow, Refuse, BlackHole, Stall, Delay, Forget, LockLost}
}

// check finds faults that could never strike, so that a test's typing error is
// not a test that cannot fail.
func (f Fault) check() error {
	switch {
	case !slices.Contains(Packets(), f.Packet):
		return fmt.Errorf("no packet is called %q; there are %s", f.Packet, words(Packets()))
	case !slices.Contains(Effects(), f.Effect):
		return fmt.Errorf("no effect is called %q; there are %s", f.Effect, words(Effects()))
	case f.Effect == Refuse && f.Packet != PacketConnect && f.Packet != PacketSubscribe && !f.Packet.web():
		return fmt.Errorf("only connect, subscribe, websocket and HTTPS requests can be refused, not %s", f.Packet)
	case f.Effect == Forget && f.Packet != PacketConnect:
		return fmt.Errorf("a session can only be forgotten at connect, not at %s", f.Packet)
	case f.Effect == LockLost && !f.Packet.settles():
		return fmt.Errorf("a lock can only be lost at http-complete, http-reject and http-abandon, not at %s", f.Packet)
	case f.Device != "" && (f.Packet == PacketHTTPS || f.Packet == PacketWebSocket):
		return fmt.Errorf("%s names no device: the fault must be for any", f.Packet)
	case f.Code != 0 && !f.codeFits():
		return fmt.Errorf("a code goes with refuse only: 1 to 5 with connect, 400 to 599 with HTTPS and websocket")
	case f.Retry < 0 || f.Retry%time.Second != 0 || f.Retry != 0 && (f.Effect != Refuse || !f.Packet.web()):
		return fmt.Errorf("retry, in whole seconds, goes with refuse over HTTPS only")
	case f.Effect == Delay && f.For <= 0:
		return fmt.Errorf("a delay needs to know for how long")
	case f.For < 0 || f.For != 0 && f.Effect != Delay && f.Effect != BlackHole && f.Effect != Stall:
		return fmt.Errorf("a time goes with delay, black-hole and stall only")
	case f.Skip < 0:
		return fmt.Errorf("skip cannot be negative")
	}
	return nil
}

func (f Fault) codeFits() bool {
	switch {
	case f.Effect != Refuse:
		return false
	case f.Packet.web():
		return 400 <= f.Code && f.Code <= 599
	}
	return f.Packet == PacketConnect && 1 <= f.Code && f.Code <= 5
}

// web tells whether p is a request over HTTPS, the upgrade included.
func (p Packet) web() bool { return p == PacketWebSocket || p.rest() }

func (p Packet) rest() bool { return strings.HasPrefix(string(p), "http-") }

// settles tells whether p is about the lock of one message.
func (p Packet) settles() bool {
	return p == PacketHTTPComplete || p == PacketHTTPReject || p == PacketHTTPAbandon
}

// meets tells whether a fault that waits for waiting meets p.
func (p Packet) meets(waiting Packet) bool {
	return p == waiting || waiting == PacketHTTPAny && p.rest()
}

func words[T ~string](all []T) string {
	var s []string
	for _, w := range all {
		s = append(s, string(w))
	}
	return strings.Join(s, ", ")
}

// faults are the scripted faults that are not used up, oldest first.
type faults []Fault

// strike finds the fault that a packet of a device meets, and counts. Every
// fault that waits for the packet counts it, but only the oldest one that is
// ready strikes.
func (fs *faults) strike(device string, p Packet) (Fault, bool) {
	struck, found := Fault{}, false
	for i := range *fs {
		f := &(*fs)[i]
		switch {
		case !p.meets(f.Packet) || f.Device != "" && f.Device != device:
		case f.Skip > 0:
			f.Skip--
		case !found:
			struck, found = *f, true
			if f.Times > 0 {
				f.Times--
			}
		}
	}
	*fs = slices.DeleteFunc(*fs, func(f Fault) bool { return f.Times == 0 }) // Inject made 0 into 1
	return struck, found
}

// String gives the fault as ParseFault reads it, without device, skip and
// times.
func (f Fault) String() string {
	s := string(f.Effect) + " " + string(f.Packet)
	if f.Code != 0 {
		s += fmt.Sprintf(" code=%d", f.Code)
	}
	if f.Retry != 0 {
		s += fmt.Sprintf(" retry=%d", int(f.Retry.Seconds()))
	}
	if f.For != 0 {
		s += fmt.Sprintf(" for=%v", f.For)
	}
	return s
}

// ParseFault reads a fault in the words of c2d hub:
//
//	EFFECT PACKET [skip=N] [times=N|forever] [code=N] [retry=SECONDS] [for=5s]
//
// The device is the caller's to set.
func ParseFault(args []string) (Fault, error) {
	if len(args) < 2 {
		return Fault{}, fmt.Errorf("a fault needs an effect (%s) and a packet (%s)", words(Effects()), words(Packets()))
	}
	f := Fault{Effect: Effect(args[0]), Packet: Packet(args[1])}
	for _, arg := range args[2:] {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "skip":
			f.Skip, err = strconv.Atoi(value)
		case "times":
			if f.Times = -1; value != "forever" {
				f.Times, err = strconv.Atoi(value)
			}
		case "code":
			f.Code, err = strconv.Atoi(value)
		case "retry":
			var n uint64
			n, err = strconv.ParseUint(value, 10, 16)
			f.Retry = time.Duration(n) * time.Second
		case "for":
			f.For, err = time.ParseDuration(value)
		default:
			return Fault{}, fmt.Errorf("%q is not one of skip=N, times=N, times=forever, code=N, retry=SECONDS, for=5s", arg)
		}
		if err != nil {
			return Fault{}, fmt.Errorf("%s: %q cannot be read: want skip=N, times=N or times=forever, code=N, retry=SECONDS, for=5s", key, value)
		}
	}
	return f, f.check()
}

package localhub

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Packet names a kind of MQTT packet by its direction and use, for faults.
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
)

// Effect is what a fault does to the packet it waited for.
type Effect string

// The effects. A packet from the device "takes effect" when the hub acts on it.
const (
	DropBefore Effect = "drop-before" // the connection breaks first: the packet takes no effect, or is not sent
	DropAfter  Effect = "drop-after"  // it takes effect but is not answered, or is sent; then the connection breaks
	Swallow    Effect = "swallow"     // it vanishes; the hub believes that it sent it
	Refuse     Effect = "refuse"      // only connect (CONNACK Code, default 3) and subscribe (SUBACK 0x80)
	BlackHole  Effect = "black-hole"  // from here on the hub takes in everything, acts on nothing, answers nothing
	Stall      Effect = "stall"       // from here on the hub reads nothing and writes nothing: writes to it block
	Delay      Effect = "delay"       // it and all behind it in its direction wait For
	Forget     Effect = "forget"      // only connect: the stored session is lost first
)

// Fault is one scripted fault. It waits for the packets it names, lets Skip of
// them pass, strikes Times times and is used up.
type Fault struct {
	Device string // "": any device
	Packet Packet
	Effect Effect
	Skip   int           // let this many pass first
	Times  int           // how often it strikes; 0: once; negative: until ClearFaults
	Code   byte          // Refuse on connect: the CONNACK code, 1 to 5; 0: 3
	For    time.Duration // Delay: how long. BlackHole, Stall: break the connection after that time; 0: never
}

// Packets lists every packet a fault can wait for.
func Packets() []Packet {
	return []Packet{PacketConnect, PacketConnack, PacketSubscribe, PacketSuback, PacketDelivery, PacketPuback, PacketTelemetry,
		PacketTelemetryAck, PacketPing, PacketPong, PacketUnsubscribe, PacketUnsubscribeAck, PacketDisconnect}
}

// Effects lists every effect.
func Effects() []Effect {
	return []Effect{DropBefore, DropAfter, Swallow, Refuse, BlackHole, Stall, Delay, Forget}
}

// check finds faults that could never strike, so that a test's typing error is
// not a test that cannot fail.
func (f Fault) check() error {
	switch {
	case !slices.Contains(Packets(), f.Packet):
		return fmt.Errorf("no packet is called %q; there are %s", f.Packet, words(Packets()))
	case !slices.Contains(Effects(), f.Effect):
		return fmt.Errorf("no effect is called %q; there are %s", f.Effect, words(Effects()))
	case f.Effect == Refuse && f.Packet != PacketConnect && f.Packet != PacketSubscribe:
		return fmt.Errorf("only connect and subscribe can be refused, not %s", f.Packet)
	case f.Effect == Forget && f.Packet != PacketConnect:
		return fmt.Errorf("a session can only be forgotten at connect, not at %s", f.Packet)
	case f.Code > 5 || f.Code != 0 && (f.Effect != Refuse || f.Packet != PacketConnect):
		return fmt.Errorf("a code (1 to 5) goes with refuse connect only")
	case f.Effect == Delay && f.For <= 0:
		return fmt.Errorf("a delay needs to know for how long")
	case f.For < 0 || f.For != 0 && f.Effect != Delay && f.Effect != BlackHole && f.Effect != Stall:
		return fmt.Errorf("a time goes with delay, black-hole and stall only")
	case f.Skip < 0:
		return fmt.Errorf("skip cannot be negative")
	}
	return nil
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
		case f.Packet != p || f.Device != "" && f.Device != device:
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
	if f.For != 0 {
		s += fmt.Sprintf(" for=%v", f.For)
	}
	return s
}

// ParseFault reads a fault in the words of c2d hub:
//
//	EFFECT PACKET [skip=N] [times=N|forever] [code=N] [for=5s]
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
			var n uint64
			n, err = strconv.ParseUint(value, 10, 8)
			f.Code = byte(n)
		case "for":
			f.For, err = time.ParseDuration(value)
		default:
			return Fault{}, fmt.Errorf("%q is not one of skip=N, times=N, times=forever, code=N, for=5s", arg)
		}
		if err != nil {
			return Fault{}, fmt.Errorf("%s: %q cannot be read: want skip=N, times=N or times=forever, code=1 to 5, for=5s", key, value)
		}
	}
	return f, f.check()
}

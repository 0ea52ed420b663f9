package localhub

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	good := map[string]Fault{
		"drop-before delivery":                {Effect: DropBefore, Packet: PacketDelivery},
		"drop-after puback skip=2 times=3":    {Effect: DropAfter, Packet: PacketPuback, Skip: 2, Times: 3},
		"refuse connect code=5 times=forever": {Effect: Refuse, Packet: PacketConnect, Code: 5, Times: -1},
		"refuse subscribe":                    {Effect: Refuse, Packet: PacketSubscribe},
		"delay pong for=1m":                   {Effect: Delay, Packet: PacketPong, For: time.Minute},
		"black-hole ping for=5s":              {Effect: BlackHole, Packet: PacketPing, For: 5 * time.Second},
		"stall suback":                        {Effect: Stall, Packet: PacketSuback},
		"forget connect":                      {Effect: Forget, Packet: PacketConnect},
		"swallow telemetry-ack":               {Effect: Swallow, Packet: PacketTelemetryAck},
		"refuse http-any code=429 retry=30":   {Effect: Refuse, Packet: PacketHTTPAny, Code: 429, Retry: 30 * time.Second},
		"refuse websocket code=503":           {Effect: Refuse, Packet: PacketWebSocket, Code: 503},
		"lock-lost http-abandon":              {Effect: LockLost, Packet: PacketHTTPAbandon},
	}
	for text, want := range good {
		if got, err := ParseFault(strings.Fields(text)); err != nil || got != want {
			t.Errorf("%q reads as %+v, %v; want %+v", text, got, err, want)
		}
	}
	// Each of these could never strike, or not as meant; the sentence must say why.
	bad := map[string]string{
		"":                            "needs an effect",
		"drop-before":                 "and a packet",
		"explode connect":             `no effect is called "explode"`,
		"drop-before pubrec":          `no packet is called "pubrec"`,
		"refuse puback":               "only connect, subscribe, ",
		"refuse https":                "only connect, subscribe, ",
		"refuse connect code=9":       "1 to 5 with connect",
		"refuse connect code=500":     "1 to 5 with connect",
		"refuse http-receive code=5":  "400 to 599 with HTTPS",
		"refuse websocket code=600":   "400 to 599 with HTTPS",
		"refuse subscribe code=1":     "1 to 5 with connect",
		"refuse connect retry=5":      "retry, in whole seconds, goes with",
		"refuse http-any retry=0.5":   `retry: "0.5" cannot be read`,
		"refuse http-any retry=99999": `retry: "99999" cannot be read`,
		"lock-lost puback":            "only be lost at http-complete",
		"lock-lost http-receive":      "only be lost at http-complete",
		"refuse connect code=x":       `code: "x" cannot be read`,
		"refuse connect code=-1":      "a code goes with refuse only",
		"drop-before connect code=5":  "a code goes with refuse only",
		"forget puback":               "only be forgotten at connect",
		"delay puback":                "for how long",
		"delay puback for=5":          `for: "5" cannot be read`,
		"drop-after puback for=5s":    "goes with delay",
		"stall puback for=-5s":        "goes with delay",
		"drop-after puback skip=-1":   "skip cannot be negative",
		"drop-after puback often=1":   `"often=1" is not one of`,
		"drop-after puback times=all": `times: "all" cannot be read`,
	}
	for text, want := range bad {
		if _, err := ParseFault(strings.Fields(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave error %v; want one with %q", text, err, want)
		}
	}
}

// TestFaultsEveryPair: each effect on each packet is either refused, or reads
// back from its own words.
func TestFaultsEveryPair(t *testing.T) {
	for _, e := range Effects() {
		for _, p := range Packets() {
			f := Fault{Effect: e, Packet: p}
			if e == Delay {
				f.For = time.Second
			}
			if f.check() != nil {
				if e != Refuse && e != Forget && e != LockLost {
					t.Errorf("%s is refused: %v", f, f.check())
				}
				continue
			}
			if again, err := ParseFault(strings.Fields(f.String())); err != nil || again != f {
				t.Errorf("%s reads back as %+v, %v", f, again, err)
			}
		}
	}
}

func TestFaultsStrikeInOrder(t *testing.T) {
	h := newTestHub(t, Options{})
	for _, f := range []Fault{
		{Packet: PacketPuback, Effect: DropBefore, Skip: 1},
		{Packet: PacketPuback, Effect: Swallow, Times: 2},
		{Packet: PacketPuback, Effect: DropAfter, Device: "pump-1"},
		{Packet: PacketPing, Effect: Swallow, Times: -1},
	} {
		if err := h.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []Effect{Swallow, DropBefore, Swallow, DropAfter, ""} {
		if f, struck := h.faults.strike("pump-1", PacketPuback); f.Effect != want || struck != (want != "") {
			t.Errorf("puback %d met %q; want %q", i+1, f.Effect, want)
		}
	}
	for range 100 {
		if _, struck := h.faults.strike("pump-2", PacketPing); !struck {
			t.Fatal("a fault for ever is used up")
		}
	}
	if len(h.faults) != 1 {
		t.Errorf("%d faults are left; want the one for ever", len(h.faults))
	}
	h.ClearFaults("pump-1") // not its own
	if len(h.faults) != 1 {
		t.Error("clearing one device's faults cleared another's")
	}
	h.ClearFaults("")
	if len(h.faults) != 0 {
		t.Error("faults are left after clearing all")
	}
	if err := h.Inject(Fault{Device: "pump-9", Packet: PacketPing, Effect: Swallow}); !errors.Is(err, ErrUnknownDevice) {
		t.Errorf("a fault for an unknown device gave %v", err)
	}
	for _, p := range []Packet{PacketHTTPS, PacketWebSocket} {
		if err := h.Inject(Fault{Device: "pump-1", Packet: p, Effect: DropBefore}); err == nil {
			t.Errorf("a fault for %s, which names no device, was taken for one", p)
		}
	}
}

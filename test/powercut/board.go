package main

import (
	"time"

	"actuatord/test/torture/judge"
)

// host is the hub's name: what /etc/hosts of the guest gives the forwarded ports.
const host = "hub.test"

// configuration is every device's, in the guest. bell is only ever pulsed, so that a
// pulse is refused only after a cut one; fan is safe on.
const configuration = `[hub]
connection_string_file = "/etc/actuatord/connection-string"
ca_file = "/etc/actuatord/ca.pem"
keep_alive = "5s"
settle_visits = 60

[journal]
path = "/data/journal.db"

[board]
driver = "sim"
trace = "/trace/trace.jsonl"

[[output]]
name = "pump"
line = "GPIO17"
max_on = "8s"

[[output]]
name = "lamp"
line = "GPIO27"
active = "low"
max_on = "none"

[[output]]
name = "bell"
line = "GPIO23"
max_on = "5s"

[[output]]
name = "fan"
line = "GPIO25"
safe = "on"

[[output]]
name = "valve"
line = "GPIO22"
max_on = "2m"

[[register]]
name = "dac"
bus = "1"
address = 0x60
registers = [0x40]
safe = { register = 0x40, bytes = "0000" }

[[register]]
name = "fifo"
bus = "1"
address = 0x61
registers = [0x01]
verify = false
repeatable = false
`

// board is the same for the judge.
func board() judge.Board {
	return judge.Board{
		Outputs: []judge.Output{
			{Name: "pump", MaxOn: 8 * time.Second}, {Name: "lamp"}, {Name: "bell", MaxOn: 5 * time.Second}, {Name: "fan", SafeOn: true},
			{Name: "valve", MaxOn: 2 * time.Minute},
		},
		Registers: []judge.Register{
			{Name: "dac", Repeatable: true, Allowed: []int{0x40}, Safe: "40:0000"}, {Name: "fifo", Allowed: []int{0x01}},
		},
	}
}

package main

import (
	"time"

	"actuatord/test/torture/judge"
)

// configuration is every device's. bell is only ever pulsed, so that a pulse is
// refused only after a cut one; fan is safe on.
const configuration = `[hub]
connection_string_file = %q
ca_file = %q
mqtt_port = %d
websocket_port = %[4]d
https_port = %[4]d
keep_alive = "5s"
settle_visits = 60

[journal]
path = %[5]q

[board]
driver = "sim"
trace = %[6]q

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
name = "valve"
line = "GPIO22"
max_on = "3s"

[[output]]
name = "bell"
line = "GPIO23"
max_on = "5s"

[[output]]
name = "door"
line = "GPIO24"
max_on = "10s"
max_age = "5s"

[[output]]
name = "fan"
line = "GPIO25"
safe = "on"

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
			{Name: "pump", MaxOn: 8 * time.Second}, {Name: "lamp"}, {Name: "valve", MaxOn: 3 * time.Second}, {Name: "bell", MaxOn: 5 * time.Second},
			{Name: "door", MaxOn: 10 * time.Second, MaxAge: 5 * time.Second}, {Name: "fan", SafeOn: true},
		},
		Registers: []judge.Register{
			{Name: "dac", Repeatable: true, Allowed: []int{0x40}, Safe: "40:0000"}, {Name: "fifo", Allowed: []int{0x01}},
		},
	}
}

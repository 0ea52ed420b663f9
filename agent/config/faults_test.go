package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	anOutput   = "[[output]]\nname = \"pump\"\nline = \"GPIO17\"\n" // three lines: what follows is on line 4
	aRegister  = "[[register]]\nname = \"dac\"\nbus = \"1\"\naddress = 0x60\n"
	aLevel     = "[[level]]\nname = \"f\"\nline = \"pwmchip0:0\"\n"
	anExpander = "[[expander]]\nname = \"x\"\nbus = \"1\"\nchip = \"mcp23017\"\n"
	portRule   = "must be a whole number from 1 to 65535, without quotes"
	pathRule   = "must be an absolute path"
	proxyRule  = `must be "http://host:port", "none", or "" for what the environment says`
	secretRule = `must be without user and password, which others can read here: put HTTPS_PROXY=http://user:password@host:port into the service's environment, and "" here`
	durRule    = `must be a duration with its unit in quotes, such as "90s" or "1h30m", `
	pollRule   = durRule + "from 25m to 48h: IoT Hub allows a device one poll in 25m, and keeps no message longer than 48h"
	aliveRule  = durRule + "from 5s to 19m37s: in whole seconds; IoT Hub honours no longer one"
	keepRule   = durRule + "at least 48h: the hub may hand out a message again for 48h"
	maxOnRule  = durRule + `at least 1ms: or "none"`
	maxAgeRule = durRule + "at least 0s: 0s means no limit"
	rejectRule = `must be "hold", "complete", or how long to hold before completing, from 1s to 48h, such as "1h"`
	listRule   = "must list registers from 0 to 255, each once, such as [0x40, 0x41]"
	bytesRule  = `must be hex digits in quotes, two for each of 1 to 32 bytes, such as "0fff"`
	tablesRule = "is not known; the tables are [hub], [clock], [journal], [board], [[output]], [[level]], [[input]], [[register]], [[expander]] and [default]"
	hubKeys    = "the keys here are connection_string_file, ca_file, proxy, mqtt_port, websocket_port, https_port, keep_alive, fallback_after, poll_every, settle_visits, on_unrejectable"
	outputKeys = "the keys here are name, line, active, drive, safe, max_on, min_off, interlock, permit, max_age"
	anInput    = "[[input]]\nname = \"float\"\nline = \"GPIO5\"\n"
	inputKeys  = "the keys here are name, line, active, bias, debounce"
	permitRule = `must list inputs by name, such as ["float-ok"]`
)

// TestFaults has every fault of every key, alone, with its exact sentence; of
// package board's own sentences, which end in … here, the beginning.
func TestFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[hub]\nconnection_string_file = ''", `line 2: hub.connection_string_file = "": ` + pathRule},
		{"[hub]\nconnection_string_file = 'c'", `line 2: hub.connection_string_file = "c": ` + pathRule},
		{"[hub]\nconnection_string_file = ['/c']", `line 2: hub.connection_string_file = [...]: ` + pathRule},
		{"[hub]\nca_file = 'ca.pem'", `line 2: hub.ca_file = "ca.pem": ` + pathRule + `, or "" for none`},
		{"[hub]\nca_file = \"/\\u0000\"", `line 2: hub.ca_file = "/\x00": ` + pathRule + `, or "" for none`},
		{"[hub]\nca_file = false", `line 2: hub.ca_file = false: ` + pathRule + `, or "" for none`},
		{"[hub]\nproxy = 'http://u:p@h:1'", `line 2: hub.proxy = ` + hidden + `: ` + secretRule},
		{"[hub]\nproxy = 'http://u@h:1'", `line 2: hub.proxy = ` + hidden + `: ` + secretRule},
		{"[hub]\nproxy = 'http://u:p/w@h:1'", `line 2: hub.proxy = ` + hidden + `: ` + secretRule},
		{"[hub]\nproxy = 'u:p@h:1'", `line 2: hub.proxy = ` + hidden + `: ` + secretRule},
		{"[hub]\nproxy = 'proxy:3128'", `line 2: hub.proxy = "proxy:3128": ` + proxyRule},
		{"[hub]\nproxy = 'https://proxy:3128'", `line 2: hub.proxy = "https://proxy:3128": ` + proxyRule},
		{"[hub]\nproxy = 'http://proxy'", `line 2: hub.proxy = "http://proxy": ` + proxyRule},
		{"[hub]\nproxy = 'http://proxy:0'", `line 2: hub.proxy = "http://proxy:0": ` + proxyRule},
		{"[hub]\nproxy = 'http://proxy:65536'", `line 2: hub.proxy = "http://proxy:65536": ` + proxyRule},
		{"[hub]\nproxy = 'http://proxy:1/'", `line 2: hub.proxy = "http://proxy:1/": ` + proxyRule},
		{"[hub]\nproxy = 'http://proxy:1?x'", `line 2: hub.proxy = "http://proxy:1?x": ` + proxyRule},
		{"[hub]\nproxy = 'http://:3128'", `line 2: hub.proxy = "http://:3128": ` + proxyRule},
		{"[hub]\nproxy = 'None'", `line 2: hub.proxy = "None": ` + proxyRule},
		{"[hub]\nproxy = false", `line 2: hub.proxy = false: ` + proxyRule},
		{"[hub]\nmqtt_port = 0", `line 2: hub.mqtt_port = 0: ` + portRule},
		{"[hub]\nmqtt_port = 65536", `line 2: hub.mqtt_port = 65536: ` + portRule},
		{"[hub]\nmqtt_port = -1", `line 2: hub.mqtt_port = -1: ` + portRule},
		{"[hub]\nmqtt_port = 9223372036854775807", `line 2: hub.mqtt_port = 9223372036854775807: ` + portRule},
		{"[hub]\nmqtt_port = '8883'", `line 2: hub.mqtt_port = "8883": ` + portRule},
		{"[hub]\nmqtt_port = 8883.0", `line 2: hub.mqtt_port = 8883.0: ` + portRule},
		{"[hub]\nwebsocket_port = 0", `line 2: hub.websocket_port = 0: ` + portRule},
		{"[hub]\nhttps_port = 1979-05-27", `line 2: hub.https_port = 1979-05-27: ` + portRule},
		{"[hub]\nkeep_alive = '4s'", `line 2: hub.keep_alive = "4s": ` + aliveRule},
		{"[hub]\nkeep_alive = '1178s'", `line 2: hub.keep_alive = "1178s": ` + aliveRule},
		{"[hub]\nkeep_alive = '60.5s'", `line 2: hub.keep_alive = "60.5s": ` + aliveRule},
		{"[hub]\nkeep_alive = 60", `line 2: hub.keep_alive = 60: ` + aliveRule},
		{"[hub]\nkeep_alive = '60'", `line 2: hub.keep_alive = "60": ` + aliveRule},
		{"[hub]\nfallback_after = '0s'", `line 2: hub.fallback_after = "0s": ` + durRule + "at least 1s"},
		{"[hub]\nfallback_after = '-5m'", `line 2: hub.fallback_after = "-5m": ` + durRule + "at least 1s"},
		{"[hub]\nfallback_after = '+5m'", `line 2: hub.fallback_after = "+5m": ` + durRule + "at least 1s"},
		{"[hub]\nfallback_after = ''", `line 2: hub.fallback_after = "": ` + durRule + "at least 1s"},
		{"[hub]\nfallback_after = '99999999h'", `line 2: hub.fallback_after = "99999999h": ` + durRule + "at least 1s"},
		{"[hub]\npoll_every = '24m59s'", `line 2: hub.poll_every = "24m59s": ` + pollRule},
		{"[hub]\npoll_every = '49h'", `line 2: hub.poll_every = "49h": ` + pollRule},
		{"[hub]\npoll_every = '1d'", `line 2: hub.poll_every = "1d": ` + pollRule},
		{"[hub]\nsettle_visits = 0", `line 2: hub.settle_visits = 0: must be a whole number from 1 to 60, without quotes`},
		{"[hub]\nsettle_visits = 61", `line 2: hub.settle_visits = 61: must be a whole number from 1 to 60, without quotes`},
		{"[hub]\non_unrejectable = 'drop'", `line 2: hub.on_unrejectable = "drop": ` + rejectRule},
		{"[hub]\non_unrejectable = '49h'", `line 2: hub.on_unrejectable = "49h": ` + rejectRule},
		{"[hub]\non_unrejectable = true", `line 2: hub.on_unrejectable = true: ` + rejectRule},
		{"[clock]\nwait = '25h'", `line 2: clock.wait = "25h": ` + durRule + "from 0s to 24h: no command is taken while it lasts"},
		{"[clock]\nwait = '0'", `line 2: clock.wait = "0": ` + durRule + "from 0s to 24h: no command is taken while it lasts"},
		{"[journal]\npath = 'journal.db'", `line 2: journal.path = "journal.db": ` + pathRule},
		{"[journal]\nkeep = '47h59m'", `line 2: journal.keep = "47h59m": ` + keepRule},
		{"[journal]\nkeep = {h = 48}", `line 2: journal.keep = {...}: ` + keepRule},
		{"[board]\ndriver = 'rpi'", `line 2: board.driver = "rpi": must be "linux" or "sim"`},
		{"[board]\ndriver = 1", `line 2: board.driver = 1: must be "linux" or "sim"`},
		{"[board]\ndriver = 'sim'\ntrace = 'trace'", `line 3: board.trace = "trace": ` + pathRule + `, or "" for none`},
		{"[default]\nhandler = 'drop'", `line 2: default.handler = "drop": must be "refuse" or "log"`},

		{"[[output]]\nline = 'GPIO17'", `line 1: output.name: …`},
		{"[[output]]\nname = 7\nline = 'GPIO17'", `line 2: output.name = 7: must be a name in quotes`},
		{"[[output]]\nname = 'a pump'\nline = 'GPIO17'", `line 2: output.name = "a pump": …`},
		{"[[output]]\nname = 'all'\nline = 'GPIO17'", `line 2: output.name = "all": …`},
		{anOutput + "[[output]]\nname = 'pump'\nline = 'GPIO18'", `line 5: output.name = "pump": already the name…`},
		{"[[output]]\nname = 'pump'", `line 1: output.line: is required…`},
		{"[[output]]\nname = 'pump'\nline = ''", `line 3: output.line = "": ` + wantLine},
		{"[[output]]\nname = 'pump'\nline = '17'", `line 3: output.line = "17": ` + wantLine},
		{"[[output]]\nname = 'pump'\nline = 17", `line 3: output.line = 17: ` + wantLine},
		{"[[output]]\nname = 'pump'\nline = ' GPIO17'", `line 3: output.line = " GPIO17": ` + wantLine},
		{"[[output]]\nname = 'pump'\nline = \"G\\u001b[2J\"", `line 3: output.line = "G\x1b[2J": ` + wantLine},
		{anOutput + "[[output]]\nname = 'b'\nline = 'GPIO17'", `line 6: output.line = "GPIO17": already the line…`},
		{anOutput + "active = 'LOW'", `line 4: output.active = "LOW": must be "high" or "low"`},
		{anOutput + "active = true", `line 4: output.active = true: must be "high" or "low"`},
		{anOutput + "drive = 'open-source'", `line 4: output.drive = "open-source": must be "push-pull" or "open-drain"`},
		{"[[output]]\nname = 'pump'\nline = 'x:0'\ndrive = 'open-drain'\n" + anExpander + "address = 0x20", `line 4: output.drive = "open-drain": a mcp23017 drives both…`},
		{anOutput + "safe = 'low'", `line 4: output.safe = "low": must be "off" or "on"`},
		{anOutput + "max_on = '0s'", `line 4: output.max_on = "0s": ` + maxOnRule},
		{anOutput + "max_on = 600", `line 4: output.max_on = 600: ` + maxOnRule},
		{anOutput + "max_on = 'never'", `line 4: output.max_on = "never": ` + maxOnRule},
		{anOutput + "safe = 'on'\nmax_on = '1s'", `line 5: output.max_on = "1s": cannot go with safe = "on"…`},
		{anOutput + "min_off = '-1s'", `line 4: output.min_off = "-1s": ` + durRule + "at least 0s"},
		{anOutput + "min_off = 1.5", `line 4: output.min_off = 1.5: ` + durRule + "at least 0s"},
		{anOutput + "interlock = 1", `line 4: output.interlock = 1: must be the name of a group, or "" for none`},
		{anOutput + "interlock = \"a\\n\"", `line 4: output.interlock = "a\n": must be the name of a group, or "" for none`},
		{anOutput + "interlock = 'g'", `line 4: output.interlock = "g": no other output…`},
		{anOutput + "safe = 'on'\ninterlock = 'g'\n[[output]]\nname = 'b'\nline = 'l'\nsafe = 'on'\ninterlock = 'g'",
			`line 10: output.interlock = "g": output "pump" of this group is safe on too…`},
		{anOutput + "interlock = 'g'\n[[output]]\nname = 'b'\nline = 'l'\ninterlock = 7", `line 8: output.interlock = 7: must be the name of a group, or "" for none`},
		{anOutput + "max_age = '1 hour'", `line 4: output.max_age = "1 hour": ` + maxAgeRule},

		{anOutput + "permit = 'float'", `line 4: output.permit = "float": ` + permitRule},
		{anOutput + "permit = [1]", `line 4: output.permit = [...]: ` + permitRule},
		{anOutput + "permit = [\"a\\n\"]", `line 4: output.permit = [...]: ` + permitRule},
		{anOutput + "permit = []", `line 4: output.permit = [...]: lists no input…`},
		{anOutput + "permit = ['floot']\n" + anInput, `line 4: output.permit = [...]: no [[input]] is named "floot"…`},
		{anOutput + "permit = ['float', 'float']\n" + anInput, `line 4: output.permit = [...]: lists "float" twice`},
		{anOutput + "permit = ['float']\n[[input]]\nname = 7\nline = 'GPIO5'", `line 6: input.name = 7: must be a name in quotes`},

		{"[[input]]\nline = 'GPIO5'", `line 1: input.name: …`},
		{"[[input]]\nname = 'float'", `line 1: input.line: is required…`},
		{"[[input]]\nname = 'float'\nline = '5'", `line 3: input.line = "5": ` + wantLine},
		{anOutput + "[[input]]\nname = 'pump'\nline = 'GPIO5'", `line 5: input.name = "pump": already the name of output 0; outputs, levels, inputs and registers share…`},
		{anOutput + "[[input]]\nname = 'float'\nline = 'GPIO17'", `line 6: input.line = "GPIO17": already the line of output "pump"`},
		{anInput + "active = 'on'", `line 4: input.active = "on": must be "high" or "low"`},
		{anInput + "bias = 'up'", `line 4: input.bias = "up": must be "as-is", "none", "pull-up" or "pull-down"`},
		{anInput + "bias = true", `line 4: input.bias = true: must be "as-is", "none", "pull-up" or "pull-down"`},
		{anInput + "debounce = 10", `line 4: input.debounce = 10: ` + durRule + `at least 0s: 0s means none`},
		{anInput + "debounce = '6s'", `line 4: input.debounce = "6s": is from 0s to 5s…`},
		{anInput + "colour = 'red'", `line 4: input.colour: is not known; ` + inputKeys},
		{"[input]\nname = 'float'", "line 1: input: must be an array of tables: there may be several, and the head of each is [[input]]"},

		{"[[register]]\nbus = '1'\naddress = 0x60", `line 1: register.name: …`},
		{anOutput + "[[register]]\nname = 'pump'\nbus = '1'\naddress = 0x60", `line 5: register.name = "pump": already the name…`},
		{"[[register]]\nname = 'dac'\naddress = 0x60", `line 1: register.bus: is required…`},
		{"[[register]]\nname = 'dac'\nbus = 1\naddress = 0x60", `line 3: register.bus = 1: ` + wantBus},
		{"[[register]]\nname = 'dac'\nbus = \"\\t\"\naddress = 0x60", `line 3: register.bus = "\t": ` + wantBus},
		{"[[register]]\nname = 'dac'\nbus = '1'", `line 1: register.address: a device's address is…`},
		{"[[register]]\nname = 'dac'\nbus = '1'\naddress = 0x78", `line 4: register.address = 0x78: a device's address is…`},
		{"[[register]]\nname = 'dac'\nbus = '1'\naddress = 0x10060", `line 4: register.address = 0x10060: must be the device's address on the bus, such as 0x60, without quotes`},
		{"[[register]]\nname = 'dac'\nbus = '1'\naddress = '0x60'", `line 4: register.address = "0x60": must be the device's address on the bus, such as 0x60, without quotes`},
		{aRegister + "registers = 0x40", `line 5: register.registers = 0x40: ` + listRule},
		{aRegister + "registers = []", `line 5: register.registers = [...]: lists no register…`},
		{aRegister + "registers = [0, 256]", `line 5: register.registers = [...]: ` + listRule + "; 256 is wrong"},
		{aRegister + "registers = [0x40, 0x40]", `line 5: register.registers = [...]: ` + listRule + "; 0x40 is wrong"},
		{aRegister + "registers = ['40']", `line 5: register.registers = [...]: ` + listRule + `; "40" is wrong`},
		{aRegister + "verify = 'yes'", `line 5: register.verify = "yes": must be true or false, without quotes`},
		{aRegister + "repeatable = 0", `line 5: register.repeatable = 0: must be true or false, without quotes`},
		{aRegister + "safe = '0000'", `line 5: register.safe = "0000": ` + wantSafe},
		{aRegister + "safe = {register = 256, bytes = '00'}", `line 5: register.safe.register = 256: must be a whole number from 0 to 255, without quotes`},
		{aRegister + "safe = {register = 1, bytes = '0'}", `line 5: register.safe.bytes = "0": ` + bytesRule},
		{aRegister + "safe = {register = 1, bytes = ''}", `line 5: register.safe.bytes = "": ` + bytesRule},
		{aRegister + "safe = {register = 1, bytes = 0}", `line 5: register.safe.bytes = 0: ` + bytesRule},
		{aRegister + "safe = {bytes = '00'}", `line 5: register.safe.register: is missing: ` + wantSafe},
		{aRegister + "[register.safe]\nregister = 1", `line 5: register.safe.bytes: is missing: ` + wantSafe},
		{aRegister + "safe = {register = 1, bytes = '00', reg = 2}", `line 5: register.safe.reg: is not known; the keys here are register, bytes`},
		{aRegister + "max_age = 0", `line 5: register.max_age = 0: ` + maxAgeRule},

		{"[[level]]\nline = 'pwmchip0:0'\nfrequency = '1kHz'", `line 1: level.name: …`},
		{"[[level]]\nname = 'f'\nfrequency = '1kHz'", `line 1: level.line: must be a line of an expander…`},
		{"[[level]]\nname = 'f'\nline = 'GPIO18'\nfrequency = '1kHz'", `line 3: level.line = "GPIO18": must be a line of an expander…`},
		{"[[level]]\nname = 'f'\nline = 18\nfrequency = '1kHz'", `line 3: level.line = 18: ` + wantLevelLine},
		{"[[level]]\nname = 'f'\nline = 'pwmchip0:0'", `line 1: level.frequency: is required…`},
		{aLevel + "frequency = 200", `line 4: level.frequency = 200: ` + wantFrequency},
		{aLevel + "frequency = '200'", `line 4: level.frequency = "200": ` + wantFrequency},
		{aLevel + "frequency = '0Hz'", `line 4: level.frequency = "0Hz": ` + wantFrequency},
		{aLevel + "frequency = '1.5kHz'", `line 4: level.frequency = "1.5kHz": ` + wantFrequency},
		{aLevel + "frequency = '2000kHz'", `line 4: level.frequency = "2000kHz": must be from 1Hz to 1000000Hz here`},
		{aLevel + "frequency = '1kHz'\nsafe = '0'", `line 5: level.safe = "0": ` + wantPercent},
		{aLevel + "frequency = '1kHz'\nsafe = 100.01", `line 5: level.safe = 100.01: ` + wantPercent},
		{aLevel + "frequency = '1kHz'\nsafe = -1", `line 5: level.safe = -1: ` + wantPercent},
		{aLevel + "frequency = '1kHz'\nsafe = 0.001", `line 5: level.safe = 0.001: ` + wantPercent},
		{aLevel + "frequency = '1kHz'\nsafe = true", `line 5: level.safe = true: ` + wantPercent},
		{aLevel + "frequency = '1kHz'\nmax_on = 5", `line 5: level.max_on = 5: ` + maxOnRule},

		{"[[expander]]\nbus = '1'\nchip = 'pcf8574'\naddress = 0x20", `line 1: expander.name: …`},
		{anExpander + "address = 0x28", `line 5: expander.address = 0x28: a mcp23017 has…`},
		{anExpander + "address = '0x20'", `line 5: expander.address = "0x20": must be the device's address on the bus, such as 0x60, without quotes`},
		{anExpander, `line 1: expander.address: a mcp23017 has…`},
		{anExpander + "address = 0x20\nverify = 1", `line 6: expander.verify = 1: must be true or false, without quotes`},
		{anExpander + "address = 0x20\nverify = false", `line 6: expander.verify = false: is for a pcf8574…`},
		{"[[expander]]\nname = 'x'\nbus = '1'\naddress = 0x20", `line 1: expander.chip: the chips are…`},
		{"[[expander]]\nname = 'x'\nbus = '1'\naddress = 0x20\nchip = 23017", `line 5: expander.chip = 23017: must be a chip in quotes, such as "mcp23017"`},
		{"[[expander]]\nname = 'x'\naddress = 0x20\nchip = 'mcp23008'", `line 1: expander.bus: is required…`},
		{"[[output]]\nname = 'pump'\nline = 'x:16'\n" + anExpander + "address = 0x20", `line 3: output.line = "x:16": the lines of expander…`},
		{anExpander + "address = 0x20\n[[register]]\nname = 'dac'\nbus = '1'\naddress = 0x20", `line 9: register.address = 0x20: expander "x" is there…`},

		{"[hub]\nmqqt_port = 1", `line 2: hub.mqqt_port: is not known; did you mean mqtt_port? ` + hubKeys},
		{"[hub]\nurl = 'x'", `line 2: hub.url: is not known; ` + hubKeys},
		{anOutput + "Safe = 'on'", `line 4: output.Safe: is not known; did you mean safe? ` + outputKeys},
		{anOutput + "\"\\u001b\" = 1", `line 4: output."\x1b": is not known; ` + outputKeys},
		{"mqtt_port = 1", "line 1: mqtt_port: " + tablesRule},
		{"[hubs]\nx = 1", "line 1: hubs: " + strings.Replace(tablesRule, "; ", "; did you mean hub? ", 1)},
		{"[[hub]]\nmqtt_port = 1", "line 1: hub: must be a table: there is one, and its head is [hub]"},
		{"hub = 1", "line 1: hub: must be a table: there is one, and its head is [hub]"},
		{"[output]\nname = 'pump'", "line 1: output: must be an array of tables: there may be several, and the head of each is [[output]]"},
		{"register = 'dac'", "line 1: register: must be an array of tables: there may be several, and the head of each is [[register]]"},
		{"output = [1]", "line 1: output: must be an array of tables: there may be several, and the head of each is [[output]]"},

		{"[hub]\nmqtt_port = 1\nmqtt_port = 2", "line 3: not TOML: key mqtt_port is already defined"},
		{"[hub]\n[hub]", "line 2: not TOML: table hub already exists"},
		{"[hub]\n\nkeep_alive = 60s", "line 3: not TOML: strings must be quoted"},
		{"[hub", "line 1: not TOML: expected ']' to close table name"},
		{"[hub]\nca_file = \"\xff\"", "line 2: not TOML: invalid UTF-8 character in basic string"},
		{"hub.mqtt_port = 0x", "line 1: not TOML: radix prefix must be followed by at least one digit"},
	} {
		_, problems := parse([]byte(tt.text))
		begin, open := strings.CutSuffix(tt.want, "…")
		if len(problems) != 1 || problems[0].String() != tt.want && !(open && strings.HasPrefix(problems[0].String(), begin)) {
			t.Errorf("%s\ngot  %v\nwant 1 fault\n%s", tt.text, problems, tt.want)
		}
	}
}

// TestAllFaults: one error has all faults, by line.
func TestAllFaults(t *testing.T) {
	_, problems := parse([]byte(`# a board in a bad way
[[output]]
name = "valve-1"
line = "GPIO17"
max_on = "1 minute"
interlock = "water"

[[output]]
name = "valve-1"
line = "GPIO18"
colour = "red"

[hub]
poll_every = "1m"
mqtt_port = 99999

[[register]]
safe = { register = -1 }

[hub.extra]
x = 1

[jurnal]
`))
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimSpace(fmt.Sprint(p.Line, " ", p.Key, " ", p.Value)))
	}
	want := []string{
		`5 output.max_on "1 minute"`, `6 output.interlock "water"`, `9 output.name "valve-1"`, `11 output.colour`,
		`14 hub.poll_every "1m"`, `15 hub.mqtt_port 99999`,
		`17 register.address`, `17 register.bus`, `17 register.name`, `18 register.safe.bytes`, `18 register.safe.register -1`,
		`20 hub.extra`, `23 jurnal`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNoSecrets puts a connection string, a token and a bare key into every
// place of a file where a slip of the clipboard may put one.
func TestNoSecrets(t *testing.T) {
	const key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	places := []string{
		"%s", "[%s]", "%s = 1", "\"%s\" = 1", "['%s']", "[hub]\n\"%s\" = 1", "[hub]\n%s", "[hub]\nconnection_string = '%s'",
		"[hub]\nconnection_string_file = '%s'", "[hub]\nconnection_string_file = %s", "[hub]\nconnection_string_file = ['%s']",
		"[hub]\nca_file = \"\"\"\n%s\"\"\"", "[hub]\nkeep_alive = '%s'", "[hub]\non_unrejectable = '%s'", "[board]\ndriver = '%s'",
		"[[output]]\nname = '%s'", "[[output]]\nline = '%s'\nname = '%s'", anOutput + "interlock = '%s'", aRegister + "registers = ['%s']",
		aRegister + "safe = {register = 1, bytes = '%s'}", "\"%s\" = 1\n\"%s\" = 2", "[hub]\nca_file = '%s' '%s'", "[[output]]\nline = 'l'\nname = '" + key + "'\n%s",
	}
	for _, secret := range []string{
		"HostName=h.azure-devices.net;DeviceId=d;SharedAccessKey=" + key,
		"SharedAccessSignature sr=h&sig=" + key + "&se=1", "sharedaccesskey = " + key, key,
	} {
		for _, place := range places {
			text := strings.ReplaceAll(place, "%s", secret)
			c, err := Parse("test", []byte(text))
			shown := strings.Join(c.Warnings, "\n")
			if err != nil {
				shown += err.Error()
			}
			if strings.Contains(shown, key[:12]) {
				t.Errorf("%s\nshows the secret:\n%s", text, shown)
			}
		}
	}
}

package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// longestTTL is how long a message can stay on the hub: IoT Hub's upper
	// bound of a C2D time to live. What is remembered for less may be met
	// again; what is asked for more rarely may never be met.
	longestTTL = 48 * time.Hour

	// pollFloor is IoT Hub's own rule for devices that poll over HTTPS.
	pollFloor = 25 * time.Minute

	// longestKeepAlive is the longest keep-alive that IoT Hub honours: it
	// drops an idle connection after 29:45 minutes, and waits 1.5 times ours.
	longestKeepAlive = 1177 * time.Second

	// shortestKeepAlive: below it the pings of one device cost more data than
	// its commands. Not measured; half of it would work as well.
	shortestKeepAlive = 5 * time.Second
)

func (r *reader) hub() Hub {
	s := r.single("hub")
	h := Hub{
		ConnectionStringFile: s.file("connection_string_file", "/etc/actuatord/connection-string", false),
		CAFile:               s.file("ca_file", "", true),
		Proxy:                s.proxy(),
		MQTTPort:             s.number("mqtt_port", 8883, 1, 65535),
		WebSocketPort:        s.number("websocket_port", 443, 1, 65535),
		HTTPSPort:            s.number("https_port", 443, 1, 65535),
		KeepAlive:            s.keepAlive(),
		FallbackAfter:        s.duration("fallback_after", 5*time.Minute, span{time.Second, forever, ""}),
		PollEvery:            s.duration("poll_every", pollFloor, span{pollFloor, longestTTL, "IoT Hub allows a device one poll in 25m, and keeps no message longer than 48h"}),
		// A visit leaves the MQTT session, so more than one a minute would be
		// most of the session's time.
		SettleVisits:   s.number("settle_visits", 12, 1, 60),
		OnUnrejectable: s.unrejectable(),
	}
	s.done()
	return h
}

// keepAlive is in whole seconds, as MQTT's CONNECT carries it.
func (s *section) keepAlive() time.Duration {
	const key = "keep_alive"
	v := span{shortestKeepAlive, longestKeepAlive, "in whole seconds; IoT Hub honours no longer one"}
	d := s.duration(key, time.Minute, v)
	if d%time.Second != 0 {
		s.fault(key, v.want())
	}
	return d
}

// proxy keeps credentials out of the file, which everybody may read. A value with
// an @ may hold a password, in whatever place: it is not shown.
func (s *section) proxy() string {
	const key, want = "proxy", `must be "http://host:port", "none", or "" for what the environment says`
	n := s.get(key, isString, want)
	switch {
	case n == nil || n.text == "":
		return ""
	case n.text == "none" || isProxy(n.text):
		return n.text
	case strings.Contains(n.text, "@"):
		s.fault(key, `must be without user and password, which others can read here: put HTTPS_PROXY=http://user:password@host:port into the service's environment, and "" here`)
		s.r.problems[len(s.r.problems)-1].Value = hidden
	default:
		s.fault(key, want)
	}
	return ""
}

func isProxy(text string) bool {
	u, err := url.Parse(text)
	if err != nil || *u != (url.URL{Scheme: "http", Host: u.Host}) || u.Hostname() == "" {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func (s *section) unrejectable() Unrejectable {
	const key, want = "on_unrejectable", `must be "hold", "complete", or how long to hold before completing, from 1s to 48h, such as "1h"`
	n := s.get(key, isString, want)
	if n == nil || n.text == "hold" {
		return Unrejectable{Hold: true}
	}
	if n.text == "complete" {
		return Unrejectable{}
	}
	d, ok := span{time.Second, longestTTL, ""}.parse(n.text)
	if !ok {
		s.fault(key, want)
	}
	return Unrejectable{After: d}
}

func (r *reader) clock() Clock {
	s := r.single("clock")
	c := Clock{Wait: s.duration("wait", 2*time.Minute, span{0, 24 * time.Hour, "no command is taken while it lasts"})}
	s.done()
	return c
}

func (r *reader) journal() Journal {
	s := r.single("journal")
	j := Journal{
		Path: s.file("path", "/var/lib/actuatord/journal.db", false),
		Keep: s.duration("keep", 168*time.Hour, span{longestTTL, forever, "the hub may hand out a message again for 48h"}),
	}
	s.done()
	return j
}

func (r *reader) board() Board {
	s := r.single("board")
	b := Board{Driver: s.choice("driver", DriverLinux, DriverSim), Trace: s.file("trace", "", true)}
	if b.Trace != "" && b.Driver != DriverSim && !s.bad["driver"] {
		r.warn(s.line("trace"), "board.trace is only written with driver = %q", DriverSim)
	}
	s.done()
	return b
}

func (r *reader) fallback() Default {
	s := r.single("default")
	d := Default{Log: s.choice("handler", "refuse", "log") == "log"}
	s.done()
	return d
}

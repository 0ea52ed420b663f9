package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"actuatord/hub"
	"actuatord/hub/dial"
	"actuatord/hub/https"
	"actuatord/hub/link"
	"actuatord/hub/mqtt"
)

const (
	// onlineWithin bounds all questions together: somebody is standing beside the
	// board. tryWithin and lookUpWithin bound one; with every port silent they come to
	// 55 s. A slow board needs seconds for a handshake, so half would find faults
	// where there are none.
	onlineWithin, tryWithin, lookUpWithin = 58 * time.Second, 15 * time.Second, 10 * time.Second

	// The hub tolerates 5 minutes (hub document §1.3). Its Date has whole seconds and
	// travels, so what is below 5 s may be the road.
	clockUnusable, clockRough = 5 * time.Minute, 5 * time.Second
)

// online is what `check --online` finds out about the way to the hub. It never
// sends CONNECT, which would end the session of a daemon that runs, and touches no
// message.
type online struct {
	*checker
	roads
	id     hub.ConnectionString
	host   string // where to connect
	off    time.Duration
	synced bool // the kernel counts its time as right
}

// runOnline goes from what everything else needs to what needs everything else.
func runOnline(k *checker, r roads, id hub.ConnectionString, kernel func() (time.Time, bool)) {
	ctx, cancel := context.WithTimeout(context.Background(), onlineWithin)
	defer cancel()
	wall, synced := kernel()
	o := &online{checker: k, roads: r, id: id, host: cmp.Or(id.GatewayHostName, id.HostName), off: time.Until(wall), synced: synced}
	if !o.lookUp(ctx, o.proxies(ctx)) {
		return
	}
	clockErr := o.clock(ctx)
	o.sessions(ctx)
	if o.chain(ctx, clockErr) {
		o.key(ctx)
	}
}

// now is the time that the agent would go by: the kernel's, until the hub has put
// right one that nobody vouches for.
func (o *online) now() time.Time { return time.Now().Add(o.off) }

func (o *online) try(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	return fn(ctx)
}

// proxies tells through what each port is reached, and answers the names to look
// up. Nothing is dialled for it.
func (o *online) proxies(ctx context.Context) (names []string) {
	seen, said := map[string]bool{}, []string{}
	for _, port := range []int{o.roads.hub.MQTTPort, o.roads.hub.WebSocketPort, o.roads.hub.HTTPSPort} {
		road, addr := o.road(o.now), ""
		road.TCP = func(_ context.Context, _, to string) (net.Conn, error) {
			addr = to
			return nil, errors.New("not now")
		}
		_, _, err := dial.TLS(ctx, road, o.host, port)
		if addr == "" {
			o.bad("proxy", err, "set [hub] proxy, or HTTPS_PROXY in the environment")
			return nil
		}
		name, at, err := net.SplitHostPort(addr)
		switch {
		case err != nil:
			continue
		case addr != net.JoinHostPort(o.host, strconv.Itoa(port)) && !seen[strconv.Itoa(port)]:
			said = append(said, fmt.Sprintf("%d through %s:%s", port, name, at))
		}
		if seen[strconv.Itoa(port)] = true; !seen[name] {
			seen[name], names = true, append(names, name)
		}
	}
	switch {
	case len(said) == 0:
		o.line("proxy", nil, "none")
	case o.roads.hub.Proxy == "":
		o.line("proxy", nil, strings.Join(said, ", ")+", by the environment of this shell; that of the service may say otherwise")
	default:
		o.line("proxy", nil, strings.Join(said, ", "))
	}
	return names
}

// lookUp asks the resolver.
func (o *online) lookUp(ctx context.Context, names []string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookUpWithin)
	defer cancel()
	for _, name := range names {
		addrs, err := net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			o.bad("name", err, "is the network up, does /etc/resolv.conf name a server, and is the name right? Nothing else was tried")
			return false
		}
		o.line("name", nil, name+" is "+strings.Join(addrs[:min(len(addrs), 4)], ", "))
	}
	return len(names) > 0
}

// clock holds ours against the hub's, and goes by the hub's from there on if the
// agent would.
func (o *online) clock(ctx context.Context) error {
	var date, at time.Time
	err := o.try(ctx, func(ctx context.Context) (err error) {
		date, at, err = o.time(ctx, o.id, o.now, true)
		return err
	})
	const what = "clock against the hub's"
	if err != nil {
		o.warn(what, "not told: "+err.Error())
		return err
	}
	off := date.Sub(at) - o.off // of the hub's from ours
	if !o.synced {
		o.off += off
	}
	text := fmt.Sprintf("%s off (it says %s)", off.Abs().Round(time.Second), date.Format(time.RFC3339))
	switch {
	case off.Abs() < clockRough:
		o.line(what, nil, "within seconds")
	case o.synced && off.Abs() >= clockUnusable:
		o.bad(what, errors.New(text), "the kernel counts it as synchronised, so the agent goes by it, and its tokens are refused: put its time server right")
	case o.synced:
		o.warn(what, text+": expiries and ages are judged that much wrong; look at its time server")
	default:
		o.warn(what, text+": the agent goes by the hub's; enable systemd-timesyncd or chrony")
	}
	return nil
}

// sessions tries both ways to an MQTT session. One of them is enough.
func (o *online) sessions(ctx context.Context) {
	try := func(rung link.Rung) error {
		return o.try(ctx, func(ctx context.Context) error { return mqtt.Probe(ctx, o.session(rung, o.id, o.now)) })
	}
	own, web := try(link.RungMQTT), try(link.RungWebSocket)
	for _, way := range []struct {
		name       string
		port       int
		err, other error
		instead    string
	}{
		{"MQTT", o.roads.hub.MQTTPort, own, web, "MQTT goes over WebSocket meanwhile"},
		{"MQTT over WebSocket", o.roads.hub.WebSocketPort, web, own, "it is what MQTT would fall back to"},
	} {
		what := fmt.Sprintf("%s, port %d", way.name, way.port)
		switch {
		case way.err == nil:
			o.line(what, nil, "the hub is there and has proven it")
		case way.other == nil:
			o.warn(what, fmt.Sprintf("%v; %s; %s", way.err, o.remedy(way.err, way.port), way.instead))
		default:
			o.bad(what, way.err, o.remedy(way.err, way.port)+fmt.Sprintf("; without a session the queue is looked at every %v", o.roads.hub.PollEvery))
		}
	}
}

// chain tells by whom HTTPS is vouched for. Without HTTPS nothing can be rejected.
func (o *online) chain(ctx context.Context, clockErr error) bool {
	port := o.roads.hub.HTTPSPort
	what := fmt.Sprintf("HTTPS, port %d", port)
	text, err := "", clockErr
	if clockErr == nil || !errors.Is(clockErr, https.ErrNotSent) {
		err = o.try(ctx, func(ctx context.Context) error {
			conn, raw, err := dial.TLS(ctx, o.road(o.now), o.host, port)
			if err != nil {
				return err
			}
			defer raw.Close()
			chain := conn.ConnectionState().VerifiedChains[0]
			text = fmt.Sprintf("%s is vouched for by %.100q, until %s", o.host, chain[len(chain)-1].Subject.CommonName, chain[0].NotAfter.Format(time.DateOnly))
			return nil
		})
	}
	switch policy := o.roads.hub.OnUnrejectable; {
	case err == nil:
		o.line(what, nil, text)
	case policy.Hold:
		o.bad(what, err, o.remedy(err, port)+`; a message that is refused would stay and block the queue until it expires (on_unrejectable = "hold"): if the port cannot be opened, choose a duration or "complete"`)
	default:
		o.warn(what, fmt.Sprintf("%v; %s; refused messages are completed, as on_unrejectable says, and there are no polls", err, o.remedy(err, port)))
	}
	return err == nil
}

// key has the hub look at a token, by one request that touches no message.
func (o *online) key(ctx context.Context) {
	token := hub.SignSAS(hub.Resource(o.id.HostName, o.id.DeviceID), o.id.Key, "", o.now().Add(clockUnusable))
	err := o.try(ctx, func(ctx context.Context) error { return https.CheckKey(ctx, o.rest(o.id, o.now), token) })
	switch hub.CauseOf(err) {
	case "":
		o.line("key", nil, "the hub takes it for device "+o.id.DeviceID)
	case hub.CauseCredential:
		o.bad("key", err, "compare the connection string with the portal's: hub, device and key, and whether the device is enabled; then the clock")
	case hub.CauseThrottled, hub.CauseQuota, hub.CauseServerUnavailable:
		o.warn("key", fmt.Sprintf("not proven: %v; the hub has no time for us, ask again later", err))
	default:
		o.bad("key", err, o.remedy(err, o.roads.hub.HTTPSPort))
	}
}

// remedy says what to do about a road that cannot be had.
func (o *online) remedy(err error, port int) string {
	switch {
	case dial.OnlyDates(err):
		return "the clock is wrong, or the hub's certificate has expired"
	case hub.CauseOf(err) == hub.CauseTLS:
		return "something else answers there: sign in to the network if it wants that, or put the root of the gateway or of what reads TLS on the way into [hub] ca_file"
	case hub.CauseOf(err) == hub.CauseNetwork:
		return fmt.Sprintf("have port %d to %s opened, or name a proxy in [hub] proxy", port, o.host)
	case hub.CauseOf(err) == hub.CauseProxy:
		return "look at the proxy"
	}
	return "is it the hub that answers there?"
}

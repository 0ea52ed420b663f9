package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

const hubHelp = `c2d hub runs a local IoT Hub: the device side of Azure IoT Hub over MQTT, MQTT
over WebSocket and HTTPS, on this machine's loopback address only. It prints the
CA file and the connection strings to configure a device with, then "listening on
ADDRESS" for MQTT and "listening on https ADDRESS" for the other two, then one line
for each thing that happens. Commands are read from standard input; type "help" for
them. It ends on "quit", SIGINT or SIGTERM; the end of standard input does not end
it, so that it can run in the background.

Try it:

  c2d hub --dir /tmp/hub --device pump-1
  send pump-1 {"target":"pump","action":"on"} ack=full

usage: c2d hub [FLAGS]

`

// hubSettings are the flags of c2d hub.
type hubSettings struct {
	dir     string
	port    int // for MQTT
	web     int // for HTTPS
	devices []string
	hub     localhub.Options
}

// webPort is 443's usual stand-in where one is not root.
const webPort = 8443

func parseHubFlags(args []string, out io.Writer) (hubSettings, error) {
	var s hubSettings
	f := flag.NewFlagSet("c2d hub", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		fmt.Fprint(out, hubHelp)
		f.PrintDefaults()
	}
	f.StringVar(&s.dir, "dir", "", "`directory` for the CA, certificates and device keys, made if missing;\nthe next run with it has the same ones (default: a temporary one)")
	f.IntVar(&s.port, "mqtt-port", 8883, "`port` for MQTT over TLS; 0 picks a free one")
	f.IntVar(&s.web, "https-port", webPort, "`port` for HTTPS and for MQTT over WebSocket; 0 picks a free one,\nand so it is if --mqtt-port is 0 and this is not set")
	f.Func("device", "a device's `id`, may be repeated; devices in the directory are always there\n(default: device-1, if there is no other)", func(id string) error {
		if err := hub.CheckDeviceID(id); err != nil {
			return err
		}
		s.devices = append(s.devices, id)
		return nil
	})
	o := &s.hub
	f.StringVar(&o.Host, "host", "localhost", "the hub's `name` in connection strings, tokens and the certificate")
	f.IntVar(&o.Window, "window", 10, "how many deliveries may be unacknowledged")
	f.DurationVar(&o.DefaultTTL, "ttl", time.Hour, "how long a message without expiry lasts")
	f.IntVar(&o.MaxDeliveries, "max-delivery-count", 10, "abandons after which a message is dead lettered")
	f.BoolVar(&o.IgnoreAckOrder, "ignore-ack-order", false, "drop a PUBACK out of order instead of closing the connection")
	f.BoolVar(&o.IgnoreLateAck, "ignore-late-ack", false, "drop a PUBACK after the lock lapsed instead of closing the connection")
	f.BoolVar(&o.RedeliverOnExpiry, "redeliver-on-expiry", false, "deliver again on the live connection when a lock lapses")
	f.BoolVar(&o.LocksOutliveConnection, "locks-outlive-connection", false, "keep messages locked for their minute when the connection ends")
	f.IntVar(&o.ReceivesPerMinute, "receives-per-minute", 0, "HTTPS receives after which the answer is 429; 0: any number")
	f.DurationVar(&o.RetryAfter, "retry-after", 0, "what a 429 asks to wait; 0: nothing")
	f.Func("date-offset", "how far the Date header is from the time, such as -24h", func(text string) error {
		d, err := time.ParseDuration(text)
		o.Date = func(now time.Time) time.Time { return now.Add(d) }
		return err
	})
	f.BoolVar(&o.OmitEmptyHeaders, "omit-empty-headers", false, "no header over HTTPS for what the sender did not set, instead of an empty one")
	f.BoolVar(&o.NestedErrors, "nested-errors", false, "the newer form of errors over HTTPS: JSON in JSON")
	f.BoolVar(&o.FeedbackBatch, "feedback-batch", false, "send feedback 64 records or 15 s at a time, as the real hub does")
	if err := f.Parse(args); err != nil {
		return s, err // the flag package has said so
	}
	set := false
	f.Visit(func(f *flag.Flag) { set = set || f.Name == "https-port" })
	if s.port == 0 && !set {
		s.web = 0
	}
	return s, s.check(f.Args(), out)
}

func (s hubSettings) check(rest []string, out io.Writer) error {
	var err error
	switch {
	case len(rest) > 0:
		err = fmt.Errorf("unexpected argument %q; \"c2d hub -help\" lists the flags", rest[0])
	case s.port < 0 || s.port > 65535:
		err = fmt.Errorf("--mqtt-port is %d; 0 to 65535 are ports", s.port)
	case s.web < 0 || s.web > 65535:
		err = fmt.Errorf("--https-port is %d; 0 to 65535 are ports", s.web)
	case s.hub.Window < 1 || s.hub.Window > 50:
		err = fmt.Errorf("--window is %d; 1 to 50 are useful: a queue holds 50 messages", s.hub.Window)
	case s.hub.DefaultTTL < time.Minute || s.hub.DefaultTTL > 48*time.Hour:
		err = fmt.Errorf("--ttl is %v; a hub takes 1m to 48h", s.hub.DefaultTTL)
	case s.hub.MaxDeliveries < 1 || s.hub.MaxDeliveries > 100:
		err = fmt.Errorf("--max-delivery-count is %d; a hub takes 1 to 100", s.hub.MaxDeliveries)
	case s.hub.Host == "":
		err = errors.New("--host is empty")
	}
	if err != nil {
		fmt.Fprintln(out, "c2d hub:", err)
	}
	return err
}

func runHub(ctx context.Context, args []string, s streams) int {
	settings, err := parseHubFlags(args, s.err)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		return exitUsage
	}
	if err := serveHub(ctx, settings, s); err != nil {
		fmt.Fprintln(s.err, "c2d hub:", err)
		return exitFailed
	}
	return exitDone
}

// lines writes whole lines; every goroutine may.
type lines struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *lines) print(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A reader that went away is no reason to stop serving devices; on standard
	// output itself the process gets SIGPIPE.
	_, _ = fmt.Fprintf(l.out, format+"\n", args...)
}

// serveHub runs until ctx ends or "quit" is read.
func serveHub(ctx context.Context, s hubSettings, std streams) (err error) {
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "c2d-hub-"); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return fmt.Errorf("find directory: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	config, caFile, err := localhub.TLSConfig(s.dir, s.hub.Host)
	if err != nil {
		return err
	}
	out := &lines{out: std.out}
	s.hub.Observe = func(e localhub.Event) { printEvent(out, e) }
	h := localhub.New(s.hub)
	defer h.Close()
	devices, err := addDevices(h, s)
	if err != nil {
		return err
	}
	ln, err := listen(s.port, config)
	if err != nil {
		return err // "listen tcp 127.0.0.1:8883: bind: address already in use" says it all
	}
	web, err := listen(s.web, config)
	if err != nil {
		return errors.Join(fmt.Errorf("--https-port: %w", err), ln.Close())
	}
	if err := printReady(out, h, s.dir, caFile, devices, ln, web); err != nil {
		return errors.Join(err, ln.Close(), web.Close())
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	// Not waited for: a read of standard input cannot be interrupted.
	go (&console{hub: h, out: out, quit: quit}).read(std.in)
	served := make(chan error, 1)
	go func() {
		defer quit() // one that cannot serve ends the other
		served <- h.ServeWeb(ctx, web)
	}()
	err = h.Serve(ctx, ln)
	quit()
	return errors.Join(err, <-served)
}

func listen(port int, config *tls.Config) (net.Listener, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, config), nil
}

// addDevices registers the devices of the directory and the flags.
func addDevices(h *localhub.Hub, s hubSettings) ([]localhub.Device, error) {
	devices, err := localhub.Devices(s.dir, s.devices...)
	if err == nil && len(devices) == 0 {
		devices, err = localhub.Devices(s.dir, "device-1")
	}
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if err := h.PutDevice(d); err != nil {
			return nil, err
		}
	}
	return devices, nil
}

func printReady(out *lines, h *localhub.Hub, dir, caFile string, devices []localhub.Device, ln, web net.Listener) error {
	out.print("ca-file %s", caFile)
	for _, d := range devices {
		path, err := localhub.WriteConnectionString(dir, d, h.Host())
		if err != nil {
			return err
		}
		out.print("connection-string-file %s %s", d.ID, path)
		out.print("connection-string %s %s", d.ID, d.ConnectionString(h.Host()))
	}
	out.print("listening on %s", ln.Addr())
	out.print("listening on https %s", web.Addr())
	return nil
}

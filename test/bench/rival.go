package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"actuatord/hub/localhub"
)

// rival is one of the programs that are compared: a device of the hub, a directory,
// and the program that works for it.
type rival struct {
	name    string
	ours    bool
	device  localhub.Device
	dir     string
	memory  string // the file in which it remembers what it has done
	trace   string // where it writes what moved; empty: nowhere
	binary  string // actuatord's; of the peer none
	program []string
	env     []string
	flush   time.Duration // by how much its flushes are made slower
	rig     *rig
}

const configuration = `[hub]
connection_string_file = %q
ca_file = %q
mqtt_port = %d
websocket_port = %[4]d
https_port = %[4]d
[journal]
path = %q
[board]
driver = "sim"
trace = %q
[[output]]
name = "pump"
line = "GPIO17"
max_on = "10m"
[[output]]
name = "lamp"
line = "GPIO27"
max_on = "none"
`

// outputs is how many the configuration has: each is a line of the trace at start.
const outputs = 2

// actuatord makes a rival of the binary for arch, run by emulator (empty: as it is).
func (r *rig) actuatord(name, arch string, emulator ...string) (*rival, error) {
	v, err := r.newRival(name)
	if err != nil {
		return nil, err
	}
	v.ours, v.memory = true, filepath.Join(v.dir, "journal.db")
	config, secret := filepath.Join(v.dir, "a.toml"), filepath.Join(v.dir, "connection-string")
	if err := os.WriteFile(secret, []byte(v.device.ConnectionString(r.hub.Host())), 0o600); err != nil {
		return nil, err
	}
	v.binary = filepath.Join(v.dir, "actuatord")
	// A file of its own: what two processes map of one file counts half for each.
	if err := copyFile(v.binary, filepath.Join(r.dist, "actuatord-linux-"+arch)); err != nil {
		return nil, err
	}
	v.program = append(emulator, v.binary, "run", "--config", config)
	v.env = []string{"NOTIFY_SOCKET=" + r.notify, "WATCHDOG_USEC=30000000"} // as in systemd/actuatord.service
	return v, v.configure("")
}

// configure writes the configuration, with what moves written to trace.
func (v *rival) configure(trace string) error {
	v.trace = trace
	text := fmt.Sprintf(configuration, filepath.Join(v.dir, "connection-string"), v.rig.ca, v.rig.mqtt, v.rig.web, v.memory, trace)
	return os.WriteFile(filepath.Join(v.dir, "a.toml"), []byte(text), 0o600)
}

// peer makes a rival of the Node program; nil where there is none.
func (r *rig) peer(name string, words ...string) (*rival, error) {
	if r.node == nil {
		return nil, nil
	}
	v, err := r.newRival(name)
	if err != nil {
		return nil, err
	}
	v.memory = filepath.Join(v.dir, "done.log")
	// The SDK has no setting for the port; a gateway's name may carry one.
	connection := v.device.ConnectionString(r.hub.Host()) + fmt.Sprintf(";GatewayHostName=%s:%d", r.hub.Host(), r.mqtt)
	v.program = append([]string{r.node.node, r.node.script, connection, r.ca, v.memory}, words...)
	return v, nil
}

func (r *rig) newRival(name string) (*rival, error) {
	v := &rival{name: name, dir: filepath.Join(r.dir, name), rig: r}
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	v.device, err = r.hub.AddDevice(name)
	return v, err
}

// native is what cross-build.sh calls this machine.
func native() string {
	if runtime.GOARCH == "arm" {
		return "armv6"
	}
	return runtime.GOARCH
}

// pair is actuatord and, where there is Node, the peer: who takes turns.
func (r *rig) pair(part string) ([]*rival, error) {
	a, err := r.actuatord(part+"-actuatord", native())
	if err != nil {
		return nil, err
	}
	p, err := r.peer(part + "-node")
	if err != nil || p == nil {
		return []*rival{a}, err
	}
	return []*rival{a, p}, nil
}

func (r *rig) startAll(ctx context.Context, all []*rival) ([]*process, error) {
	var ps []*process
	for _, v := range all {
		p, err := v.start(ctx)
		if err != nil {
			return ps, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// forget takes away what a rival and the hub remember of each other.
func (v *rival) forget() error {
	if err := v.rig.hub.ForgetSession(v.device.ID); err != nil {
		return err
	}
	if err := os.RemoveAll(v.memory); err != nil {
		return err
	}
	return os.RemoveAll(v.memory + ".lock")
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o700)
}

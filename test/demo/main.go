// Command demo shows the main job on one screen: a local IoT Hub, actuatord on a
// simulated board, commands sent with full acknowledgement, the outputs moving and
// the feedback coming back.
//
// It is also the gate's scenario: it ends with 1 if anything went another way than
// it says. Everything it makes is in a temporary directory, which it removes, and
// it ends the processes it started. With --actuatord it runs a binary that is
// there already, such as one for another processor under an emulator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything may take before the demo gives up: an emulated
// ARMv6 needs seconds for a TLS handshake on a busy machine.
const patience = 60 * time.Second

// device is the demo's only one.
const device = "demo-pi"

const configuration = `# The demo's board: nothing real is wired.
[hub]
connection_string_file = %q
ca_file = %q
mqtt_port = %s
websocket_port = %s
https_port = %s

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
active = "low"
max_on = "none"

[[output]]
name = "valve"
line = "GPIO22"
max_on = "1m"

[[register]]
name = "dac"
bus = "1"
address = 0x60
registers = [0x40]
safe = { register = 0x40, bytes = "0000" }
`

func main() {
	actuatord := flag.String("actuatord", "", "run this `command` instead of building actuatord")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, strings.Fields(*actuatord)); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, actuatord []string) (err error) {
	dir, err := os.MkdirTemp("", "actuatord-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c2d := filepath.Join(dir, "c2d")
	if err := build(ctx, c2d, "./cmd/c2d"); err != nil {
		return err
	}
	if len(actuatord) == 0 {
		actuatord = []string{filepath.Join(dir, "actuatord")}
		if err := build(ctx, actuatord[0], "./cmd/actuatord"); err != nil {
			return err
		}
	}
	h, err := startHub(ctx, c2d, filepath.Join(dir, "hub"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	d, err := startDaemon(ctx, actuatord, dir, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := h.await(ctx, "subscribed "+device); err != nil {
		return errors.Join(fmt.Errorf("actuatord did not connect: %w", err), d.said())
	}
	fmt.Println("A local IoT Hub, actuatord on a simulated board, and one message after another.")
	story := steps()
	for i, s := range story {
		if err := s.show(ctx, i+1, h, d); err != nil {
			return errors.Join(err, d.said())
		}
	}
	fmt.Printf("\n%d messages, each as it should be. Stopping; every output goes to its safe level.\n", len(story))
	return nil
}

func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}

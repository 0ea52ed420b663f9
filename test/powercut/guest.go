package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"actuatord/test/hil/machine"
	"actuatord/test/powercut/card"
)

//go:embed start.sh
var startScript []byte

// cardSize holds a journal at its largest (some 70 MB with its log), ext4's own, and
// room to spare. It is in memory twice a lane.
const cardSize = 96 << 20

// guest is one boot of a device's machine.
type guest struct {
	*machine.Machine
	card    *card.Card
	network context.CancelFunc // ends the card's server
	served  chan error
	console *os.File
}

// boot starts the machine with a card in it; tell gets each line of the console.
func (s *series) boot(ctx context.Context, c *card.Card, tell func(line string), extra machine.Options) (*guest, error) {
	g := &guest{card: c, served: make(chan error, 1)}
	socket := filepath.Join(s.dir, "card")
	_ = os.Remove(socket) // of the life before
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("serve card: %w", err)
	}
	if g.console, err = os.OpenFile(filepath.Join(s.dir, "console"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	g.network = end
	go func() { g.served <- c.Serve(serving, ln) }()
	extra.Kit, extra.Board, extra.Initramfs = s.r.kit, machine.VirtARM64(), s.initramfs(extra.Initramfs)
	extra.Forwards = []machine.Forward{{Guest: 8883, Host: s.r.site.mqtt}, {Guest: 443, Host: s.r.site.web}}
	extra.Log = &lines{to: g.console, tell: tell}
	extra.Args = append([]string{
		"-m", "256", // half of what the smallest board has, so that its page cache is small too
		"-drive", "if=none,id=card,format=raw,cache=none,file=nbd:unix:" + socket, "-device", "virtio-blk-pci,drive=card",
		"-fsdev", "local,id=trace,security_model=none,path=" + filepath.Join(s.dir, "trace"), "-device", "virtio-9p-pci,fsdev=trace,mount_tag=trace",
	}, extra.Args...)
	if g.Machine, err = machine.Start(ctx, extra); err != nil {
		return nil, errors.Join(err, g.end())
	}
	return g, nil
}

// initramfs is the device's: the daemon with its configuration, and what starts it.
func (s *series) initramfs(extra machine.Initramfs) machine.Initramfs {
	file := func(name string, text []byte) machine.File {
		return machine.File{Path: "/etc/" + name, Data: text, Mode: 0o600}
	}
	var modules []machine.Module
	for _, name := range []string{"virtio_blk", "ext4", "crc32c_generic", "9p", "9pnet_virtio"} {
		modules = append(modules, machine.Module{Name: name})
	}
	return machine.Initramfs{
		Modules: append(modules, extra.Modules...),
		Files: append([]machine.File{
			{Path: "/start.sh", Data: startScript, Mode: 0o644},
			{Path: "/bin/actuatord", From: s.r.program, Mode: 0o755},
			{Path: "/etc/actuatord/ca.pem", From: s.r.site.ca, Mode: 0o644},
			file("actuatord/actuatord.toml", []byte(configuration)),
			file("actuatord/connection-string", []byte(s.connection)),
			file("hosts", []byte("127.0.0.1 localhost\n"+machine.Peer+" "+host+"\n")),
		}, extra.Files...),
	}
}

// end kills the machine, as a power cut does to all but the card, and answers when
// nothing of it is left.
func (g *guest) end() error {
	var err error
	if g.Machine != nil {
		err = g.Close()
	}
	g.network()
	return errors.Join(err, <-g.served, g.console.Close())
}

// lines hands on a stream and tells each line of it.
type lines struct {
	to   io.Writer
	tell func(line string)
	mu   sync.Mutex
	rest string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest += string(b)
	for {
		line, rest, whole := strings.Cut(l.rest, "\n")
		if !whole {
			return len(b), nil
		}
		l.rest = rest
		l.tell(line)
		if _, err := fmt.Fprintf(l.to, "%s %s\n", time.Now().UTC().Format("15:04:05.000"), line); err != nil {
			return 0, err
		}
	}
}

// tool runs a program that has to succeed.
func tool(ctx context.Context, name string, args ...string) error {
	if said, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, said)
	}
	return nil
}

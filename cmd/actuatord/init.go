package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"actuatord/agent/config"
	"actuatord/board"
	"actuatord/board/linux"
	"actuatord/hub"
)

// runInit asks a few questions and writes the first configuration and the connection
// string. Until the last answer nothing is written; then each file appears whole or
// not at all, also if power goes. The connection string is not shown, and is nowhere
// but in its file.
func runInit(args []string, e env) error {
	f := newFlags("init")
	force := f.Bool("force", false, "replace files that are there")
	if err := f.noWords(args); err != nil {
		return err
	}
	path, err := filepath.Abs(f.config)
	if err != nil {
		return err
	}
	s := &setup{env: e, config: path, secretFile: filepath.Join(filepath.Dir(path), "connection-string"), force: *force}
	if err := s.possible(); err != nil {
		return err
	}
	next := nextStep(path, there(path))
	// Whatever ends it must leave the terminal as it was.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	s.asker = newAsker(ctx, e)
	if err := s.questions(); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	stop()
	if err := runCheck([]string{"--config", path}, e); err != nil {
		s.say("\nBoth files are written. Once what failed above is in order, `actuatord check` says so.")
		return err
	}
	s.say("\nNext: %s", next)
	return nil
}

// setup is what init knows so far.
type setup struct {
	*asker
	env        env
	config     string
	secretFile string
	force      bool

	connection string // the connection string; "": the one that is there stays
	answers    answers
	readErr    error // why no line of this board can be looked at; nil if they can
}

// possible refuses before the first question what would fail after the last.
func (s *setup) possible() error {
	if there(s.config) && !s.force {
		return &usageError{fmt.Errorf("%s is there already; edit it, or replace it with --force", s.config)}
	}
	dir := filepath.Dir(s.config)
	for !there(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	if err := syscall.Access(dir, mayWrite); err != nil {
		return fmt.Errorf("write into %s: %w; run it with sudo, or name another place with --config", dir, err)
	}
	return nil
}

// nextStep makes the new configuration count. A service that runs with one that was
// replaced goes on with that: "enable --now" does nothing to it.
func nextStep(path string, replaced bool) string {
	switch {
	case path != defaultConfig:
		return "actuatord run --config " + path
	case replaced:
		return "sudo systemctl enable actuatord && sudo systemctl restart actuatord"
	}
	return "sudo systemctl enable --now actuatord"
}

// mayWrite is access(2)'s W_OK. The system's own word is asked for: x/sys/unix works it
// out from modes and groups, for kernels without faccessat2.
const mayWrite = 2

func there(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *setup) questions() error {
	s.answers.secretFile = s.secretFile
	s.say("This asks for what actuatord needs to start, and writes it to %s.\nCtrl-C ends it; nothing is written before the last question.\n", filepath.Dir(s.config))
	for _, ask := range []func() error{s.askSecret, s.askDriver, s.askOutputs} {
		if err := ask(); err != nil {
			return err
		}
	}
	text := s.answers.toml()
	if _, err := config.Parse(s.config, []byte(text)); err != nil {
		return err // each answer was held against the same rules
	}
	s.say("\n%s (mode 0644) would be:\n\n%s", s.config, text)
	question := "Write it?"
	if s.connection != "" {
		question = fmt.Sprintf("Write it, and the connection string to %s (mode 0600)?", s.secretFile)
	}
	yes, err := s.yes(question, true)
	if err == nil && !yes {
		err = &notDoneError{"nothing was written"}
	}
	return err
}

// askSecret has the connection string typed in, or keeps the one that is there.
func (s *setup) askSecret() error {
	kept, keptErr := hub.ConnectionString{}, error(fs.ErrNotExist)
	if there(s.secretFile) {
		kept, keptErr = config.ConnectionString(config.Config{Hub: config.Hub{ConnectionStringFile: s.secretFile}}, "")
		if keptErr == nil && !s.force {
			s.say("The connection string in %s stays (device %s at %s); --force asks for another.", s.secretFile, kept.DeviceID, kept.HostName)
			return nil
		}
		if !s.force {
			return &usageError{fmt.Errorf("%w; or replace it with --force", keptErr)}
		}
	}
	question := "The device's connection string, from the hub (it is not shown), or a file that has it: "
	if keptErr == nil {
		question = fmt.Sprintf("The device's connection string (it is not shown), a file that has it, or Enter to keep that of device %s: ", kept.DeviceID)
	}
	return s.secretly(question, func(answer string) error {
		if answer == "" && keptErr == nil {
			return nil
		}
		if filepath.IsAbs(answer) {
			text, err := readShort(answer)
			if e := new(fs.PathError); errors.As(err, &e) {
				err = fmt.Errorf("%s that file: %w", e.Op, e.Err) // not its name: a key may begin with "/"
			}
			if err != nil {
				return err
			}
			answer = strings.TrimSpace(text)
		}
		id, err := hub.ParseConnectionString(answer)
		if err != nil {
			return err
		}
		s.connection = answer
		s.say("  device %s at %s", id.DeviceID, id.HostName)
		return nil
	})
}

// readShort reads a file that may hold a connection string, and not much of any other.
func readShort(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAnswer))
	return string(text), err
}

func (s *setup) askDriver() error {
	return s.until("Drive real lines (linux), or only say so (sim)? [linux] ", func(answer string) error {
		if answer == "" {
			answer = config.DriverLinux
		}
		if answer != config.DriverLinux && answer != config.DriverSim {
			return errors.New("linux or sim?")
		}
		s.answers.driver = answer
		return nil
	})
}

func (s *setup) askOutputs() error {
	if s.answers.driver == config.DriverLinux {
		s.offerLines()
	}
	for question := "Name of an output, such as pump (Enter: none): "; ; question = "Name of the next output (Enter: no more): " {
		done, err := s.askOutput(question)
		if done || err != nil {
			return err
		}
	}
}

// askOutput asks for one output; done is the answer that there is none.
func (s *setup) askOutput(question string) (done bool, err error) {
	s.answers.outputs = append(s.answers.outputs, answer{line: "-", maxOn: "none"})
	o := &s.answers.outputs[len(s.answers.outputs)-1]
	err = s.until(question, func(name string) error {
		o.name, done = name, name == ""
		if done {
			return nil
		}
		return s.answers.fault("output.name")
	})
	if done || err != nil {
		s.answers.outputs = s.answers.outputs[:len(s.answers.outputs)-1]
		return done, err
	}
	err = s.until("  its line: ", func(line string) error {
		o.line = line
		return s.lineFault(o)
	})
	if err == nil {
		o.low, err = s.yes("  is a low voltage on, as for most relay boards?", false)
	}
	if err == nil {
		err = s.until("  the longest it may be on, such as 30s or 2h; none: no limit [10m] ", func(length string) error {
			if o.maxOn = length; length == "" {
				o.maxOn = "10m"
			}
			return s.answers.fault("output.max_on")
		})
	}
	return false, err
}

// lineFault is what is wrong with an output's line: by the rules, and on this board as
// far as that can be looked at.
func (s *setup) lineFault(o *answer) error {
	err := s.answers.fault("output.line")
	if err != nil || s.answers.driver == config.DriverSim || s.readErr != nil {
		return err
	}
	where, err := s.env.hardware().find(o.line)
	if err == nil {
		err = s.env.hardware().twins(s.answers.wired())[o.name]
	}
	var e *board.LineError
	if errors.As(err, &e) {
		e.Target = "" // it is the one that is asked about
		return e
	}
	if err == nil && where != o.line {
		s.say("  that is %s", where)
	}
	return err
}

// offerLines tells which lines there are, or why nobody knows.
func (s *setup) offerLines() {
	look := s.env.hardware().look(nil)
	named, label := freeLines(look)
	s.readErr = errors.New("this machine has no GPIO chip")
	for _, c := range look.Chips {
		if s.readErr = nil; c.Fault == "" {
			break // one that can be read is enough to look on
		}
		s.readErr = errors.New(c.Fault)
	}
	switch {
	case s.readErr != nil:
		s.say("Lines cannot be looked at here (%v), so what you write is taken as it is.", s.readErr)
	case len(named) > 0:
		s.say("Lines that nobody has: %s\n(`actuatord board` shows where they are.)", strings.Join(named, " "))
	default:
		s.say("No free line has a name here; a line is written chip-label:offset, such as %q.", label+":4")
	}
}

// freeLines are the names to offer: a Raspberry Pi's header, or whatever has a name;
// and a chip's label, for where nothing has.
func freeLines(s linux.Survey) (names []string, label string) {
	for _, p := range s.Header {
		if p.Place != "" && !p.Used {
			names = append(names, cell(p.Name))
		}
	}
	for _, c := range s.Chips {
		if label == "" {
			label = cell(c.Label)
		}
		for _, l := range c.Lines {
			if l.Name != "" && !l.Used && len(s.Header) == 0 {
				names = append(names, cell(l.Name))
			}
		}
	}
	return names, label
}

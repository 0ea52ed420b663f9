package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
	"actuatord/test/torture/judge"
)

func TestTraceTimes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	tr := newTrace(file)
	defer tr.close()
	tr.look() // there is none yet
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	add(`{"at":"1999-01-01T00:00:00Z","target":"pump","level":"off","cause":"safe"}` + "\n" + `{"target":"pump","level":"o`)
	tr.look()
	between := time.Now()
	tr.look()
	add(`n","cause":"m1"}` + "\n" + `{"target":"pu` + "\n" + `{"target":"dac","write":"40:0000","cause":"safe"}` + "\n")
	moves, err := tr.all()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range moves {
		got = append(got, m.Target+" "+m.Level+m.Write+" "+m.Cause)
	}
	if want := []string{"pump off safe", "pump on m1", "dac 40:0000 safe"}; !slices.Equal(got, want) {
		t.Fatalf("moves %q, not %q", got, want)
	}
	// A line's time is the last at which it was not there, whatever the guest's clock says.
	if moves[0].At.After(began) {
		t.Errorf("the first line is dated %v, after it was written, %v", moves[0].At, began)
	}
	if moves[1].At.Before(between) || moves[1].At.After(time.Now()) {
		t.Errorf("the second line is dated %v; it was not there at %v", moves[1].At, between)
	}
}

func telemetry(body string) localhub.Event {
	return localhub.Event{Kind: localhub.KindTelemetry, Telemetry: hub.Telemetry{Body: []byte(body)}}
}

// A device that lost its memory has said so in one of these ways.
func TestWords(t *testing.T) {
	first := `{"kind":"start","reportId":"a-1","seq":1,"cause":"new journal"}`
	for _, test := range []struct {
		name   string
		bodies []string
		want   []string
	}{
		{"the first start", []string{first, first, `{"kind":"start","reportId":"a-2","cause":"unclean stop"}`}, nil},
		{"a second journal", []string{first, `{"kind":"start","reportId":"b-1","cause":"new journal"}`}, []string{"a new journal"}},
		{"the alarm", []string{first, `{"kind":"alarm","alarm":"history-lost","state":"raised","reportId":"b-2"}`}, []string{"alarm history-lost"}},
		{"another alarm", []string{first, `{"kind":"alarm","alarm":"clock","state":"raised","reportId":"a-2"}`}, nil},
		{"an alarm without a journal", []string{first, `{"kind":"alarm","alarm":"storage","state":"raised"}`}, []string{"alarm storage"}},
		{"its end", []string{first, `{"kind":"alarm","alarm":"storage","state":"cleared"}`}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRecord()
			for _, body := range test.bodies {
				r.observe(telemetry(body))
			}
			if got := r.told().words(); !slices.Equal(got, test.want) {
				t.Fatalf("%q, not %q", got, test.want)
			}
		})
	}
}

func TestGuilty(t *testing.T) {
	broken := judge.Verdict{Faults: []judge.Fault{{Kind: judge.Lost, Says: "m:1: no end", Story: []string{"sent"}}}}
	numbers := judge.Verdict{Faults: []judge.Fault{{Kind: judge.Duplicated, Says: "report a-5 came with two contents"}}}
	setAside := []string{"the card could not be mounted"}
	for _, test := range []struct {
		name, card, mutant string
		verdict            judge.Verdict
		odd                []string
		guilty             bool
	}{
		{"kept", "honest", "", judge.Verdict{}, nil, false},
		{"broken", "honest", "", broken, nil, true},
		{"a card that breaks", "honest", "", judge.Verdict{}, setAside, true},
		{"a mutant that is caught", "honest", "a fault", broken, nil, false},
		{"a mutant that ends by itself", "honest", "a fault", judge.Verdict{}, setAside, false},
		{"a mutant that lives", "honest", "a fault", judge.Verdict{}, nil, true},
		{"a liar, by luck", "liar", "", judge.Verdict{}, nil, false},
		{"a liar, noticed", "liar", "", broken, setAside, false},
		{"a liar, seen by the back end", "liar", "", numbers, nil, false},
		{"a liar, silent", "liar", "", broken, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &run{flags: flags{card: test.card, mutant: test.mutant}, began: time.Now()}
			s := &series{r: r, id: "p1", record: newRecord(), odd: test.odd}
			r.take(s, test.verdict)
			if r.guilty() != test.guilty {
				t.Fatalf("guilty is %t", r.guilty())
			}
		})
	}
}

// A rig that finds a card set aside where nothing lied must say so even if the judge
// has nothing to say.
func TestSetAsideOnAnHonestCard(t *testing.T) {
	r := &run{flags: flags{card: "honest"}, began: time.Now()}
	s := &series{r: r, id: "p1", record: newRecord(), said: make(chan struct{})}
	s.tell("RIG start")
	s.tell(`time=… level=ERROR msg="the journal was set aside and a new one begun" why=content`)
	r.take(s, judge.Verdict{})
	if !r.guilty() {
		t.Fatal("not guilty")
	}
}

func TestStartsAreSafe(t *testing.T) {
	safe := func() (moves []judge.Move) {
		for _, o := range board().Outputs {
			level := "off"
			if o.SafeOn {
				level = "on"
			}
			moves = append(moves, judge.Move{Target: o.Name, Level: level, Cause: "safe"})
		}
		return moves
	}
	moved := judge.Move{Target: "pump", Level: "on", Cause: "m1"}
	whole := append(append(safe(), judge.Move{Target: "dac", Write: "40:0000", Cause: "safe"}), moved)
	cut := safe()[:2]
	awake := safe()
	awake[1].Level = "on"
	for name, test := range map[string]struct {
		moves  []judge.Move
		begins []int
		faults int
	}{
		"nothing moved":                {nil, []int{0}, 0},
		"a whole start, and a cut one": {append(slices.Clone(whole), cut...), []int{0, len(whole)}, 0},
		"a command before the rest":    {append(slices.Clone(cut), moved), []int{0}, 1},
		"a start at another level":     {append(slices.Clone(whole), awake...), []int{0, len(whole)}, 1},
		"none of it driven at all":     {append(slices.Clone(whole), moved), []int{0, len(whole)}, 1},
	} {
		if got := restless(test.moves, test.begins); len(got) != test.faults {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestConsoleTellsOfLives(t *testing.T) {
	s := &series{said: make(chan struct{})}
	l := &lines{to: &bytes.Buffer{}, tell: s.tell}
	for _, part := range []string{"RIG st", "art\nlevel=INFO\nRIG start\nRIG end 3\nRIG start\n", "RIG crash\n"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.lives) != 3 || !s.lives[0].Killed || s.lives[1].Killed || s.lives[1].End.IsZero() || !s.lives[2].Killed {
		t.Fatalf("lives %+v", s.lives)
	}
	if len(s.odd) != 1 || !strings.Contains(s.odd[0], "by itself with 3") {
		t.Fatalf("odd %q", s.odd)
	}
	s.stopping = true
	s.tell("RIG start")
	s.tell("RIG end 0")
	s.tell("RIG stopped")
	if len(s.odd) != 1 || !s.stopped {
		t.Fatalf("after a stop that was asked for: odd %q, stopped %t", s.odd, s.stopped)
	}
}

// The journal's place, room and all, is the field's; the day the daemon says it
// otherwise, the rig must be told.
func TestRealJournal(t *testing.T) {
	t.Chdir("../..")
	dir := t.TempDir()
	o := overlay{map[string]string{}}
	if err := o.realJournal(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "daemon.go"))
	if err != nil || !bytes.Contains(text, []byte("Volatile: false")) {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := o.realJournal(dir); err == nil {
		t.Fatal("a file that is replaced already was replaced again")
	}
}

func TestSparse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image")
	image := make([]byte, 200<<10)
	for _, at := range []int{0, 70 << 10, len(image) - 1} {
		image[at] = 7
	}
	if err := writeSparse(file, image); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, image) {
		t.Fatalf("%v, or another image", err)
	}
}

// Half of what is sent is once-only, or a cut has nothing to double; and every kind of
// life is drawn.
func TestDraws(t *testing.T) {
	s := &sender{id: "p1", draw: rand.New(rand.NewPCG(1, 2))}
	once := 0
	for range 1000 {
		body := string(s.message().Body)
		if strings.Contains(body, "toggle") || strings.Contains(body, "pulse") || strings.Contains(body, "fifo") {
			once++
		}
	}
	if once < 400 || once > 600 {
		t.Errorf("%d of 1000 are once-only", once)
	}
	d := &series{draw: rand.New(rand.NewPCG(1, 2))}
	early, clocks := 0, 0
	for range 400 {
		p := d.plan(false)
		if p.early {
			early++
		}
		if p.clock > 0 {
			clocks++
		}
		if p.write < 1 || d.plan(true).early {
			t.Fatalf("plan %+v", p)
		}
	}
	if early < 50 || clocks < 50 {
		t.Errorf("of 400 lives %d are cut early, %d have a wrong clock", early, clocks)
	}
}

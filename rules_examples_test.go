package rules_test

import (
	"strings"
	"testing"
)

const good = `// Package thing is an example that keeps every rule.
//
// It promises nothing, costs nothing, and
// power loss does nothing to it.
package thing

import (
	"errors"
	"time"
)

// ErrGone is a sentinel.
var ErrGone = errors.New("gone")

var _ Doer = Thing{}

// Levels, written out.
const (
	Off = 1
	On  = 2
)

// Doer does.
type Doer interface{ Do(now time.Time) error }

// Thing is a Doer.
type Thing struct{ at time.Time }

// Do does.
func (t Thing) Do(now time.Time) error { return ErrGone }

func (t Thing) String() string { return "thing" }
`

// example is a small module: what it holds, under which tables, and a part of the
// one fault that the rule must find ("" for none).
type example struct {
	name  string
	files map[string]string
	table func(*tables)
	want  string
}

func src(body string) map[string]string {
	return map[string]string{"thing/thing.go": strings.Replace(good, "var _ Doer", body+"\n\nvar _ Doer", 1)}
}

func with(m map[string]string, path, text string) map[string]string {
	m[path] = text
	return m
}

func importing(p string) map[string]string {
	return map[string]string{"thing/thing.go": strings.Replace(good, `"errors"`, p+"\n\t\"errors\"", 1)}
}

func plain() map[string]string { return map[string]string{"thing/thing.go": good} }

var examples = map[string][]example{
	"imports": {
		{"another module", importing(`"example.com/x"`), nil, "thing.go:8: thing may not import example.com/x"},
		{"our own", importing(`"actuatord/board"`), nil, "thing may not import actuatord/board"},
		{"a kept part", importing(`"net"`), nil, "may not import net"},
		{"blank", importing(`_ "fmt"`), nil, `import _ "fmt" hides`},
		{"dot", importing(`. "fmt"`), nil, `import . "fmt" hides`},
		{"no row", plain(), func(t *tables) { t.imports = nil }, "thing: has no row"},
		{"a prefix is no match", importing(`"actuatord/boards"`), func(t *tables) { t.imports["thing"] = []string{"actuatord/board/..."} }, "may not import actuatord/boards"},
		{"allowed", importing(`"actuatord/board/sim"`), func(t *tables) { t.imports["thing"] = []string{"actuatord/board/..."} }, ""},
		{"a test may", with(plain(), "thing/thing_test.go", "package thing\n\nimport \"example.com/x\"\n"), nil, ""},
	},
	"pure packages": {
		{"a clock", src("var now = time.Now()"), pure, "thing is pure and uses time.Now"},
		{"a clock as a value", src("var now = time.Now"), pure, "uses time.Now"},
		{"a lock", importing(`"sync"`), pure, "thing is pure and imports sync"},
		{"durations", src("const d = time.Second"), pure, ""},
		{"elsewhere", src("var now = time.Now()"), nil, ""},
	},
	"package docs": {
		{"short", map[string]string{"thing/a.go": "// Package thing is short.\npackage thing\n"}, nil, "thing: the package comment has 1 lines"},
		{"none", map[string]string{"thing/a.go": "package thing\n"}, nil, "thing: no package comment"},
		{"two", with(plain(), "thing/a.go", "// Package thing again.\npackage thing\n"), nil, "thing: 2 package comments"},
	},
	"exported docs": {
		{"function", src("func Bare() {}"), nil, "Bare has no comment"},
		{"method", src("func (t *Thing) Bare() {}"), nil, "Bare has no comment"},
		{"type", src("type Bare struct{}"), nil, "type Bare has no comment"},
		{"constant", src("const (\n\tBare = 1\n)"), nil, "Bare has no comment"},
		{"variable", src("var Bare int"), nil, "Bare has no comment"},
		{"method of a hidden type", src("type hidden struct{}\n\nfunc (hidden) Bare() {}"), nil, ""},
		{"line comment", src("const (\n\tBare = 1 // not so bare\n)"), nil, ""},
	},
	"no init": {
		{"init", src("func init() {}"), nil, "thing.go:15: func init"},
		{"in a test", with(plain(), "thing/a_test.go", "package thing\n\nfunc init() {}\n"), nil, "a_test.go:3: func init"},
		{"a method", src("func (t Thing) init() {}"), nil, ""},
	},
	"sleep": {
		{"production", src("func nap() { time.Sleep(1) }"), nil, "time.Sleep outside"},
		{"as a value", src("var nap = time.Sleep"), nil, "time.Sleep outside"},
		{"a test", with(plain(), "thing/a_test.go", "package thing\n\nimport \"time\"\n\nfunc nap() { time.Sleep(1) }\n"), nil, "a_test.go:5"},
		{"a bubble", with(plain(), "thing/a_test.go", "package thing\n\nimport (\n\t_ \"testing/synctest\"\n\t\"time\"\n)\n\nfunc nap() { time.Sleep(1) }\n"), nil, ""},
		{"listed", src("func nap() { time.Sleep(1) }"), func(t *tables) { t.sleeps = map[string]string{"thing/thing.go": "for this example"} }, ""},
	},
	"panic and exit": {
		{"panic", src(`func die() { panic("x") }`), nil, "panic in production code"},
		{"exit", with(plain(), "thing/a.go", "package thing\n\nimport \"os\"\n\nfunc die() { os.Exit(1) }\n"), nil, "a.go:5: os.Exit outside"},
		{"main exits", map[string]string{"thing/a.go": "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(1) }\n"}, nil, ""},
		{"a test", with(plain(), "thing/a_test.go", "package thing\n\nfunc die() { panic(1) }\n"), nil, ""},
	},
	"no reminders": {
		{"Go", src("// TO" + "DO: later"), nil, "thing.go:15: TO" + "DO"},
		{"elsewhere", with(plain(), "run.sh", "echo\n# FIX"+"ME\n"), nil, "run.sh:2"},
		{"part of a word", with(plain(), "run.sh", "mktemp XX"+"XX; AUTO"+"DOC\n"), nil, ""},
	},
	"function size": {
		{"long", src("func long() {" + strings.Repeat("\n", 60) + "}"), nil, "thing.long has 61 lines"},
		{"just not", src("func long() {" + strings.Repeat("\n", 59) + "}"), nil, ""},
		{"listed", src("func long() {" + strings.Repeat("\n", 60) + "}"), func(t *tables) { t.functions = map[string]string{"thing.long": "for this example"} }, ""},
	},
	"interface size": {
		{"six", src("type six interface {\n\tA()\n\tB()\n\tC()\n\tD()\n\tE()\n\tF()\n}"), nil, "interface thing.six has 6 methods"},
		{"five", src("type five interface {\n\tA()\n\tB()\n\tC()\n\tD()\n\tE()\n}"), nil, ""},
	},
	"file size": {
		{"long", with(plain(), "thing/a.go", "package thing\n"+strings.Repeat("// x\n", 400)), nil, "thing/a.go: 401 lines"},
		{"just not", with(plain(), "thing/a.go", "package thing\n"+strings.Repeat("// x\n", 399)), nil, ""},
	},
	"package variables": {
		{"a number", src("var count int"), nil, "thing.count is a mutable"},
		{"a table", src("var table = map[string]int{}"), nil, "thing.table is a mutable"},
		{"half a sentinel", src(`var errA, errB = errors.New("a"), other()`), nil, "thing.errA is a mutable"},
		{"no constructor of ours", src(`var err = Thing{}.New("a")`), nil, "thing.err is a mutable"},
		{"embedded", src("//go:embed file\nvar file string"), nil, ""},
		{"listed", src("var count int"), func(t *tables) { t.variables = map[string]string{"thing.count": "for this example"} }, ""},
		{"local", src("func f() { var x int; _ = x }"), nil, ""},
	},
	"goroutines": {
		{"go", src("func f() { go f() }"), nil, "thing: starts goroutines in 1 places, the table says 0"},
		{"a group", src("func f(g group) { g.Go(f) }"), nil, "in 1 places"},
		{"a timer", src("func f() { time.AfterFunc(1, f) }"), nil, "in 1 places"},
		{"gone", plain(), func(t *tables) { t.goroutines["thing"] = goroutines{1, "ends with the thing"} }, "starts no goroutine"},
		{"no reason", src("func f() { go f() }"), func(t *tables) { t.goroutines["thing"] = goroutines{1, ""} }, "does not say why"},
		{"counted", src("func f() { go f() }"), func(t *tables) { t.goroutines["thing"] = goroutines{1, "ends with the thing"} }, ""},
	},
	"no machine paths": {
		{"text", with(plain(), "README.md", "a\nsee /wo"+"rk/main\n"), nil, "README.md:2: names /wo" + "rk/"},
		{"another word", with(plain(), "README.md", "net"+"work/main\n"), nil, ""},
	},
	"gofmt": {
		{"blanks", src("var  x = errors.New(`x`)"), nil, "gofmt would change"},
		{"a test", with(plain(), "thing/a_test.go", "package  thing\n"), nil, "a_test.go: gofmt"},
	},
	"error words": {
		{"failed to", src("var errX = errors.New(`failed to open`)"), nil, "failed to open"},
		{"capital", src(`var errX = errors.New("Cannot open")`), nil, "Cannot open"},
		{"a name", src(`var errX = errors.New("NOTIFY_SOCKET is bad")`), nil, ""},
	},
	"fuzz corpora": {
		{"none", with(plain(), "thing/a_test.go", "package thing\n\nfunc FuzzX() {}\n"), nil, "FuzzX has no corpus in thing/testdata/fuzz/FuzzX/"},
		{"another's", with(with(plain(), "thing/a_test.go", "package thing\n\nfunc FuzzX() {}\n"), "thing/testdata/fuzz/FuzzXY/a", ""), nil, "FuzzX has no corpus"},
		{"one", with(with(plain(), "thing/a_test.go", "package thing\n\nfunc FuzzX() {}\n"), "thing/testdata/fuzz/FuzzX/a", ""), nil, ""},
	},
	"package names": {
		{"util", map[string]string{"thing/a.go": "package util\n"}, nil, "package util could hold anything"},
		{"manager", map[string]string{"thing/a.go": "package linkmanager\n"}, nil, "package linkmanager"},
	},
	"no stale exception": {
		{"stale", plain(), func(t *tables) { t.panics = map[string]string{"thing/old.go": "it once had one"} }, `panic: the exception "thing/old.go" is no longer needed`},
	},
}

func pure(t *tables) { t.pure = []string{"thing"} }

// Every rule finds the fault of its bad examples, and only that; and none in the
// good one. A rule without an example has not been shown to work.
func TestRulesFindFaults(t *testing.T) {
	for name, rule := range rules {
		if len(examples[name]) == 0 {
			t.Errorf("rule %q has no example", name)
		}
		for _, e := range append(examples[name], example{name: "good", files: plain()}) {
			t.Run(name+"/"+e.name, func(t *testing.T) {
				tb := tables{
					module:     "actuatord",
					imports:    map[string][]string{"thing": nil},
					keptStd:    map[string][]string{"net": {"other"}},
					goroutines: map[string]goroutines{},
				}
				if e.table != nil {
					e.table(&tb)
				}
				texts := map[string][]byte{}
				for p, s := range e.files {
					texts[p] = []byte(s)
				}
				check(t, rule(parse(t, texts, tb)), e.want)
			})
		}
	}
}

func check(t *testing.T, faults []string, want string) {
	t.Helper()
	if want == "" {
		if len(faults) != 0 {
			t.Errorf("faults where there are none: %q", faults)
		}
		return
	}
	if len(faults) == 0 || !strings.Contains(faults[0], want) {
		t.Errorf("found %q, want one that says %q", faults, want)
	}
}

// An exception that a rule asked for is not stale.
func TestNeededExceptionIsNotStale(t *testing.T) {
	texts := map[string][]byte{"thing/thing.go": []byte(src(`func die() { panic("x") }`)["thing/thing.go"])}
	m := parse(t, texts, tables{module: "actuatord", panics: map[string]string{"thing/thing.go": "for this example"}})
	if faults := panicRule(m); len(faults) != 0 {
		t.Fatal(faults)
	}
	if faults := staleRule(m); len(faults) != 0 {
		t.Error(faults)
	}
}

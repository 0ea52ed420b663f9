// Package rules_test holds the house rules: what the compiler does not see and
// review forgets. Each rule reads the module's source and answers with faults;
// each is itself tried on a small bad example (rules_examples_test.go). The tables
// that say who may do what, and why, are in rules_tables_test.go: change them
// there, in the commit that needs it, with the reason.
package rules_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// file is one Go file, parsed with its comments.
type file struct {
	path string // from the module's root, with slashes
	dir  string // its package: "." for the root
	test bool   // ends in _test.go
	ast  *ast.File
	text []byte
}

// module is what the rules look at: every Go file, every other text, and the
// tables of who may do what.
type module struct {
	set    *token.FileSet
	files  []file
	texts  map[string][]byte // every file, Go or not, by path
	tables tables
	used   map[string]bool // exceptions that were needed; the others are stale
}

// rule finds faults; each begins with a place, "path:line" or a package.
type rule func(m *module) []string

var rules = map[string]rule{
	"imports":            importRule,
	"pure packages":      pureRule,
	"package docs":       packageDocRule,
	"exported docs":      exportedDocRule,
	"no init":            initRule,
	"sleep":              sleepRule,
	"panic and exit":     panicRule,
	"no reminders":       reminderRule,
	"function size":      functionSizeRule,
	"interface size":     interfaceSizeRule,
	"file size":          fileSizeRule,
	"package variables":  variableRule,
	"goroutines":         goroutineRule,
	"no machine paths":   machinePathRule,
	"gofmt":              formatRule,
	"error words":        errorWordRule,
	"fuzz corpora":       corpusRule,
	"package names":      packageNameRule,
	"no stale exception": staleRule,
}

func TestHouseRules(t *testing.T) {
	m := load(t)
	if len(m.files) < 50 {
		t.Fatalf("only %d Go files found: the walk is broken", len(m.files))
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for n := range rules {
			if n != "no stale exception" && !yield(n) {
				return
			}
		}
	})
	// Last, since it asks which exceptions the others needed.
	for _, name := range append(names, "no stale exception") {
		t.Run(name, func(t *testing.T) {
			for _, fault := range rules[name](m) {
				t.Error(fault)
			}
		})
	}
}

// load reads the module that this test lies in. bin/ and dist/ are products.
func load(t *testing.T) *module {
	t.Helper()
	texts := map[string][]byte{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, p) {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			texts[filepath.ToSlash(p)], err = os.ReadFile(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, texts, houseTables())
}

func parse(t *testing.T, texts map[string][]byte, tb tables) *module {
	t.Helper()
	m := &module{set: token.NewFileSet(), texts: texts, tables: tb, used: map[string]bool{}}
	for _, p := range sorted(texts) {
		if path.Ext(p) != ".go" || strings.Contains(p, "testdata/") {
			continue
		}
		f, err := parser.ParseFile(m.set, p, texts[p], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		m.files = append(m.files, file{
			path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), ast: f, text: texts[p],
		})
	}
	return m
}

// production is every file that ends up in a program.
func (m *module) production(yield func(file) bool) {
	for _, f := range m.files {
		if !f.test && !yield(f) {
			return
		}
	}
}

// fault is one finding at a node.
func (m *module) fault(n ast.Node, format string, args ...any) string {
	p := m.set.Position(n.Pos())
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

func (m *module) lines(n ast.Node) int {
	return m.set.Position(n.End()).Line - m.set.Position(n.Pos()).Line + 1
}

// excepted asks the table of a rule for key, and remembers that it was needed.
func (m *module) excepted(table map[string]string, name, key string) bool {
	if _, ok := table[key]; !ok {
		return false
	}
	m.used[name+" "+key] = true
	return true
}

// staleRule: an exception that nothing needs any more is taken out, or the next
// fault of that name passes unseen.
func staleRule(m *module) []string {
	var faults []string
	for name, table := range m.tables.exceptions() {
		for _, key := range sorted(table) {
			if !m.used[name+" "+key] {
				faults = append(faults, fmt.Sprintf("%s: the exception %q is no longer needed", name, key))
			}
			if len(strings.Fields(table[key])) < 3 {
				faults = append(faults, fmt.Sprintf("%s: the exception %q gives no reason", name, key))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func formatRule(m *module) []string {
	var faults []string
	for _, f := range m.files {
		if want, err := format.Source(f.text); err != nil || !bytes.Equal(want, f.text) {
			faults = append(faults, f.path+": gofmt would change it")
		}
	}
	return faults
}

// called names the function of a call: "panic", "time.Sleep", ".Go" for a method.
func called(f file, c *ast.CallExpr) string {
	switch fun := c.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if p := packageOf(f, fun.X); p != "" {
			return p + "." + fun.Sel.Name
		}
		return "." + fun.Sel.Name
	}
	return ""
}

// packageOf is the import path that expression x names in f; "" if it is a value.
// Without types a local variable of an import's name would fool it; none should
// have one.
func packageOf(f file, x ast.Expr) string {
	id, ok := x.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, s := range f.ast.Imports {
		p := strings.Trim(s.Path.Value, `"`)
		if (s.Name != nil && s.Name.Name == id.Name) || (s.Name == nil && path.Base(p) == id.Name) {
			return p
		}
	}
	return ""
}

// inspect calls visit for every node of type T in the file.
func inspect[T ast.Node](f file, visit func(T)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if t, ok := n.(T); ok {
			visit(t)
		}
		return true
	})
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

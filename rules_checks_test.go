package rules_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// importRule: production code imports the standard library, but for the packages
// that the table keeps few, and what the table allows its package; nothing else.
func importRule(m *module) []string {
	var faults []string
	unknown := map[string]bool{}
	for f := range m.production {
		allowed, ok := m.tables.imports[f.dir]
		if !ok && !unknown[f.dir] {
			unknown[f.dir] = true
			faults = append(faults, f.dir+": has no row in the import table: decide what it may import")
		}
		for _, s := range f.ast.Imports {
			p := strings.Trim(s.Path.Value, `"`)
			if s.Name != nil && (s.Name.Name == "." || s.Name.Name == "_" && p != "embed") {
				faults = append(faults, m.fault(s, "import %s %q hides what it does", s.Name.Name, p))
			}
			if !ok || m.mayImport(f.dir, p, allowed) {
				continue
			}
			faults = append(faults, m.fault(s, "%s may not import %s", f.dir, p))
		}
	}
	return faults
}

func (m *module) mayImport(dir, p string, allowed []string) bool {
	if who, kept := m.tables.keptStd[p]; kept {
		return slices.Contains(who, dir)
	}
	// Only modules from elsewhere have a dot in their first element; ours has a name.
	first, _, _ := strings.Cut(p, "/")
	if !strings.Contains(first, ".") && first != m.tables.module {
		return true
	}
	for _, a := range allowed {
		if prefix, all := strings.CutSuffix(a, "/..."); p == a || all && (p == prefix || strings.HasPrefix(p, prefix+"/")) {
			return true
		}
	}
	return false
}

// pureRule: same input, same answer. The listed packages know no clock, disk,
// network, lock or log; their callers hand them the time.
func pureRule(m *module) []string {
	never := []string{"os", "net", "sync", "sync/atomic", "log", "log/slog", "context", "math/rand", "io/fs", "testing"}
	clocks := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	var faults []string
	for f := range m.production {
		if !slices.Contains(m.tables.pure, f.dir) {
			continue
		}
		for _, s := range f.ast.Imports {
			if p := strings.Trim(s.Path.Value, `"`); slices.Contains(never, p) {
				faults = append(faults, m.fault(s, "%s is pure and imports %s", f.dir, p))
			}
		}
		inspect(f, func(s *ast.SelectorExpr) {
			if packageOf(f, s.X) == "time" && slices.Contains(clocks, s.Sel.Name) {
				faults = append(faults, m.fault(s, "%s is pure and uses time.%s", f.dir, s.Sel.Name))
			}
		})
	}
	return faults
}

// packageDocRule: one package comment a package, of more than three lines: what it
// promises, what it costs, what power loss does.
func packageDocRule(m *module) []string {
	lines, files := map[string]int{}, map[string]int{}
	for f := range m.production {
		lines[f.dir] += 0
		if f.ast.Doc != nil {
			files[f.dir]++
			lines[f.dir] += strings.Count(strings.TrimSpace(f.ast.Doc.Text()), "\n") + 1
		}
	}
	var faults []string
	for _, dir := range sorted(lines) {
		switch {
		case files[dir] == 0:
			faults = append(faults, dir+": no package comment")
		case files[dir] > 1:
			faults = append(faults, fmt.Sprintf("%s: %d package comments, godoc joins them in no useful order", dir, files[dir]))
		case lines[dir] <= 3:
			faults = append(faults, fmt.Sprintf("%s: the package comment has %d lines: too few for what it promises", dir, lines[dir]))
		}
	}
	return faults
}

// A method that only fulfils an interface every reader knows needs no comment.
var wellKnown = []string{
	"String", "GoString", "Format", "Error", "Unwrap", "Is", "As", "LogValue",
	"MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON",
	"Read", "Write", "Close", "Len", "Less", "Swap",
}

// exportedDocRule: a comment at every exported function, method, type, constant and
// variable; in a block, one over the block, over a group in it, or at the line.
func exportedDocRule(m *module) []string {
	var faults []string
	for f := range m.production {
		if f.ast.Name.Name == "main" {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				known := d.Recv != nil && (slices.Contains(wellKnown, d.Name.Name) || !exportedReceiver(d))
				if d.Name.IsExported() && d.Doc == nil && !known {
					faults = append(faults, m.fault(d, "%s has no comment", d.Name.Name))
				}
			case *ast.GenDecl:
				faults = append(faults, undocumented(m, d)...)
			}
		}
	}
	return faults
}

func undocumented(m *module, d *ast.GenDecl) []string {
	var faults []string
	covered := d.Doc != nil
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				faults = append(faults, m.fault(s, "type %s has no comment", s.Name.Name))
			}
		case *ast.ValueSpec:
			covered = covered || s.Doc != nil
			for _, n := range s.Names {
				if n.IsExported() && !covered && s.Comment == nil {
					faults = append(faults, m.fault(s, "%s has no comment", n.Name))
				}
			}
		}
	}
	return faults
}

func exportedReceiver(d *ast.FuncDecl) bool {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// initRule: nothing happens because a package was imported; main wires.
func initRule(m *module) []string {
	var faults []string
	for _, f := range m.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				faults = append(faults, m.fault(fn, "func init"))
			}
		}
	}
	return faults
}

// sleepRule: production code waits for something, with a bound. A test may sleep
// where the clock is synctest's.
func sleepRule(m *module) []string {
	var faults []string
	for _, f := range m.files {
		bubble := f.test && slices.ContainsFunc(f.ast.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"testing/synctest"` })
		inspect(f, func(s *ast.SelectorExpr) {
			if s.Sel.Name == "Sleep" && packageOf(f, s.X) == "time" && !bubble && !m.excepted(m.tables.sleeps, "sleep", f.path) {
				faults = append(faults, m.fault(s, "time.Sleep outside a synctest bubble"))
			}
		})
	}
	return faults
}

// panicRule: a daemon of which people expect years returns its errors. Only a main
// package may end the process.
func panicRule(m *module) []string {
	ends := []string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf", "syscall.Exit"}
	var faults []string
	for f := range m.production {
		inspect(f, func(c *ast.CallExpr) {
			name := called(f, c)
			if name == "panic" && !m.excepted(m.tables.panics, "panic", f.path) {
				faults = append(faults, m.fault(c, "panic in production code"))
			}
			if slices.Contains(ends, name) && f.ast.Name.Name != "main" {
				faults = append(faults, m.fault(c, "%s outside a main package", name))
			}
		})
	}
	return faults
}

// reminders are spelt in halves, or this file would be the first fault.
var reminders = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// reminderRule: what is not done is in an issue, where somebody looks.
func reminderRule(m *module) []string {
	var faults []string
	for _, p := range sorted(m.texts) {
		if strings.Contains(p, "testdata/") || p == "LICENSE" || path.Ext(p) == ".sum" {
			continue
		}
		for i, line := range bytes.Split(m.texts[p], []byte("\n")) {
			if w := reminders.Find(line); w != nil {
				faults = append(faults, fmt.Sprintf("%s:%d: %s", p, i+1, w))
			}
		}
	}
	return faults
}

// machinePathRule: the repository is at home everywhere.
func machinePathRule(m *module) []string {
	var faults []string
	for _, p := range sorted(m.texts) {
		for _, s := range []string{"/wo" + "rk/", "/tmp/" + "plan", "/ro" + "ot/go", "/ro" + "ot/."} {
			if i := bytes.Index(m.texts[p], []byte(s)); i >= 0 {
				line := 1 + bytes.Count(m.texts[p][:i], []byte("\n"))
				faults = append(faults, fmt.Sprintf("%s:%d: names %s, a path of one machine", p, line, s))
			}
		}
	}
	return faults
}

const (
	functionLines = 60  // a screen; the median is to be near 10
	fileLines     = 400 // what one sitting reads
	methods       = 5   // what a fake can be made of without a generator
)

// functionSizeRule speaks of production code: a test's table may be long.
func functionSizeRule(m *module) []string {
	var faults []string
	for f := range m.production {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || m.lines(fn) <= functionLines {
				continue
			}
			if key := f.dir + "." + fn.Name.Name; !m.excepted(m.tables.functions, "function", key) {
				faults = append(faults, m.fault(fn, "%s has %d lines, more than %d", key, m.lines(fn), functionLines))
			}
		}
	}
	return faults
}

// interfaceSizeRule counts an embedded interface as one: it has its own bound.
func interfaceSizeRule(m *module) []string {
	var faults []string
	for f := range m.production {
		inspect(f, func(s *ast.TypeSpec) {
			i, ok := s.Type.(*ast.InterfaceType)
			if !ok || i.Methods.NumFields() <= methods {
				return
			}
			if key := f.dir + "." + s.Name.Name; !m.excepted(m.tables.interfaces, "interface", key) {
				faults = append(faults, m.fault(s, "interface %s has %d methods, more than %d", key, i.Methods.NumFields(), methods))
			}
		})
	}
	return faults
}

func fileSizeRule(m *module) []string {
	var faults []string
	for _, f := range m.files {
		n := bytes.Count(f.text, []byte("\n"))
		if n > fileLines && !m.excepted(m.tables.fileSizes, "file", f.path) {
			faults = append(faults, fmt.Sprintf("%s: %d lines, more than %d", f.path, n, fileLines))
		}
	}
	return faults
}

// variableRule: a package has no memory of its own. What stays: error sentinels,
// compile-time assertions, compiled patterns, embedded files, and the table's.
func variableRule(m *module) []string {
	var faults []string
	for f := range m.production {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for _, n := range v.Names {
					key := f.dir + "." + n.Name
					if n.Name == "_" || constant(f, v) || embedded(g, v) || m.excepted(m.tables.variables, "variable", key) {
						continue
					}
					faults = append(faults, m.fault(n, "%s is a mutable package variable", key))
				}
			}
		}
	}
	return faults
}

// constant: errors.New and regexp.MustCompile give values that nobody can change.
func constant(f file, v *ast.ValueSpec) bool {
	if len(v.Values) != len(v.Names) {
		return false
	}
	return !slices.ContainsFunc(v.Values, func(x ast.Expr) bool {
		c, ok := x.(*ast.CallExpr)
		return !ok || !slices.Contains([]string{"errors.New", "regexp.MustCompile"}, called(f, c))
	})
}

func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, c := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if c != nil && slices.ContainsFunc(c.List, func(l *ast.Comment) bool { return strings.HasPrefix(l.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// goroutineRule: every place that starts a goroutine is known, with who ends it.
// WaitGroup.Go and AfterFunc start one too.
func goroutineRule(m *module) []string {
	count := map[string]int{}
	for f := range m.production {
		inspect(f, func(*ast.GoStmt) { count[f.dir]++ })
		inspect(f, func(c *ast.CallExpr) {
			switch called(f, c) {
			case ".Go", "time.AfterFunc", "context.AfterFunc":
				count[f.dir]++
			}
		})
	}
	var faults []string
	for _, dir := range sorted(count) {
		if g := m.tables.goroutines[dir]; g.count != count[dir] {
			faults = append(faults, fmt.Sprintf("%s: starts goroutines in %d places, the table says %d", dir, count[dir], g.count))
		}
	}
	for _, dir := range sorted(m.tables.goroutines) {
		g := m.tables.goroutines[dir]
		if count[dir] == 0 {
			faults = append(faults, fmt.Sprintf("%s: starts no goroutine, the table says %d", dir, g.count))
		}
		if len(strings.Fields(g.why)) < 3 {
			faults = append(faults, dir+": the table does not say why it starts goroutines, and what ends them")
		}
	}
	return faults
}

// errorWordRule: an error says what was done and to what, in lower case; that it
// did not work is why there is an error.
func errorWordRule(m *module) []string {
	// An abbreviation, a type's name or a quoted name may begin it.
	capital := regexp.MustCompile("^[\"`][A-Z][a-z]+ ")
	empty := regexp.MustCompile(`(?i)\b(failed|unable) to\b|\bcould not be able\b|\berror (while|when)\b`)
	var faults []string
	for f := range m.production {
		inspect(f, func(c *ast.CallExpr) {
			name := called(f, c)
			if (name != "fmt.Errorf" && name != "errors.New") || len(c.Args) == 0 {
				return
			}
			l, ok := c.Args[0].(*ast.BasicLit)
			if !ok || l.Kind != token.STRING {
				return
			}
			if empty.MatchString(l.Value) || capital.MatchString(l.Value) {
				faults = append(faults, m.fault(l, "error text %s: say \"verb object: %%w\", in lower case", l.Value))
			}
		})
	}
	return faults
}

// corpusRule: what a fuzz target begins from, and what it once found, is committed.
func corpusRule(m *module) []string {
	var faults []string
	for _, f := range m.files {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !f.test || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") {
				continue
			}
			dir := path.Join(f.dir, "testdata/fuzz", fn.Name.Name) + "/"
			if !slices.ContainsFunc(sorted(m.texts), func(p string) bool { return strings.HasPrefix(p, dir) }) {
				faults = append(faults, m.fault(fn, "%s has no corpus in %s", fn.Name.Name, dir))
			}
		}
	}
	return faults
}

// packageNameRule: a package is named for what it is, so that one can say what does
// not belong into it.
func packageNameRule(m *module) []string {
	vague := regexp.MustCompile(`^(utils?|common|helpers?|misc|base|shared|lib|types|models?)$|manager|service$`)
	var faults []string
	for f := range m.production {
		if vague.MatchString(f.ast.Name.Name) {
			faults = append(faults, m.fault(f.ast.Name, "package %s could hold anything", f.ast.Name.Name))
		}
	}
	return faults
}

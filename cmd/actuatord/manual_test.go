package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The manual and the completions are held against the source, not against the usage
// text: that is one more thing that can fall behind.

// program reads this package's source: commands and their flags, and the exit codes.
// Flags that say "internal" are nobody's business.
func program(t *testing.T) (flags map[string][]string, exits []string) {
	t.Helper()
	set := token.NewFileSet()
	names, _ := filepath.Glob("*.go")
	commands, made := map[string]string{}, map[string][]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				ast.Inspect(d, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.KeyValueExpr: // "run": runDaemon
						if fn, ok := n.Value.(*ast.Ident); ok && strings.HasPrefix(fn.Name, "run") && d.Name.Name == "run" {
							commands[fn.Name] = text(n.Key)
						}
					case *ast.CallExpr:
						if name, usage := flagMade(n); name != "" && !strings.HasPrefix(usage, "internal") {
							made[d.Name.Name] = append(made[d.Name.Name], name)
						}
					}
					return true
				})
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.CONST && strings.HasPrefix(v.Names[0].Name, "exit") {
						exits = append(exits, v.Values[0].(*ast.BasicLit).Value)
					}
				}
			}
		}
	}
	flags = map[string][]string{"": made["newFlags"], "help": nil}
	for fn, command := range commands {
		flags[command] = made[fn]
	}
	if len(flags) < 8 || len(flags[""]) != 1 || len(exits) != 5 {
		t.Fatalf("the source was not understood: %q, %q", flags, exits)
	}
	return flags, exits
}

// flagMade is the name and the help of the flag that a call makes.
func flagMade(c *ast.CallExpr) (name, usage string) {
	fn, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || len(c.Args) < 3 {
		return "", ""
	}
	switch on, _ := fn.X.(*ast.Ident); {
	case on == nil || on.Name != "f":
	case slices.Contains([]string{"String", "Bool", "Int", "Duration"}, fn.Sel.Name):
		return text(c.Args[0]), text(c.Args[2])
	case strings.HasSuffix(fn.Sel.Name, "Var"):
		return text(c.Args[1]), text(c.Args[len(c.Args)-1])
	}
	return "", ""
}

func text(e ast.Expr) string {
	if b, ok := e.(*ast.BasicLit); ok {
		if s, err := strconv.Unquote(b.Value); err == nil {
			return s
		}
	}
	return ""
}

// section is the part of a manual page between two headings.
func section(t *testing.T, page, heading string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n.Sh "+heading+"\n")
	if !ok {
		t.Fatalf("no section %s", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n.Sh ")
	return strings.Split(rest, "\n")
}

func manual(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../package/man", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestManualTellsCommandsAndFlags: each command with each of its flags, in its synopsis
// and with a word about it, and no others.
func TestManualTellsCommandsAndFlags(t *testing.T) {
	want, exits := program(t)
	page := manual(t, "actuatord.8")
	told, listed, command := map[string][]string{"": nil}, map[string][]string{"": {"config"}}, ""
	flag := regexp.MustCompile(`\bFl (?:-([a-z-]+)|([a-z])\b)`)
	for _, line := range section(t, page, "COMMANDS") {
		item, ok := strings.CutPrefix(line, ".It ")
		if !ok {
			continue
		}
		if name, ok := strings.CutPrefix(item, "Ic "); ok {
			command, _, _ = strings.Cut(name, " ")
			told[command] = append(told[command], []string{}...)
			for _, m := range flag.FindAllStringSubmatch(item, -1) {
				listed[command] = append(listed[command], m[1]+m[2])
			}
			continue
		}
		if m := flag.FindStringSubmatch(item); m != nil {
			told[command] = append(told[command], m[1]+m[2])
		}
	}
	for name, flags := range want {
		if _, ok := told[name]; !ok {
			t.Errorf("the manual does not tell of the command %q", name)
		}
		slices.Sort(flags)
		for where, got := range map[string][]string{"explains": told[name], "lists": listed[name]} {
			if slices.Sort(got); !slices.Equal(got, flags) {
				t.Errorf("of %q the manual %s the flags %q; it has %q", name, where, got, flags)
			}
		}
	}
	for name := range told {
		if _, ok := want[name]; !ok {
			t.Errorf("the manual tells of a command %q that there is not", name)
		}
	}
	var codes []string
	for _, line := range section(t, page, "EXIT STATUS") {
		if code, ok := strings.CutPrefix(line, ".It "); ok {
			codes = append(codes, code)
		}
	}
	if slices.Sort(exits); !slices.Equal(codes, exits) {
		t.Errorf("the manual tells of exit codes %q; there are %q", codes, exits)
	}
}

// TestUsageTellsCommands: what `actuatord help` prints, likewise.
func TestUsageTellsCommands(t *testing.T) {
	want, _ := program(t)
	for name, flags := range want {
		if name != "" && name != "help" && !regexp.MustCompile(`(?m)^  `+name+`\b`).MatchString(usage) {
			t.Errorf("help does not tell of %q", name)
		}
		for _, f := range flags {
			if !regexp.MustCompile(`[ [\n]--?` + f + `\b`).MatchString(usage) {
				t.Errorf("help does not tell of the flag %q of %q", f, name)
			}
		}
	}
}

// TestManualTellsEveryKey: actuatord.toml(5) has the keys of the reference
// configuration, in its order, with its values.
func TestManualTellsEveryKey(t *testing.T) {
	reference, err := os.ReadFile("../../agent/config/actuatord.toml")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?m)^(\[.*\]|[a-z_]+ = .*)$`)
	want := pattern.FindAllString(string(reference), -1)
	var got []string
	for _, line := range section(t, manual(t, "actuatord.toml.5"), "DESCRIPTION") {
		if s, ok := strings.CutPrefix(line, ".Ss "); ok {
			got = append(got, s)
		} else if s, ok := strings.CutPrefix(line, ".It Va "); ok {
			got = append(got, strings.NewReplacer(" No = ", " = ", `\(dq`, `"`).Replace(s))
		}
	}
	if len(want) < 30 {
		t.Fatalf("the reference was not understood: %q", want)
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("item %d: the manual has %q, the reference %q", i, got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// TestManualsAreWellFormed asks mandoc, where there is one; the gate has it.
func TestManualsAreWellFormed(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("no mandoc here")
	}
	pages, _ := filepath.Glob("../../package/man/*.[1-8]")
	if len(pages) < 3 {
		t.Fatalf("only %q", pages)
	}
	out, err := exec.Command(mandoc, append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

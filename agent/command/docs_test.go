package command

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// words are the constants of a file whose names begin with prefix.
func words(t *testing.T, file, prefix string) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, prefix) {
			return true
		}
		if word, ok := v.Values[0].(*ast.BasicLit); ok {
			all = append(all, strings.Trim(word.Value, `"`))
		}
		return true
	})
	return all
}

// TestEveryReasonIsDocumented: a back end's developer must find each code that
// a report can carry, and what to do about each alarm.
func TestEveryReasonIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons, alarms, states := words(t, "reason.go", ""), words(t, "report.go", "Alarm"), words(t, "report.go", "State")
	if len(reasons) < 20 || len(alarms) < 8 || len(states) < 3 {
		t.Errorf("found %d reasons, %d alarms, %d states; the test no longer reads them right", len(reasons), len(alarms), len(states))
	}
	ofReasons, ofAlarms, _ := strings.Cut(string(doc), "\n## Alarms\n") // some words are both
	for _, code := range reasons {
		if !strings.Contains(ofReasons, "\n| `"+code+"` |") {
			t.Errorf("docs/commands.md has no row for %s", code)
		}
	}
	for _, code := range alarms {
		if !strings.Contains(ofAlarms, "\n| `"+code+"` |") {
			t.Errorf("docs/commands.md has no row for alarm %s", code)
		}
	}
	for _, word := range states {
		if !strings.Contains(string(doc), "`"+word+"`") {
			t.Errorf("docs/commands.md does not say what state %s is", word)
		}
	}
}

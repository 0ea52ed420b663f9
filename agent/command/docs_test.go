package command

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestEveryReasonIsDocumented: a back end's developer must find each code that
// a report can carry.
func TestEveryReasonIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		code, ok := v.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		n++
		if !strings.Contains(string(doc), "\n| `"+strings.Trim(code.Value, `"`)+"` |") {
			t.Errorf("docs/commands.md has no row for %s", code.Value)
		}
		return true
	})
	if n < 20 {
		t.Errorf("found %d reasons in reason.go; the test no longer reads it right", n)
	}
}

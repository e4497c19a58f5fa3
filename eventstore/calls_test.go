package eventstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A real server never answers a read of $all for 0 events, nor an append under
// no revision whose ids it knows in another order. So every read in the source
// asks for a number of events that is written out, and every append expects
// what clientRevision makes of an Expected, which cannot say "any".
func TestCallsThatAServerNeverAnswersAreNotInTheSource(t *testing.T) {
	reads, appends := 0, 0
	for path, file := range sources(t, "node", "storetest", "bare") {
		ast.Inspect(file, func(n ast.Node) bool {
			where := func(format string) { t.Errorf("%s: "+format, path) }
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "ReadAll" || f.Sel.Name == "ReadStream") && asksClient(n) {
					if reads++; !isPositive(n.Args[len(n.Args)-1]) {
						where("a read whose number of events is not written out")
					}
				}
			case *ast.CompositeLit:
				if isOf(n.Type, "esdb", "AppendToStreamOptions") {
					if appends++; !expectsRevision(n) {
						where("an append whose options do not name a revision")
					}
				}
			case *ast.SelectorExpr:
				if isOf(n, "esdb", "StreamExists") || isOf(n, "esdb", "Any") && !strings.HasSuffix(path, "verbatim.go") {
					where("an expectation that is no revision; only deletions of node copy have one")
				}
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if field, ok := to.(*ast.SelectorExpr); ok && field.Sel.Name == "ExpectedRevision" {
						where("an expectation that is set later")
					}
				}
			case *ast.ValueSpec:
				if isOf(n.Type, "esdb", "AppendToStreamOptions") {
					where("options of an append that are not written out")
				}
			}
			return true
		})
	}
	if reads < 4 || appends < 2 {
		t.Errorf("%d reads and %d appends are in the source: this test looks for the wrong things", reads, appends)
	}
}

// sources parses the files of this package and those below it, but for some
// folders, and for tests.
func sources(t *testing.T, but ...string) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(but, path):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// asksClient reports whether a call is one of the client: its last argument but
// one is options of the client, or a value that may be such.
func asksClient(call *ast.CallExpr) bool {
	if len(call.Args) < 3 {
		return false // of the store: a context and a position, or a stream and a revision behind it
	}
	options := call.Args[len(call.Args)-2]
	literal, ok := options.(*ast.CompositeLit)
	return !ok || isOf(literal.Type, "esdb", "ReadAllOptions") || isOf(literal.Type, "esdb", "ReadStreamOptions")
}

func isPositive(e ast.Expr) bool {
	if isOf(e, "math", "MaxInt64") {
		return true
	}
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(literal.Value, 0, 64)
	return err == nil && n > 0
}

func expectsRevision(options *ast.CompositeLit) bool {
	for _, e := range options.Elts {
		field, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		if name, ok := field.Key.(*ast.Ident); ok && name.Name == "ExpectedRevision" {
			call, ok := field.Value.(*ast.CallExpr)
			if !ok {
				return false
			}
			f, ok := call.Fun.(*ast.Ident)
			return ok && f.Name == "clientRevision"
		}
	}
	return false
}

func isOf(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && s.Sel.Name == name
}

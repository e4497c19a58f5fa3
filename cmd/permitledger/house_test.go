package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imports lists the imports of every Go file that is not a test, by file.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == root {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		for _, i := range f.Imports {
			found[filepath.ToSlash(name)] = append(found[filepath.ToSlash(name)], strings.Trim(i.Path.Value, `"`))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Imports run one way: cmd → projections → eventstore → domain. The domain
// knows the standard library only, the node nothing of permits, and the store
// nothing of the node.
func TestTheArrowsOfTheHouse(t *testing.T) {
	for _, rule := range []struct {
		within  string
		except  string // a folder within that has rules of its own
		never   []string
		because string
	}{
		{"domain/", "", []string{"permitledger/eventstore", "permitledger/projections", "permitledger/cmd", "."}, "the domain is pure"},
		{"eventstore/", "eventstore/node/", []string{"permitledger/projections", "permitledger/cmd", "permitledger/eventstore/node"}, "the store knows neither read models nor the node"},
		{"eventstore/node/", "", []string{"permitledger/"}, "the node knows nothing of permits"},
		{"projections/", "", []string{"permitledger/cmd", "permitledger/eventstore/node"}, "read models know only the log"},
	} {
		for file, list := range imports(t) {
			if !strings.HasPrefix(file, rule.within) || rule.except != "" && strings.HasPrefix(file, rule.except) {
				continue
			}
			for _, path := range list {
				if strings.Contains(path, rule.within+"internal/") {
					continue // a room of its own, which is looked at like the rest
				}
				for _, never := range rule.never {
					outside := never == "." && strings.Contains(strings.Split(path, "/")[0], ".")
					if outside || never != "." && strings.HasPrefix(path+"/", strings.TrimSuffix(never, "/")+"/") {
						t.Errorf("%s imports %s, but %s", file, path, rule.because)
					}
				}
			}
		}
	}
}

// What is outside the house comes in by one door.
func TestOneDoorForEachNeighbour(t *testing.T) {
	doors := map[string][]string{ // import → files or folders that may have it
		"github.com/EventStore/EventStore-Client-Go/v4/esdb": {"eventstore/"},
		"github.com/gorilla/mux":                             {"cmd/permitledger/internal/api/routes.go", "cmd/permitledger/internal/contract/"},
		"github.com/cockroachdb/pebble/v2":                   {"eventstore/node/"},
		"github.com/tink-crypto/tink-go/v2/aead":             {"eventstore/vault/"},
		"permitledger/eventstore/faultproxy":                 {}, // tests only
	}
	for file, list := range imports(t) {
		for _, path := range list {
			allowed, guarded := doors[path]
			if guarded && !slices.ContainsFunc(allowed, func(door string) bool { return strings.HasPrefix(file, door) }) {
				t.Errorf("%s imports %s, which has its place in %v", file, path, allowed)
			}
		}
	}
}

// The top level is part of the design.
func TestTheTopLevel(t *testing.T) {
	allowed := []string{"domain", "eventstore", "projections", "cmd", "docs", "go.mod", "go.sum", "README.md", "LICENSE"}
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "data" && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s has no place at the top level", e.Name())
		}
	}
}

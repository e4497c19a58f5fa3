package catalog_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"permitledger/cmd/permitledger/internal/catalog"
)

const golden = "testdata/shapes.json"

// shape is what must not change under one schema version.
type shape struct {
	Version int             `json:"schemaVersion"`
	Schema  *catalog.Schema `json:"schema"`
}

// A stored shape never changes under the version it had: give it a new version
// in the codec, write its upcaster, and run with UPDATE_GOLDEN=1, which writes
// down new types and new versions and nothing else.
func TestAStoredShapeChangesOnlyWithItsVersion(t *testing.T) {
	all := entries(t)
	raw, err := os.ReadFile(golden)
	if err != nil && os.Getenv("UPDATE_GOLDEN") == "" {
		t.Fatal(err)
	}
	kept := map[string]json.RawMessage{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &kept); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range all {
		now, err := json.Marshal(shape{e.Version, e.Schema})
		if err != nil {
			t.Fatal(err)
		}
		var was shape
		if kept[e.Type] != nil {
			if err := json.Unmarshal(kept[e.Type], &was); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case was.Version != e.Version && os.Getenv("UPDATE_GOLDEN") != "":
			kept[e.Type] = now
		case was.Version != e.Version:
			t.Errorf("%s has version %d and %s knows version %d: write it down with UPDATE_GOLDEN=1", e.Type, e.Version, golden, was.Version)
		default:
			if diff := cmp.Diff(value(t, kept[e.Type]), value(t, now)); diff != "" {
				t.Errorf("%s changed under version %d; logs hold the old shape (-kept +now):\n%s", e.Type, e.Version, diff)
			}
		}
	}
	if os.Getenv("UPDATE_GOLDEN") == "" {
		if len(kept) != len(all) {
			t.Errorf("%d types are kept and %d are there: a stored type never goes away", len(kept), len(all))
		}
		return
	}
	out, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(golden, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func entries(t *testing.T) []catalog.Entry {
	t.Helper()
	all, err := catalog.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func value(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEveryTypeIsDescribed(t *testing.T) {
	for _, e := range entries(t) {
		if e.Meaning == "" || e.Stream == "" {
			t.Errorf("%s: the meaning is %q and the stream %q; the first belongs into meanings.go, the second into domain/audit", e.Type, e.Meaning, e.Stream)
		}
		var example struct {
			Data   map[string]any `json:"data"`
			Opened map[string]any `json:"personalOpened"`
		}
		if err := json.Unmarshal(e.Example, &example); err != nil {
			t.Fatal(err)
		}
		// The examples have something in every member.
		if diff := cmp.Diff(slices.Sorted(maps.Keys(example.Data)), slices.Sorted(maps.Keys(e.Schema.Properties))); diff != "" {
			t.Errorf("%s: the example and the schema differ:\n%s", e.Type, diff)
		}
		if diff := cmp.Diff(append([]string{}, slices.Sorted(maps.Keys(example.Opened))...), e.Personal); diff != "" {
			t.Errorf("%s: what is personal in the example and in the schema differ:\n%s", e.Type, diff)
		}
	}
	if _, err := catalog.Of("Enlarged"); err == nil {
		t.Error("a type that is not there is described")
	}
}

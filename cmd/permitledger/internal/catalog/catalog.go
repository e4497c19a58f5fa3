// Package catalog describes every type of event in the ledger to whoever reads
// the log without this program: what it means, its JSON Schema made from the
// code, an example, and what in it is personal.
//
// Begin reading at All.
package catalog

import (
	"encoding/json"
	"fmt"
	"slices"

	"permitledger/domain/audit"
	"permitledger/eventstore"
)

// Entry describes one type of event.
type Entry struct {
	Type     string          `json:"type"`
	Stream   string          `json:"stream"`
	Meaning  string          `json:"meaning"`
	Version  int             `json:"schemaVersion"` // the one that is written; older ones are brought up when read
	Personal []string        `json:"personal"`      // the members of the sealed part
	Schema   *Schema         `json:"schema"`        // of the data as stored
	Example  json.RawMessage `json:"example"`
}

// All describes every type, in the order in which the program lists them.
func All() ([]Entry, error) {
	var all []Entry
	for _, name := range eventstore.Types() {
		e, err := Of(name)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Of describes one type.
func Of(name string) (Entry, error) {
	t, ok := eventstore.StoredTypeOf(name)
	if !ok {
		return Entry{}, fmt.Errorf("there is no event type %q; permitledger catalog lists them", name)
	}
	schema, inside := schemaOf(t.Zero)
	e := Entry{Type: name, Meaning: meanings[name], Version: t.Schema, Personal: []string{}, Schema: schema, Example: t.Example}
	if inside != nil {
		for member := range inside.Properties {
			e.Personal = append(e.Personal, member)
		}
		slices.Sort(e.Personal)
	}
	for _, p := range audit.Places() {
		if slices.Contains(p.Types, name) {
			e.Stream = p.Stream
		}
	}
	return e, nil
}

package eventstore

import (
	"embed"

	"permitledger/domain"
)

// examples are the stored forms that the codec's tests hold it to.
//
//go:embed testdata/events/*.json
var examples embed.FS

// StoredType is how one type of event is stored: for whoever describes the log
// to others.
type StoredType struct {
	Schema  int          // the version that is written
	Zero    domain.Event // the event struct with nothing in it
	Example []byte       // JSON: type, metadata, data as stored and the personal part as opened
}

// StoredTypeOf describes a type; false when the ledger has none of that name.
func StoredTypeOf(name string) (StoredType, bool) {
	k, ok := kindOf(name)
	if !ok {
		return StoredType{}, false
	}
	zero, err := k.decode(stored{clear: []byte(`{}`)})
	if err != nil {
		return StoredType{}, false
	}
	example, err := examples.ReadFile("testdata/events/" + name + ".json")
	return StoredType{Schema: k.schema, Zero: zero, Example: example}, err == nil
}

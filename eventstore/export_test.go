package eventstore

// CutMember is cutMember, for tests.
var CutMember = cutMember

// AddMember is addMember, for tests.
var AddMember = addMember

// EventID is eventID, for tests.
var EventID = eventID

// Known reports whether a type has a codec, the schema version it is written
// in, and whether it has a personal part.
func Known(name string) (schema int, personal, ok bool) {
	k, ok := kindOf(name)
	return k.schema, k.personal, ok
}

// ZeroBody is the event that an empty stored object decodes to.
func ZeroBody(name string) any {
	k, _ := kindOf(name)
	body, err := k.decode(stored{clear: []byte(`{}`)})
	if err != nil {
		panic(err)
	}
	return body
}

// HasUpcaster reports whether there is a step from a schema version to the next.
func HasUpcaster(name string, from int) bool { return upcasters(name, from) != nil }

// ConnectionString is how a store was connected, for tests.
func ConnectionString(s *Store) string { return s.cfg.ConnectionString }

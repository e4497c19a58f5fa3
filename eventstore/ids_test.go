package eventstore_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"permitledger/domain"
	"permitledger/eventstore"
)

var pepper = []byte("0123456789abcdef0123456789abcdef")

// Ids are part of the stored format: derived otherwise, a command that is
// repeated after an upgrade would be done twice.
func TestDerivedIdsAreFixed(t *testing.T) {
	command := eventstore.CommandID(pepper, "sub-1", "POST", "/permits", "key-1")
	for name, x := range map[string]struct{ got, want string }{
		"command": {string(command), "4a3c1f5c-e419-83a1-8c7a-04fcda772dd1"},
		"body":    {eventstore.BodyHash(pepper, []byte(`{}`)), "fTKgle6_QH-PzWRWwK2i1KEDSvQMv_tASkeRZX3THAA"},
		"derived": {eventstore.DerivedID(command, "permit"), "d5c0b42c-f1ce-5dc7-a3c3-1bbf22a81226"},
		"event":   {eventstore.EventID("permit-1", command, 0).String(), "7f07a1c3-a767-5e3c-9971-b1e2a54b0584"},
	} {
		if x.got != x.want {
			t.Errorf("%s: %s, want %s", name, x.got, x.want)
		}
	}
}

func TestEverythingCountsTowardsAnId(t *testing.T) {
	seen := map[domain.CommandID]bool{}
	for _, parts := range [][4]string{
		{"s", "POST", "/p", "k"}, {"t", "POST", "/p", "k"}, {"s", "PUT", "/p", "k"}, {"s", "POST", "/q", "k"},
		{"s", "POST", "/p", "l"}, {"sP", "OST", "/p", "k"}, {"s", "POST", "/pk", ""}, {"s", "POST/", "p", "k"},
	} {
		id := eventstore.CommandID(pepper, parts[0], parts[1], parts[2], parts[3])
		if seen[id] {
			t.Errorf("%q has the id of another", parts)
		}
		seen[id] = true
		if u, err := uuid.Parse(string(id)); err != nil || u.Version() != 8 || u.Variant() != uuid.RFC4122 {
			t.Errorf("%s: %v", id, err)
		}
	}
	if eventstore.CommandID([]byte("another"), "s", "POST", "/p", "k") == eventstore.CommandID(pepper, "s", "POST", "/p", "k") {
		t.Error("the pepper does not count")
	}
	ids := map[string]bool{
		eventstore.EventID("permit-1", "c", 0).String():  true,
		eventstore.EventID("permit-1", "c", 1).String():  true,
		eventstore.EventID("permit-2", "c", 0).String():  true,
		eventstore.EventID("permit-1", "c2", 0).String(): true,
		eventstore.DerivedID("c", "permit-1"):            true,
		eventstore.DerivedID("c2", "permit-1"):           true,
	}
	if len(ids) != 6 {
		t.Error("two derived ids are the same")
	}
}

func TestCanonicalJSON(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{` { "b" : 1 , "a" : [ true , null , false ] } `, `{"a":[true,null,false],"b":1}`},
		{`{"a":{"d":1,"c":{"f":2,"e":3}}}`, `{"a":{"c":{"e":3,"f":2},"d":1}}`},
		{`"\u0061\/\u003c&\u00e9"`, `"a/<&é"`},
		{`[1, 1.0, 10e-1, 0.10, -0, -0.0, 1e3, 1E+3]`, `[1,1,1,0.1,0,0,1000,1000]`},
		{`12345678901234567890`, `12345678901234567890`},
		{`[]`, `[]`}, {`{}`, `{}`}, {`""`, `""`}, {`[[],{}]`, `[[],{}]`},
	} {
		got, err := eventstore.CanonicalJSON([]byte(x.in))
		if err != nil || string(got) != x.want {
			t.Errorf("%s: %s, %v, want %s", x.in, got, err, x.want)
		}
	}
	for _, bad := range []string{
		``, `{`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"x":{"a":1,"b":2,"a":1}}`, `{} {}`, `[1,]`, `{"a"}`, `nul`, `1e999`, "\"\xff\"",
	} {
		if got, err := eventstore.CanonicalJSON([]byte(bad)); err == nil {
			t.Errorf("%q was taken: %s", bad, got)
		}
	}
}

// The canonical form means the same, is its own canonical form, and is the
// same for every way of writing a value.
func TestCanonicalJSONIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := jsonValue(3).Draw(t, "value")
		plain, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		spaced, err := json.MarshalIndent(value, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		once, err := eventstore.CanonicalJSON(plain)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range [][]byte{spaced, once} {
			if again, err := eventstore.CanonicalJSON(other); err != nil || string(again) != string(once) {
				t.Fatalf("%s: %s, %v, first %s", other, again, err, once)
			}
		}
		var back any
		if err := json.Unmarshal(once, &back); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(back); string(again) != string(plain) {
			t.Fatalf("%s means %s, want %s", once, again, plain)
		}
	})
}

func jsonValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.String().AsAny(),
		rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any {
			if f == 0 {
				return 0.0 // the negative zero loses its sign
			}
			return f
		}),
		rapid.IntRange(-1000, 1000).AsAny(),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.SliceOfN(jsonValue(depth-1), 0, 4).AsAny(),
			rapid.MapOfN(rapid.String(), jsonValue(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

func FuzzCanonicalJSON(f *testing.F) {
	f.Add([]byte(`{"b":[1.50,"é"],"a":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		once, err := eventstore.CanonicalJSON(in)
		if err != nil {
			return
		}
		again, err := eventstore.CanonicalJSON(once)
		if err != nil || string(again) != string(once) {
			t.Errorf("%q: %q, then %q, %v", in, once, again, err)
		}
	})
}

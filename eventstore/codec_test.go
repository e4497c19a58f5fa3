package eventstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/permit"
	"permitledger/domain/property"
	"permitledger/eventstore"
)

// openKeys seals nothing: what it stores can be read in the golden files. It
// does hold to the rules of keys about persons, associated data and erasure.
type openKeys struct{ erased map[string]bool }

func (k openKeys) Seal(person domain.AccountID, plaintext, aad []byte) (string, []byte, error) {
	if k.erased["key of "+string(person)] {
		return "", nil, errors.New("erased")
	}
	return "key of " + string(person), slices.Concat(aad, []byte("\n"), plaintext), nil
}

func (k openKeys) Open(keyID string, sealed, aad []byte) ([]byte, bool, error) {
	if k.erased[keyID] {
		return nil, true, nil
	}
	plain, ok := bytes.CutPrefix(sealed, append(bytes.Clone(aad), '\n'))
	if !ok {
		return nil, false, errors.New("altered")
	}
	return plain, false, nil
}

func (k openKeys) Erasures() uint64 { return uint64(len(k.erased)) }

func openCodec() *eventstore.Codec { return eventstore.NewCodec(openKeys{}) }

// stock is an envelope with every field filled.
func stock(stream string) eventstore.Envelope {
	return eventstore.Envelope{
		ID:          uuid.MustParse("7d4fa9a4-3b0e-5c0e-8f62-0a8a5d3c1b11"),
		Stream:      stream,
		Actor:       domain.Actor{ID: "op-7", Role: domain.RoleOperator, Channel: domain.ChannelPhone, OnBehalfOf: "acc-1"},
		RecordedAt:  time.Date(2026, 3, 5, 10, 14, 0, 123456789, time.FixedZone("BST", 3600)),
		Command:     "0b6f3e0a-0000-8000-8000-000000000001",
		BodyHash:    "hash-of-body",
		Correlation: "correlation-1",
		Causation:   "causation-1",
		Versions:    domain.Versions{Policy: "p1", Tariff: "2025-04-01", Terms: "t3", Gazetteer: "g2"},
	}
}

// filled makes an event of a type with something in every field, so that a
// field that is added, dropped or renamed changes its golden file.
func filled(name string) domain.Event {
	v := reflect.New(reflect.TypeOf(eventstore.ZeroBody(name)))
	n := 0
	fill(v.Elem(), "", &n)
	return v.Elem().Interface().(domain.Event)
}

func fill(v reflect.Value, name string, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 4, 1, 9, *n, 0, 5000, time.UTC)))
		return
	case v.Type() == reflect.TypeFor[domain.Date]():
		v.Set(reflect.ValueOf(domain.Date{Year: 2026, Month: time.March, Day: *n%28 + 1}))
		return
	case strings.HasPrefix(v.Type().Name(), "Personal["):
		fill(v.FieldByName("Value"), name, n)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", name, *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name, n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name, n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, n)
		}
	default:
		panic("nothing to fill a " + v.Type().String() + " with")
	}
}

func record(p eventstore.Proposed, stream string) eventstore.Recorded {
	return eventstore.Recorded{ID: p.ID, Stream: stream, Revision: 4, Position: 99, Type: p.Type, Data: p.Data, Metadata: p.Metadata}
}

func encode(t *testing.T, c *eventstore.Codec, body domain.Event) eventstore.Proposed {
	t.Helper()
	p, err := c.Encode(stock("permit-1"), "acc-1", body)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The stored shape of every event type, and that it reads back as it was.
func TestStoredShapes(t *testing.T) {
	for _, name := range eventstore.Types() {
		t.Run(name, func(t *testing.T) {
			schema, personal, ok := eventstore.Known(name)
			if !ok {
				t.Fatal("no codec; add the type to kindOf")
			}
			for v := 1; v < schema; v++ {
				if !eventstore.HasUpcaster(name, v) {
					t.Errorf("no upcaster from schema %d", v)
				}
			}
			body := filled(name)
			if body.EventType() != name {
				t.Fatalf("the codec of %s makes a %s", name, body.EventType())
			}
			c := openCodec()
			p := encode(t, c, body)
			golden(t, name, p, personal)
			e, err := c.Decode(record(p, "permit-1"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(body, e.Body); diff != "" {
				t.Errorf("read back differently (-written +read):\n%s", diff)
			}
		})
	}
}

// golden compares a stored event with its file. UPDATE_GOLDEN=1 writes the
// file, which is right only for a type that no log holds yet: otherwise a
// changed shape needs a new schema version and an upcaster.
func golden(t *testing.T, name string, p eventstore.Proposed, personal bool) {
	t.Helper()
	shown := struct {
		Type     string          `json:"type"`
		Metadata json.RawMessage `json:"metadata"`
		Data     json.RawMessage `json:"data"`
		Opened   json.RawMessage `json:"personalOpened,omitempty"`
	}{Type: p.Type, Metadata: p.Metadata, Data: p.Data}
	if personal {
		var sealed struct {
			Personal struct{ Sealed string }
		}
		if err := json.Unmarshal(p.Data, &sealed); err != nil {
			t.Fatal(err)
		}
		plain, err := base64.RawURLEncoding.DecodeString(sealed.Personal.Sealed)
		if err != nil {
			t.Fatal(err)
		}
		shown.Opened = plain[bytes.LastIndex(plain, []byte("\n"))+1:]
	}
	got, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "events", name+".json")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the stored shape changed; logs hold the old one (-golden +now):\n%s", diff)
	}
}

// Every stored name that a package of the domain declares is in Types, and
// every golden file belongs to a type.
func TestNoTypeIsForgotten(t *testing.T) {
	types := eventstore.Types()
	slices.Sort(types)
	if n := len(slices.Compact(slices.Clone(types))); n != len(types) {
		t.Error("two event types have the same stored name")
	}
	var declared []string
	files, err := filepath.Glob("../domain/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Names) != 1 || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Type") {
				return true
			}
			if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name, _ := strconv.Unquote(lit.Value)
				declared = append(declared, name)
			}
			return true
		})
	}
	slices.Sort(declared)
	if diff := cmp.Diff(types, declared); diff != "" {
		t.Errorf("Types and the domain's declarations differ:\n%s", diff)
	}
	goldens, err := filepath.Glob("testdata/events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range goldens {
		goldens[i] = strings.TrimSuffix(filepath.Base(g), ".json")
	}
	if diff := cmp.Diff(types, goldens); diff != "" {
		t.Errorf("Types and the golden files differ:\n%s", diff)
	}
}

func TestTheEnvelopeIsKept(t *testing.T) {
	c := openCodec()
	env := stock("permit-1")
	p := encode(t, c, permit.AutoRenewalCancelled{})
	e, err := c.Decode(record(p, "permit-1"))
	if err != nil {
		t.Fatal(err)
	}
	env.Type, env.Schema, env.Revision, env.Position = permit.TypeAutoRenewalCancelled, 1, 4, 99
	env.RecordedAt = time.Date(2026, 3, 5, 9, 14, 0, 123456000, time.UTC)
	if diff := cmp.Diff(env, e.Envelope); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

func TestPersonalParts(t *testing.T) {
	opened := account.AccountOpened{Personal: domain.PersonalOf(account.OpenedPersonal{Name: "Ann", Email: "ann@example.org"})}
	keys := openKeys{erased: map[string]bool{}}
	c := eventstore.NewCodec(keys)
	p := encode(t, c, opened)
	r := record(p, "permit-1")

	moved := r
	moved.Stream = "permit-2"
	if _, err := c.Decode(moved); !errors.Is(err, eventstore.ErrMalformed) {
		t.Errorf("moved to another stream: %v", err)
	}
	moved = r
	moved.ID = uuid.New()
	if _, err := c.Decode(moved); !errors.Is(err, eventstore.ErrMalformed) {
		t.Errorf("moved to another event: %v", err)
	}

	// Nothing was typed: nothing is sealed, and nobody's key is needed.
	silent, err := c.Encode(stock("permit-1"), "", permit.Cancelled{Reason: permit.CancelledUnpaid})
	if err != nil || bytes.Contains(silent.Data, []byte("personal")) {
		t.Errorf("without words: %s, %v", silent.Data, err)
	}
	if e, err := c.Decode(record(silent, "permit-1")); err != nil || e.Body.(permit.Cancelled).Personal.Erased {
		t.Errorf("without words: %+v, %v", e.Body, err)
	}
	if _, err := c.Encode(stock("permit-1"), "", opened); err == nil {
		t.Error("a personal part was stored without a person")
	}

	keys.erased["key of acc-1"] = true
	e, err := c.Decode(r)
	if err != nil || !e.Body.(account.AccountOpened).Personal.Erased {
		t.Fatalf("erased: %+v, %v", e.Body, err)
	}
	if _, err := c.Encode(stock("permit-1"), "acc-2", e.Body); err == nil {
		t.Error("an erased part was stored again")
	}
	if _, err := c.Encode(stock("permit-1"), "acc-1", opened); err == nil {
		t.Error("sealed for an erased person")
	}
}

func TestReadingIsStrict(t *testing.T) {
	c := openCodec()
	p := encode(t, c, filled(permit.TypeApplied))
	plain := encode(t, c, permit.AutoRenewalCancelled{})
	replace := func(b []byte, old, new string) []byte {
		t.Helper()
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%s has no %s", b, old)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
	for _, c2 := range []struct {
		name string
		p    eventstore.Proposed
		want error
	}{
		{"unknown type", eventstore.Proposed{Type: "Blessed", Data: plain.Data, Metadata: plain.Metadata}, eventstore.ErrUnknownType},
		{"newer schema", eventstore.Proposed{Type: plain.Type, Data: plain.Data, Metadata: replace(plain.Metadata, `"schema":1`, `"schema":2`)}, eventstore.ErrUnknownSchema},
		{"no schema", eventstore.Proposed{Type: plain.Type, Data: plain.Data, Metadata: replace(plain.Metadata, `"schema":1,`, ``)}, eventstore.ErrUnknownSchema},
		{"unknown field", eventstore.Proposed{Type: plain.Type, Data: []byte(`{"x":1}`), Metadata: plain.Metadata}, eventstore.ErrMalformed},
		{"unknown field of metadata", eventstore.Proposed{Type: plain.Type, Data: plain.Data, Metadata: replace(plain.Metadata, `{`, `{"x":1,`)}, eventstore.ErrMalformed},
		{"no metadata", eventstore.Proposed{Type: plain.Type, Data: plain.Data}, eventstore.ErrMalformed},
		{"no instant", eventstore.Proposed{Type: plain.Type, Data: plain.Data, Metadata: []byte(`{"schema":1,"commandId":"c"}`)}, eventstore.ErrMalformed},
		{"no data", eventstore.Proposed{Type: plain.Type, Metadata: plain.Metadata}, eventstore.ErrMalformed},
		{"two values", eventstore.Proposed{Type: plain.Type, Data: []byte(`{} {}`), Metadata: plain.Metadata}, eventstore.ErrMalformed},
		{"a list", eventstore.Proposed{Type: p.Type, Data: []byte(`[]`), Metadata: p.Metadata}, eventstore.ErrMalformed},
		{"a personal part where none belongs", eventstore.Proposed{Type: plain.Type, Data: []byte(`{"personal":{"key":"k","sealed":""}}`), Metadata: plain.Metadata}, eventstore.ErrMalformed},
		{"an odd personal part", eventstore.Proposed{Type: p.Type, Data: []byte(`{"personal":{"clear":"text"}}`), Metadata: p.Metadata}, eventstore.ErrMalformed},
		{"a broken personal part", eventstore.Proposed{Type: p.Type, Data: replace(p.Data, `"sealed":"`, `"sealed":"!`), Metadata: p.Metadata}, eventstore.ErrMalformed},
		{"a body that is cut off", eventstore.Proposed{Type: plain.Type, Data: []byte(`{`), Metadata: plain.Metadata}, eventstore.ErrMalformed},
		{"a wrong day", eventstore.Proposed{Type: p.Type, Data: replace(p.Data, `"submittedOn":"`, `"submittedOn":"secret`), Metadata: p.Metadata}, eventstore.ErrMalformed},
		{"a wrong instant", eventstore.Proposed{Type: plain.Type, Data: plain.Data, Metadata: replace(plain.Metadata, `"recordedAt":"`, `"recordedAt":"secret`)}, eventstore.ErrMalformed},
		{"a wrong kind", eventstore.Proposed{Type: p.Type, Data: replace(p.Data, `"months":`, `"months":"secret","x":`), Metadata: p.Metadata}, eventstore.ErrMalformed},
	} {
		c2.p.ID = p.ID
		_, err := c.Decode(record(c2.p, "permit-1"))
		if !errors.Is(err, c2.want) {
			t.Errorf("%s: %v, want %v", c2.name, err, c2.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the event: %v", c2.name, err)
		}
	}
}

func TestWhatIsNotEncoded(t *testing.T) {
	c := openCodec()
	large := account.AccountOpened{Personal: domain.PersonalOf(account.OpenedPersonal{Name: strings.Repeat("x", 50<<10)})}
	for _, x := range []struct {
		name string
		body domain.Event
		want error
	}{
		{"unknown type", blessed{}, eventstore.ErrUnknownType},
		{"a pointer", &permit.AutoRenewalCancelled{}, nil},
		{"too large", large, eventstore.ErrTooLarge}, // only once it is sealed
	} {
		if _, err := c.Encode(stock("permit-1"), "acc-1", x.body); err == nil || x.want != nil && !errors.Is(err, x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

type blessed struct{}

func (blessed) EventType() string { return "Blessed" }

func TestASlotOfTheFirstShapeIsUpcast(t *testing.T) {
	c := openCodec()
	p := encode(t, c, property.SlotTaken{Permit: "p1", Displaced: []domain.PermitID{"p0"}, Limit: 3})
	p.Metadata = bytes.Replace(p.Metadata, []byte(`"schema":2`), []byte(`"schema":1`), 1)
	p.Data = []byte(`{"permit":"p1","displaced":["p0"]}`)
	e, err := c.Decode(record(p, "property-1"))
	want := property.SlotTaken{Permit: "p1", Displaced: []domain.PermitID{"p0"}, Limit: 2}
	if err != nil || cmp.Diff(domain.Event(want), e.Body) != "" || e.Schema != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	for _, data := range []string{`{"permit":"p1","limit":3}`, `{"permit":"p1","x":3}`, `[]`} {
		p.Data = []byte(data)
		if _, err := c.Decode(record(p, "property-1")); !errors.Is(err, eventstore.ErrMalformed) {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestCutMember(t *testing.T) {
	for _, x := range []struct{ in, rest, value string }{
		{`{}`, `{}`, ``},
		{`{"a":1}`, `{"a":1}`, ``},
		{`{"p":{"k":1}}`, `{}`, `{"k":1}`},
		{`{"a":1,"p":[2,{"p":3}]}`, `{"a":1}`, `[2,{"p":3}]`},
		{`{"p":1,"a":{"p":2}}`, `{"a":{"p":2}}`, `1`},
		{`{"a":"}\",\"p\":1","p":"x,\"}","b":[1,2]}`, `{"a":"}\",\"p\":1","b":[1,2]}`, `"x,\"}"`},
		{` { "a" : 1 , "p" : 2 } `, ` { "a" : 1 } `, ` 2 `},
		{`{"a":{"p":1},"pp":2,"b":"p"}`, `{"a":{"p":1},"pp":2,"b":"p"}`, ``},
	} {
		rest, value, err := eventstore.CutMember([]byte(x.in), "p")
		if err != nil || string(rest) != x.rest || string(value) != x.value {
			t.Errorf("%s: %q, %q, %v", x.in, rest, value, err)
		}
	}
	for _, bad := range []string{``, `{`, `{"a`, `{"a":[}`} {
		if rest, _, err := eventstore.CutMember([]byte(bad), "p"); err == nil && json.Valid(rest) {
			t.Errorf("%q was taken for %q", bad, rest)
		}
	}
}

func FuzzCutMember(f *testing.F) {
	f.Add([]byte(`{"a":"}\",\"p\":1","p":"x,\"}","b":[1,2]}`))
	f.Add([]byte(`{"p":{},"p":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		rest, value, err := eventstore.CutMember(in, "p")
		var members map[string]json.RawMessage
		if err != nil || json.Unmarshal(in, &members) != nil || members == nil {
			return
		}
		if !json.Valid(rest) || value != nil && !json.Valid(value) {
			t.Errorf("%s: %q and %q", in, rest, value)
		}
	})
}

func TestLedgerEventsHaveNoPersonalPart(t *testing.T) {
	for _, name := range ledger.Types() {
		if _, personal, _ := eventstore.Known(name); personal {
			t.Errorf("%s has a personal part and no person", name)
		}
	}
}

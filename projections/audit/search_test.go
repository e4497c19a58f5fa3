package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/permit"
	"permitledger/domain/property"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/audit"
	"permitledger/projections/projectiontest"
)

func startLog(t *testing.T) *projectiontest.Log {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return projectiontest.Start(t, n.ConnectionString())
}

// archive is a small ledger that is searched.
type archive struct {
	t *testing.T
	*projectiontest.Town
	r audit.Reader
	p *projectiontest.Person
	l *projectiontest.Life
}

func startArchive(t *testing.T) *archive {
	t.Helper()
	log := startLog(t)
	a := &archive{t: t, Town: projectiontest.NewTown(t, log, 1)} // 1: a policy
	a.Now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	a.p = a.Open()                      // 2
	a.l = a.Apply(a.p, 5500, 12, false) // 3, 4: documents; 5: Applied
	a.Now = a.Now.Add(24 * time.Hour)   // 3 March
	if err := a.Hold(a.l); err != nil { // 6, 7
		t.Fatal(err)
	}
	if err := a.Do(a.l, permit.Reject{Review: projectiontest.Review()}); err != nil { // 8
		t.Fatal(err)
	}
	other := a.Open() // 9
	// Recorded by a clock that is a day behind.
	log.Append(t, property.Stream("hashed"), "", a.Now.Add(-24*time.Hour), property.SlotTaken{Permit: a.l.ID, Limit: 2}) // 10
	log.Append(t, access.Stream(a.p.ID), a.p.ID, a.Now.Add(time.Hour),
		access.RecordRead{Account: a.p.ID, Permit: a.l.ID, What: access.ReadHistoryOpened,
			Personal: domain.PersonalOf(access.ReadPersonal{Reason: "complaint overheard"})}) // 11
	last := log.Append(t, access.SearchStream("one"), "", a.Now.Add(2*time.Hour),
		access.PeopleSearched{By: []string{"name"}, Shown: []domain.AccountID{a.p.ID, other.ID}}).Position // 12
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, audit.New())
	r.Wait(t, last)
	a.r = audit.NewReader(r.Projection(audit.Name))
	return a
}

// find gives the ledger numbers of what fits, read in pages of two.
func (a *archive) find(q audit.Query) []uint64 {
	a.t.Helper()
	var all []uint64
	cursor := ""
	for {
		entries, next, err := a.r.Search(a.t.Context(), q, 2, cursor)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Ledger)
		}
		if cursor = next; cursor == "" {
			return all
		}
	}
}

func TestSearch(t *testing.T) {
	a := startArchive(t)
	second, third := domain.NewDate(2026, 3, 2), domain.NewDate(2026, 3, 3)
	account := audit.Query{Account: a.p.ID}
	for _, c := range []struct {
		name string
		q    audit.Query
		want []uint64
	}{
		{"everything, newest first", audit.Query{}, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{"of a type", audit.Query{Type: "DocumentUploaded"}, []uint64{4, 3}},
		{"by an actor", audit.Query{Actor: "nobody"}, nil},
		{"of a type by an actor", audit.Query{Type: "Applied", Actor: "system"}, []uint64{5}},
		{"of a permit", audit.Query{Permit: a.l.ID}, []uint64{11, 10, 8, 7, 6, 5}},
		{"about a person", account, []uint64{12, 11, 10, 8, 7, 6, 5, 4, 3, 2}},
		{"of a person and a permit", audit.Query{Account: a.p.ID, Permit: a.l.ID, Type: "Rejected"}, []uint64{8}},
		{"of a person on a day", audit.Query{Account: a.p.ID, Until: third.Midnight()}, []uint64{10, 5, 4, 3, 2}},
		{"on a day", audit.Query{From: second.Midnight(), Until: third.Midnight()}, []uint64{10, 5, 4, 3, 2}},
		{"from a day on", audit.Query{From: third.Midnight()}, []uint64{12, 11, 9, 8, 7, 6}},
		{"from an instant on", audit.Query{From: a.Now.Add(time.Hour)}, []uint64{12, 11}},
		{"after everything", audit.Query{From: third.AddDays(400).Midnight()}, nil},
		{"before everything", audit.Query{Until: second.AddDays(-400).Midnight()}, nil},
		{"words", audit.Query{Text: "rejected policy"}, []uint64{8}},
		{"the beginning of the last word", audit.Query{Text: "REJECTED poli"}, []uint64{8}},
		{"only of the last word", audit.Query{Text: "poli rejected"}, nil},
		{"a zone, which only the application names", audit.Query{Text: "rejected " + string(a.l.Permit.Zone)}, []uint64{8}},
		{"a reference", audit.Query{Text: a.l.ID.Reference()}, []uint64{11, 10, 8, 7, 6, 5}},
		{"a reference in small letters", audit.Query{Text: strings.ToLower(a.l.ID.Reference())}, []uint64{11, 10, 8, 7, 6, 5}},
		{"an id", audit.Query{Text: string(a.l.ID)}, []uint64{11, 10, 8, 7, 6, 5}},
		{"an id and a word", audit.Query{Text: strings.ToUpper(string(a.p.ID)) + " rejected"}, []uint64{8}},
		{"words of a person", audit.Query{Account: a.p.ID, Text: "document"}, []uint64{4, 3}},
		{"words of a type", audit.Query{Type: "DocumentUploaded", Text: "document"}, []uint64{4, 3}},
		{"words on a day", audit.Query{From: third.Midnight(), Text: "account"}, []uint64{9}},
		{"what is sealed", audit.Query{Text: "overheard"}, nil},
		{"a name", audit.Query{Text: "Person Number 0"}, nil},
		{"blank", audit.Query{Text: " ", Type: "Applied"}, []uint64{5}},
		{"signs", audit.Query{Text: `"`}, nil},
	} {
		if got := a.find(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	entries, _, err := a.r.Search(t.Context(), audit.Query{Type: "Applied"}, 1, "")
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if got := a.find(audit.Query{Text: string(entries[0].EventID)}); !slices.Equal(got, []uint64{5}) {
		t.Errorf("by an event's id: %v", got)
	}
	if _, _, err := a.r.Search(t.Context(), audit.Query{}, 1, "eyJiZWZvcmUiOjB9"); err == nil {
		t.Error("a cursor before the first event was taken")
	}
}

// Nothing that a person types is an operator of the full-text index.
func TestSearchTakesAnyText(t *testing.T) {
	a := startArchive(t)
	for _, text := range []string{`"`, `""`, `'`, `*`, `AND`, `OR NOT`, `NEAR(a b)`, `words:x`, `what : "Applied"`, `{a}:b`, `^a`, `a-b`, `-a`, `a"b`,
		`(`, `)`, `a + b`, `£55.00`, `%`, `_`, `;--`, "日本", "İ", "e\u0301", "\u00ad", "𝔘", "a\tb\nc", `\`, `P-`, strings.Repeat("a ", 100)} {
		for _, q := range []audit.Query{{Text: text}, {Text: text, Type: `"`, Actor: `*`}, {Text: text, Permit: a.l.ID}, {Actor: text, Type: text}} {
			if _, _, err := a.r.Search(t.Context(), q, 10, ""); err != nil {
				t.Errorf("%+v: %v", q, err)
			}
		}
	}
	if got := a.find(audit.Query{Text: "£55.00 Applied"}); !slices.Equal(got, []uint64{5}) {
		t.Errorf("an amount: %v", got)
	}
}

// Whatever is asked for, an index leads to it: no search reads the log from
// its end until it happens to find something, and none sorts.
func TestSearchesGoThroughIndexes(t *testing.T) {
	a := startArchive(t)
	day := domain.NewDate(2026, 3, 2).Midnight()
	for name, c := range map[string]struct {
		q     audit.Query
		leads string
		sorts bool
	}{
		"all":              {audit.Query{}, "SEARCH events USING INTEGER PRIMARY KEY", false},
		"days":             {audit.Query{From: day, Until: day.Add(time.Hour)}, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", false},
		"type":             {audit.Query{Type: "x", From: day}, "SEARCH events USING INDEX events_type (type=? AND ledger>? AND ledger<?)", false},
		"actor":            {audit.Query{Actor: "x"}, "SEARCH events USING INDEX events_actor (actor=? AND ledger>? AND ledger<?)", false},
		"permit":           {audit.Query{Permit: "x", Type: "x", Actor: "x", Text: "x"}, "SEARCH events USING INDEX events_permit (permit_id=? AND ledger>? AND ledger<?)", false},
		"account":          {audit.Query{Account: "x", Type: "x", Text: "x"}, "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)", true},
		"words":            {audit.Query{Text: "x", From: day}, "SCAN search VIRTUAL TABLE INDEX", false},
		"words of a type":  {audit.Query{Text: "x", Type: "x"}, "SCAN search VIRTUAL TABLE INDEX", false},
		"type and actor":   {audit.Query{Actor: "x", Type: "x"}, "SCAN search VIRTUAL TABLE INDEX", false},
		"an id and a type": {audit.Query{Text: string(a.l.ID), Type: "x"}, "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)", true},
	} {
		plan, err := audit.Explain(t.Context(), a.r, c.q)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(plan[0], c.leads) {
			t.Errorf("%s: %q", name, plan)
		}
		if !c.sorts && slices.ContainsFunc(plan, func(s string) bool { return strings.Contains(s, "TEMP B-TREE FOR ORDER") }) {
			t.Errorf("%s sorts: %q", name, plan)
		}
	}
}

// The full-text index of a fold that was cut off anywhere is that of one that
// was not: the rows of a dump do not show it, because it keeps no text.
func TestTheWordsAreThoseOfAFoldInOneGo(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 5)
	for range 60 {
		town.Step()
	}
	read := func(l *eventstore.Ledger, dir string) []string {
		r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: l}, audit.New())
		defer r.Stop(t)
		r.Wait(t, town.Last)
		return places(t, r.Projection(audit.Name))
	}
	want := read(log.Ledger, "")
	if len(want) < 1000 {
		t.Fatalf("only %d words are indexed", len(want))
	}
	dir := t.TempDir()
	for n := range int64(5) {
		projectiontest.CutOnce(t, log.Ledger, dir, 4+3*n, audit.New())
	}
	if got := read(log.Ledger, dir); !slices.Equal(got, want) {
		t.Error("cut off and resumed, other words are indexed")
	}
	var everybody []domain.AccountID
	for _, p := range town.People {
		everybody = append(everybody, p.ID)
	}
	if got := read(log.WithoutKey(everybody...), ""); !slices.Equal(got, want) {
		t.Error("something that was sealed is indexed")
	}
}

// places lists every word of the full-text index with where it stands.
func places(t *testing.T, p *projections.Projection) []string {
	t.Helper()
	var all []string
	err := audit.EachWord(t.Context(), p, func(word, column string, ledger, offset int64) {
		all = append(all, fmt.Sprint(word, " ", column, " ", ledger, " ", offset))
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

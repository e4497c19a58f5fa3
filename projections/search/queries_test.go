package search_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/permit"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
	"permitledger/projections/search"
)

// town is a log with the read model beside it, in which people have names of
// the test's own.
type town struct {
	*projectiontest.Town
	t       *testing.T
	running *projectiontest.Running
}

func start(t *testing.T) *town {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	log := projectiontest.Start(t, n.ConnectionString())
	w := projectiontest.NewTown(t, log, 1)
	return &town{w, t, projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, search.New())}
}

// person opens an account with these details.
func (w *town) person(name, email, phone string) *projectiontest.Person {
	w.t.Helper()
	p := w.Open()
	w.Last = w.Log.Append(w.t, account.Stream(p.ID), p.ID, w.Now, account.AccountDetailsChanged{
		Personal: domain.PersonalOf(account.DetailsPersonal{Name: name, Email: email, Phone: phone})}).Position
	return p
}

// permit applies for a vehicle.
func (w *town) permit(p *projectiontest.Person, mark string) *projectiontest.Life {
	w.t.Helper()
	l := w.Apply(p, 0, 12, false)
	if err := w.Approve(l); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Do(l, permit.ChangeVehicle{Vehicle: mark, Rules: w.Rules}); err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *town) reader() search.Reader {
	w.t.Helper()
	w.running.Wait(w.t, w.Last)
	return search.NewReader(w.running.Projection(search.Name))
}

// find gives the results as text: what matched, and whom or what it found.
func (w *town) find(text string) []string {
	w.t.Helper()
	hits, next, err := w.reader().Find(w.t.Context(), text, "", 50)
	if err != nil || next != "" {
		w.t.Fatalf("%q: %v %q", text, err, next)
	}
	var told []string
	for _, h := range hits {
		what := h.Person.Name
		if h.ID != "" {
			what = h.ID.Reference() + " of " + what
		}
		told = append(told, fmt.Sprintf("%s: %s", h.Matched, what))
	}
	return told
}

func TestPeopleAreFoundAsTheyAreTold(t *testing.T) {
	w := start(t)
	zoe := w.person("Zoë Ó Brádaigh-Müller", "Zoe@Example.org", "+44 (0)1509 123-456")
	w.person("Zoey O'Connor", "", "01509 654321")
	l := w.permit(zoe, "OI12 ABC")
	reference := l.ID.Reference()
	held := reference + " of Zoë Ó Brádaigh-Müller"
	for text, want := range map[string][]string{
		"zoe":                           {"name: Zoë Ó Brádaigh-Müller", "name: Zoey O'Connor"},
		"MULLER zoe":                    {"name: Zoë Ó Brádaigh-Müller"},
		"bra mül":                       {"name: Zoë Ó Brádaigh-Müller"},
		"oconnor":                       {"name: Zoey O'Connor"},
		"O’Con":                         {"name: Zoey O'Connor"},
		"connor":                        nil,
		"zoe smith":                     nil,
		"zoe@example.ORG ":              {"email: Zoë Ó Brádaigh-Müller"},
		"zoe@example.or":                nil,
		"01509 123456":                  {"phone: Zoë Ó Brádaigh-Müller"},
		"0044 1509 123456":              {"phone: Zoë Ó Brádaigh-Müller"},
		"01509":                         nil,
		strings.ToLower(reference[2:4]): nil,
		reference:                       {"reference: " + held},
		strings.ToLower(strings.ReplaceAll(reference, "-", " ")): {"reference: " + held},
		"oi12abc":   {"mark-exact: " + held},
		"0112-ABC":  {"mark-folded: " + held},
		"le11 1aa":  {"postcode: " + held},
		"LE111AA":   {"postcode: " + held},
		"LE11 1AB":  nil,
		"%_ zo%":    {"name: Zoë Ó Brádaigh-Müller", "name: Zoey O'Connor"},
		`"' OR 1=1`: nil,
	} {
		if got := w.find(text); !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"", " ", "z", "?!", "-"} {
		if _, _, err := w.reader().Find(t.Context(), text, "", 10); !errors.Is(err, search.ErrQuery) {
			t.Errorf("%q: %v", text, err)
		}
	}

	// What changed is found by what it is now.
	if err := w.Do(l, permit.ChangeVehicle{Vehicle: "XY34 ZZZ", Rules: w.Rules}); err != nil {
		t.Fatal(err)
	}
	other := w.permit(zoe, "0112 ABC")
	for text, want := range map[string][]string{
		"XY34ZZZ": {"mark-exact: " + held},
		"OI12ABC": {"mark-folded: " + other.ID.Reference() + " of Zoë Ó Brádaigh-Müller"},
		"0112ABC": {"mark-exact: " + other.ID.Reference() + " of Zoë Ó Brádaigh-Müller"},
	} {
		if got := w.find(text); !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
}

func TestNobodyErasedIsFoundButByTheirReference(t *testing.T) {
	w := start(t)
	p := w.person("Zoe Brady", "zoe@example.org", "01509 123456")
	l := w.permit(p, "XY34 ZZZ")
	w.Erase(p)
	for _, text := range []string{"zoe", "zoe@example.org", "01509 123456", "XY34ZZZ", "LE11 1AA"} {
		if got := w.find(text); got != nil {
			t.Errorf("%q finds %q", text, got)
		}
	}
	if got, want := w.find(l.ID.Reference()), []string{"reference: " + l.ID.Reference() + " of "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestResultsHavePages(t *testing.T) {
	w := start(t)
	var want []string
	for i := range 7 {
		w.person(fmt.Sprintf("Xy34 Zzz %d", i), "", "")
	}
	p := w.People[0]
	for range 3 {
		want = append(want, w.permit(p, "XY34 ZZZ").ID.Reference())
	}
	for _, p := range w.People {
		want = append(want, string(p.ID))
	}
	for limit := 1; limit <= 11; limit++ {
		var got []string
		for cursor, more := "", true; more; more = cursor != "" {
			hits, next, err := w.reader().Find(t.Context(), "XY34 ZZZ", cursor, limit)
			if err != nil || len(hits) > limit {
				t.Fatalf("%d at most: %d, %v", limit, len(hits), err)
			}
			for _, h := range hits {
				if h.ID != "" {
					got = append(got, h.ID.Reference())
				} else {
					got = append(got, string(h.Account))
				}
			}
			cursor = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d:\n%q, want\n%q", limit, got, want)
		}
	}
	_, next, err := w.reader().Find(t.Context(), "XY34 ZZZ", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	for text, cursor := range map[string]string{"XY34 ZZZ": "?", "a@b": next} {
		if _, _, err := w.reader().Find(t.Context(), text, cursor, 1); !errors.Is(err, projections.ErrCursor) {
			t.Errorf("%q with the cursor %q: %v", text, cursor, err)
		}
	}
}

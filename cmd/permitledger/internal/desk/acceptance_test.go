package desk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
)

// These tests are written against the rules of a resident permit and not
// against the desk's code: a person reads them beside the rules.

// openedAt is an office whose clock begins at an instant of one's choice,
// given as RFC 3339.
func openedAt(t *testing.T, at string) *office {
	t.Helper()
	o := newOffice(t)
	o.clock = clock.NewSimulated(moment(t, at))
	o.Desk = o.desk(func(c *desk.Config) { c.Clock = o.clock })
	return o
}

// desk is another desk of the same council, over the same log.
func (o *office) desk(change func(*desk.Config)) *desk.Desk {
	o.t.Helper()
	c := o.Config
	change(&c)
	d := desk.New(c)
	must(o.t, d.LoadRules(o.t.Context()))
	return d
}

// leaflet is a council's folder that holds what a test wants published.
type leaflet struct{ tariffs, policies []policy.Event }

func (l leaflet) Pending(policy.Book) (tariffs, policies, terms, gazetteer []policy.Event, err error) {
	return l.tariffs, l.policies, nil, nil, nil
}

// dearer is a tariff in which a resident pays £60.00 from a day on.
func dearer(t *testing.T, from string) leaflet {
	return leaflet{tariffs: []policy.Event{policy.TariffPublished{Version: from, EffectiveFrom: day(t, from),
		Prices: []policy.Price{{Kind: domain.KindResident, Months: 12, Price: 6000}}}}}
}

// withPolicy publishes the policy in force with something changed.
func (o *office) withPolicy(from string, change func(*policy.Rules)) {
	o.t.Helper()
	now, _ := o.Book().PolicyOn(domain.DateOf(o.Now()))
	now.Version, now.EffectiveFrom = "changed "+from, day(o.t, from)
	change(&now.Rules)
	must(o.t, o.Publish(o.t.Context(), leaflet{policies: []policy.Event{policy.PolicyPublished(now)}}))
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	must(t, err)
	return at.UTC()
}

func day(t *testing.T, s string) domain.Date {
	t.Helper()
	d, err := domain.ParseDate(s)
	must(t, err)
	return d
}

// to puts the clock forward.
func (o *office) to(at string) {
	o.t.Helper()
	if !o.clock.Set(moment(o.t, at)) {
		o.t.Fatalf("the clock stands at %s and cannot be set to %s", o.Now(), at)
	}
}

// applied opens an account and applies; change may be nil.
func (o *office) applied(name string, change func(*desk.Application)) (desk.Case, []domain.Evidence) {
	o.t.Helper()
	account, papers := o.resident(o.t.Context(), name)
	a := application(papers)
	if change != nil {
		change(&a)
	}
	cs, err := o.Apply(o.t.Context(), by(name, domain.RoleResident), account, a)
	must(o.t, err)
	return cs, papers
}

// running is a permit that was approved and paid for.
func (o *office) running(name string, change func(*desk.Application)) desk.Case {
	o.t.Helper()
	cs, papers := o.applied(name, change)
	_, err := o.Approve(o.t.Context(), by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	must(o.t, err)
	return o.settled(cs.ID, 1)
}

// settled has the money of a term brought where it belongs.
func (o *office) settled(id domain.PermitID, term int) desk.Case {
	o.t.Helper()
	_, err := o.Settle(o.t.Context(), by("", domain.RoleSystem), id, term)
	must(o.t, err)
	return o.now(id)
}

func (o *office) now(id domain.PermitID) desk.Case {
	o.t.Helper()
	cs, err := o.Case(o.t.Context(), id)
	must(o.t, err)
	return cs
}

// rejection is a complete decision to reject.
func rejection(papers []domain.Evidence) domain.Decision {
	d := fine(papers)
	d.Reasons = []domain.Reason{{Code: domain.ReasonNameMismatch, Clause: "4.2", Text: "The names differ."}}
	return d
}

// refusedAs fails unless an error refuses by a rule.
func refusedAs(t *testing.T, err error, rule domain.Rule) *domain.Refusal {
	t.Helper()
	if refusedBy(err) != rule {
		t.Fatalf("got %v, want a refusal by %q", err, rule)
	}
	r, _ := errors.AsType[*domain.Refusal](err)
	if r.Detail == "" {
		t.Fatalf("the refusal by %q says nothing", rule)
	}
	return r
}

// shows compares what a case says with what it should, in one line of words.
func shows(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// cover is a case's first and last day.
func cover(cs desk.Case) string {
	return cs.Permit.FirstDay().String() + " to " + cs.Permit.LastDay().String()
}

func money(cs desk.Case) payment.Status {
	if cs.Payment == nil {
		return payment.StatusNone
	}
	return cs.Payment.Status(cs.At)
}

func status(cs desk.Case) permit.Status { return cs.Permit.Status(cs.At) }

// badge adds a blue badge to an account's papers.
func (o *office) badge(ctx context.Context, name string, account domain.AccountID, expires string) domain.Evidence {
	o.t.Helper()
	up, err := o.Upload(ctx, by(name, domain.RoleResident), account, "application/pdf", []byte("%PDF-1.7 badge of "+name))
	must(o.t, err)
	return domain.Evidence{Kind: domain.EvidenceBlueBadge, SHA256: up.SHA256, ExpiresOn: day(o.t, expires)}
}

package projectiontest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// Town is a council whose residents apply, pay, renew and give up at random.
// Whatever happens is decided by the domain and written to a log.
type Town struct {
	Log     *Log
	Rand    *rand.Rand
	Now     time.Time
	Rules   policy.Rules
	People  []*Person
	Permits []*Life
	Last    eventstore.Position // of the last event written

	t testing.TB
}

// Person is a resident with an account.
type Person struct {
	ID      domain.AccountID
	Subject string
	State   account.State
}

// Life is a permit and what belongs to it.
type Life struct {
	ID     domain.PermitID
	Owner  *Person
	Permit permit.State
	Money  map[int]payment.State
	Notice notice.State
}

// DefaultRules are the figures of the default policy.
func DefaultRules() policy.Rules {
	return policy.Rules{
		PermitsPerProperty: 2, UncountedKinds: []domain.Kind{domain.KindMotorcycle},
		StartAheadDays: 30, RenewalWindowDays: 30, AutoRenewalDays: 7,
		ProofMonths: 3, TemporaryTenancyMonths: 12,
		UnpaidHours: 2, LapsedDays: 14, HoldMarginMinutes: 15,
		Refund: policy.RefundRule{Kind: policy.RefundNone},
	}
}

// NewTown begins a town with a policy. The same seed makes the same history,
// but for the ids of events.
func NewTown(t testing.TB, log *Log, seed uint64) *Town {
	w := &Town{Log: log, Rand: rand.New(rand.NewPCG(seed, 7)), Rules: DefaultRules(), t: t,
		Now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
	w.Publish("first", domain.NewDate(2025, 4, 1))
	return w
}

// Publish makes the town's rules a policy.
func (w *Town) Publish(version string, from domain.Date) {
	w.write(policy.PolicyStream, "", policy.PolicyPublished{Version: version, EffectiveFrom: from, Rules: w.Rules})
}

func (w *Town) write(stream string, person domain.AccountID, body domain.Event) {
	w.t.Helper()
	w.Last = w.Log.Append(w.t, stream, person, w.Now, body).Position
}

// id is a UUID that the seed decides.
func (w *Town) id() string {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(w.Rand.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// Open opens an account. Every third belongs to nobody at first.
func (w *Town) Open() *Person {
	w.t.Helper()
	n := len(w.People)
	p := &Person{ID: domain.AccountID(w.id()), Subject: fmt.Sprintf("subject-%d", n)}
	w.People = append(w.People, p)
	personal := account.OpenedPersonal{Name: fmt.Sprintf("Person Number %d", n), Email: fmt.Sprintf("p%d@example.org", n), Subject: p.Subject}
	if n%3 == 2 {
		personal.Subject = ""
	}
	w.account(p, account.AccountOpened{Personal: domain.PersonalOf(personal)})
	return p
}

func (w *Town) account(p *Person, e account.Event) {
	w.t.Helper()
	p.State = account.Evolve(p.State, e, domain.Meta{At: w.Now})
	w.write(account.Stream(p.ID), p.ID, e)
}

// Upload brings a document to an account.
func (w *Town) Upload(p *Person, sha string) {
	w.t.Helper()
	events, err := account.Upload(p.State, account.DocumentUploaded{SHA256: sha, Bytes: 10, MediaType: "image/png"}, w.Now)
	if err != nil {
		return
	}
	for _, e := range events {
		w.account(p, e)
	}
}

// Drop removes a document from an account.
func (w *Town) Drop(p *Person, sha string) error {
	w.t.Helper()
	events, err := account.Drop(p.State, sha)
	for _, e := range events {
		w.account(p, e)
	}
	return err
}

// Erase destroys a person's key and says so in the log.
func (w *Town) Erase(p *Person) {
	w.t.Helper()
	w.Log.Keys.Destroy(p.ID)
	events, err := account.Erase(p.State, "request")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		w.account(p, e)
	}
}

// Apply makes an application with documents that were uploaded before.
func (w *Town) Apply(p *Person, price domain.Pence, months int, autoRenewal bool) *Life {
	w.t.Helper()
	l := &Life{ID: domain.PermitID(w.id()), Owner: p, Money: make(map[int]payment.State)}
	bill, v5c := "bill-"+string(l.ID), "v5c-"+string(l.ID)
	w.Upload(p, bill)
	w.Upload(p, v5c)
	err := w.Do(l, permit.Apply{
		Account: p.ID, Kind: domain.KindResident, Months: months, AutoRenewal: autoRenewal, TermsVersion: "terms",
		Property: domain.Property{UPRN: "200000000017", House: "1", Street: "Sample Street", Postcode: "LE11 1AA"},
		Zone:     "LB2", Vehicle: w.mark(), EnteredBy: p.Subject,
		Evidence: []domain.Evidence{
			{Kind: domain.EvidenceUtilityBill, SHA256: bill, IssuedOn: domain.DateOf(w.Now)},
			{Kind: domain.EvidenceV5C, SHA256: v5c},
		},
		Uploaded: p.State.Has,
		Quote:    permit.Quote{Sold: true, Price: price, TariffVersion: "tariff"}, Rules: w.Rules,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Permits = append(w.Permits, l)
	return l
}

// mark is one of a few vehicles, so that some are on several permits.
func (w *Town) mark() string { return fmt.Sprintf("AB%02d CDE", 10+w.Rand.IntN(5)) }

// Do decides a command and writes what follows. A refusal is returned.
func (w *Town) Do(l *Life, c permit.Command) error {
	w.t.Helper()
	events, err := permit.Decide(l.Permit, w.Now, c)
	for _, e := range events {
		l.Permit = permit.Evolve(l.Permit, e, domain.Meta{At: w.Now})
		w.write(permit.Stream(l.ID), l.Owner.ID, e)
	}
	return err
}

// Review is a complete decision of a reviewer.
func Review() permit.Review {
	return permit.Review{
		Actor:   domain.Actor{ID: "rita.reviewer", Role: domain.RoleReviewer, Channel: domain.ChannelAPI},
		Subject: "rita.reviewer",
		Decision: domain.Decision{
			Basis:      domain.BasisPolicy,
			Reasons:    []domain.Reason{{Code: domain.ReasonNameMismatch, Clause: "4.2", Text: "The bill is in another name."}},
			Considered: []domain.Considered{{Check: "gazetteer", Result: "found"}},
			Told:       "What we found.",
		},
	}
}

// Approve approves an application, with the money as it is.
func (w *Town) Approve(l *Life) error {
	w.t.Helper()
	money := l.Money[1]
	end, held := money.Hold()
	return w.Do(l, permit.Approve{Review: Review(), Rules: w.Rules,
		Payment: permit.Payment{Free: l.Permit.Price == 0, Authorised: held, HoldEndsAt: end}})
}

// Ask asks for money for a term.
func (w *Town) Ask(l *Life, term int, mode payment.Mode, amount domain.Pence) error {
	w.t.Helper()
	events, err := payment.Ask(l.Money[term], payment.Request{Permit: l.ID, Account: l.Owner.ID, Term: term,
		Mode: mode, Amount: amount, At: w.Now})
	w.money(l, term, events)
	return err
}

// Hear records what the provider says about the latest attempt of a term, or
// about the one that the message names.
func (w *Town) Hear(l *Life, term int, m payment.Message) error {
	w.t.Helper()
	if m.At = w.Now; m.Attempt == 0 {
		m.Attempt = len(l.Money[term].Attempts)
	}
	if m.ProviderID == "" {
		m.ProviderID = fmt.Sprintf("pay-%s-%d-%d", l.ID, term, m.Attempt)
	}
	events, err := payment.Receive(l.Money[term], m)
	w.money(l, term, events)
	return err
}

func (w *Town) money(l *Life, term int, events []payment.Event) {
	w.t.Helper()
	for _, e := range events {
		l.Money[term] = payment.Evolve(l.Money[term], e, domain.Meta{At: w.Now})
		w.write(payment.Stream(l.ID, term), l.Owner.ID, e)
	}
}

// Hold pays for an application; the hold lasts 120 hours.
func (w *Town) Hold(l *Life) error {
	w.t.Helper()
	if err := w.Ask(l, 1, payment.ModeHold, l.Permit.Price); err != nil {
		return err
	}
	return w.Hear(l, 1, payment.Message{Kind: payment.Authorised, HoldEndsAt: w.Now.Add(120 * time.Hour)})
}

// Correspond writes what the council and the resident say to each other.
func (w *Town) Correspond(l *Life, events []notice.Event, err error) error {
	w.t.Helper()
	for _, e := range events {
		l.Notice = notice.Evolve(l.Notice, e, domain.Meta{At: w.Now})
		w.write(notice.Stream(l.ID), l.Owner.ID, e)
	}
	return err
}

package permit

import (
	"errors"
	"testing"
	"time"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// rules are the figures of the default policy.
func rules() policy.Rules {
	return policy.Rules{
		PermitsPerProperty: 2, UncountedKinds: []domain.Kind{domain.KindMotorcycle},
		StartAheadDays: 30, RenewalWindowDays: 30, AutoRenewalDays: 7,
		ProofMonths: 3, TemporaryTenancyMonths: 12,
		UnpaidHours: 2, LapsedDays: 14, HoldMarginMinutes: 15,
		Refund: policy.RefundRule{Kind: policy.RefundNone},
	}
}

const (
	owner    = "subject-of-the-owner"
	operator = "olive.operator"
	reviewer = "rita.reviewer"
	account  = domain.AccountID("5b0d0f0e-6f8e-4c43-9a57-0f6a2b7c1d11")
)

var (
	home  = domain.Property{UPRN: "200000000017", House: "1", Street: "Sample Street", Postcode: "LE11 1AA"}
	other = domain.Property{UPRN: "200000000018", House: "2", Street: "Sample Street", Postcode: "LE11 1AA"}
)

// day reads a date of a test.
func day(s string) domain.Date {
	d, err := domain.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// instant reads an instant of a test.
func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// noon is 12:00 UTC of a day: the same London day all year round.
func noon(s string) time.Time { return instant(s + "T12:00:00Z") }

func uploaded(string) bool { return true }

// proofs are a bill of the day itself and a V5C.
func proofs(on domain.Date) []domain.Evidence {
	return []domain.Evidence{
		{Kind: domain.EvidenceUtilityBill, SHA256: "bill", IssuedOn: on},
		{Kind: domain.EvidenceV5C, SHA256: "v5c"},
	}
}

// application is one that nothing is wrong with, made at an instant.
func application(at time.Time) Apply {
	return Apply{
		Account: account, Kind: domain.KindResident, Months: 12,
		Property: home, Zone: "LB2", Vehicle: "AB12 CDE", AutoRenewal: true, TermsVersion: "2025-04-01",
		Evidence: proofs(domain.DateOf(at)), Uploaded: uploaded, EnteredBy: owner,
		Quote: Quote{Sold: true, Price: 5500, TariffVersion: "2025-04-01"}, Rules: rules(),
	}
}

func review() Review {
	return Review{
		Actor:        domain.Actor{ID: reviewer, Role: domain.RoleReviewer, Channel: domain.ChannelAPI},
		Subject:      reviewer,
		OwnerSubject: owner,
		Decision: domain.Decision{
			Basis:      domain.BasisPolicy,
			Reasons:    []domain.Reason{{Code: domain.ReasonNameMismatch, Clause: "4.2", Text: "The bill is in another name."}},
			Considered: []domain.Considered{{Evidence: "bill", Result: "read", Note: "page 1"}, {Check: "gazetteer", Result: "found"}},
			NotChecked: []string{"V5C at the DVLA"},
			Told:       "What we found.",
		},
		Versions: domain.Versions{Policy: "2025-04-01"},
	}
}

// held is a payment whose hold ends 120 hours after an instant.
func held(at time.Time) Payment {
	return Payment{Authorised: true, HoldEndsAt: at.Add(120 * time.Hour)}
}

func approval(at time.Time) Approve {
	return Approve{Review: review(), Payment: held(at), Rules: rules()}
}

func renewal(months int) Renew {
	return Renew{Months: months, Price: 5500, TariffVersion: "2025-04-01", TermsVersion: "2025-04-01", Rules: rules()}
}

func vehicle(mark string) ChangeVehicle { return ChangeVehicle{Vehicle: mark, Rules: rules()} }

func move(at time.Time) ChangeAddress {
	return ChangeAddress{Property: other, Zone: "LB2", Uploaded: uploaded, Rules: rules(),
		Evidence: []domain.Evidence{{Kind: domain.EvidenceBankStatement, SHA256: "statement", IssuedOn: domain.DateOf(at)}}}
}

func withdrawal(on domain.Date) Withdraw {
	return Withdraw{Review: review(), EffectiveOn: on, Rules: rules()}
}

// life is a permit with the events that made it.
type life struct {
	t      testing.TB
	state  State
	events []Event
	metas  []domain.Meta
}

// begin gives a permit to which nothing has happened.
func begin(t testing.TB) *life { return &life{t: t} }

// try gives the permit a command and folds what follows.
func (l *life) try(at time.Time, c Command) error {
	events, err := Decide(l.state, at, c)
	if err != nil && len(events) > 0 {
		l.t.Fatalf("%T was refused and wrote %d events", c, len(events))
	}
	for _, e := range events {
		m := domain.Meta{Revision: uint64(len(l.events)), At: at}
		l.state = Evolve(l.state, e, m)
		l.events, l.metas = append(l.events, e), append(l.metas, m)
	}
	return err
}

// do is try where nothing may be refused.
func (l *life) do(at time.Time, c Command) *life {
	l.t.Helper()
	if err := l.try(at, c); err != nil {
		l.t.Fatalf("%T at %s: %v", c, at, err)
	}
	return l
}

// refused is try where a rule must say no.
func (l *life) refused(at time.Time, c Command, rule domain.Rule) *domain.Refusal {
	l.t.Helper()
	before := len(l.events)
	err := l.try(at, c)
	r, ok := errors.AsType[*domain.Refusal](err)
	if !ok || r.Rule != rule || len(l.events) != before {
		l.t.Fatalf("%T at %s: got %v, want it refused by %s", c, at, err, rule)
	}
	if r.Detail == "" || !r.At.Equal(at) {
		l.t.Fatalf("%T: the refusal %+v does not say why and when", c, r)
	}
	return r
}

func (l *life) last() Event { return l.events[len(l.events)-1] }

// approved gives a permit with a first day and a number of months.
func approved(t testing.TB, first string, months int) *life {
	at := noon(first)
	c := application(at)
	c.Months = months
	return begin(t).do(at, c).do(at.Add(time.Hour), approval(at))
}

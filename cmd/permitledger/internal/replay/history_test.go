package replay_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/property"
	"permitledger/eventstore"
)

// written is an event as it is to be appended.
type written struct {
	stream   string
	body     domain.Event
	at       time.Time
	command  string
	actor    domain.Actor
	versions domain.Versions
	id       uuid.UUID
	raw      *eventstore.Proposed // instead of the body: bytes as they are
}

// history is a permit's whole life as the program writes it, to be tampered
// with before it is appended.
type history struct {
	name    string
	account domain.AccountID
	permit  domain.PermitID
	events  []*written
}

var (
	applied = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	sample  = domain.Versions{Policy: "2024-04-01", Tariff: "2025-04-01"}
	renewed = time.Date(2027, 2, 20, 9, 0, 0, 0, time.UTC)

	resident = domain.Actor{ID: "account", Role: domain.RoleResident, Channel: domain.ChannelWeb}
	reviewer = domain.Actor{ID: "rita", Role: domain.RoleReviewer, Channel: domain.ChannelAPI}
)

const (
	bill   = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	v5c    = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	absent = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

func id(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }

// house is the stream of one property of a history.
func (h *history) house(name string) string {
	return property.Stream(id(h.name + name)[:8] + "000000000000000000000000")
}

// lived is a permit that was approved, changed, moved and renewed.
func lived(name string) *history {
	h := &history{name: name, account: domain.AccountID(id(name + "account")), permit: domain.PermitID(id(name + "permit"))}
	h.open()
	h.add(permit.Stream(h.permit), "approve", applied.Add(2*time.Hour), reviewer, permit.Approved{
		FirstDay: domain.NewDate(2026, 3, 10), LastDay: domain.NewDate(2027, 3, 9), Decision: h.decision(domain.OutcomeApproved)})
	h.pay(1, "capture", applied.Add(3*time.Hour), payment.PaymentCaptured{Attempt: 1, ProviderID: "p", Amount: 5500})
	from, to := domain.Vehicle{AsTyped: "AB12CDE", Mark: "AB12CDE"}, domain.Vehicle{AsTyped: "XY34ZZZ", Mark: "XY34ZZZ"}
	later := applied.AddDate(0, 1, 0)
	h.add(permit.Stream(h.permit), "vehicle", later, resident, permit.VehicleChanged{EffectiveAt: later,
		Personal: domain.PersonalOf(permit.VehicleChangedPersonal{From: from, To: to})})
	h.add(h.house("second"), "move", later, resident, property.SlotTaken{Permit: h.permit, Limit: 2})
	h.add(permit.Stream(h.permit), "move", later, resident, permit.AddressChanged{Zone: "LB2",
		Evidence: []domain.Evidence{{Kind: domain.EvidenceUtilityBill, SHA256: bill}}})
	h.pay(2, "renewal", renewed, payment.PaymentRequested{Permit: h.permit, Account: h.account, Term: 2, Attempt: 1,
		Mode: payment.ModeImmediate, Amount: 5500, Reference: payment.Reference(h.permit, 2, 1)})
	h.pay(2, "taken", renewed, payment.PaymentCaptured{Attempt: 1, ProviderID: "q", Amount: 5500})
	h.add(permit.Stream(h.permit), "renew", renewed, resident, permit.Renewed{Term: 2, Months: 12,
		PreviousLastDay: domain.NewDate(2027, 3, 9), FirstDay: domain.NewDate(2027, 3, 10), LastDay: domain.NewDate(2028, 3, 9),
		Price: 5500, TariffVersion: sample.Tariff, Payment: payment.Stream(h.permit, 2), AutoRenewal: true, TermsVersion: sample.Terms})
	h.add(permit.Stream(h.permit), "off", renewed.Add(time.Hour), resident, permit.AutoRenewalCancelled{})
	return h
}

// refused is an application that was rejected.
func refused(name string) *history {
	h := &history{name: name, account: domain.AccountID(id(name + "account")), permit: domain.PermitID(id(name + "permit"))}
	h.open()
	d := h.decision(domain.OutcomeRejected)
	d.Reasons = []domain.ReasonClause{{Code: domain.ReasonOther, Clause: "3"}}
	h.add(permit.Stream(h.permit), "reject", applied.Add(2*time.Hour), reviewer, permit.Rejected{Decision: d,
		Personal: domain.PersonalOf(domain.DecisionWords{Reasons: []string{"It is not a house."}, Told: "No."})})
	h.pay(1, "release", applied.Add(3*time.Hour), payment.PaymentReleased{Attempt: 1, ProviderID: "p"})
	return h
}

// open is the life of a permit up to its decision.
func (h *history) open() {
	start := applied.Add(-time.Hour)
	h.add(account.Stream(h.account), "open", start, resident, account.AccountOpened{
		Personal: domain.PersonalOf(account.OpenedPersonal{Name: "A Person", Subject: "alex"})})
	for _, sha := range []string{bill, v5c} {
		h.add(account.Stream(h.account), "upload "+sha, start, resident, account.DocumentUploaded{SHA256: sha, Bytes: 9, MediaType: "application/pdf"})
	}
	h.add(h.house("first"), "apply", applied, resident, property.SlotTaken{Permit: h.permit, Limit: 2})
	h.add(permit.Stream(h.permit), "apply", applied, resident, permit.Applied{Account: h.account, Kind: domain.KindResident,
		Zone: "LB2", Months: 12, RequestedFirstDay: domain.NewDate(2026, 3, 10), SubmittedOn: domain.NewDate(2026, 3, 2),
		Price: 5500, TariffVersion: sample.Tariff, AutoRenewal: true, TermsVersion: sample.Terms, CountsTowardLimit: true,
		Evidence: []domain.Evidence{{Kind: domain.EvidenceUtilityBill, SHA256: bill}, {Kind: domain.EvidenceV5C, SHA256: v5c}},
		Personal: domain.PersonalOf(permit.AppliedPersonal{Property: domain.Property{UPRN: "1", House: "1"},
			Vehicle: domain.Vehicle{AsTyped: "AB12CDE", Mark: "AB12CDE"}, EnteredBy: "alex"})})
	h.pay(1, "hold", applied, payment.PaymentRequested{Permit: h.permit, Account: h.account, Term: 1, Attempt: 1,
		Mode: payment.ModeHold, Amount: 5500, Reference: payment.Reference(h.permit, 1, 1)})
	h.pay(1, "held", applied, payment.PaymentAuthorised{Attempt: 1, ProviderID: "p", HoldEndsAt: applied.Add(120 * time.Hour)})
}

func (h *history) decision(outcome string) domain.DecisionRecord {
	return domain.DecisionRecord{Outcome: outcome, Basis: domain.BasisPolicy, Evidence: []string{bill}, Decider: reviewer, Versions: sample}
}

func (h *history) add(stream, command string, at time.Time, by domain.Actor, body domain.Event) *written {
	e := &written{stream: stream, body: body, at: at, command: id(h.name + command), actor: by, versions: sample,
		id: uuid.MustParse(id(h.name + stream + command))}
	h.events = append(h.events, e)
	return e
}

func (h *history) pay(term int, command string, at time.Time, body domain.Event) *written {
	return h.add(payment.Stream(h.permit, term), command, at, domain.System(), body)
}

// the gives the place of the n-th event of a type, from 0.
func (h *history) the(name string, n int) int {
	for i, e := range h.events {
		if e.body != nil && e.body.EventType() == name {
			if n == 0 {
				return i
			}
			n--
		}
	}
	panic("no " + name)
}

// drop takes an event out, before its stream is numbered.
func (h *history) drop(name string, n int) {
	i := h.the(name, n)
	h.events = append(h.events[:i:i], h.events[i+1:]...)
}

// alter changes the body of the n-th event of a type.
func alter[E domain.Event](h *history, n int, change func(*E)) {
	var zero E
	e := h.events[h.the(zero.EventType(), n)]
	body := e.body.(E)
	change(&body)
	e.body = body
}

// append writes a history to a log.
func (h *history) append(t *testing.T, l *eventstore.Ledger, next map[string]int64) int {
	t.Helper()
	for _, e := range h.events {
		p := eventstore.Proposed{}
		if e.raw != nil {
			p = *e.raw
		} else {
			var err error
			p, err = l.Codec().Encode(eventstore.Envelope{ID: e.id, Stream: e.stream, Actor: e.actor, RecordedAt: e.at,
				Command: domain.CommandID(e.command), Versions: e.versions}, h.account, e.body)
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := next[e.stream]; !ok {
			next[e.stream] = -1
		}
		done, err := l.Store().Append(t.Context(), e.stream, eventstore.After(next[e.stream]), []eventstore.Proposed{p})
		if err != nil {
			t.Fatal(err)
		}
		next[e.stream] = int64(done.Revision)
	}
	return len(h.events)
}

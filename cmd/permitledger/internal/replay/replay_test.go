package replay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/desk/desktest"
	"permitledger/cmd/permitledger/internal/replay"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/audit"
	"permitledger/domain/ledger"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/domain/property"
	"permitledger/eventstore"
)

// noon is a clock that stands before all histories.
type noon struct{}

func (noon) Now() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

// tampering is one way to forge a history, and what must be said of it.
type tampering struct {
	name   string
	make   func(string) *history
	tamper func(*history)
	want   []audit.Rule // one for each violation, in the order of the log
	at     string       // type of the event that the first is told of
}

// Every forged history is found, by the rule that it breaks and by no other,
// and the event is named; untouched ones between them are clean.
func TestEveryForgeryIsNamed(t *testing.T) {
	t.Parallel()
	o := desktest.Open(t, noon{})
	sample = o.Book().VersionsOn(domain.NewDate(2026, 3, 2))
	cases := forgeries()
	next, ends := map[string]int64{}, []uint64{}
	streams := []string{policy.TariffStream, policy.PolicyStream, policy.GazetteerStream}
	count := uint64(0)
	for _, s := range streams {
		events, err := o.Ledger.History(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		next[s] = int64(len(events)) - 1
		count += uint64(len(events))
	}
	for i := range cases {
		h := cases[i].make(cases[i].name)
		cases[i].tamper(h)
		count += uint64(h.append(t, o.Ledger, next))
		ends = append(ends, count)
	}
	for _, workers := range []int{1, 3} {
		r, err := replay.Run(t.Context(), o.Ledger, replay.Options{Workers: workers, TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Events != count || r.Count != uint64(len(r.Violations)) {
			t.Errorf("%d events and %d violations of %d", r.Events, len(r.Violations), r.Count)
		}
		rest := r.Violations
		for i, c := range cases {
			var got []audit.Violation
			for len(rest) > 0 && rest[0].Ledger <= ends[i] {
				got, rest = append(got, rest[0]), rest[1:]
			}
			compare(t, c, got)
		}
	}
}

func compare(t *testing.T, c tampering, got []audit.Violation) {
	t.Helper()
	var rules []audit.Rule
	for _, v := range got {
		rules = append(rules, v.Rule)
		if v.Stream == "" || v.EventID == "" || v.Wrong == "" || v.Ledger == 0 {
			t.Errorf("%s: the event is not named: %+v", c.name, v)
		}
	}
	if fmt.Sprint(rules) != fmt.Sprint(c.want) {
		t.Errorf("%s: found %v, want %v:\n%+v", c.name, rules, c.want, got)
	} else if len(got) > 0 && got[0].Type != c.at {
		t.Errorf("%s: told of a %s, want a %s", c.name, got[0].Type, c.at)
	}
}

// A type that has no place in any stream would be a violation wherever it is
// written: tell domain/audit where it belongs and what must hold of it.
func TestEveryTypeHasItsPlace(t *testing.T) {
	placed := map[string]int{}
	for _, p := range audit.Places() {
		if !eventstore.IsLedgerStream(p.Stream) {
			t.Errorf("%s is no stream of the ledger", p.Stream)
		}
		for _, name := range p.Types {
			placed[name]++
		}
	}
	for _, name := range eventstore.Types() {
		if placed[name] != 1 {
			t.Errorf("%s has %d places in domain/audit's sorts, want one", name, placed[name])
		}
	}
}

func one(r audit.Rule) []audit.Rule { return []audit.Rule{r} }

// forgeries are all the ways, in an order that keeps what is global apart.
func forgeries() []tampering {
	all := []tampering{{"untouched", lived, func(*history) {}, nil, ""}, {"rejected", refused, func(*history) {}, nil, ""}}
	all = append(all, ofEnvelopes()...)
	all = append(all, ofLives()...)
	all = append(all, ofMoney()...)
	all = append(all, ofOthers()...)
	all = append(all, ofSlots()...)
	return append(all, tampering{"untouched at last", lived, func(*history) {}, nil, ""})
}

func ofEnvelopes() []tampering {
	return []tampering{
		{"unknown type", lived, func(h *history) {
			h.events = append(h.events, &written{stream: permit.Stream(h.permit), raw: &eventstore.Proposed{ID: uuid.New(), Type: "Enlarged", Data: []byte(`{}`),
				Metadata: []byte(`{"schema":1,"actor":{"id":"x","role":"system","channel":"system"},"recordedAt":"2027-03-01T00:00:00Z","commandId":"c"}`)}})
		}, one(audit.RuleUnreadable), "Enlarged"},
		{"newer schema", lived, func(h *history) {
			h.events = append(h.events, &written{stream: permit.Stream(h.permit), raw: &eventstore.Proposed{ID: uuid.New(), Type: permit.TypeCancelled, Data: []byte(`{}`),
				Metadata: []byte(`{"schema":99,"actor":{"id":"x","role":"system","channel":"system"},"recordedAt":"2027-03-01T00:00:00Z","commandId":"c"}`)}})
		}, one(audit.RuleUnreadable), permit.TypeCancelled},
		{"broken", lived, func(h *history) { // what rests on it cannot be judged and is not
			e := h.events[h.the(permit.TypeApproved, 0)]
			e.raw = &eventstore.Proposed{ID: uuid.New(), Type: permit.TypeApproved, Data: []byte(`{"firstDay":`), Metadata: []byte(`{}`)}
		}, one(audit.RuleUnreadable), permit.TypeApproved},
		{"sealed part moved", lived, func(h *history) {
			e := *h.events[h.the(permit.TypeVehicleChanged, 0)]
			e.raw = &eventstore.Proposed{ID: uuid.New(), Type: permit.TypeVehicleChanged, Data: []byte(`{"effectiveAt":"2026-04-02T09:00:00Z","personal":{"key":"none","sealed":"AAAA"}}`),
				Metadata: []byte(`{"schema":1,"actor":{"id":"x","role":"system","channel":"system"},"recordedAt":"2027-03-01T00:00:00Z","commandId":"c"}`)}
			h.events = append(h.events, &e)
		}, one(audit.RuleUnreadable), permit.TypeVehicleChanged},
		{"no such stream", lived, func(h *history) {
			h.add("permit-17", "x", renewed, resident, permit.AutoRenewalCancelled{})
		}, one(audit.RuleStreamName), permit.TypeAutoRenewalCancelled},
		{"wrong stream", lived, func(h *history) {
			h.add(permit.Stream(h.permit), "x", renewed.Add(2*time.Hour), resident, payment.PaymentReleased{Attempt: 1})
		}, one(audit.RuleEventType), payment.TypePaymentReleased},
		{"back in time", lived, func(h *history) {
			h.events[h.the(permit.TypeAutoRenewalCancelled, 0)].at = renewed.Add(-time.Second)
		}, one(audit.RuleInstant), permit.TypeAutoRenewalCancelled},
		{"nobody", lived, func(h *history) { h.events[h.the(permit.TypeAutoRenewalCancelled, 0)].actor.ID = "" },
			one(audit.RuleEnvelope), permit.TypeAutoRenewalCancelled},
		{"no role", lived, func(h *history) { h.events[h.the(permit.TypeAutoRenewalCancelled, 0)].actor.Role = "king" },
			one(audit.RuleEnvelope), permit.TypeAutoRenewalCancelled},
		{"no versions", lived, func(h *history) { h.events[h.the(permit.TypeVehicleChanged, 0)].versions = domain.Versions{} },
			one(audit.RuleEnvelope), permit.TypeVehicleChanged},
		{"unpublished policy", lived, func(h *history) { h.events[h.the(permit.TypeVehicleChanged, 0)].versions.Policy = "mine" },
			one(audit.RulePublished), permit.TypeVehicleChanged},
		{"same id twice", lived, func(h *history) { h.events[h.the(permit.TypeVehicleChanged, 0)].id = h.events[0].id },
			one(audit.RuleEventID), permit.TypeVehicleChanged},
	}
}

func ofLives() []tampering {
	return []tampering{
		{"no application", lived, func(h *history) { h.drop(permit.TypeApplied, 0) },
			[]audit.Rule{audit.RuleReference, audit.RuleLifeCycle, audit.RuleCapture, audit.RuleReference}, payment.TypePaymentRequested},
		{"applied twice", refused, func(h *history) {
			e := *h.events[h.the(permit.TypeApplied, 0)]
			e.id = uuid.New()
			i := h.the(permit.TypeRejected, 0)
			h.events = append(h.events[:i:i], append([]*written{&e}, h.events[i:]...)...)
		}, one(audit.RuleLifeCycle), permit.TypeApplied},
		{"approved twice", lived, func(h *history) {
			e := *h.events[h.the(permit.TypeApproved, 0)]
			e.id = uuid.New()
			i := h.the(permit.TypeApproved, 0)
			h.events = append(h.events[:i:i], append([]*written{&e}, h.events[i:]...)...)
		}, one(audit.RuleLifeCycle), permit.TypeApproved},
		{"approved after rejection", refused, func(h *history) {
			h.add(permit.Stream(h.permit), "x", applied.Add(4*time.Hour), reviewer, permit.Approved{FirstDay: domain.NewDate(2026, 3, 10),
				LastDay: domain.NewDate(2027, 3, 9), Decision: h.decision(domain.OutcomeApproved)})
		}, one(audit.RuleLifeCycle), permit.TypeApproved},
		{"rejected after approval", lived, func(h *history) {
			d := h.decision(domain.OutcomeRejected)
			d.Reasons = []domain.ReasonClause{{Code: domain.ReasonDuplicate}}
			h.add(permit.Stream(h.permit), "x", renewed.Add(2*time.Hour), reviewer, permit.Rejected{Decision: d})
		}, one(audit.RuleLifeCycle), permit.TypeRejected},
		{"no reason", refused, func(h *history) { alter(h, 0, func(e *permit.Rejected) { e.Decision.Reasons = nil }) },
			one(audit.RuleDecision), permit.TypeRejected},
		{"other without words", refused, func(h *history) { alter(h, 0, func(e *permit.Rejected) { e.Personal.Value.Reasons = []string{" "} }) },
			one(audit.RuleDecision), permit.TypeRejected},
		{"another decider", lived, func(h *history) { alter(h, 0, func(e *permit.Approved) { e.Decision.Decider.ID = "rosa" }) },
			one(audit.RuleDecision), permit.TypeApproved},
		{"decided by an operator", lived, func(h *history) {
			alter(h, 0, func(e *permit.Approved) { e.Decision.Decider.Role = domain.RoleOperator })
		}, one(audit.RuleDecision), permit.TypeApproved},
		{"entered by the decider", lived, func(h *history) {
			alter(h, 0, func(e *permit.Applied) { e.Personal.Value.EnteredBy = reviewer.ID })
		}, one(audit.RuleOwnCase), permit.TypeApproved},
		{"owned by the decider", lived, func(h *history) {
			alter(h, 0, func(e *account.AccountOpened) { e.Personal.Value.Subject = reviewer.ID })
		}, one(audit.RuleOwnCase), permit.TypeApproved},
		{"back-dated", lived, func(h *history) {
			alter(h, 0, func(e *permit.Approved) {
				e.FirstDay, e.LastDay = domain.NewDate(2026, 3, 9), domain.NewDate(2027, 3, 8)
			})
			alter(h, 0, func(e *permit.Renewed) {
				e.PreviousLastDay, e.FirstDay, e.LastDay = domain.NewDate(2027, 3, 8), domain.NewDate(2027, 3, 9), domain.NewDate(2028, 3, 8)
			})
		}, one(audit.RuleTerms), permit.TypeApproved},
		{"too long a term", lived, func(h *history) { alter(h, 0, func(e *permit.Renewed) { e.LastDay = e.LastDay.AddDays(1) }) },
			one(audit.RuleTerms), permit.TypeRenewed},
		{"overlap", lived, func(h *history) { alter(h, 0, func(e *permit.Renewed) { e.FirstDay = e.FirstDay.AddDays(-1) }) },
			one(audit.RuleTerms), permit.TypeRenewed},
		{"gap", lived, func(h *history) { alter(h, 0, func(e *permit.Renewed) { e.FirstDay = e.FirstDay.AddDays(1) }) },
			one(audit.RuleTerms), permit.TypeRenewed},
		{"too early", lived, func(h *history) {
			early := time.Date(2027, 2, 6, 23, 59, 59, 0, time.UTC)
			h.events[h.the(permit.TypeRenewed, 0)].at = early
		}, one(audit.RuleWindow), permit.TypeRenewed},
		{"after the end", lived, func(h *history) {
			h.events[h.the(permit.TypeAutoRenewalCancelled, 0)].at = domain.NewDate(2028, 3, 10).Midnight()
		}, one(audit.RuleLifeCycle), permit.TypeAutoRenewalCancelled},
		{"after the cancellation", lived, func(h *history) {
			at := renewed.Add(30 * time.Minute)
			e := h.add(permit.Stream(h.permit), "x", at, resident, permit.Cancelled{Reason: permit.CancelledByHolder, EffectiveAt: at})
			n := len(h.events)
			h.events[n-2], h.events[n-1] = e, h.events[n-2]
		}, one(audit.RuleLifeCycle), permit.TypeAutoRenewalCancelled},
		{"refund too high", lived, func(h *history) {
			at := renewed.Add(2 * time.Hour)
			h.add(permit.Stream(h.permit), "x", at, resident, permit.Cancelled{Reason: permit.CancelledByHolder, EffectiveAt: at, Refund: 11001})
		}, one(audit.RuleMoney), permit.TypeCancelled},
		{"another zone", lived, func(h *history) { alter(h, 0, func(e *permit.AddressChanged) { e.Zone = "LB3" }) },
			one(audit.RuleContent), permit.TypeAddressChanged},
		{"not agreed to", lived, func(h *history) {
			alter(h, 0, func(e *permit.Applied) { e.AutoRenewal = false })
			alter(h, 0, func(e *permit.Renewed) { e.Automatic = true })
		}, one(audit.RuleLifeCycle), permit.TypeRenewed},
	}
}

func ofMoney() []tampering {
	return []tampering{
		{"taken without approval", refused, func(h *history) {
			h.events[len(h.events)-1].body = payment.PaymentCaptured{Attempt: 1, ProviderID: "p", Amount: 5500}
		}, one(audit.RuleCapture), payment.TypePaymentCaptured},
		{"taken before the approval", lived, func(h *history) {
			a, c := h.the(permit.TypeApproved, 0), h.the(payment.TypePaymentCaptured, 0)
			h.events[a], h.events[c] = h.events[c], h.events[a]
		}, one(audit.RuleCapture), payment.TypePaymentCaptured},
		{"taken twice", lived, func(h *history) {
			h.pay(1, "x", renewed, payment.PaymentCaptured{Attempt: 1, ProviderID: "p", Amount: 5500})
		}, one(audit.RuleMoney), payment.TypePaymentCaptured},
		{"too much taken", lived, func(h *history) {
			alter(h, 0, func(e *payment.PaymentCaptured) { e.Amount = 5501 })
		}, one(audit.RuleMoney), payment.TypePaymentCaptured},
		{"too much given back", lived, func(h *history) {
			h.pay(1, "x", renewed, payment.PaymentRefunded{Attempt: 1, ProviderID: "r", Amount: 5000, Reason: "cancelled"})
			h.pay(1, "y", renewed, payment.PaymentRefunded{Attempt: 1, ProviderID: "s", Amount: 501, Reason: "cancelled"})
		}, one(audit.RuleMoney), payment.TypePaymentRefunded},
		{"asked twice", lived, func(h *history) {
			h.pay(1, "x", renewed, payment.PaymentRequested{Permit: h.permit, Account: h.account, Term: 1, Attempt: 2,
				Mode: payment.ModeHold, Amount: 5500, Reference: payment.Reference(h.permit, 1, 2)})
		}, one(audit.RuleMoney), payment.TypePaymentRequested},
		{"no such attempt", lived, func(h *history) { h.pay(1, "x", renewed, payment.PaymentReleased{Attempt: 7}) },
			one(audit.RuleMoney), payment.TypePaymentReleased},
		{"another price asked", lived, func(h *history) {
			alter(h, 0, func(e *payment.PaymentRequested) { e.Amount = 5600 })
		}, one(audit.RulePrice), payment.TypePaymentRequested},
		{"renewal not paid", lived, func(h *history) { h.drop(payment.TypePaymentCaptured, 1) }, one(audit.RulePaid), permit.TypeRenewed},
		{"renewal paid by another", lived, func(h *history) {
			alter(h, 0, func(e *permit.Renewed) { e.Payment = payment.Stream(h.permit, 1) })
		}, one(audit.RulePaid), permit.TypeRenewed},
		{"renewal underpaid", lived, func(h *history) {
			alter(h, 1, func(e *payment.PaymentCaptured) { e.Amount = 100 })
		}, one(audit.RulePaid), permit.TypeRenewed},
		{"another price", lived, func(h *history) {
			alter(h, 0, func(e *permit.Applied) { e.Price = 5000 })
			alter(h, 0, func(e *payment.PaymentRequested) { e.Amount = 5000 })
			alter(h, 0, func(e *payment.PaymentCaptured) { e.Amount = 5000 })
		}, one(audit.RulePrice), permit.TypeApplied},
		{"an old tariff", lived, func(h *history) {
			alter(h, 0, func(e *permit.Applied) { e.TariffVersion, e.Price = "2024-04-01", 5000 })
			alter(h, 0, func(e *payment.PaymentRequested) { e.Amount = 5000 })
			alter(h, 0, func(e *payment.PaymentCaptured) { e.Amount = 5000 })
		}, one(audit.RulePublished), permit.TypeApplied},
	}
}

func ofOthers() []tampering {
	return []tampering{
		{"no account", refused, func(h *history) {
			h.drop(account.TypeAccountOpened, 0)
		}, []audit.Rule{audit.RuleAccount, audit.RuleReference}, account.TypeDocumentUploaded},
		{"opened twice", lived, func(h *history) {
			h.add(account.Stream(h.account), "x", renewed, resident, account.AccountOpened{Personal: domain.PersonalOf(account.OpenedPersonal{Name: "B"})})
		}, one(audit.RuleAccount), account.TypeAccountOpened},
		{"after the erasure", lived, func(h *history) {
			h.add(account.Stream(h.account), "x", renewed, resident, account.AccountErased{Ground: "request"})
			h.add(account.Stream(h.account), "y", renewed, resident, account.DocumentDropped{SHA256: bill})
		}, one(audit.RuleAccount), account.TypeDocumentDropped},
		{"no such document", lived, func(h *history) {
			alter(h, 0, func(e *permit.Applied) { e.Evidence[0].SHA256 = absent })
		}, one(audit.RuleDocument), permit.TypeApplied},
		{"dropped document", lived, func(h *history) {
			e := h.add(account.Stream(h.account), "x", applied, resident, account.DocumentDropped{SHA256: v5c})
			n := len(h.events) - 1
			copy(h.events[4:], h.events[3:n])
			h.events[3] = e
		}, one(audit.RuleDocument), permit.TypeApplied},
		{"considered what is not there", lived, func(h *history) {
			alter(h, 0, func(e *permit.Approved) { e.Decision.Evidence = []string{absent} })
		}, one(audit.RuleDocument), permit.TypeApproved},
		{"follows nothing", lived, func(h *history) {
			alter(h, 0, func(e *permit.Applied) { e.FollowsPermit = domain.PermitID(id("nothing")) })
		}, one(audit.RuleReference), permit.TypeApplied},
		{"published again", lived, func(h *history) {
			h.add(policy.TariffStream, "x", renewed, domain.System(), policy.TariffPublished{Version: "2025-04-01", EffectiveFrom: domain.NewDate(2030, 1, 1)})
		}, one(audit.RulePublished), policy.TypeTariffPublished},
		{"bound again", lived, func(h *history) {
			h.add(ledger.VaultStream, "x", renewed, domain.System(), ledger.VaultBound{Vault: "one"})
			h.add(ledger.VaultStream, "y", renewed, domain.System(), ledger.VaultBound{Vault: "two"})
		}, one(audit.RuleLifeCycle), ledger.TypeVaultBound},
	}
}

func ofSlots() []tampering {
	take := func(h *history, who string, at time.Time, displaced ...domain.PermitID) *written {
		return h.add(h.house("second"), "take "+who, at, resident,
			property.SlotTaken{Permit: domain.PermitID(id(h.name + who)), Displaced: displaced, Limit: 2})
	}
	return []tampering{
		{"no slot", lived, func(h *history) { h.drop(property.TypeSlotTaken, 0) }, one(audit.RuleSlots), permit.TypeApplied},
		{"moved without a slot", lived, func(h *history) { h.drop(property.TypeSlotTaken, 1) }, one(audit.RuleSlots), permit.TypeAddressChanged},
		{"three at a house", lived, func(h *history) { take(h, "b", renewed); take(h, "c", renewed) },
			one(audit.RuleSlots), property.TypeSlotTaken},
		{"a live one displaced", lived, func(h *history) { take(h, "b", renewed, h.permit) },
			one(audit.RuleSlots), property.TypeSlotTaken},
		{"an ended one displaced", lived, func(h *history) { take(h, "b", domain.NewDate(2028, 3, 10).Midnight().Add(time.Hour), h.permit) }, nil, ""},
		{"one on its way displaced", lived, func(h *history) {
			take(h, "b", renewed)
			take(h, "c", renewed.Add(14*time.Minute), domain.PermitID(id(h.name+"b")))
		}, one(audit.RuleSlots), property.TypeSlotTaken},
		{"one that never came displaced", lived, func(h *history) {
			take(h, "b", renewed)
			take(h, "c", renewed.Add(15*time.Minute), domain.PermitID(id(h.name+"b")))
		}, nil, ""},
		{"who had none displaced", lived, func(h *history) { take(h, "b", renewed, domain.PermitID(id("stranger"))) },
			one(audit.RuleSlots), property.TypeSlotTaken},
		{"a limit of nobody's", lived, func(h *history) { alter(h, 0, func(e *property.SlotTaken) { e.Limit = 5 }) },
			one(audit.RuleSlots), property.TypeSlotTaken},
	}
}

func TestReplayListsASetBackApartAndAsNoViolation(t *testing.T) {
	o := desktest.Open(t, noon{})
	cmd := eventstore.Command{ID: "c1", Actor: domain.System(), Now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	vault := eventstore.Aggregate[int, ledger.Event]{Evolve: func(n int, _ ledger.Event, _ eventstore.Envelope) int { return n + 1 }}
	fact := ledger.LogSetBack{Known: 60, KnownID: "0b6f3e0a-0000-5000-8000-000000000001", Agreed: 50}
	if _, err := eventstore.Handle(t.Context(), o.Ledger, ledger.VaultStream, vault, cmd, func(int, time.Time) ([]ledger.Event, error) {
		return []ledger.Event{ledger.VaultBound{Vault: "one"}, fact}, nil
	}); err != nil {
		t.Fatal(err)
	}
	r, err := replay.Run(t.Context(), o.Ledger, replay.Options{TempDir: t.TempDir()})
	if err != nil || r.Count != 0 || len(r.SetBacks) != 1 {
		t.Fatalf("%d violations, set backs %+v, error %v: %+v", r.Count, r.SetBacks, err, r.Violations)
	}
	if b := r.SetBacks[0]; b.Ledger != r.Events || b.Known != 60 || b.KnownID != fact.KnownID || b.Agreed != 50 || !b.RecordedAt.Equal(cmd.Now) {
		t.Errorf("the set back is %+v", b)
	}
}

package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// Every command, given twice, is answered twice in the same words, also when
// more has happened since; with another body it is refused.
func TestRepeatedCommands(t *testing.T) {
	o, ctx := openedAt(t, "2025-04-01T09:00:00Z"), t.Context()
	account, papers := o.resident(ctx, "ann")
	ann, olga, rita := domain.RoleResident, domain.RoleOperator, domain.RoleReviewer
	var id domain.PermitID
	type step struct {
		name    string
		subject string
		role    domain.Role
		at      string
		give    func(c desk.Call) (desk.Case, error)
	}
	steps := []step{
		{"apply", "ann", ann, "2025-04-01T10:00:00Z", func(c desk.Call) (desk.Case, error) {
			return o.Apply(ctx, c, account, application(papers))
		}},
		{"request information", "rita", rita, "2025-04-01T11:00:00Z", func(c desk.Call) (desk.Case, error) {
			return o.RequestInformation(ctx, c, id, "The bill, please.", day(t, "2025-04-03"))
		}},
		{"supply information", "ann", ann, "2025-04-02T10:00:00Z", func(c desk.Call) (desk.Case, error) {
			return o.SupplyInformation(ctx, c, id, papers[:1], "Here it is.")
		}},
		{"pay again", "ann", ann, "2025-04-07T10:00:00Z", func(c desk.Call) (desk.Case, error) { return o.Pay(ctx, c, id) }},
		{"approve", "rita", rita, "2025-04-08T10:00:00Z", func(c desk.Call) (desk.Case, error) { return o.Approve(ctx, c, id, fine(papers)) }},
		{"change vehicle", "ann", ann, "2025-04-09T10:00:00Z", func(c desk.Call) (desk.Case, error) { return o.ChangeVehicle(ctx, c, id, "XY34 ZZZ") }},
		{"change address", "olga", olga, "2025-04-10T10:00:00Z", func(c desk.Call) (desk.Case, error) {
			return o.ChangeAddress(ctx, c, id, o.house(t, 0), papers[:1])
		}},
		{"cancel auto-renewal", "ann", ann, "2025-04-11T10:00:00Z", func(c desk.Call) (desk.Case, error) { return o.CancelAutoRenewal(ctx, c, id) }},
		{"renew", "ann", ann, "2026-04-01T10:00:00Z", func(c desk.Call) (desk.Case, error) {
			on := true
			r, err := o.Renew(ctx, c, id, 0, &on)
			return r.Case, err
		}},
		{"withdraw", "rita", rita, "2026-05-01T10:00:00Z", func(c desk.Call) (desk.Case, error) {
			return o.Withdraw(ctx, c, id, rejection(papers), day(t, "2026-06-01"))
		}},
	}
	calls, first := map[string]desk.Call{}, map[string]string{}
	for _, s := range steps {
		if s.at != "2025-04-01T10:00:00Z" || o.Now().Before(moment(t, s.at)) {
			o.to(s.at)
		}
		c := by(s.subject, s.role)
		c.BodyHash = "the first body"
		cs, err := s.give(c)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		id, calls[s.name], first[s.name] = cs.ID, c, told(t, cs)
		_, err = o.Settle(ctx, by("", domain.RoleSystem), id, max(1, cs.Permit.Latest().Term))
		must(t, err)
	}
	head, err := o.ledger.Store().Head(ctx)
	must(t, err)
	o.to("2026-07-01T10:00:00Z")
	for _, s := range steps {
		c := calls[s.name]
		cs, err := s.give(c)
		if err != nil {
			t.Errorf("%s repeated: %v", s.name, err)
			continue
		}
		if again := told(t, cs); again != first[s.name] {
			t.Errorf("%s is answered with\n%s\nand then with\n%s", s.name, first[s.name], again)
		}
		stale := uint64(99)
		c.IfRevision = &stale // not looked at again
		if _, err = s.give(c); err != nil {
			t.Errorf("%s repeated with a revision: %v", s.name, err)
		}
		c.BodyHash = "another body"
		if _, err = s.give(c); !errors.Is(err, eventstore.ErrKeyReused) {
			t.Errorf("%s with another body: %v", s.name, err)
		}
	}
	end, err := o.ledger.Store().Head(ctx)
	must(t, err)
	shows(t, "head of the log after all repetitions", end, head)
}

// told is all that an answer says, as text.
func told(t *testing.T, cs desk.Case) string {
	t.Helper()
	text, err := json.Marshal(struct {
		desk.Case
		Status permit.Status
		Money  payment.Status
	}{cs, status(cs), money(cs)})
	must(t, err)
	return string(text)
}

// A revision that has been overtaken is told before any rule is.
func TestAStaleRevisionIsToldFirst(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	cs := o.running("ann", nil)
	stale := uint64(7)
	c := by("ann", domain.RoleResident)
	c.IfRevision = &stale
	for name, give := range map[string]func() error{
		"renew":          func() error { _, err := o.Renew(ctx, c, cs.ID, 0, nil); return err },
		"pay":            func() error { _, err := o.Pay(ctx, c, cs.ID); return err },
		"change vehicle": func() error { _, err := o.ChangeVehicle(ctx, c, cs.ID, "AB12 CDE"); return err },
		"cancel":         func() error { _, err := o.Cancel(ctx, c, cs.ID, ""); return err },
	} {
		if err := give(); !errors.Is(err, eventstore.ErrRevision) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A rejection has reasons, "other" has words, something was considered, and
// nobody decides about what is theirs or what they entered.
func TestDecisionsThatMayNotBe(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	cs, papers := o.applied("ann", nil)
	_, foreign := o.resident(ctx, "bob")
	because := func(r ...domain.Reason) domain.Decision {
		d := fine(papers)
		d.Reasons = r
		return d
	}
	for _, c := range []struct {
		name, subject string
		decision      domain.Decision
		rule          domain.Rule
	}{
		{"no reason", "rita", because(), domain.RuleReasons},
		{"other without words", "rita", because(domain.Reason{Code: domain.ReasonOther, Text: " "}), domain.RuleReasons},
		{"nothing considered", "rita", domain.Decision{Basis: domain.BasisPolicy, Reasons: rejection(papers).Reasons}, domain.RuleConsidered},
		{"an empty thing considered", "rita", domain.Decision{Basis: domain.BasisPolicy, Reasons: rejection(papers).Reasons,
			Considered: []domain.Considered{{Result: "good"}}}, domain.RuleConsidered},
		{"another's document", "rita", rejection(foreign), domain.RuleConsidered},
		{"their own", "ann", rejection(papers), domain.RuleOwnApplication},
	} {
		_, err := o.Reject(ctx, by(c.subject, domain.RoleReviewer), cs.ID, c.decision)
		if refusedBy(err) != c.rule {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	entered, err := o.Apply(ctx, by("olga", domain.RoleOperator), cs.Permit.Account, application(papers))
	must(t, err)
	_, err = o.Approve(ctx, by("olga", domain.RoleReviewer), entered.ID, fine(papers))
	refusedAs(t, err, domain.RuleOwnApplication)

	_, err = o.Reject(ctx, by("rita", domain.RoleReviewer), cs.ID, rejection(papers))
	must(t, err)
	for _, rule := range []func() error{
		func() error {
			_, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
			return err
		},
		func() error {
			_, err := o.Reject(ctx, by("rita", domain.RoleReviewer), cs.ID, rejection(papers))
			return err
		},
	} {
		refusedAs(t, rule(), domain.RuleNotPending)
	}
	_, err = o.Renew(ctx, by("ann", domain.RoleResident), cs.ID, 0, nil)
	refusedAs(t, err, domain.RuleNotLive)
	follows := application(papers)
	follows.FollowsPermit = cs.ID
	_, err = o.Apply(ctx, by("ann", domain.RoleResident), cs.Permit.Account, follows)
	must(t, err)
}

// What was never paid for is withdrawn after two hours, what lapsed at the
// midnight fourteen days after; never before, and never what is paid or free.
func TestWithdrawalsForWantOfPayment(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	timer := func(at time.Time) desk.Call { return desk.SystemCall(fmt.Sprint("timer ", at), "", at) }
	unpaid, _ := o.appliedWhen("ann", "decline")
	from := unpaid.Permit.SubmittedAt.Add(2 * time.Hour)
	for _, c := range []struct {
		at   time.Time
		want permit.Status
	}{{from.Add(-time.Microsecond), permit.StatusPending}, {from, permit.StatusCancelled}} {
		_, err := o.WithdrawUnpaid(ctx, timer(c.at), unpaid.ID)
		must(t, err)
		o.clock.Set(c.at)
		shows(t, "unpaid", status(o.now(unpaid.ID)), c.want)
	}
	shows(t, "reason", o.now(unpaid.ID).Permit.Cancellation.Reason, permit.CancelledUnpaid)

	held, papers := o.applied("bob", nil)
	badge := o.badge(ctx, "bob", held.Permit.Account, "2027-01-01")
	wish := application(append(papers[:2:2], badge))
	wish.Kind, wish.UPRN = domain.KindDisabledResident, o.house(t, 0)
	free, err := o.Apply(ctx, by("bob", domain.RoleResident), held.Permit.Account, wish)
	must(t, err)
	ends, _ := held.Payment.Hold()
	midnight := domain.DateOf(ends).AddDays(14).Midnight()
	for _, at := range []time.Time{ends, midnight.Add(-time.Microsecond)} {
		for _, id := range []domain.PermitID{held.ID, free.ID} {
			_, err := o.WithdrawUnpaid(ctx, timer(at), id)
			must(t, err)
			_, err = o.WithdrawLapsed(ctx, timer(at), id)
			must(t, err)
			shows(t, "pending", o.now(id).Permit.Status(at), permit.StatusPending)
		}
	}
	_, err = o.WithdrawLapsed(ctx, timer(midnight), held.ID)
	must(t, err)
	o.clock.Set(midnight)
	now := o.now(held.ID)
	shows(t, "lapsed", status(now), permit.StatusCancelled)
	shows(t, "reason", now.Permit.Cancellation.Reason, permit.CancelledHoldLapsed)
	shows(t, "money", money(now), payment.StatusLapsed)
	cs, err := o.Approve(ctx, by("rita", domain.RoleReviewer), free.ID, fine(wish.Evidence))
	must(t, err)
	shows(t, "free", status(cs), permit.StatusActive)
	shows(t, "money", money(cs), payment.StatusNone)
}

// What was true at an instant, and what the ledger knew.
func TestWhatWasTrueAndWhatWasKnown(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	cs, papers := o.applied("ann", nil)
	o.to("2026-03-05T10:00:00Z")
	approved, err := o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, fine(papers))
	must(t, err)
	o.to("2026-04-01T10:00:00Z")
	_, err = o.ChangeVehicle(ctx, by("ann", domain.RoleResident), cs.ID, "XY34 ZZZ")
	must(t, err)
	o.to("2026-05-01T10:00:00Z")
	_, err = o.Withdraw(ctx, by("rita", domain.RoleReviewer), cs.ID, rejection(papers), day(t, "2026-06-01"))
	must(t, err)
	for _, c := range []struct {
		asOf  string
		known eventstore.Position
		want  string
	}{
		{"2026-03-04T23:59:59Z", 0, "pending AB12CDE"},
		{"2026-03-05T00:00:00Z", 0, "active AB12CDE"}, // before it was approved, on its first day
		{"2026-03-05T00:00:00Z", cs.Position, "pending AB12CDE"},
		{"2026-04-01T09:59:59Z", 0, "active AB12CDE"},
		{"2026-04-01T10:00:01Z", 0, "active XY34ZZZ"},
		{"2026-04-02T10:00:00Z", approved.Position, "active AB12CDE"},
		{"2026-05-31T22:59:59Z", 0, "active XY34ZZZ"},
		{"2026-05-31T23:00:00Z", 0, "cancelled XY34ZZZ"}, // London's midnight
		{"2026-05-31T23:00:00Z", approved.Position, "active AB12CDE"},
	} {
		at := moment(t, c.asOf)
		got, err := o.CaseAt(ctx, cs.ID, &at, c.known)
		must(t, err)
		shows(t, fmt.Sprintf("as of %s, known at %d", c.asOf, c.known), fmt.Sprint(status(got), " ", got.Permit.Vehicle.Mark), c.want)
	}
	early := moment(t, "2026-03-02T08:00:00Z")
	if _, err := o.CaseAt(ctx, cs.ID, &early, 0); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("before it was applied for: %v", err)
	}
}

// Nothing that a person typed or is known by lies open in the log.
func TestTheLogTellsNobodysSecrets(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	const word = "Zanzibar"
	mail, phone := word+"@example.test", "0116 4960000"
	account, papers := o.resident(ctx, word)
	_, err := o.ChangeDetails(ctx, by(word, domain.RoleResident), account, desk.Details{Email: &mail, Phone: &phone})
	must(t, err)
	decision := domain.Decision{Basis: domain.BasisDiscretion, Conditions: []string{word}, NotChecked: []string{word}, Told: word,
		Reasons:    []domain.Reason{{Code: domain.ReasonOther, Text: word}},
		Considered: []domain.Considered{{Check: word, Result: word, Note: word}}}
	var ids []domain.PermitID
	for range 2 {
		cs, err := o.Apply(ctx, by(word, domain.RoleResident), account, application(papers))
		must(t, err)
		ids = append(ids, cs.ID)
	}
	_, err = o.RequestInformation(ctx, by("rita", domain.RoleReviewer), ids[0], word, day(t, "2026-03-09"))
	must(t, err)
	_, err = o.SupplyInformation(ctx, by(word, domain.RoleResident), ids[0], nil, word)
	must(t, err)
	_, err = o.Reject(ctx, by("rita", domain.RoleReviewer), ids[0], decision)
	must(t, err)
	_, err = o.Approve(ctx, by("rita", domain.RoleReviewer), ids[1], decision)
	must(t, err)
	_, err = o.ChangeVehicle(ctx, by(word, domain.RoleResident), ids[1], "XY34 ZZZ")
	must(t, err)
	_, err = o.ChangeAddress(ctx, by("olga", domain.RoleOperator), ids[1], o.house(t, 0), papers)
	must(t, err)
	_, err = o.Cancel(ctx, by(word, domain.RoleResident), ids[1], word)
	must(t, err)
	_, err = o.Chronicle(ctx, by("aud", domain.RoleAuditor), ids[1], word)
	must(t, err)
	secrets := []string{word, "0116", "AB12", "XY34", "200000000017", string(o.house(t, 0)), "Tallowmere", "LE11"}
	seen := 0
	for e, err := range o.ledger.Store().ReadAll(ctx, 0) {
		must(t, err)
		if strings.HasPrefix(e.Stream, "$") || e.Stream == policy.GazetteerStream || e.Stream == policy.PolicyStream {
			continue
		}
		seen++
		for _, secret := range secrets {
			if strings.Contains(e.Stream+string(e.Data)+string(e.Metadata), secret) {
				t.Errorf("%s in %s tells %q", e.Type, e.Stream, secret)
			}
		}
	}
	if seen < 20 {
		t.Fatalf("only %d events were looked at", seen)
	}
}

// A document is dropped a week after it came last, and not before.
func TestADocumentIsNotDroppedEarly(t *testing.T) {
	o, ctx := newOffice(t), t.Context()
	account, _ := o.resident(ctx, "ann")
	body := []byte("%PDF-1.7 a page")
	up, err := o.Upload(ctx, by("ann", domain.RoleResident), account, "application/pdf", body)
	must(t, err)
	o.clock.Set(o.Now().Add(7 * 24 * time.Hour))
	_, err = o.Upload(ctx, by("ann", domain.RoleResident), account, "application/pdf", body) // at the last moment, again
	must(t, err)
	drop := func(ctx context.Context) {
		_, err := o.DropDocument(ctx, desk.SystemCall(fmt.Sprint("drop ", o.Now()), "", o.Now()), account, up.SHA256)
		must(t, err)
	}
	drop(ctx)
	_, err = o.Document(ctx, by("ann", domain.RoleResident), account, up.SHA256)
	must(t, err)
	o.clock.Set(o.Now().Add(7 * 24 * time.Hour))
	drop(ctx)
	if _, err = o.Document(ctx, by("ann", domain.RoleResident), account, up.SHA256); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("the dropped document: %v", err)
	}
}

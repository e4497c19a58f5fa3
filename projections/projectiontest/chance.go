package projectiontest

import (
	"fmt"
	"time"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
)

// Step lets some time pass and something happen. A refusal is what may happen
// to anybody, and means nothing here.
func (w *Town) Step() {
	w.t.Helper()
	w.Now = w.Now.Add(time.Duration(w.Rand.Int64N(int64(60 * time.Hour)))).Truncate(time.Microsecond)
	var p *Person
	if len(w.People) < 2 || w.Rand.IntN(12) == 0 {
		p = w.Open()
	} else {
		p = w.People[w.Rand.IntN(len(w.People))]
	}
	if p.State.Erased {
		return
	}
	if len(w.Permits) == 0 || w.Rand.IntN(5) == 0 {
		w.newcomer(p)
		return
	}
	l := w.Permits[w.Rand.IntN(len(w.Permits))]
	if l.Owner.State.Erased {
		return
	}
	switch l.Permit.Status(w.Now) {
	case permit.StatusPending:
		w.pending(l)
	case permit.StatusActive, permit.StatusUpcoming:
		w.live(l)
	}
	if w.Rand.IntN(2) == 0 {
		w.Settle(l)
	}
}

// newcomer applies or only uploads.
func (w *Town) newcomer(p *Person) {
	w.t.Helper()
	switch w.Rand.IntN(4) {
	case 0:
		w.Upload(p, fmt.Sprintf("document-%d", w.Rand.IntN(30)))
	case 1:
		w.invite(p)
	default:
		price := []domain.Pence{0, 2750, 5500}[w.Rand.IntN(3)]
		l := w.Apply(p, price, []int{1, 3, 12}[w.Rand.IntN(3)], w.Rand.IntN(2) == 0)
		if price > 0 && w.Rand.IntN(3) > 0 {
			_ = w.Hold(l)
		}
	}
}

// invite sends a resident an invitation, which most follow.
func (w *Town) invite(p *Person) {
	w.t.Helper()
	events, err := account.Invite(p.State, "hash of "+string(p.ID), w.Now)
	if err != nil {
		return
	}
	for _, e := range events {
		w.account(p, e)
	}
	if w.Rand.IntN(3) == 0 {
		return
	}
	if events, err = account.Claim(p.State, p.Subject, "hash of "+string(p.ID), w.Now); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		w.account(p, e)
	}
}

func (w *Town) pending(l *Life) {
	w.t.Helper()
	_ = w.Lapse(l)
	switch w.Rand.IntN(10) {
	case 0, 1, 2:
		_ = w.Approve(l)
	case 3:
		_ = w.Do(l, permit.Reject{Review: Review()})
	case 4:
		_ = w.Do(l, permit.Cancel{Rules: w.Rules, Words: "changed my mind"})
	case 5:
		_ = w.Ask(l, 1, payment.ModeHold, l.Permit.Price)
	case 6:
		_ = w.Hear(l, 1, payment.Message{Kind: payment.Failed, Code: "declined"})
	case 7:
		events, err := notice.RequestInformation(l.Notice, notice.Ask{Permit: l.ID, Pending: true, What: "a better bill",
			By: domain.DateOf(w.Now).AddDays(7), At: w.Now})
		_ = w.Correspond(l, events, err)
	case 8:
		sha := fmt.Sprintf("document-%d", w.Rand.IntN(30))
		w.Upload(l.Owner, sha)
		events, err := notice.SupplyInformation(l.Notice, notice.Supply{Permit: l.ID, Pending: true, Note: "here it is",
			Evidence: []domain.Evidence{{Kind: domain.EvidenceBankStatement, SHA256: sha, IssuedOn: domain.DateOf(w.Now)}},
			Uploaded: l.Owner.State.Has, At: w.Now})
		_ = w.Correspond(l, events, err)
	default:
		if l.Permit.Price > 0 {
			_ = w.Hold(l)
		}
	}
}

// Lapse records that a hold has ended, when the clock says so.
func (w *Town) Lapse(l *Life) error {
	w.t.Helper()
	if l.Money[1].Status(w.Now) != payment.StatusLapsed {
		return nil
	}
	return w.Hear(l, 1, payment.Message{Kind: payment.Lapsed})
}

func (w *Town) live(l *Life) {
	w.t.Helper()
	if opens := l.Permit.RenewalOpensOn(w.Rules).Midnight(); w.Now.Before(opens) && w.Rand.IntN(3) == 0 {
		w.Now = opens.Add(time.Hour)
	}
	switch w.Rand.IntN(8) {
	case 0:
		_ = w.Do(l, permit.ChangeVehicle{Vehicle: w.mark(), Uploaded: l.Owner.State.Has, Rules: w.Rules})
	case 1:
		sha := fmt.Sprintf("document-%d", w.Rand.IntN(30))
		w.Upload(l.Owner, sha)
		_ = w.Do(l, permit.ChangeAddress{Zone: "LB2", Rules: w.Rules, Uploaded: l.Owner.State.Has,
			Property: domain.Property{UPRN: "200000000018", House: "2", Street: "Sample Street", Postcode: "LE11 1AA"},
			Evidence: []domain.Evidence{{Kind: domain.EvidenceBankStatement, SHA256: sha, IssuedOn: domain.DateOf(w.Now)}}})
	case 2:
		_ = w.Do(l, permit.Cancel{Rules: w.Rules})
	case 3:
		_ = w.Do(l, permit.CancelAutoRenewal{})
	case 4:
		_ = w.Do(l, permit.Withdraw{Review: Review(), EffectiveOn: domain.DateOf(w.Now).AddDays(w.Rand.IntN(10)), Rules: w.Rules})
	default:
		mode := []payment.Mode{payment.ModeImmediate, payment.ModeAgreement}[w.Rand.IntN(2)]
		_ = w.Renew(l, mode, w.Rand.IntN(3) > 0)
		if w.Rand.IntN(2) == 0 {
			_ = w.FinishRenewal(l)
		}
	}
}

// Renew asks for the money of the next term, which the provider takes or
// declines. A free one is written at once.
func (w *Town) Renew(l *Life, mode payment.Mode, taken bool) error {
	w.t.Helper()
	plan, err := permit.PlanRenewal(l.Permit, w.Now, 0, w.Rules)
	if err != nil {
		return err
	}
	automatic := mode == payment.ModeAgreement
	if automatic && !l.Permit.AutoRenewalOn(w.Now) {
		return nil
	}
	if l.Permit.Price == 0 {
		return w.Do(l, permit.Renew{Automatic: automatic, TermsVersion: "terms", Rules: w.Rules})
	}
	if err := w.Ask(l, plan.Term, mode, l.Permit.Price); err != nil {
		return err
	}
	kind := payment.Captured
	if !taken {
		kind = payment.Failed
	}
	return w.Hear(l, plan.Term, payment.Message{Kind: kind, Code: "declined"})
}

// FinishRenewal writes a renewal that was paid for.
func (w *Town) FinishRenewal(l *Life) error {
	w.t.Helper()
	term := l.Permit.Latest().Term + 1
	money := l.Money[term]
	if money.Captured() == money.Refunded() {
		return nil
	}
	a, _ := money.Current()
	return w.Do(l, permit.Renew{Price: a.Captured, TariffVersion: "tariff", TermsVersion: "terms",
		Payment: payment.Stream(l.ID, term), Automatic: a.Request.Mode == payment.ModeAgreement, Rules: w.Rules})
}

// Settle moves the money of a permit to where it belongs, as the reactor does.
func (w *Town) Settle(l *Life) {
	w.t.Helper()
	for term := 1; term <= len(l.Money); term++ {
		for range 8 {
			step := l.Money[term].NextStep(w.Now, w.ruling(l, term), w.refund(l, term))
			m := payment.Message{Attempt: step.Attempt}
			switch step.Kind {
			case payment.StepCapture:
				m.Kind = payment.Captured
				if !w.Now.Before(l.Money[term].Attempts[step.Attempt-1].HoldEndsAt) {
					m.Kind, m.Outstanding, m.Code = payment.Failed, true, "lapsed"
				}
			case payment.StepRelease:
				m.Kind = payment.Released
			case payment.StepRefund:
				m.Kind, m.Amount, m.Code = payment.Refunded, step.Amount, step.Reason
				m.ProviderID = fmt.Sprintf("refund-%d", l.Money[term].Refunded())
			default:
				continue
			}
			if err := w.Hear(l, term, m); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// ruling is what the permit says about a term's money. A renewal that was paid
// for and can no longer be written is void.
func (w *Town) ruling(l *Life, term int) payment.Ruling {
	switch {
	case len(l.Permit.Terms) >= term:
		return payment.RulingDue
	case term > 1:
		if w.FinishRenewal(l) != nil {
			return payment.RulingVoid
		}
		return payment.RulingDue
	case l.Permit.Decided == nil && l.Permit.Cancellation == nil:
		return payment.RulingNone
	}
	return payment.RulingVoid
}

func (w *Town) refund(l *Life, term int) domain.Pence {
	if c := l.Permit.Cancellation; c != nil && term == len(l.Permit.Terms) {
		return c.Refund
	}
	return 0
}

package audit

import (
	"slices"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
)

// permit checks a lifecycle event against the account, the documents, the
// money, the slots and the published rules.
func (w *Whole) permit(f *finder, e permit.Event) {
	k := keyOf(idIn(f.Stream))
	h := w.permits.at(k)
	if _, opens := e.(permit.Applied); !opens && !h.exists {
		return // told as its stream's fault
	}
	switch e := e.(type) {
	case permit.Applied:
		w.apply(f, k, h, e)
	case permit.Approved:
		w.decision(f, *h, e.Decision)
		h.approved, h.first, h.last = true, dayOf(e.FirstDay), dayOf(e.LastDay)
		h.ends = h.last.over().UnixMicro()
	case permit.Rejected:
		w.decision(f, *h, e.Decision)
		h.rejected, h.ends = true, f.Meta.At.UnixMicro()
	case permit.Renewed:
		w.renew(f, *h, e)
		h.last = dayOf(e.LastDay)
		h.ends = h.last.over().UnixMicro()
	case permit.VehicleChanged:
		w.documents(f, h.account, e.Evidence)
	case permit.AddressChanged:
		w.documents(f, h.account, e.Evidence)
		w.settleIn(f, k, h)
	case permit.Cancelled:
		if e.Decision != nil {
			w.decision(f, *h, *e.Decision)
		}
		h.cancelled, h.ends = true, e.EffectiveAt.UnixMicro()
	}
}

func (w *Whole) apply(f *finder, k key, h *holder, e permit.Applied) {
	h.exists, h.counts = true, e.CountsTowardLimit
	h.account, h.price, h.kind = keyOf(e.Account), int64(e.Price), int8(slices.Index(domain.Kinds(), e.Kind))
	w.opened(f, h.account)
	w.documents(f, h.account, e.Evidence)
	if e.FollowsPermit != "" {
		earlier, ok := w.known(f, e.FollowsPermit)
		f.expect(!ok || earlier.blind || earlier.rejected && earlier.account == h.account, RuleReference,
			"it follows the permit %s, which is not a rejected one of the same account", e.FollowsPermit)
	}
	w.settleIn(f, k, h)
	w.published.application(f, e)
}

// decision checks who decided, and on which documents.
func (w *Whole) decision(f *finder, h holder, d domain.DecisionRecord) {
	owner := w.accounts.find(h.account).subject
	f.expect(owner == 0 || owner != keyOf(d.Decider.ID), RuleOwnCase, "decided by the owner of the account")
	for _, sha := range d.Evidence {
		w.document(f, h.account, sha)
	}
	f.expect(d.Versions == f.Versions, RuleDecision, "the versions in the record are not those of the event")
}

// renew checks the window and the money of a renewal.
func (w *Whole) renew(f *finder, h holder, e permit.Renewed) {
	w.published.renewal(f, h, e)
	if e.Payment == "" || h.blind {
		return
	}
	id, term, ok := payment.ParseStream(e.Payment)
	if !ok || string(id) != idIn(f.Stream) || term != e.Term {
		f.wrong(RulePaid, "its payment is said to be %s, which is that of another permit or term", e.Payment)
		return
	}
	f.expect(int(h.paid) == e.Term, RulePaid, "nothing had been taken for term %d", e.Term)
	f.expect(int(h.paid) != e.Term || h.amount == int64(e.Price), RulePaid, "%s was taken for a renewal at %s", domain.Pence(h.amount), e.Price)
}

// payment checks money against the permit that it is for.
func (w *Whole) payment(f *finder, e payment.Event) {
	id, term, ok := payment.ParseStream(f.Stream)
	if !ok {
		return // told as its stream's fault
	}
	switch e := e.(type) {
	case payment.PaymentRequested:
		h, ok := w.known(f, id)
		if !ok || h.blind {
			return
		}
		f.expect(keyOf(e.Account) == h.account, RuleReference, "the money is asked of another account than the permit's")
		f.expect(term > 1 || int64(e.Amount) == h.price, RulePrice, "%s is asked for an application at %s", e.Amount, domain.Pence(h.price))
	case payment.PaymentCaptured:
		h := w.permits.at(keyOf(id))
		f.expect(term > 1 || h.approved || h.blind, RuleCapture, "the first term was taken without an approval before it")
		if int32(term) >= h.paid {
			h.paid, h.amount = int32(term), int64(e.Amount)
		}
	}
}

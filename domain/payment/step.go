package payment

import (
	"time"

	"permitledger/domain"
)

// Ruling is what the permit's first decision says about the money. Whatever
// comes after that decision does not change it.
type Ruling string

// The rulings.
const (
	RulingNone Ruling = ""     // not decided yet
	RulingDue  Ruling = "due"  // Approved came first; or the renewal was written
	RulingVoid Ruling = "void" // Rejected or Cancelled came before Approved; or the renewal can no longer be written
)

// StepKind is what to ask the provider for.
type StepKind string

// The steps.
const (
	StepNothing StepKind = ""
	StepCapture StepKind = "capture"
	StepRelease StepKind = "release"
	StepRefund  StepKind = "refund"
)

// The reasons of a refund.
const (
	RefundNotDue    = "not-due"   // taken although there was nothing to pay for
	RefundTwice     = "twice"     // taken by more than one attempt
	RefundCancelled = "cancelled" // the policy gives something back for a cancellation
)

// Step is one thing to ask the provider for. When it is done its message is
// received, and the next step asked for again, until there is nothing to do.
type Step struct {
	Kind       StepKind
	Attempt    int
	ProviderID string
	Amount     domain.Pence // to capture or to refund
	Reason     string       // of a refund
}

// NextStep decides what is to be done with the money at an instant, given the
// ruling and what the permit's cancellation gives back.
//
// A capture is asked for also when the clock says that the hold has ended: the
// provider has the last word on that, and its "no" makes the sum outstanding.
// A release is not, since there is nothing left to give back.
func (s State) NextStep(now time.Time, r Ruling, refund domain.Pence) Step {
	switch r {
	case RulingDue:
		return s.whenDue(now, refund)
	case RulingVoid:
		return s.whenVoid(now)
	}
	return Step{}
}

func (s State) whenVoid(now time.Time) Step {
	for _, a := range s.Attempts {
		if left := a.Captured - a.Refunded; a.taken() && left > 0 {
			return a.step(StepRefund, left, RefundNotDue)
		}
		if a.status(now) == StatusAuthorised {
			return a.step(StepRelease, 0, "")
		}
	}
	return Step{}
}

func (s State) whenDue(now time.Time, refund domain.Pence) Step {
	paid := s.firstTaken()
	if paid < 0 {
		last := len(s.Attempts) - 1
		if last >= 0 && s.Attempts[last].Authorised && !s.Attempts[last].Owed {
			return s.Attempts[last].step(StepCapture, s.Attempts[last].Request.Amount, "")
		}
		return Step{}
	}
	for i, a := range s.Attempts {
		left := a.Captured - a.Refunded
		switch {
		case i == paid:
			if due := min(refund, a.Captured) - a.Refunded; due > 0 {
				return a.step(StepRefund, due, RefundCancelled)
			}
		case a.taken() && left > 0:
			return a.step(StepRefund, left, RefundTwice)
		case a.status(now) == StatusAuthorised:
			return a.step(StepRelease, 0, "")
		}
	}
	return Step{}
}

// firstTaken gives the place of the attempt that was taken first and not wholly
// given back, by the order of attempts; when all were given back that of the
// first, and -1 when none was taken.
func (s State) firstTaken() int {
	first := -1
	for i, a := range s.Attempts {
		switch {
		case !a.taken():
		case a.Refunded < a.Captured:
			return i
		case first < 0:
			first = i
		}
	}
	return first
}

func (a Attempt) step(kind StepKind, amount domain.Pence, reason string) Step {
	return Step{Kind: kind, Attempt: a.Number, ProviderID: a.ProviderID, Amount: amount, Reason: reason}
}

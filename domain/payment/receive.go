package payment

import (
	"errors"
	"fmt"
	"time"

	"permitledger/domain"
)

// Errors about money that does not add up. Somebody has to look; nothing was
// recorded.
var (
	// ErrUnknownAttempt is returned when a message is about an attempt that
	// this payment never made.
	ErrUnknownAttempt = errors.New("payment: the message is about an attempt that was never made: compare its reference at the provider")
	// ErrOverRefund is returned when more is said to be given back than was
	// taken.
	ErrOverRefund = errors.New("payment: more was given back than had been taken: compare the refunds at the provider")
	// ErrNoAmount is returned when a sum is nothing or less. What is free has
	// no payment.
	ErrNoAmount = errors.New("payment: the amount must be more than nothing: a free permit has no payment")
)

// Request is the wish to be paid.
type Request struct {
	Permit        domain.PermitID
	Account       domain.AccountID
	Term          int
	Mode          Mode
	Amount        domain.Pence
	Months        int   // of a renewal
	AutoRenewal   *bool // of a renewal
	TariffVersion string
	TermsVersion  string
	At            time.Time
}

// Ask decides on a new attempt. It is allowed when there was none yet, or when
// the last one failed or lapsed; otherwise the resident could be made to pay
// twice. The error is a *domain.Refusal with RuleHold.
func Ask(s State, r Request) ([]Event, error) {
	if r.Amount <= 0 {
		return nil, ErrNoAmount
	}
	if detail := askAgain(s.Status(r.At)); detail != "" && !(r.Term > 1 && s.returned()) {
		refusal := domain.Refuse(domain.RuleHold, "", detail)
		refusal.At = r.At
		return nil, refusal
	}
	attempt := len(s.Attempts) + 1
	return []Event{PaymentRequested{
		Permit: r.Permit, Account: r.Account, Term: r.Term, Attempt: attempt, Mode: r.Mode, Amount: r.Amount,
		Reference: Reference(r.Permit, r.Term, attempt),
		Months:    r.Months, AutoRenewal: r.AutoRenewal, TariffVersion: r.TariffVersion, TermsVersion: r.TermsVersion,
	}}, nil
}

// returned reports whether all that was ever taken has gone back. A renewal
// whose money went back, because the agreement was ended while it was being
// taken, can still be paid for by hand while the permit runs; an application's
// cannot, for it is over.
func (s State) returned() bool {
	taken := s.Captured()
	return taken > 0 && s.Refunded() >= taken && s.Status(time.Time{}) == StatusRefunded
}

// askAgain says what to do instead of paying anew; empty when that is right.
func askAgain(s Status) string {
	switch s {
	case StatusNone, StatusFailed, StatusLapsed:
		return ""
	case StatusAwaited:
		return "Finish the payment that is already begun at its payment page."
	case StatusAuthorised:
		return "There is nothing to pay now: the money is already held until the application is decided."
	case StatusCaptured:
		return "There is nothing to pay: this has been paid."
	case StatusOutstanding:
		return "Contact the council to pay what is owed: it could not be taken from the card."
	}
	return "There is nothing to pay any more: the money was given back. Apply anew for another permit."
}

// MessageKind is what a provider tells.
type MessageKind string

// The kinds of message.
const (
	Awaited    MessageKind = "awaited"
	Authorised MessageKind = "authorised"
	Captured   MessageKind = "captured"
	Released   MessageKind = "released"
	Lapsed     MessageKind = "lapsed"
	Failed     MessageKind = "failed"
	Refunded   MessageKind = "refunded"
)

// Message is the provider's word about one attempt.
type Message struct {
	Attempt    int
	Kind       MessageKind
	ProviderID string       // the provider's id of the payment; of a Refunded: of that refund
	PayURL     string       // Awaited
	HoldEndsAt time.Time    // Authorised; Lapsed, when the provider says it
	Amount     domain.Pence // Captured (0 = what was asked for), Refunded
	Code       string       // Failed, Refunded: why
	// Outstanding says that what failed is the capture of an approved permit.
	Outstanding bool
	At          time.Time
}

// Receive decides what a provider's message adds to what is known: nothing
// when it comes again, or tells of an earlier stage than is known already.
//
// Money that was taken is recorded whatever was known before, a release
// included. The two contradict each other, but forgetting the taking would keep
// the money of somebody whose application was rejected; NextStep gives it back.
func Receive(s State, m Message) ([]Event, error) {
	a, ok := s.attempt(m.Attempt)
	if !ok {
		return nil, ErrUnknownAttempt
	}
	over := a.taken() || a.Owed || !a.ReleasedAt.IsZero() || !a.LapsedAt.IsZero() || !a.FailedAt.IsZero()
	switch m.Kind {
	case Awaited:
		if over || a.Authorised || a.PayURL != "" {
			return nil, nil
		}
		return []Event{PaymentAwaited{Attempt: a.Number, ProviderID: m.ProviderID, PayURL: m.PayURL}}, nil
	case Authorised:
		if over || a.Authorised {
			return nil, nil
		}
		return []Event{PaymentAuthorised{Attempt: a.Number, ProviderID: m.ProviderID, HoldEndsAt: m.HoldEndsAt}}, nil
	case Captured:
		if a.taken() {
			return nil, nil
		}
		return []Event{a.capturedNow(m)}, nil
	case Released:
		if over {
			return nil, nil
		}
		return []Event{PaymentReleased{Attempt: a.Number, ProviderID: m.ProviderID}}, nil
	case Lapsed:
		if over {
			return nil, nil
		}
		return []Event{PaymentLapsed{Attempt: a.Number, ProviderID: m.ProviderID, EndedAt: a.endOfHold(m)}}, nil
	case Failed:
		// An owed sum is news even where the hold is known to be gone.
		if a.taken() || a.Owed || over && !m.Outstanding {
			return nil, nil
		}
		return []Event{PaymentFailed{Attempt: a.Number, ProviderID: m.ProviderID, Code: m.Code, Outstanding: m.Outstanding}}, nil
	case Refunded:
		return a.refunded(m)
	}
	return nil, fmt.Errorf("payment: a message of the unknown kind %q: teach Receive what it means", m.Kind)
}

func (a Attempt) capturedNow(m Message) PaymentCaptured {
	amount := m.Amount
	if amount <= 0 {
		amount = a.Request.Amount
	}
	return PaymentCaptured{Attempt: a.Number, ProviderID: m.ProviderID, Amount: amount}
}

// endOfHold is when the hold ended, as well as it is known.
func (a Attempt) endOfHold(m Message) time.Time {
	switch {
	case !m.HoldEndsAt.IsZero():
		return m.HoldEndsAt
	case a.Authorised && !m.At.Before(a.HoldEndsAt):
		return a.HoldEndsAt
	}
	return m.At
}

// refunded records a refund once. A refund proves that the money had been
// taken: when that message has not come yet, it is recorded first, so that what
// was given back never exceeds what was taken.
func (a Attempt) refunded(m Message) ([]Event, error) {
	for _, known := range a.Refunds {
		if known == m.ProviderID {
			return nil, nil
		}
	}
	if m.Amount <= 0 {
		return nil, ErrNoAmount
	}
	var events []Event
	taken := a.Captured
	if !a.taken() {
		captured := a.capturedNow(Message{ProviderID: a.ProviderID})
		events, taken = append(events, captured), captured.Amount
	}
	if a.Refunded+m.Amount > taken {
		return nil, ErrOverRefund
	}
	return append(events, PaymentRefunded{Attempt: a.Number, ProviderID: m.ProviderID, Amount: m.Amount, Reason: m.Code}), nil
}

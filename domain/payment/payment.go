// Package payment is the money of one term of one permit.
//
// A payment lives in a stream of its own. What the provider says is recorded
// as it comes, twice or out of order as it may be; what is to be done next with
// the money is decided from the state alone, so that whoever asks, after
// whatever crash, gets the same answer. The package speaks to no provider.
//
// Begin reading at Status, then Receive (what a provider's message changes) and
// NextStep (what to ask the provider for).
package payment

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"permitledger/domain"
)

const streamPrefix = "payment-"

// Stream names the stream of the payment for one term of a permit.
func Stream(permit domain.PermitID, term int) string {
	return streamPrefix + string(permit) + "-" + strconv.Itoa(term)
}

// ParseStream reads what Stream writes.
func ParseStream(stream string) (permit domain.PermitID, term int, ok bool) {
	rest, isPayment := strings.CutPrefix(stream, streamPrefix)
	id, number, ok := cutNumber(rest)
	return domain.PermitID(id), number, isPayment && ok
}

// Reference names one attempt at the provider.
func Reference(permit domain.PermitID, term, attempt int) string {
	return Stream(permit, term) + "-" + strconv.Itoa(attempt)
}

// ParseReference reads what Reference writes. A message that comes with a
// reference finds its stream by it.
func ParseReference(reference string) (stream string, attempt int, ok bool) {
	stream, attempt, ok = cutNumber(reference)
	if _, _, isStream := ParseStream(stream); !ok || !isStream {
		return "", 0, false
	}
	return stream, attempt, true
}

// cutNumber parts "…-12" at its last hyphen. The number counts from 1.
func cutNumber(s string) (before string, number int, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i <= 0 {
		return "", 0, false
	}
	number, err := strconv.Atoi(s[i+1:])
	if err != nil || number < 1 || strconv.Itoa(number) != s[i+1:] {
		return "", 0, false
	}
	return s[:i], number, true
}

// Status says where the money is.
type Status string

// The statuses of a payment.
const (
	StatusNone        Status = "none"        // nothing was asked for: a free permit
	StatusAwaited     Status = "awaited"     // the payer must act
	StatusAuthorised  Status = "authorised"  // held and not taken
	StatusCaptured    Status = "captured"    // taken
	StatusReleased    Status = "released"    // the hold was given back
	StatusLapsed      Status = "lapsed"      // the hold ended unused
	StatusFailed      Status = "failed"      // declined, or never finished
	StatusOutstanding Status = "outstanding" // owed: the permit stands, the capture failed
	StatusRefunded    Status = "refunded"    // taken and given back, wholly or in part
)

// State is one payment as its events made it. The zero State is a payment that
// was never asked for. Evolve never changes what an earlier State refers to.
type State struct {
	Permit   domain.PermitID  `json:"permit"`
	Account  domain.AccountID `json:"account"`
	Term     int              `json:"term"`
	Attempts []Attempt        `json:"attempts,omitempty"` // in their order
}

// Attempt is one try at the provider.
type Attempt struct {
	Number      int              `json:"number"`
	Request     PaymentRequested `json:"request"`
	RequestedAt time.Time        `json:"requestedAt"`
	ProviderID  string           `json:"providerId,omitempty"`
	PayURL      string           `json:"payUrl,omitempty"`

	Authorised bool      `json:"authorised,omitempty"`
	HoldEndsAt time.Time `json:"holdEndsAt,omitzero"` // of the hold, when there was one
	ReleasedAt time.Time `json:"releasedAt,omitzero"`
	LapsedAt   time.Time `json:"lapsedAt,omitzero"` // as the provider said, not by the clock
	FailedAt   time.Time `json:"failedAt,omitzero"`
	FailCode   string    `json:"failCode,omitempty"`
	Owed       bool      `json:"owed,omitempty"` // its capture failed after approval

	CapturedAt time.Time    `json:"capturedAt,omitzero"`
	Captured   domain.Pence `json:"capturedPence,omitempty"`
	Refunded   domain.Pence `json:"refundedPence,omitempty"`
	Refunds    []string     `json:"refunds,omitempty"` // the provider's ids of the refunds
}

// Evolve folds one event, in whatever order the provider's messages came.
func Evolve(s State, e Event, m domain.Meta) State {
	if e, ok := e.(PaymentRequested); ok {
		s.Permit, s.Account, s.Term = e.Permit, e.Account, e.Term
		s.Attempts = append(slices.Clone(s.Attempts), Attempt{Number: e.Attempt, Request: e, RequestedAt: m.At})
		return s
	}
	switch e := e.(type) {
	case PaymentAwaited:
		return s.with(e.Attempt, e.ProviderID, func(a *Attempt) { a.PayURL = e.PayURL })
	case PaymentAuthorised:
		return s.with(e.Attempt, e.ProviderID, func(a *Attempt) { a.Authorised, a.HoldEndsAt = true, e.HoldEndsAt })
	case PaymentCaptured:
		return s.with(e.Attempt, e.ProviderID, func(a *Attempt) { a.CapturedAt, a.Captured = m.At, e.Amount })
	case PaymentReleased:
		return s.with(e.Attempt, e.ProviderID, func(a *Attempt) { a.ReleasedAt = m.At })
	case PaymentLapsed:
		return s.with(e.Attempt, e.ProviderID, func(a *Attempt) { a.LapsedAt = e.EndedAt })
	case PaymentFailed:
		return s.with(e.Attempt, e.ProviderID, func(a *Attempt) {
			a.FailedAt, a.FailCode, a.Owed = m.At, e.Code, a.Owed || e.Outstanding
		})
	case PaymentRefunded:
		return s.with(e.Attempt, "", func(a *Attempt) {
			a.Refunded += e.Amount
			a.Refunds = append(slices.Clone(a.Refunds), e.ProviderID)
		})
	}
	return s
}

// with changes one attempt in a copy of the list.
func (s State) with(attempt int, providerID string, change func(*Attempt)) State {
	i := slices.IndexFunc(s.Attempts, func(a Attempt) bool { return a.Number == attempt })
	if i < 0 {
		return s
	}
	s.Attempts = slices.Clone(s.Attempts)
	if a := &s.Attempts[i]; a.ProviderID == "" {
		a.ProviderID = providerID
	}
	change(&s.Attempts[i])
	return s
}

// attempt gives one attempt by its number.
func (s State) attempt(number int) (Attempt, bool) {
	for _, a := range s.Attempts {
		if a.Number == number {
			return a, true
		}
	}
	return Attempt{}, false
}

// Current is the attempt that the payment's status speaks of: the one that was
// taken, when one was, else the latest.
func (s State) Current() (Attempt, bool) {
	for _, a := range s.Attempts {
		if a.taken() && a.Refunded < a.Captured {
			return a, true
		}
	}
	if len(s.Attempts) == 0 {
		return Attempt{}, false
	}
	return s.Attempts[len(s.Attempts)-1], true
}

// Unanswered gives the attempt of which the provider has said nothing yet.
// Whether it knows of it is not known, so nothing follows from its silence: it
// has to be asked again, under the same reference. Only the latest attempt can
// be one, because there is no other while it lasts.
func (s State) Unanswered() (Attempt, bool) {
	if len(s.Attempts) == 0 {
		return Attempt{}, false
	}
	a := s.Attempts[len(s.Attempts)-1]
	silent := a.ProviderID == "" && a.PayURL == "" && !a.Authorised && !a.taken() &&
		a.ReleasedAt.IsZero() && a.LapsedAt.IsZero() && a.FailedAt.IsZero()
	return a, silent
}

// Status says where the money is at an instant. A payment that was never asked
// for is none.
func (s State) Status(now time.Time) Status {
	a, ok := s.Current()
	if !ok {
		return StatusNone
	}
	return a.status(now)
}

func (a Attempt) status(now time.Time) Status {
	switch {
	case a.Refunded > 0:
		return StatusRefunded
	case a.taken():
		return StatusCaptured
	case a.Owed:
		return StatusOutstanding
	case a.lapsed(now):
		return StatusLapsed
	case !a.ReleasedAt.IsZero():
		return StatusReleased
	case !a.FailedAt.IsZero():
		return StatusFailed
	case a.Authorised:
		return StatusAuthorised
	}
	return StatusAwaited
}

func (a Attempt) taken() bool { return !a.CapturedAt.IsZero() }

// lapsed reports whether the hold ended unused, by the provider's word or by
// the clock. What happened after its end does not make it anything else.
func (a Attempt) lapsed(now time.Time) bool {
	if !a.LapsedAt.IsZero() {
		return true
	}
	if !a.Authorised || now.Before(a.HoldEndsAt) {
		return false
	}
	inTime := func(t time.Time) bool { return !t.IsZero() && t.Before(a.HoldEndsAt) }
	return !inTime(a.ReleasedAt) && !inTime(a.FailedAt)
}

// Hold gives the end of the current attempt's hold; false when there never was
// one. The hold may have ended, or have been taken or given back: see Status.
func (s State) Hold() (endsAt time.Time, ok bool) {
	a, _ := s.Current()
	return a.HoldEndsAt, a.Authorised
}

// Captured is all that was taken, over all attempts.
func (s State) Captured() (sum domain.Pence) {
	for _, a := range s.Attempts {
		sum += a.Captured
	}
	return sum
}

// Refunded is all that was given back of what had been taken.
func (s State) Refunded() (sum domain.Pence) {
	for _, a := range s.Attempts {
		sum += a.Refunded
	}
	return sum
}

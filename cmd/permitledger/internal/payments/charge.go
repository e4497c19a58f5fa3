package payments

import (
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
)

// HoldHours is how long a hold lives, counted from the creation of the payment
// and not from its authorisation, as at GOV.UK Pay.
const HoldHours = 120

// lateAfter is how long after its creation a charge under the instruction
// "late" is decided.
const lateAfter = time.Hour

// payPage is where a payer is sent. The name is reserved for what does not
// exist (RFC 2606): no simulated payment ever leads to a real page.
const payPage = "https://pay.invalid/simulated/"

// record is a charge as the simulator keeps it. Its methods are the
// provider's rules and know nothing of storage.
type record struct {
	providerID string
	reference  string
	account    domain.AccountID
	mode       payment.Mode
	amount     domain.Pence
	createdAt  time.Time
	holdEndsAt time.Time // zero unless a hold was or will be granted
	dueAt      time.Time // zero unless it is decided later, by itself
	told       bool      // the message due at dueAt was acknowledged, or is no longer true
	state      Kind      // awaited, authorised, captured, released, lapsed or declined
	settledAt  time.Time // when it was captured, released, lapsed or declined
	refunded   domain.Pence
	refundedAt time.Time
}

// open makes the record of a new charge under at most one instruction.
func open(c Charge, providerID string, do Instruction) record {
	r := record{providerID: providerID, reference: c.Reference, account: c.Account, mode: c.Mode,
		amount: c.Amount, createdAt: c.At, state: KindAwaited, told: true}
	if c.Mode == payment.ModeHold {
		r.holdEndsAt = c.At.Add(HoldHours * time.Hour)
	}
	switch do {
	case Decline:
		r.state, r.settledAt, r.holdEndsAt = KindDeclined, c.At, time.Time{}
		return r
	case Late:
		r.dueAt, r.told = c.At.Add(lateAfter), false
		return r
	case Lapse:
		r.holdEndsAt = c.At
	}
	r.decide(c.At)
	r.advance(c.At)
	return r
}

// decide grants what was asked for.
func (r *record) decide(at time.Time) {
	if r.mode == payment.ModeHold {
		r.state = KindAuthorised
		return
	}
	r.state, r.settledAt = KindCaptured, at
}

// advance brings the record to the instant: what is due is decided, and a hold
// whose end has come has lapsed. It never goes back.
func (r *record) advance(at time.Time) {
	if r.state == KindAwaited && !at.Before(r.dueAt) {
		r.decide(r.dueAt)
	}
	if r.state == KindAuthorised && !at.Before(r.holdEndsAt) {
		r.state, r.settledAt = KindLapsed, r.holdEndsAt
	}
}

// capture takes the money of a live hold.
func (r *record) capture(at time.Time) Message {
	r.advance(at)
	if r.state == KindAuthorised {
		r.state, r.settledAt = KindCaptured, at
	}
	return r.standing(KindCaptured, CodeNotCapturable)
}

// release gives a live hold back, or calls off a charge that still waits for
// its payer.
func (r *record) release(at time.Time) Message {
	r.advance(at)
	switch r.state {
	case KindAwaited:
		// What would have come by itself never happens now.
		r.holdEndsAt, r.told = time.Time{}, true
		fallthrough
	case KindAuthorised:
		r.state, r.settledAt = KindReleased, at
	}
	return r.standing(KindReleased, CodeNotReleasable)
}

// refund sees to it that the total has gone back.
func (r *record) refund(total domain.Pence, at time.Time) Message {
	r.advance(at)
	if r.state != KindCaptured || total > r.amount {
		return r.standing(KindRefunded, CodeNotRefundable)
	}
	if total > r.refunded {
		r.refunded, r.refundedAt = total, at
	}
	return r.standing(KindCaptured, CodeNotRefundable)
}

// standing is how the charge stands, with the code when that is not what was
// wanted. A lapsed or declined charge says so in its own code.
func (r *record) standing(want Kind, refused string) Message {
	story := r.story()
	m := story[len(story)-1]
	if r.state != want && m.Code == "" {
		m.Code = refused
	}
	return m
}

// story is everything that has happened to the charge, in order.
func (r *record) story() []Message {
	if r.state == KindAwaited {
		m := r.message(KindAwaited, r.createdAt)
		m.PayURL = payPage + r.providerID
		return []Message{m}
	}
	var story []Message
	if !r.holdEndsAt.IsZero() {
		story = append(story, r.verdict())
	}
	switch r.state {
	case KindCaptured, KindReleased:
		story = append(story, r.message(r.state, r.settledAt))
	case KindDeclined:
		m := r.message(KindDeclined, r.settledAt)
		m.Code = CodeDeclined
		story = append(story, m)
	case KindLapsed:
		m := r.message(KindLapsed, r.settledAt)
		m.Code, m.HoldEndsAt = CodeLapsed, r.holdEndsAt
		story = append(story, m)
	}
	if r.refunded > 0 {
		m := r.message(KindRefunded, r.refundedAt)
		m.Amount = r.refunded
		story = append(story, m)
	}
	return story
}

// verdict is the message that grants what was asked for.
func (r *record) verdict() Message {
	at := r.createdAt
	if !r.dueAt.IsZero() {
		at = r.dueAt
	}
	if r.mode != payment.ModeHold {
		return r.message(KindCaptured, at)
	}
	m := r.message(KindAuthorised, at)
	m.HoldEndsAt = r.holdEndsAt
	return m
}

// message begins a message about the charge.
func (r *record) message(kind Kind, at time.Time) Message {
	return Message{Reference: r.reference, ProviderID: r.providerID, Kind: kind, Amount: r.amount, At: at}
}

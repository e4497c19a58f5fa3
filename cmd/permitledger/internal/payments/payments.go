// Package payments is what the ledger knows of a payment provider: what it
// asks (Charge), what it is told (Message), and a simulated provider that
// behaves like a real one without money (Simulator). It holds no rule about
// permits; what a message means for a permit is decided by its payment's
// stream. Begin reading at Message, whose comment is the contract that every
// provider's adapter keeps.
package payments

import (
	"errors"
	"fmt"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
)

// Charge asks the provider for money. The same Reference again is the same
// charge, however often and from however many places it is asked: nothing is
// taken twice, and the answer tells how that charge stands now. The first At
// counts as the moment of the payment's creation.
type Charge struct {
	Reference string           // unique for one attempt of one payment
	Account   domain.AccountID // who pays; says nothing to the provider
	Mode      payment.Mode     // hold, immediate or agreement
	Amount    domain.Pence     // more than nothing: a free permit has no payment
	At        time.Time        // the clock of whoever asks; providers have none of their own here
}

// Kind is what a message says about a charge.
type Kind string

// The kinds of message.
const (
	KindAwaited    Kind = "awaited"    // the payer must go to PayURL
	KindAuthorised Kind = "authorised" // a hold, until HoldEndsAt
	KindCaptured   Kind = "captured"   // the money was taken
	KindReleased   Kind = "released"   // the hold was given back
	KindLapsed     Kind = "lapsed"     // the hold ended unused
	KindDeclined   Kind = "declined"   // no money: Code says why
	KindRefunded   Kind = "refunded"   // Amount of the captured money has gone back, all refunds together
)

// Message is one thing that a provider says about one charge, as the answer to
// a call or by itself later.
//
// The contract, for whoever calls a provider:
//
//   - A call may be made again at any time, also after a crash, with the same
//     effect as once. Request is known by its Reference; Capture, Release and
//     Refund by the ProviderID that an earlier message gave.
//   - A call that the state does not allow (a capture after a release, say) is
//     no error. It changes nothing, and the answer is how the charge stands,
//     with a Code in its last message: read the Kind, not the Code.
//   - A refund's amount is the total that shall have gone back, so that the
//     same refund again gives nothing twice.
//   - Messages may come more than once and out of order. Equal messages mean
//     one thing that happened once.
//   - An error means that the outcome is unknown: ask again, unchanged. The
//     exceptions are ErrUnknownPayment, ErrOtherCharge and ErrBadAmount, which
//     no repetition mends.
type Message struct {
	ID         string       // of a message delivered by itself, to acknowledge it; empty in an answer
	Reference  string       // of the charge
	ProviderID string       // the provider's name for the charge
	Kind       Kind         // what happened
	Amount     domain.Pence // the charge's amount; for KindRefunded what went back
	HoldEndsAt time.Time    // of KindAuthorised and KindLapsed, else zero
	PayURL     string       // of KindAwaited: where the payer must go
	Code       string       // why, when declined, lapsed or refused
	At         time.Time    // when it happened
}

// The codes of messages.
const (
	CodeDeclined      = "declined"       // the payer's bank said no
	CodeLapsed        = "hold-lapsed"    // the hold had ended
	CodeNotCapturable = "not-capturable" // there is no hold to take
	CodeNotReleasable = "not-releasable" // there is no hold to give back
	CodeNotRefundable = "not-refundable" // nothing was taken, or less than the refund
)

var (
	// ErrUnknownPayment is returned when the provider has no charge under the
	// given id.
	ErrUnknownPayment = errors.New("payments: the provider does not know this payment; check that the provider's file belongs to this ledger")
	// ErrOtherCharge is returned when a reference is used again with another
	// account, mode or amount.
	ErrOtherCharge = errors.New("payments: the reference names another charge; use a new reference for a new attempt")
	// ErrBadAmount is returned when an amount is nothing or less.
	ErrBadAmount = errors.New("payments: an amount must be at least one penny")
	// ErrUnknownMode is returned when a charge has none of the modes of payment.Mode.
	ErrUnknownMode = errors.New("payments: unknown mode of payment")
)

// UnknownInstructionError is returned by Instruct for a word that is not an
// Instruction; nothing of the command was queued.
type UnknownInstructionError struct{ Instruction string }

// Error names the word and those that are known.
func (e *UnknownInstructionError) Error() string {
	return fmt.Sprintf("payments: unknown instruction %q; known are decline, lapse, duplicate and late", e.Instruction)
}

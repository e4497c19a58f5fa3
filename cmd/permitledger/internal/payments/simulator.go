package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/domain/payment"
)

// Simulator is a payment provider without money. It remembers every charge in
// a file of its own, so that it survives restarts and kill -9 as a provider
// elsewhere would, and it has no clock: time is what its callers say. Unless
// it was instructed otherwise it grants everything. It may be used by many
// goroutines; each call is one transaction, on disk before it answers.
type Simulator struct {
	db *sql.DB // one connection, so that transactions take turns
}

// references is the name space in which references become provider ids.
var references = uuid.MustParse("0b1c7a52-6d0e-5c38-9a0b-5f2f4f8d7c11")

// Request asks for money: a hold is authorised, anything else is captured, or
// as an instruction for the account says. A reference that is known is never
// charged again; the answer is then the charge's whole story so far.
func (s *Simulator) Request(ctx context.Context, c Charge) ([]Message, error) {
	switch c.Mode {
	case payment.ModeHold, payment.ModeImmediate, payment.ModeAgreement:
	default:
		return nil, fmt.Errorf("%w: %q", ErrUnknownMode, c.Mode)
	}
	if c.Amount <= 0 {
		return nil, fmt.Errorf("%w: %d pence", ErrBadAmount, c.Amount)
	}
	c.At = instant(c.At)
	id := uuid.NewSHA1(references, []byte(c.Reference)).String()
	var answer []Message
	err := s.transact(ctx, func(tx *sql.Tx) error {
		r, err := load(ctx, tx, id)
		if err == nil {
			answer, err = again(ctx, tx, r, c)
			return err
		}
		if !errors.Is(err, ErrUnknownPayment) {
			return err
		}
		do, err := takeInstruction(ctx, tx, c)
		if err != nil {
			return err
		}
		r = open(c, id, do)
		answer = r.story()
		if do == Duplicate {
			answer = append(answer, answer...)
		}
		return insert(ctx, tx, r)
	})
	if err != nil {
		return nil, fmt.Errorf("payments: request %s: %w", c.Reference, err)
	}
	return answer, nil
}

// again answers a request whose reference is known.
func again(ctx context.Context, tx *sql.Tx, r record, c Charge) ([]Message, error) {
	if r.account != c.Account || r.mode != c.Mode || r.amount != c.Amount {
		return nil, ErrOtherCharge
	}
	r.advance(c.At)
	return r.story(), update(ctx, tx, r)
}

// Capture takes the money of a hold, once.
func (s *Simulator) Capture(ctx context.Context, providerID string, at time.Time) ([]Message, error) {
	return s.change(ctx, "capture", providerID, func(r *record) Message { return r.capture(instant(at)) })
}

// Release gives a hold back, or calls off a charge that waits for its payer.
func (s *Simulator) Release(ctx context.Context, providerID string, at time.Time) ([]Message, error) {
	return s.change(ctx, "release", providerID, func(r *record) Message { return r.release(instant(at)) })
}

// Refund gives captured money back until amount in all has gone back. A
// smaller amount than has gone back already changes nothing.
func (s *Simulator) Refund(ctx context.Context, providerID string, amount domain.Pence, at time.Time) ([]Message, error) {
	if amount <= 0 {
		return nil, fmt.Errorf("payments: refund %s: %w: %d pence", providerID, ErrBadAmount, amount)
	}
	return s.change(ctx, "refund", providerID, func(r *record) Message { return r.refund(amount, instant(at)) })
}

// change applies one of the provider's rules to a charge and keeps the result.
func (s *Simulator) change(ctx context.Context, call, providerID string, rule func(*record) Message) ([]Message, error) {
	var answer []Message
	err := s.transact(ctx, func(tx *sql.Tx) error {
		r, err := load(ctx, tx, providerID)
		if err != nil {
			return err
		}
		answer = []Message{rule(&r)}
		return update(ctx, tx, r)
	})
	if err != nil {
		return nil, fmt.Errorf("payments: %s %s: %w", call, providerID, err)
	}
	return answer, nil
}

// instant is t as it is kept: in UTC, to the microsecond.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

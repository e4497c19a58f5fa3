package reactors

import (
	"context"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/ledger"
	"permitledger/eventstore"
)

// lastYear is as far as the simulated clock goes: what is dated from there on,
// years ahead, still has a year of four digits.
const lastYear = 9000

// MoveClock is the command that puts the simulated clock forward: to an
// instant, or by a duration. The move itself is recorded last, at the new
// instant, so that its position covers all that fell due on the way.
func (t *Timekeeper) MoveClock(ctx context.Context, c desk.Call, to *time.Time, advance time.Duration) (time.Time, eventstore.Position, error) {
	// One move after the other: each begins where the one before it ended, and
	// the same command sent twice at once moves the clock once.
	t.moving.Lock()
	defer t.moving.Unlock()
	fact, position, err := t.Desk.DemoFact(ctx, c)
	if err != nil {
		return time.Time{}, 0, err
	}
	if moved, ok := fact.(ledger.ClockMoved); ok {
		return moved.To, position, nil
	}
	from := t.Clock.Now()
	target := from.Add(advance)
	if to != nil {
		target = to.UTC().Truncate(time.Microsecond)
	}
	if !target.After(from) {
		return time.Time{}, 0, domain.Refuse(domain.RuleClock, "to",
			"The simulated clock only moves forward; it stands at "+from.Format(time.RFC3339)+".")
	}
	if target.Year() > lastYear {
		return time.Time{}, 0, domain.Refuse(domain.RuleClock, "to", "The simulated clock goes no further than the year 9000.")
	}
	if _, err := t.Walk(ctx, target); err != nil {
		return time.Time{}, 0, err
	}
	c.At = target
	position, err = t.Desk.RecordDemo(ctx, c, ledger.ClockMoved{From: from, To: target})
	return target, position, err
}

// Instruct is the command that tells the simulated provider what to do next
// for an account.
func (t *Timekeeper) Instruct(ctx context.Context, c desk.Call, account domain.AccountID, next []string) (eventstore.Position, error) {
	fact, position, err := t.Desk.DemoFact(ctx, c)
	if err != nil || fact != nil {
		return position, err
	}
	if _, err := t.Desk.Account(ctx, account); err != nil {
		return 0, err
	}
	if err := t.Provider.Instruct(ctx, string(c.ID), account, next); err != nil {
		return 0, err
	}
	return t.Desk.RecordDemo(ctx, c, ledger.ProviderInstructed{Account: account, Next: next})
}

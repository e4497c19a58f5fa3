package demo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// keeper does what falls due, as the program's timekeeper does, from states
// folded in memory: it is small, exact to the instant and needs no read model.
type keeper struct {
	o     *office
	seen  eventstore.Position
	ids   []domain.PermitID // in the order of their first events
	life  map[domain.PermitID]permit.State
	money map[string]payment.State
	stale map[domain.PermitID]bool // to be settled
	tried map[domain.PermitID]domain.Date
}

func newKeeper(o *office) *keeper {
	return &keeper{o: o, life: map[domain.PermitID]permit.State{}, money: map[string]payment.State{},
		stale: map[domain.PermitID]bool{}, tried: map[domain.PermitID]domain.Date{}}
}

// timer is one thing that falls due.
type timer struct {
	at  time.Time
	run func(context.Context, desk.Call) error
}

func (k *keeper) walk(ctx context.Context, to time.Time) error {
	if to.Before(k.o.clock.Now()) {
		return nil
	}
	if err := k.settle(ctx); err != nil {
		return err
	}
	for {
		var first timer
		for _, id := range k.ids {
			if t := k.next(id); t.run != nil && !t.at.After(to) && (first.run == nil || t.at.Before(first.at)) {
				first = t
			}
		}
		due, some, err := k.o.provider.NextDue(ctx)
		if err != nil {
			return err
		}
		if some && !due.After(to) && (first.run == nil || due.Before(first.at)) {
			first = timer{due, k.deliver}
		}
		if first.run == nil {
			break
		}
		k.o.clock.set(first.at)
		if err := first.run(ctx, desk.SystemCall(fmt.Sprintf("timer at %d", k.seen), "", k.o.clock.Now())); err != nil {
			return err
		}
		if err := k.settle(ctx); err != nil {
			return err
		}
	}
	k.o.clock.set(to)
	return nil
}

// next is what falls due next to a permit.
func (k *keeper) next(id domain.PermitID) timer {
	s, d := k.life[id], k.o.Desk
	if s.Decided != nil {
		return k.renewal(id, s)
	}
	if s.Cancellation != nil || s.Price == 0 {
		return timer{}
	}
	attempt, _ := k.money[payment.Stream(id, 1)].Current()
	switch {
	case !attempt.LapsedAt.IsZero():
		return timer{domain.DateOf(attempt.HoldEndsAt).AddDays(14).Midnight(), func(ctx context.Context, c desk.Call) error {
			_, err := d.WithdrawLapsed(ctx, c, id)
			return err
		}}
	case attempt.Authorised:
		return timer{attempt.HoldEndsAt, func(ctx context.Context, c desk.Call) error {
			_, err := d.RecordLapse(ctx, c, id, 1)
			return err
		}}
	}
	return timer{s.SubmittedAt.Add(2 * time.Hour), func(ctx context.Context, c desk.Call) error {
		_, err := d.WithdrawUnpaid(ctx, c, id)
		return err
	}}
}

func (k *keeper) renewal(id domain.PermitID, s permit.State) timer {
	if len(s.Terms) == 0 || !s.AutoRenewalOn(k.o.clock.Now()) {
		return timer{}
	}
	day := s.LastDay().AddDays(-7)
	if tried := k.tried[id]; !tried.Before(day) {
		day = tried.AddDays(1)
	}
	return timer{day.Midnight(), func(ctx context.Context, c desk.Call) error {
		k.tried[id] = day
		_, err := k.o.AutoRenew(ctx, c, id)
		return err
	}}
}

func (k *keeper) deliver(ctx context.Context, _ desk.Call) error {
	messages, err := k.o.provider.Deliver(ctx, k.o.clock.Now())
	for _, m := range messages {
		_, told := k.o.Receive(ctx, m)
		err = errors.Join(err, told, k.o.provider.Delivered(ctx, m.ID))
	}
	return err
}

// settle folds what is new and brings the money of what moved to its place.
func (k *keeper) settle(ctx context.Context) error {
	for {
		if err := k.read(ctx); err != nil || len(k.stale) == 0 {
			return err
		}
		for _, id := range k.ids {
			if !k.stale[id] {
				continue
			}
			for term := 1; term <= max(1, len(k.life[id].Terms)); term++ {
				if _, asked := k.money[payment.Stream(id, term)]; !asked {
					continue
				}
				c := desk.SystemCall(fmt.Sprintf("settle %s %d", id, term), "", k.o.clock.Now())
				if _, err := k.o.Settle(ctx, c, id, term); err != nil {
					return err
				}
			}
		}
		clear(k.stale)
	}
}

// read folds what was appended since. The order in which new permits stand in
// the log depends on chance, so nothing is done in that order.
func (k *keeper) read(ctx context.Context) error {
	for r, err := range k.o.Ledger.Store().ReadAll(ctx, k.seen) {
		if err != nil {
			return err
		}
		e, err := k.o.Ledger.Codec().Decode(r)
		if err != nil {
			return err
		}
		k.seen = e.Position
		switch body := e.Body.(type) {
		case permit.Event:
			id := domain.PermitID(e.Stream[len(permit.Stream("")):])
			if _, known := k.life[id]; !known {
				k.ids = append(k.ids, id)
			}
			k.life[id] = permit.Evolve(k.life[id], body, e.Meta())
			if e.Type != permit.TypeApplied {
				k.stale[id] = true
			}
		case payment.Event:
			k.money[e.Stream] = payment.Evolve(k.money[e.Stream], body, e.Meta())
		}
	}
	return nil
}

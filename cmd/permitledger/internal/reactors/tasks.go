package reactors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections/due"
)

// task is one thing to do.
type task struct {
	occasion string // its name, the same whenever it is tried
	due      time.Time
	at       time.Time // when it is done: later than it was due where it was put off
	run      func(ctx context.Context, at time.Time) (eventstore.Position, error)
}

// perInstant is how many tasks of one instant are looked at and done at a
// time. They concern different streams, so their order does not matter.
const (
	perInstant = 256
	together   = 32
)

// patience is how long settlements are left to the reactor that is nudged to
// make them. What it has not made by then is made here.
const patience = time.Minute

// tasks lists what falls due by an instant, in order. Whoever walks the clock
// leaves nothing to the reactor: the walk ends when all effects are there.
func (t *Timekeeper) tasks(ctx context.Context, now, by time.Time, walking bool) ([]task, error) {
	items, err := t.Due.Until(ctx, now, by, perInstant+len(t.later))
	if err != nil {
		return nil, err
	}
	t.forget(items, len(items) < perInstant+len(t.later))
	var tasks []task
	for _, item := range items {
		k := t.taskOf(item)
		k.at = later(k.at, t.later[k.occasion].clock)
		if item.Kind == due.Settle && !walking && t.Settlements != nil && t.Settlements.atWork() {
			k.at = later(k.at, k.due.Add(patience))
		}
		if !k.at.After(by) {
			tasks = append(tasks, k)
		}
	}
	next, some, err := t.Provider.NextDue(ctx)
	if err != nil {
		return nil, err
	}
	if some && !next.After(by) {
		tasks = append(tasks, task{occasion: byProvider, due: next, at: next, run: t.deliver})
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return a.at.Compare(b.at) })
	return tasks, nil
}

// nextGroup is what to do now: everything that is overdue, or else all that
// falls due at the next instant. What failed a moment ago waits.
func (t *Timekeeper) nextGroup(tasks []task, now time.Time) []task {
	var group []task
	for _, k := range tasks {
		if time.Until(t.later[k.occasion].wall) > 0 {
			continue
		}
		if len(group) > 0 && k.at.After(now) && !k.at.Equal(group[0].at) {
			break
		}
		group = append(group, k)
	}
	return group
}

// do runs tasks side by side and waits until the read model shows their
// effects. A task that fails is put off and reported; it holds up no other.
func (t *Timekeeper) do(ctx context.Context, group []task) (eventstore.Position, error) {
	positions := make([]eventstore.Position, len(group))
	errs := make([]error, len(group))
	var g errgroup.Group
	g.SetLimit(together)
	for i, k := range group {
		g.Go(func() error {
			positions[i], errs[i] = k.run(ctx, t.instant(k))
			return nil
		})
	}
	_ = g.Wait() // the tasks' own errors are in errs
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	end := slices.Max(positions)
	if idle(positions, errs) {
		// What was found done was perhaps done a moment ago, by the reactor, and
		// what falls due because of it is not to be missed.
		head, err := t.Desk.Ledger.Store().Head(ctx)
		if err != nil {
			return end, fmt.Errorf("look for what was done already: %w", err)
		}
		end = max(end, head)
	}
	if err := t.Due.Projection().WaitFor(ctx, end); err != nil {
		return end, fmt.Errorf("wait for what fell due to be done: %w", err)
	}
	done := make(map[string]eventstore.Position, len(group))
	for i, k := range group {
		done[k.occasion] = positions[i]
		t.note(k, positions[i], errs[i])
	}
	t.done = done
	return end, nil
}

// idle reports whether there was nothing to do for one of the tasks.
func idle(positions []eventstore.Position, errs []error) bool {
	for i, position := range positions {
		if position == 0 && errs[i] == nil {
			return true
		}
	}
	return false
}

// instant is the now of a task's command. By a simulated clock it is the
// instant at which the task fell due, so that the same history comes about
// however fast the machine is; zero is the desk's clock.
func (t *Timekeeper) instant(k task) time.Time {
	if t.Simulated == nil || t.later[k.occasion].failed > 0 {
		return time.Time{}
	}
	return k.due
}

// byProvider is the occasion of what the provider sends by itself.
const byProvider = "provider"

// forget drops what is remembered of occasions that are over. all says that the
// items are all that is due.
func (t *Timekeeper) forget(items []due.Item, all bool) {
	if !all || len(t.later) == 0 {
		return
	}
	there := map[string]bool{byProvider: true}
	for _, item := range items {
		there[occasionOf(item)] = true
	}
	maps.DeleteFunc(t.later, func(occasion string, _ retry) bool { return !there[occasion] })
}

// note remembers when a task that had no effect is tried again. One that
// comes up a second time with the same result had none.
func (t *Timekeeper) note(k task, position eventstore.Position, err error) {
	if err == nil && position > t.done[k.occasion] {
		delete(t.later, k.occasion)
		return
	}
	r := t.later[k.occasion]
	if errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrConflict) {
		// No fault of the task's, and logged where it is known first.
		r.wall = time.Now().Add(time.Second)
		t.later[k.occasion] = r
		return
	}
	r.failed++
	r.wall = time.Now().Add(min(time.Second<<min(r.failed-1, 8), 5*time.Minute))
	var refused *domain.Refusal
	if errors.As(err, &refused) {
		r.wall = time.Time{}
		r.clock = domain.DateOf(t.Clock.Now()).AddDays(1).Midnight()
	}
	t.later[k.occasion] = r
	if err != nil {
		t.Logger.Warn("a timer could not do its work and will try again", "occasion", k.occasion, "failures", r.failed, "error", err)
	}
}

// occasionOf names the command that an item stands for: the same item again is
// the same command.
func occasionOf(item due.Item) string {
	return fmt.Sprintf("%s %s%s%s %d due %s", item.Kind, item.Permit, item.Account,
		item.SHA256, item.Term, item.DueAt.Format(time.RFC3339Nano))
}

// callFor is the command that an item stands for, at an instant; zero is the
// desk's clock.
func callFor(item due.Item, at time.Time) desk.Call {
	return desk.SystemCall(occasionOf(item), string(item.EventID), at)
}

// taskOf says how an item is done.
func (t *Timekeeper) taskOf(item due.Item) task {
	k := task{due: item.DueAt, at: item.DueAt, occasion: occasionOf(item)}
	d := t.Desk
	k.run = func(ctx context.Context, at time.Time) (eventstore.Position, error) {
		c := callFor(item, at)
		switch item.Kind {
		case due.Settle, due.Unanswered:
			return d.Settle(ctx, c, item.Permit, item.Term)
		case due.Unpaid:
			return d.WithdrawUnpaid(ctx, c, item.Permit)
		case due.Lapse:
			return d.RecordLapse(ctx, c, item.Permit, item.Term)
		case due.LapsedWithdrawal:
			return d.WithdrawLapsed(ctx, c, item.Permit)
		case due.AutoRenewal:
			return d.AutoRenew(ctx, c, item.Permit)
		case due.DropDocument:
			return d.DropDocument(ctx, c, item.Account, item.SHA256)
		}
		return 0, fmt.Errorf("nobody knows how to do %q", item.Kind)
	}
	return k
}

// deliver receives what the provider sends by itself.
func (t *Timekeeper) deliver(ctx context.Context, at time.Time) (eventstore.Position, error) {
	messages, err := t.Provider.Deliver(ctx, later(t.Clock.Now(), at))
	if err != nil {
		return 0, err
	}
	var end eventstore.Position
	for _, m := range messages {
		position, err := t.Desk.Receive(ctx, m)
		if err != nil {
			return end, err
		}
		end = max(end, position)
		if err := t.Provider.Delivered(ctx, m.ID); err != nil {
			return end, err
		}
	}
	return end, nil
}

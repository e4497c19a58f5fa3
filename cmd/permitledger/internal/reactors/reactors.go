// Package reactors does by itself what nobody asks for: it settles payments
// after decisions, withdraws what was not paid for, records lapsed holds,
// renews permits automatically and drops documents that nobody named.
//
// What has to be done at once, to settle payments, is done by a reactor that a
// persistent subscription nudges: Settlements. What has its time is done by the
// timekeeper, from the read model of what falls due, which every event brings
// up to date; a row of it goes away when the log holds its effect. The rows
// have what is to be settled, too, so that the timekeeper takes up what the
// reactor could not do.
//
// So nothing is forgotten by a crash, nothing depends on the order in which
// events arrive, and doing a thing twice is doing it once: each is a command
// named after its occasion, decided from the streams by the desk.
//
// Begin reading at Timekeeper.Run, then Walk for the simulated clock, then
// Settlements.
package reactors

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections/due"
)

// Provider is what the timekeeper needs of a payment provider: the messages
// that it sends by itself, each at an instant of the clock, again and again
// until it is told that they were received.
type Provider interface {
	NextDue(ctx context.Context) (time.Time, bool, error)
	Deliver(ctx context.Context, upTo time.Time) ([]payments.Message, error)
	Delivered(ctx context.Context, ids ...string) error
	Instruct(ctx context.Context, command string, account domain.AccountID, next []string) error
}

// Config is what a Timekeeper works with.
type Config struct {
	Desk      *desk.Desk
	Due       due.Reader
	Provider  Provider
	Clock     desk.Clock
	Simulated *clock.Simulated // the same clock when it is a simulated one, else nil
	// Settlements is the reactor that settles payments as soon as something
	// happens. Nil: there is none, and they are settled here.
	Settlements *Settlements
	// Whole says when the log may be acted on. Nil: always.
	Whole  Whole
	Logger *slog.Logger
}

// Whole knows whether the log has all that was seen of it. While it does not,
// nothing is done: what is due may be done already, by events that are lost.
type Whole interface {
	// Ready returns nil when the log is known to be whole now.
	Ready(ctx context.Context) error
	// Pass waits until the log is known to be whole, and returns for which
	// session. It returns an error only when ctx ends.
	Pass(ctx context.Context) (eventstore.SessionID, error)
	// During returns a context that ends with that session.
	During(ctx context.Context, on eventstore.SessionID) (context.Context, context.CancelFunc)
}

// Timekeeper does what falls due, in the order of its instants. It is safe for
// concurrent use: whoever does what is due holds the lock meanwhile.
type Timekeeper struct {
	Config
	moving sync.Mutex // held while somebody puts the simulated clock forward; taken before mu
	mu     sync.Mutex
	ailing string                         // what the last round failed with, as it was logged; guarded by mu
	later  map[string]retry               // occasions that failed; guarded by mu
	done   map[string]eventstore.Position // what the last group led to; guarded by mu
}

// retry is when a failed occasion is tried again: not before both.
type retry struct {
	wall   time.Time // of the machine's clock: trouble goes away by itself
	clock  time.Time // of the ledger's clock: a refusal may not hold another day
	failed int
}

// New makes a timekeeper; Run makes it work by itself.
func New(c Config) *Timekeeper {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Timekeeper{Config: c, later: map[string]retry{}}
}

// longestNap bounds how long Run sleeps, so that a clock that was set is
// noticed.
const longestNap = time.Minute

// Run does what falls due, when it does, until the context ends.
func (t *Timekeeper) Run(ctx context.Context) error {
	for {
		changed := t.Due.Projection().Changed()
		nap := time.NewTimer(t.round(ctx))
		select {
		case <-ctx.Done():
			nap.Stop()
			return nil
		case <-changed:
		case <-nap.C:
		}
		nap.Stop()
	}
}

// round does what is due now and says how long nothing more will be. While the
// event store is away, which is logged where it is known first, nothing is
// tried: what is due then waits for no longer than it has to.
func (t *Timekeeper) round(ctx context.Context) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.Desk.Ledger.Store().Connection().Up || t.ready(ctx) != nil {
		return time.Second
	}
	_, err := t.catchUp(ctx, time.Time{})
	if err == nil {
		var wait time.Duration
		if wait, err = t.nap(ctx); err == nil {
			t.ailing = ""
			return wait
		}
	}
	if ctx.Err() == nil && t.ailing != err.Error() {
		t.ailing = err.Error() // once, and not with every try
		t.Logger.Error("what falls due could not be read or done", "error", err)
	}
	return time.Second
}

// ready returns nil when the log may be acted on.
func (t *Timekeeper) ready(ctx context.Context) error {
	if t.Whole == nil {
		return nil
	}
	return t.Whole.Ready(ctx)
}

// nap is how long nothing falls due.
func (t *Timekeeper) nap(ctx context.Context) (time.Duration, error) {
	wait, now := longestNap, t.Clock.Now()
	tasks, err := t.tasks(ctx, now, now.Add(longestNap), false)
	for _, k := range tasks {
		wait = min(wait, max(k.at.Sub(now), time.Until(t.later[k.occasion].wall)))
	}
	return max(wait, time.Millisecond), err
}

// Walk puts the simulated clock forward to an instant and does on the way,
// in order, what falls due before it: also what the last command before it
// made due. It gives the position of the last event that came of it, and
// returns when the read model of what falls due has it.
func (t *Timekeeper) Walk(ctx context.Context, to time.Time) (eventstore.Position, error) {
	head, err := t.Desk.Ledger.Store().Head(ctx)
	if err != nil {
		return 0, err
	}
	if err := t.Due.Projection().WaitFor(ctx, head); err != nil {
		return 0, fmt.Errorf("wait for what has fallen due: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	end, err := t.catchUp(ctx, to)
	if err == nil {
		t.Simulated.Set(to)
	}
	return end, err
}

// catchUp does what is due by an instant, zero meaning now, one instant after
// the other. Ahead of now the simulated clock is put forward to each.
func (t *Timekeeper) catchUp(ctx context.Context, to time.Time) (eventstore.Position, error) {
	var end eventstore.Position
	for ctx.Err() == nil {
		if err := t.ready(ctx); err != nil {
			return end, err
		}
		now := t.Clock.Now()
		tasks, err := t.tasks(ctx, now, later(now, to), !to.IsZero())
		if err != nil {
			return end, err
		}
		group := t.nextGroup(tasks, now)
		if len(group) == 0 {
			return end, nil
		}
		if group[0].at.After(now) {
			t.Simulated.Set(group[0].at)
		}
		position, err := t.do(ctx, group)
		end = max(end, position)
		if err != nil {
			return end, err
		}
	}
	return end, ctx.Err()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

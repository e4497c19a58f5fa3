package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/bare"
)

const (
	// liveRate is how many events are appended each second while one looks on.
	liveRate = 1000
	// unseen is how long after the last acknowledgement all must have been seen.
	unseen = 30 * time.Second
)

// live appends at a fixed rate and looks how long after its acknowledgement
// each event is seen by a subscription: the store's, and the bare client's.
func live(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.logs(ctx)
	if err != nil {
		return nil, err
	}
	seenBy := func(follow func(context.Context, eventstore.Position, *watch) error) side {
		return func(ctx context.Context) (run, error) {
			from, err := l.server.Append(ctx, l.stream(permitPrefix), bare.Any, plain())
			if err != nil {
				return run{}, err
			}
			w := &watch{seen: make(map[uuid.UUID]time.Time), caught: make(chan struct{}), all: make(chan struct{})}
			following, stop := context.WithCancelCause(ctx)
			var subscription sync.WaitGroup
			subscription.Go(func() { stop(follow(following, from, w)) })
			defer subscription.Wait()
			defer stop(nil)
			select {
			case <-w.caught:
			case <-following.Done():
				return run{}, context.Cause(following)
			}
			return l.watched(following, w, b.Duration)
		}
	}
	ours := func(ctx context.Context, from eventstore.Position, w *watch) error {
		return l.ledger.Store().Subscribe(ctx, from, w)
	}
	beside := func(ctx context.Context, from eventstore.Position, w *watch) error {
		return l.server.Follow(ctx, from, w.saw, func() bool { return w.CaughtUp() == nil })
	}
	return []pair{{variant: fmt.Sprintf("%d/s", liveRate), counts: "events", aim: aim{p99: 5 * time.Millisecond},
		ours: seenBy(ours), beside: seenBy(beside)}}, nil
}

// watched appends while the watch is on. An event may be seen before its
// writer hears of it; that is no latency at all.
func (l *logSide) watched(ctx context.Context, w *watch, d time.Duration) (run, error) {
	const inStream = 100
	total := max(1, int(d.Seconds()*liveRate))
	streams := make([]string, total/inStream+1)
	for i := range streams {
		streams[i] = l.stream(permitPrefix)
	}
	ids, acknowledged := make([]uuid.UUID, total), make([]time.Time, total)
	r, err := steadily(ctx, liveRate, d, func(ctx context.Context, n int) error {
		e := plain()
		ids[n] = e.ID
		_, err := l.server.Append(ctx, streams[n/inStream], bare.Any, e)
		acknowledged[n] = time.Now()
		return err
	})
	if err != nil {
		return r, err
	}
	if err := w.wait(ctx, total); err != nil {
		return r, err
	}
	for n, id := range ids {
		r.latencies[n] = max(0, w.seen[id].Sub(acknowledged[n]))
	}
	return r, nil
}

// watch is a subscription's handler that notes when it saw each event.
type watch struct {
	caught chan struct{} // closed when it has caught up first
	all    chan struct{} // closed when as many were seen as are wanted
	once   sync.Once

	mu   sync.Mutex
	seen map[uuid.UUID]time.Time // guarded by mu while the subscription runs
	want int                     // 0: not known yet; guarded by mu
}

// Event implements eventstore.Handler.
func (w *watch) Event(r eventstore.Recorded) error {
	w.saw(r.ID)
	return nil
}

func (w *watch) saw(id uuid.UUID) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[id] = now
	w.done()
}

func (w *watch) done() {
	if w.want > 0 && len(w.seen) == w.want {
		close(w.all)
	}
}

// CaughtUp implements eventstore.Handler.
func (w *watch) CaughtUp() error {
	w.once.Do(func() { close(w.caught) })
	return nil
}

// Progress implements eventstore.Handler.
func (w *watch) Progress(eventstore.Position) error { return nil }

// wait returns when so many events were seen.
func (w *watch) wait(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, unseen)
	defer cancel()
	w.mu.Lock()
	w.want = want
	w.done()
	w.mu.Unlock()
	select {
	case <-w.all:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the subscription has not seen all events %s after the last: %w", unseen, context.Cause(ctx))
	}
}

// errCaughtUp ends a subscription that was only to catch up.
var errCaughtUp = errors.New("caught up")

// counter is a subscription's handler that counts until it has caught up.
type counter struct{ n int }

// Event implements eventstore.Handler.
func (c *counter) Event(eventstore.Recorded) error {
	c.n++
	return nil
}

// CaughtUp implements eventstore.Handler.
func (c *counter) CaughtUp() error { return errCaughtUp }

// Progress implements eventstore.Handler.
func (c *counter) Progress(eventstore.Position) error { return nil }

// catchUp subscribes in the past and comes to the end of the log, through the
// program's store and by the bare client.
func catchUp(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.logs(ctx)
	if err != nil {
		return nil, err
	}
	from, err := b.fill(ctx, l)
	if err != nil {
		return nil, err
	}
	ours := func(ctx context.Context) (int, error) {
		c := &counter{}
		if err := l.ledger.Store().Subscribe(ctx, from, c); !errors.Is(err, errCaughtUp) {
			return 0, err
		}
		return c.n, nil
	}
	beside := func(ctx context.Context) (int, error) { return l.server.CatchUp(ctx, from) }
	return []pair{{counts: "events", ours: b.wholly(ours), beside: b.wholly(beside)}}, nil
}

package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permitledger/eventstore"
)

// Config says where the read models lie and what they follow.
type Config struct {
	// Dir is the folder of the files, made with mode 0700 when it is not
	// there. Empty is a temporary folder that goes away with Close.
	Dir string
	// Ledger is the log that is followed.
	Ledger *eventstore.Ledger
	// Logger gets a line when a model starts anew, stops or is in trouble.
	// It never gets anything of an event's content. Nil is silence.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil has none.
	Registerer prometheus.Registerer
	// Now is the wall clock, for the age of messages and for since when a
	// model is stopped; no row depends on it. Nil is time.Now. It is not the
	// simulated clock of a demonstration, which would show every age wrong.
	Now func() time.Time
	// Gate holds the read models until it is known that the log has what this
	// folder has seen of it. Nil holds nothing.
	Gate Gate
}

// Gate decides when the log may be followed. Until it does, no read model is
// brought up to date or made again. It is safe for concurrent use.
type Gate interface {
	// Pass waits until the log may be followed. It returns the session of the
	// store for which that is known, and an error only when ctx ends.
	Pass(ctx context.Context) (eventstore.SessionID, error)
	// Refusal returns why the log may not be followed now; nil when it may, and
	// while that is being found out.
	Refusal() error
}

// pass waits for the gate; session 0 is any.
func (r *Runner) pass(ctx context.Context) (eventstore.SessionID, error) {
	if r.cfg.Gate == nil {
		return 0, nil
	}
	return r.cfg.Gate.Pass(ctx)
}

// refusal is the gate's.
func (r *Runner) refusal() error {
	if r.cfg.Gate == nil {
		return nil
	}
	return r.cfg.Gate.Refusal()
}

// Runner keeps a set of read models up to date. Each follows the log by
// itself, so that one that is slow, stopped or being rebuilt holds up no other.
type Runner struct {
	cfg       Config
	temporary bool // Dir is ours to remove
	order     []*Projection
	byName    map[string]*Projection
	furthest  atomic.Uint64        // greatest ledger number that the process has seen
	collector prometheus.Collector // nil without a Registerer

	mu    sync.Mutex
	ended chan struct{}  // closed when Run ends; nil while it does not run; guarded by mu
	work  sync.WaitGroup // rebuilds and verifications, which end with Run
}

// Open opens the files of the models, or makes them. Their rows can be read
// from then on, as they were left; Run brings them up to date.
func Open(ctx context.Context, cfg Config, models ...Model) (*Runner, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("projections: no ledger to follow")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Runner{cfg: cfg, byName: make(map[string]*Projection)}
	if err := r.makeDir(); err != nil {
		return nil, err
	}
	for _, m := range models {
		if err := r.add(ctx, m); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	if cfg.Registerer != nil {
		c := collector{r}
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, errors.Join(fmt.Errorf("registering the metrics of the read models: %w", err), r.Close())
		}
		r.collector = c
	}
	return r, nil
}

func (r *Runner) makeDir() error {
	if r.cfg.Dir == "" {
		dir, err := os.MkdirTemp("", "permitledger-projections-")
		if err != nil {
			return fmt.Errorf("making a folder for the read models: %w", err)
		}
		r.cfg.Dir, r.temporary = dir, true
		return nil
	}
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of the read models: %w", err)
	}
	return nil
}

func (r *Runner) add(ctx context.Context, m Model) error {
	name := m.Name()
	if r.byName[name] != nil {
		return fmt.Errorf("there are two read models named %q", name)
	}
	p, err := openProjection(ctx, r, m)
	if err != nil {
		return fmt.Errorf("opening read model %s: %w", name, err)
	}
	r.byName[name] = p
	r.order = append(r.order, p)
	return nil
}

// Hold keeps Run from following the log for any model but the named ones, until
// the function that it returns is called, once: a great many events are then
// folded in great batches, which costs a part of following them one by one. It
// is to be called before Run.
func (r *Runner) Hold(except ...string) (release func()) {
	released := make(chan struct{})
	for _, p := range r.order {
		if !slices.Contains(except, p.Name()) {
			p.held = released
		}
	}
	return func() { close(released) }
}

// Run follows the log until ctx ends, and returns nil then. What is wrong
// with a model is told by its status and not by Run: the others go on. After
// Run has returned it may be called again, and then a stopped model tries
// again the event that it stopped at.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.ended != nil {
		r.mu.Unlock()
		return errors.New("the read models are already being kept up to date")
	}
	ended := make(chan struct{})
	r.ended = ended
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		close(ended) // nothing new begins after this
		r.mu.Unlock()
		r.work.Wait()
		r.mu.Lock()
		r.ended = nil
		r.mu.Unlock()
	}()
	var wg sync.WaitGroup
	for _, p := range r.order {
		wg.Go(func() {
			if p.held != nil {
				select {
				case <-p.held:
				case <-ctx.Done():
					return
				}
			}
			p.follow(ctx)
		})
	}
	wg.Wait()
	return nil
}

// during begins a piece of work beside the following of the log. Its context
// ends with Run, which waits until done was called.
func (r *Runner) during(ctx context.Context) (_ context.Context, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		return nil, nil, ErrNotRunning
	}
	select {
	case <-r.ended:
		return nil, nil, ErrClosed
	default:
	}
	ended := r.ended
	ctx, cancel := context.WithCancelCause(ctx)
	r.work.Go(func() {
		select {
		case <-ended:
			cancel(ErrClosed)
		case <-ctx.Done():
		}
	})
	r.work.Add(1)
	return ctx, func() { cancel(nil); r.work.Done() }, nil
}

// Close closes the files. Run must have returned. Reads that are under way
// are let finish.
func (r *Runner) Close() error {
	if r.collector != nil {
		r.cfg.Registerer.Unregister(r.collector)
	}
	var errs []error
	for _, p := range r.order {
		errs = append(errs, p.close())
	}
	if r.temporary {
		errs = append(errs, os.RemoveAll(r.cfg.Dir))
	}
	return errors.Join(errs...)
}

// Projection gives the projection of a model by its name, or nil.
func (r *Runner) Projection(name string) *Projection { return r.byName[name] }

// Projections lists the projections in the order in which they were given.
func (r *Runner) Projections() []*Projection {
	return append([]*Projection(nil), r.order...)
}

// Ready reports whether every model has reached the head of the log as it was
// when the model began to follow it. A stopped model does not keep the others
// from being served: it counts as ready and is told by Degraded.
func (r *Runner) Ready() bool {
	for _, p := range r.order {
		if !p.ready() {
			return false
		}
	}
	return true
}

// Degraded lists the models that are stopped or in trouble.
func (r *Runner) Degraded() []string {
	var names []string
	for _, p := range r.order {
		if s := p.Status(); s.Error != nil || s.Trouble != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// Furthest is the greatest ledger number that any part of the process has seen.
func (r *Runner) Furthest() uint64 { return r.furthest.Load() }

// Saw tells of a ledger number that another part of the process has met, so
// that the lag of the models is measured against it.
func (r *Runner) Saw(ledger uint64) {
	for {
		n := r.furthest.Load()
		if ledger <= n || r.furthest.CompareAndSwap(n, ledger) {
			return
		}
	}
}

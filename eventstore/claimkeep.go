package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Claim is a claim on an event store that this process holds. It is safe for
// concurrent use.
type Claim struct {
	stream *serviceStream // its state is guarded by mu, its input and output belong to keep
	lost   chan struct{}  // closed when the claim is lost
	wanted chan struct{}  // has an element when a caller waits for a read
	stop   context.CancelFunc
	ended  chan struct{} // closed when keep has ended

	// Owned by keep.
	goneSince time.Time // when a read first did not show the claim; zero: it did
	late      SessionID // a later session was made long enough after that; 0: none yet

	mu      sync.Mutex
	err     error       // why nothing may be done any more; guarded by mu
	failed  error       // of the newest read; guarded by mu
	reading *confirming // the read under way; nil: none; guarded by mu
	next    *confirming // the read after that; guarded by mu
}

// confirming is one read that several callers wait for.
type confirming struct {
	done chan struct{}
	err  error // set before done is closed
}

func newConfirming() *confirming { return &confirming{done: make(chan struct{})} }

// Claim claims the event store for this process, and keeps the claim until
// Release. It waits for the answer of another process that has claimed it; a
// *ClaimedError says that this process refuses. From then on every append to a
// stream of the ledger waits until the claim is confirmed. It must be called
// before others append, and once.
func (s *Store) Claim(ctx context.Context, cfg ClaimConfig) (*Claim, error) {
	c := &Claim{stream: s.serviceStream(cfg), lost: make(chan struct{}), wanted: make(chan struct{}, 1), ended: make(chan struct{}), next: newConfirming()}
	if s.cfg.Registerer != nil {
		if err := s.cfg.Registerer.Register(claimGauge(c)); err != nil {
			return nil, fmt.Errorf("event store metrics: %w", err)
		}
	}
	began := time.Now()
	if err := c.stream.ask(ctx, true); err != nil {
		if c.stream.unsure {
			c.stream.giveBack()
		}
		return nil, err
	}
	s.logger.Info("event store claimed", "after", time.Since(began).Round(time.Millisecond))
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	s.AddGuard(c.guard)
	s.claim.Store(c)
	go c.keep(keeping)
	return c, nil
}

func claimGauge(c *Claim) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "permitledger", Name: "claim_held",
		Help: "1 while this service holds the claim on the event store and has confirmed it within 10 seconds, else 0.",
	}, func() float64 {
		if c.Because() != nil {
			return 0
		}
		return 1
	})
}

// confirm waits until the claim of this process is confirmed, where it has one.
func (s *Store) confirm(ctx context.Context) error {
	if c := s.claim.Load(); c != nil {
		return c.Confirm(ctx)
	}
	return nil
}

// Lost is closed when this process has lost the claim; Err says why.
func (c *Claim) Lost() <-chan struct{} { return c.lost }

// Err is why nothing may be done any more: a *ClaimedError, ErrClaimGone, or
// that the claim was released. It is nil while the claim is held.
func (c *Claim) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Held returns nil while the claim is confirmed on the session in use. It waits
// for nothing. Its error matches ErrUnavailable.
func (c *Claim) Held() error {
	on, _ := c.stream.store.Session()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, c.err)
	}
	if !c.stream.state.fresh(c.stream.clock(), on) {
		return fmt.Errorf("%w: the claim on the event store was not confirmed within %s", ErrUnavailable, c.stream.state.times.counts)
	}
	return nil
}

// Because is why commands wait or are refused, for operators; nil while the
// claim was confirmed within 10 seconds, on whatever session.
func (c *Claim) Because() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	now := c.stream.clock()
	if on := c.stream.state.session; on != 0 && c.stream.state.fresh(now, on) {
		return nil
	}
	text := fmt.Sprintf("the claim on the event store was last confirmed %s ago, and the service does nothing without it", now.since(c.stream.state.counted).Round(time.Second))
	if c.failed != nil {
		return fmt.Errorf("%s: %w", text, c.failed)
	}
	return errors.New(text)
}

// Confirm returns nil once the claim is confirmed on the session in use. Where
// it was not confirmed within 10 seconds all callers wait for one read
// together. Its error matches ErrUnavailable.
func (c *Claim) Confirm(ctx context.Context) error {
	for {
		on, _ := c.stream.store.Session()
		err := c.confirmOn(ctx, on)
		if !errors.Is(err, errSessionEnded) {
			return err
		}
	}
}

// guard lets an append be sent on a session. If that session has ended meanwhile,
// the append is tried again on the next one.
func (c *Claim) guard(ctx context.Context, on SessionID) error { return c.confirmOn(ctx, on) }

// confirmOn waits until the claim is confirmed on a session, or that is not the
// session in use any more.
func (c *Claim) confirmOn(ctx context.Context, on SessionID) error {
	for {
		read, err := c.waitFor(on)
		if err != nil || read == nil {
			return err
		}
		select {
		case <-read.done:
		case <-ctx.Done():
			return fmt.Errorf("%w: waiting for the claim on the event store to be confirmed: %w", ErrUnavailable, context.Cause(ctx))
		}
		if newest, _ := c.stream.store.Session(); newest != on {
			return errSessionEnded
		}
		switch {
		case read.err == nil:
		case errors.Is(read.err, ErrUnavailable):
			return fmt.Errorf("the claim on the event store cannot be confirmed: %w", read.err)
		default:
			return fmt.Errorf("%w: the claim on it cannot be confirmed: %w", ErrUnavailable, read.err)
		}
	}
}

// waitFor gives the read to wait for; nil where the claim is confirmed.
func (c *Claim) waitFor(on SessionID) (*confirming, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, c.err)
	case c.stream.state.fresh(c.stream.clock(), on):
		return nil, nil
	case c.reading != nil:
		return c.reading, nil
	}
	select {
	case c.wanted <- struct{}{}:
	default:
	}
	return c.next, nil
}

// keep reads the stream again and again until the claim is lost or released.
func (c *Claim) keep(ctx context.Context) {
	defer close(c.ended)
	defer c.refuseAll()
	tried, _ := c.stream.store.Session()
	for c.awaitTurn(ctx, tried) {
		tried, _ = c.stream.store.Session()
		c.mu.Lock()
		read := c.next
		c.reading, c.next = read, newConfirming()
		c.mu.Unlock()
		read.err = c.refresh(ctx)
		c.mu.Lock()
		c.reading, c.failed = nil, read.err
		lost := c.err != nil
		c.mu.Unlock()
		close(read.done)
		if lost {
			return
		}
	}
}

// awaitTurn waits until the stream must be read again: after 4 seconds, for
// callers that wait, and on each new session. It is false when ctx has ended.
func (c *Claim) awaitTurn(ctx context.Context, tried SessionID) bool {
	newest, renewed := c.stream.store.Session()
	if newest != tried {
		return ctx.Err() == nil
	}
	due := time.NewTimer(c.stream.state.times.every)
	defer due.Stop()
	select {
	case <-due.C:
	case <-renewed:
	case <-c.wanted:
	case <-ctx.Done():
		return false
	}
	return true
}

// refuseAll ends what callers wait for when no more reads come.
func (c *Claim) refuseAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = errClaimReleased
	}
	c.next.err = c.err
	close(c.next.done)
}

// refresh reads the stream, and refuses the processes that have asked.
func (c *Claim) refresh(ctx context.Context) error {
	refused, right := c.stream.store.refused, need{RightRead, ServiceStream}
	for second := false; ; {
		r, err := c.stream.read(ctx, c.stream.store.cfg.Wait)
		if errors.Is(err, ErrDenied) || errors.Is(err, ErrCredentials) {
			again, denied := refused.met(ctx, err, right, second)
			if second = true; again {
				continue // with the credentials that the file has now
			}
			return denied
		}
		if errors.Is(err, ErrClaimTombstoned) {
			c.end(fmt.Errorf("%w: %w", ErrClaimGone, err))
		}
		if err != nil {
			return err
		}
		refused.release(right)
		c.mu.Lock()
		step := c.stream.state.see(r.view, r.sent, c.stream.clock(), r.on)
		c.mu.Unlock()
		switch step {
		case stepHeld:
			return nil
		case stepTaken:
			return c.end(&ClaimedError{By: r.view.last.claim})
		case stepGone:
			return c.missed(r.on)
		}
		c.goneSince = time.Time{}
		revision, sent, on, err := c.stream.write(ctx, stepRefuse, r.view)
		if err == nil {
			c.mu.Lock()
			c.stream.state.wrote(stepRefuse, revision, sent, c.stream.clock(), on)
			c.mu.Unlock()
			c.stream.store.logger.Warn("another service asked for the event store and was refused")
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// missed is for a read that does not show the claim. One miss is no verdict,
// because a server that led once may have answered. The claim is not confirmed
// meanwhile, so nothing is done, and a session that is made late enough decides.
func (c *Claim) missed(on SessionID) error {
	c.mu.Lock()
	c.stream.state.session = 0 // an earlier read counts no more
	c.mu.Unlock()
	store := c.stream.store
	newest, _ := store.Session()
	switch now := time.Now(); {
	case c.goneSince.IsZero():
		c.goneSince, c.late = now, 0
	case c.late != 0 && on > c.late:
		return c.end(ErrClaimGone)
	case c.late == 0 && now.Sub(c.goneSince) >= c.stream.state.times.missed:
		c.late = newest
		store.Renew()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, ErrClaimGone)
}

// end notes why nothing may be done any more. The first reason stays.
func (c *Claim) end(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.lost)
	}
	return err
}

// Abandon stops the use of the claim and leaves it in the event store: another
// process waits for 25 seconds of silence, because writers may still be at work.
func (c *Claim) Abandon() {
	c.stop()
	<-c.ended
}

// Release gives the claim back, after the last writer, so that another process
// need not wait. It takes 2 seconds at most. That it fails is no error: then
// another process waits for 25 seconds of silence. A claim that is lost stays
// as it is.
func (c *Claim) Release() {
	c.Abandon()
	select {
	case <-c.lost:
	default:
		c.stream.giveBack()
	}
}

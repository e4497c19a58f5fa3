package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
)

// ServiceStream is where a service claims an event store, so that no second one
// writes beside it. It is outside the ledger's prefixes: its events have no
// ledger numbers and are not copied with a log.
//
// A newcomer appends Requested and waits. A living holder, which reads the
// stream every 4 seconds, appends Refused. After 25 seconds of silence the
// newcomer appends Claimed. A holder does nothing for which it has not read its
// own claim within 10 seconds. Every event is appended at the revision that its
// writer has seen last, so of two writers one loses and reads again. No clock is
// compared with another machine's.
const ServiceStream = "permitledger-service"

var (
	// ErrClaimed is matched by a *ClaimedError.
	ErrClaimed = errors.New("another service has claimed the event store")
	// ErrClaimGone is returned when the claim of this process is no longer in the
	// event store, as after a restore of the server from an older backup.
	ErrClaimGone = errors.New("the claim of this service is no longer in the event store")
	// ErrClaimTombstoned is returned for a server on which nobody can claim.
	ErrClaimTombstoned = errors.New("the stream " + ServiceStream + " was deleted for good (tombstoned), so no service can claim this event store: " +
		"copy the log to another one with permitledger node copy")
)

// errClaimReleased refuses requests after the end of a service.
var errClaimReleased = errors.New("this service has released its claim on the event store")

// ClaimedError names the process that has claimed the event store.
type ClaimedError struct {
	By ServiceClaim
	// Starting says that this process is a newcomer, and that the other one has
	// refused it. Otherwise the other one has claimed the store from this one.
	Starting bool
}

// Error names the other process and the next step.
func (e *ClaimedError) Error() string {
	if e.Starting {
		return fmt.Sprintf("%s and refuses a second one: %s. Stop that one; if it cannot be reached, take away its user's right to write ($w) and start again", ErrClaimed, e.By)
	}
	return fmt.Sprintf("%s: %s. This one takes no more commands and ends", ErrClaimed, e.By)
}

// Is matches ErrClaimed.
func (e *ClaimedError) Is(target error) bool { return target == ErrClaimed }

// String names the process for an operator.
func (c ServiceClaim) String() string {
	if c.Holder == "" {
		return "an unknown process"
	}
	return fmt.Sprintf("process %d on %s (version %s), since %s", c.PID, c.Host, c.Version, c.Since.UTC().Format(time.RFC3339))
}

// ClaimConfig describes the process that claims an event store.
type ClaimConfig struct {
	// Home names the lock that this process holds. A process with the same home
	// is dead once this one has the lock, so its claim is replaced at once.
	// Empty: no other process has the same.
	Home string
	// Version is the version of the program.
	Version string
	// Scale shortens the times of the protocol, for tests. It must be the same
	// for all processes. 0 is full length.
	Scale float64
	// Clock is the machine's clock; tests give another. Nil: the machine's.
	Clock func() Instant
}

// machineClock makes a clock whose monotonic part begins now.
func machineClock() func() Instant {
	began := time.Now()
	return func() Instant {
		now := time.Now()
		return Instant{Monotonic: now.Sub(began), Wall: now.Round(0)}
	}
}

// serviceStream reads and appends the events of the protocol for one process.
type serviceStream struct {
	store *Store
	clock func() Instant
	state claimant // of one goroutine, or guarded by the owner's lock
	gap   int64    // revision of the last event where a read shows none of them; -1: no such stream
	// unsure reports that the outcome of an append of Claimed is unknown.
	unsure bool
}

func (s *Store) serviceStream(cfg ClaimConfig) *serviceStream {
	if cfg.Clock == nil {
		cfg.Clock = machineClock()
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	me := ServiceClaim{Holder: uuid.NewString(), Home: cfg.Home, Host: host, PID: os.Getpid(), Version: cfg.Version, Since: cfg.Clock().Wall.UTC()}
	return &serviceStream{store: s, clock: cfg.Clock, state: newClaimant(me, claimTimesOf(cfg.Scale)), gap: -1}
}

// claimRead is what a read of the stream found, and when and where it was sent.
type claimRead struct {
	view claimView
	sent Instant
	on   SessionID
}

// read reads the stream at the leader, from its end back to the last claim. A
// broken connection is taken up again for as long as bound.
func (s *serviceStream) read(ctx context.Context, bound time.Duration) (claimRead, error) {
	var r claimRead
	note := func(_ context.Context, on SessionID) error {
		r.sent, r.on = s.clock(), on
		return nil
	}
	var last error
	view, err := backoff.Retry(ctx, func() (claimView, error) {
		var v claimView
		v, last = guardedCall(ctx, s.store.conn, []Guard{note}, s.store.cfg.Wait, s.store.cfg.TryTimeout, readClaims)
		if last != nil && (!transient(last) || errors.Is(last, errNotConnected)) && ctx.Err() == nil && !errors.Is(last, context.DeadlineExceeded) {
			return v, backoff.Permanent(last)
		}
		return v, last
	}, backoff.WithBackOff(s.store.pauses()), backoff.WithMaxElapsedTime(bound))
	switch {
	case err == nil:
		if view.revision < 0 {
			view.revision = s.gap
		}
		r.view = view
		return r, nil
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case errors.Is(last, ErrClosed):
		return r, ErrClosed
	}
	return r, claimReadError(last)
}

func claimReadError(err error) error {
	if e, ok := errors.AsType[*esdb.Error](err); ok && e.Code() == esdb.ErrorCodeStreamDeleted {
		return ErrClaimTombstoned
	}
	if denied := accessError(err, "read ($r) the stream "+ServiceStream); denied != nil {
		return fmt.Errorf("reading the claim on the event store: %w", denied)
	}
	return fmt.Errorf("reading the claim: %w: %v", ErrUnavailable, err)
}

func readClaims(ctx context.Context, c *esdb.Client) (claimView, error) {
	rs, err := c.ReadStream(ctx, ServiceStream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, math.MaxInt64)
	if err != nil {
		return claimView{}, err
	}
	var events []claimEvent
	err = receive(rs, func(r Recorded) bool {
		e := claimEvent{kind: r.Type, revision: int64(r.Revision)}
		_ = json.Unmarshal(r.Data, &e.claim) // an unreadable claim is one of an unknown process
		events = append(events, e)
		return e.kind != typeClaimed && e.kind != typeRefused
	})
	if err != nil {
		return claimView{}, err
	}
	slices.Reverse(events)
	return claimViewOf(events), nil
}

// write appends the event of a step behind the last event read. On a conflict the
// stream is read again.
func (s *serviceStream) write(ctx context.Context, step claimStep, seen claimView) (revision int64, sent Instant, on SessionID, err error) {
	kind, body := typeClaimed, any(s.state.me)
	switch step {
	case stepAsk:
		kind, body = typeRequested, s.state.me.only()
	case stepRefuse:
		kind = typeRefused
	case stepRelease:
		kind, body = typeReleased, s.state.me.only()
	}
	data, err := json.Marshal(body)
	if err != nil {
		return -1, sent, 0, err
	}
	first := true
	note := func(_ context.Context, session SessionID) error {
		on = session
		if first {
			sent, first = s.clock(), false
		}
		return nil
	}
	event := esdb.EventData{EventID: uuid.New(), EventType: kind, ContentType: esdb.ContentTypeJson, Data: data}
	done, err := s.store.append(ctx, ServiceStream, After(seen.revision), []esdb.EventData{event}, []Guard{note}, s.store.cfg.Wait)
	if conflict, ok := errors.AsType[*ConflictError](err); ok && seen.revision < 0 {
		s.gap = conflict.Actual // the stream may have events that no read shows
	}
	return int64(done.Revision), sent, on, err
}

// only is the body of a request and of a release.
func (c ServiceClaim) only() any {
	return struct {
		Holder string `json:"holder"`
	}{c.Holder}
}

// ask follows the protocol as a newcomer: until the store is claimed, or, where
// only the answer of a holder is wanted, until it could be.
func (s *serviceStream) ask(ctx context.Context, claims bool) error {
	waits := false
	for {
		r, err := s.read(ctx, s.store.cfg.Bound)
		if err != nil {
			return err
		}
		step := s.state.see(r.view, r.sent, s.clock(), r.on)
		switch step {
		case stepHeld:
			return nil
		case stepRefused:
			return &ClaimedError{By: r.view.last.claim, Starting: true}
		case stepTaken, stepGone:
			return fmt.Errorf("claiming the event store: %w", ErrClaimGone)
		case stepWait:
			if !waits {
				waits = true
				s.store.logger.Info("another service has claimed the event store; waiting for its answer", "by", r.view.last.claim.String(), "atMost", s.state.times.silence)
			}
			if !sleep(ctx, s.state.times.poll) {
				return context.Cause(ctx)
			}
			continue
		case stepClaim:
			if !claims {
				return nil
			}
		}
		if err := s.take(ctx, step, r.view); err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
		if s.state.own >= 0 {
			return nil
		}
	}
}

// take appends the event of a step and notes its acknowledgement.
func (s *serviceStream) take(ctx context.Context, step claimStep, seen claimView) error {
	revision, sent, on, err := s.write(ctx, step, seen)
	if err == nil {
		s.state.wrote(step, revision, sent, s.clock(), on)
	}
	s.unsure = s.unsure || step == stepClaim && err != nil && !errors.Is(err, ErrConflict)
	return err
}

// giveBack appends Released where the last claim is this process's.
func (s *serviceStream) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), s.state.times.release)
	defer cancel()
	for {
		r, err := s.read(ctx, s.state.times.release)
		if err == nil {
			if r.view.last.claim.Holder != s.state.me.Holder || r.view.released {
				return
			}
			_, _, _, err = s.write(ctx, stepRelease, r.view)
		}
		switch {
		case err == nil:
			return
		case !errors.Is(err, ErrConflict):
			s.store.logger.Info("the claim on the event store could not be released; a start on another machine waits for an answer", "reason", err)
			return
		}
	}
}

// AskHolder asks the service that has claimed the event store whether it lives,
// as a newcomer does, and claims nothing. A *ClaimedError says that it does. It
// writes nothing where no service has claimed the store.
func (s *Store) AskHolder(ctx context.Context, cfg ClaimConfig) error {
	return s.serviceStream(cfg).ask(ctx, false)
}

// ClaimHolder names the process that has claimed the event store, if one has,
// and waits for nothing. A claim whose process is unknown has no holder.
func (s *Store) ClaimHolder(ctx context.Context) (by ServiceClaim, held bool, err error) {
	r, err := s.serviceStream(ClaimConfig{}).read(ctx, s.cfg.Wait)
	if err != nil || r.view.free() {
		return ServiceClaim{}, false, err
	}
	return r.view.last.claim, true, nil
}

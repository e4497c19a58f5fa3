package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstProbe and longestProbe are the shortest and the longest pause between
	// two questions whether a right is given again. Each pause is twice the last.
	firstProbe, longestProbe = time.Second, time.Minute
	// streamKept is how long a refusal of one stream is kept that no request
	// has met again. Nothing but a request to that stream can try it.
	streamKept = 10 * time.Minute
)

// Refusal is a right that the server refuses at present.
type Refusal struct {
	Right Right
	// Stream is the only stream that is refused, by an access list of its own.
	// It is empty where the right is refused everywhere.
	Stream string
	Since  time.Time
	// Reason is the answer of the server. It holds no credentials.
	Reason error
}

// String names the right or the credentials, and since when.
func (r Refusal) String() string {
	since := r.Since.UTC().Format(time.RFC3339)
	if r.Right == RightCredentials {
		return fmt.Sprintf("the event store refuses the credentials since %s: %v", since, r.Reason)
	}
	return fmt.Sprintf("the event store refuses the right to %s since %s: %v", need{r.Right, r.Stream}.words(), since, r.Reason)
}

// refusedError is the error of a request that the server refused, or would
// refuse. It matches ErrRefused and ErrUnavailable beside its own kind.
type refusedError struct{ err error }

func (e *refusedError) Error() string        { return e.err.Error() }
func (e *refusedError) Unwrap() error        { return e.err }
func (e *refusedError) Is(target error) bool { return target == ErrRefused || target == ErrUnavailable }

// leftOpenError is the error of an append that was refused after a try without
// an answer. That try may have been written, so it does not match ErrDenied.
type leftOpenError struct{ refused error }

func (e *leftOpenError) Error() string {
	return fmt.Sprintf("append: %v: a try had no answer, and the next one was refused: %v", ErrUnavailable, e.refused)
}
func (e *leftOpenError) Is(target error) bool {
	return target == ErrRefused || target == ErrUnavailable
}

// refusals keeps what the server refuses to the user of a store. A request that
// needs a refused right gets its error at once, without a question to the server.
// One probe asks for all of them until they are given again.
//
// A refusal of one stream does not say whether the right is gone everywhere or
// only there, by an access list of that stream. The probe decides that as well.
type refusals struct {
	try     func(context.Context, Right) error // asks the server for a right
	reload  func()                             // takes the credentials from their file, if that has others
	counted func(Right)
	logger  *slog.Logger
	closed  <-chan struct{}
	turn    chan struct{} // holds one: a round of the probe is under way
	sooner  chan struct{} // holds one: the next round begins now
	some    atomic.Bool   // held is not empty

	mu      sync.Mutex
	held    map[need]*held
	changed chan struct{}   // closed and replaced with each change of held
	begun   int             // rounds
	last    map[Right]round // the newest of each right
	probing bool            // a goroutine asks again and again
}

// held is one refusal, guarded by refusals.mu.
type held struct {
	Refusal
	next  time.Time     // of one stream: from then on one request may ask
	pause time.Duration // of one stream: until the one after that
}

// round is one question to the server, and its answer.
type round struct {
	number int
	err    error
}

func newRefusals(s *Store) *refusals {
	return &refusals{
		try: s.tryRight, reload: s.reloadRefused, counted: s.metrics.refusal, logger: s.logger, closed: s.conn.closed,
		turn: make(chan struct{}, 1), sooner: make(chan struct{}, 1),
		held: map[need]*held{}, changed: make(chan struct{}), last: map[Right]round{},
	}
}

// stops reports whether a refusal stops a request. While anything is refused
// everywhere nothing is appended: read models could not follow.
func (h *held) stops(n need) bool {
	return h.Stream == "" && (h.Right == RightCredentials || h.Right == n.right || n.right == RightWrite)
}

// known returns the error that a request would get, and nil where it may be
// sent. Now and then it lets a request to a single refused stream through.
func (r *refusals) known(n need) error {
	if !r.some.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.stops(n) {
			return &refusedError{h.Reason}
		}
	}
	if h, ok := r.held[n]; ok && n.stream != "" {
		now := time.Now()
		if now.Before(h.next) {
			return &refusedError{h.Reason}
		}
		h.next = now.Add(h.pause)
	}
	return nil
}

// guard is known for appends, as a Guard.
func (r *refusals) guard(n need) Guard {
	return func(context.Context, SessionID) error { return r.known(n) }
}

// admit is known for a request that gets its error at once, and wait for one
// that goes on for ever.
func (r *refusals) admit(ctx context.Context, n need, atOnce bool) error {
	if atOnce {
		return r.known(n)
	}
	return r.wait(ctx, n)
}

// wait returns nil once a request that needs a right everywhere may be sent.
func (r *refusals) wait(ctx context.Context, n need) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if r.known(n) == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.closed:
			return ErrClosed
		}
	}
}

// during is a context that ends when a request that needs a right may not be
// sent any more.
func (r *refusals) during(ctx context.Context, n need) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			r.mu.Lock()
			changed := r.changed
			r.mu.Unlock()
			if r.known(n) != nil {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}()
	return ctx, cancel
}

// met is for the error of a request. A refusal by the server has the probe ask
// for the right, and waits for its answer. Again says that the right is given by
// now and that the request may be sent once more; second says that it was. The
// error is for the caller.
func (r *refusals) met(ctx context.Context, err error, n need, second bool) (again bool, _ error) {
	open, isOpen := errors.AsType[*leftOpenError](err)
	reason := err
	if isOpen {
		reason = open.refused
	}
	if errors.Is(err, ErrRefused) && !isOpen {
		return false, err // by known: nothing new
	}
	switch {
	case errors.Is(reason, ErrCredentials):
		n = need{right: RightCredentials}
	case !errors.Is(reason, ErrDenied):
		return false, err
	}
	r.counted(n.right)
	second = second || n.stream != "" && r.holds(n)
	answer := r.ask(ctx, n.right)
	switch {
	case answer == nil && !second && !isOpen:
		return true, err
	case answer == nil && n.stream != "":
		r.hold(n, reason)
	case answer == nil:
		return false, err
	case ctx.Err() != nil: // nobody waited for the answer
	case !errors.Is(answer, ErrDenied) && !errors.Is(answer, ErrCredentials):
		r.hold(need{right: n.right}, reason) // the server has said so, and nothing else since
	}
	if isOpen {
		return false, err
	}
	return false, &refusedError{err}
}

// holds reports whether a refusal is known already.
func (r *refusals) holds(n need) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, there := r.held[n]
	return there
}

// ask runs one round of the probe, or waits for one that began after the call.
func (r *refusals) ask(ctx context.Context, right Right) error {
	r.mu.Lock()
	seen := r.begun
	r.mu.Unlock()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.mu.Lock()
	if last := r.last[right]; last.number > seen {
		r.mu.Unlock()
		return last.err
	}
	r.begun++
	number := r.begun
	r.mu.Unlock()
	if right == RightCredentials {
		r.reload()
	}
	err := r.try(context.WithoutCancel(ctx), right) // others wait for it, too
	r.mu.Lock()
	r.last[right] = round{number, err}
	r.mu.Unlock()
	r.answered(right, err)
	return err
}

// answered keeps what the server has said about a right.
func (r *refusals) answered(right Right, err error) {
	switch {
	case errors.Is(err, ErrCredentials):
		r.counted(RightCredentials)
		r.hold(need{right: RightCredentials}, err)
	case errors.Is(err, ErrDenied):
		r.release(need{right: RightCredentials})
		if right == RightCredentials {
			right = RightReadAll // it was tried by reading $all
		}
		r.counted(right)
		r.hold(need{right: right}, err)
	case err == nil:
		r.release(need{right: RightCredentials})
		r.release(need{right: right})
	}
}

// hold keeps a refusal, and logs a new one. The probe asks until it is over.
func (r *refusals) hold(n need, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	h, there := r.held[n]
	if !there {
		h = &held{Refusal: Refusal{Right: n.right, Stream: n.stream, Since: now, Reason: reason}}
		r.held[n] = h
		r.notifyLocked()
		r.logger.Warn("event store refuses", n.logged("error", reason)...)
	}
	if n.stream != "" {
		h.pause = min(max(firstProbe, 2*h.pause), longestProbe)
		h.next = now.Add(h.pause)
		return
	}
	if !r.probing {
		r.probing = true
		go r.probe()
	}
}

// release forgets a refusal, if there is one.
func (r *refusals) release(n need) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, there := r.held[n]
	if !there {
		return
	}
	delete(r.held, n)
	r.notifyLocked()
	r.logger.Info("event store refuses no longer", n.logged("after", time.Since(h.Since).Round(time.Millisecond))...)
}

func (r *refusals) notifyLocked() {
	r.some.Store(len(r.held) > 0)
	close(r.changed)
	r.changed = make(chan struct{})
}

// probe asks for everything that is refused everywhere, until it is given.
func (r *refusals) probe() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for pause := firstProbe; ; pause = min(2*pause, longestProbe) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-r.sooner:
			pause = firstProbe / 2
		case <-r.closed:
			timer.Stop()
			return
		}
		timer.Stop()
		for _, f := range r.list() {
			if f.Stream == "" {
				_ = r.ask(ctx, f.Right) // it is kept
			}
		}
		if r.over() {
			return
		}
	}
}

// over ends the probe where nothing is left to ask for.
func (r *refusals) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.held {
		if n.stream == "" {
			return false
		}
	}
	r.probing = false
	return true
}

// hurry begins the next round now.
func (r *refusals) hurry() { signal(r.sooner) }

// list gives all refusals, those of everything before those of one stream. It
// drops those of streams to which nothing was sent for long.
func (r *refusals) list() []Refusal {
	if !r.some.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Refusal
	for n, h := range r.held {
		if n.stream != "" && time.Since(h.next) > streamKept {
			delete(r.held, n)
			r.notifyLocked()
			continue
		}
		all = append(all, h.Refusal)
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Since.Compare(b.Since))
	})
	return all
}

// Refused lists what the server refuses at present: first what it refuses
// everywhere, then single streams. It asks nobody.
func (s *Store) Refused() []Refusal { return s.refused.list() }

package known

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"permitledger/eventstore"
)

// LookAgain is how much later than the first miss a session has to be made, so
// that a second miss on it is a verdict.
const LookAgain = 30 * time.Second

const (
	// patience is how long an append or a command waits for a verdict.
	patience = 3 * time.Second
	// pause is between two looks of which the first could not be finished.
	pause = time.Second
)

// Config is what a Watch works with.
type Config struct {
	Store *eventstore.Store
	// Places lists the newest known places. It is called before each look, by one
	// goroutine at a time.
	Places func() []*eventstore.Place
	// Compare finds the lost events once the event at a place is missing.
	Compare func(context.Context, eventstore.Place) (*SetBackError, error)
	// Alone says that the log is kept by this process alone: no server that led
	// once can answer, so one miss is a verdict.
	Alone bool
	// LookAgain is LookAgain, scaled for tests.
	LookAgain time.Duration
	Logger    *slog.Logger
}

// Watch looks for the known places after each new session and reaches one
// verdict for all. It is safe for concurrent use. Run must be running for any other
// method to return.
type Watch struct {
	Config
	recheck chan struct{} // nudges Run to look again on the same session; never blocks

	mu      sync.Mutex
	wanted  uint64 // looks that were asked for
	now     finding
	taken   *SetBackError // whose loss was accepted; nil: none
	trouble trouble
	changed chan struct{} // closed and replaced when now changes

	// Owned by Run.
	missed time.Time            // when the event was first missed; zero: it was not
	late   eventstore.SessionID // a later one was made long enough after that
	due    bool                 // late is set
}

// trouble is why the last look could not be finished.
type trouble struct {
	looks uint64 // of those asked for that it answers
	err   error  // nil: it was finished
}

// finding is the newest verdict.
type finding struct {
	session eventstore.SessionID // that it is for; 0: there is none yet
	looks   uint64               // of those asked for that it answers
	err     error                // nil: the log has what is known
}

// NewWatch makes a watch that knows nothing yet.
func NewWatch(c Config) *Watch {
	if c.LookAgain <= 0 {
		c.LookAgain = LookAgain
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watch{Config: c, recheck: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Run looks after every new session, until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		session, renewed := w.Store.Session()
		decided := session == 0
		if !decided {
			var err error
			if decided, err = w.settle(ctx, session); err != nil && ctx.Err() == nil {
				w.failed(err)
			}
		}
		var again <-chan time.Time
		switch {
		case !decided:
			again = time.After(pause)
		case !w.missed.IsZero() && !w.due && !w.Alone:
			again = time.After(time.Until(w.missed.Add(w.LookAgain)))
		}
		select {
		case <-renewed:
		case <-w.recheck:
		case <-again:
			if decided {
				w.late, _ = w.Store.Session()
				w.due = true
				w.Store.Renew()
			}
		case <-ctx.Done():
		}
	}
	return nil
}

// failed notes why a look could not be finished, and logs it once.
func (w *Watch) failed(err error) {
	w.mu.Lock()
	before := w.trouble.err
	w.trouble = trouble{w.wanted, err}
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	if !errors.Is(err, eventstore.ErrUnavailable) && (before == nil || before.Error() != err.Error()) {
		w.Logger.Warn("the search for the newest known event failed", "error", err)
	}
}

// settle looks on a session. It is false when there is no verdict: the look
// could not be finished, or the session was replaced.
func (w *Watch) settle(ctx context.Context, session eventstore.SessionID) (bool, error) {
	w.mu.Lock()
	asked := w.wanted
	w.mu.Unlock()
	v, err := look(ctx, w.Store, w.Places())
	if now, _ := w.Store.Session(); now != session {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var found error
	switch v.worst {
	case eventstore.Missing:
		if w.missed.IsZero() {
			w.missed = time.Now()
		}
		again := &MissingError{Known: v.place, Again: w.missed.Add(w.LookAgain)}
		found = again
		if w.Alone || w.due && session > w.late {
			w.hold(session, v.place, again)
			found, err = w.compare(ctx, v.place)
		}
	case eventstore.Rewritten:
		w.hold(session, v.place, ErrUndecided)
		found, err = w.compare(ctx, v.place)
	default:
		w.missed, w.due = time.Time{}, false
	}
	if err != nil {
		return false, err
	}
	w.conclude(session, asked, v.place, found)
	return true, nil
}

// hold has nothing taken while the log and what is known are compared. A log that
// is known to be set back stays so.
func (w *Watch) hold(session eventstore.SessionID, p eventstore.Place, why error) {
	if w.SetBack() == nil {
		w.conclude(session, 0, p, why)
	}
}

// Accept accepts the log as it is from now on, because an admin has accepted the
// loss. Once the log says so itself, it is known after the next start too.
func (w *Watch) Accept(lost *SetBackError) {
	w.mu.Lock()
	w.taken = lost
	session := w.now.session
	w.mu.Unlock()
	w.conclude(session, 0, lost.Known, nil)
}

// covers reports whether an event is among those that are lost.
func (e *SetBackError) covers(p eventstore.Place) bool {
	return e != nil && (p.ID == e.Known.ID || e.Agreed < p.Ledger && p.Ledger <= e.Known.Ledger)
}

func (w *Watch) compare(ctx context.Context, p eventstore.Place) (error, error) {
	lost, err := w.Compare(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("the log lacks it, and could not be compared with what is known: %w", err)
	}
	return lost, nil
}

// conclude notes a verdict and logs it once. A loss that an admin has accepted
// meanwhile no longer counts.
func (w *Watch) conclude(session eventstore.SessionID, looks uint64, p eventstore.Place, found error) {
	w.mu.Lock()
	before := w.now
	w.trouble = trouble{}
	if w.taken.covers(p) {
		found = nil
	}
	w.now = finding{session: session, looks: max(looks, before.looks), err: found}
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	switch was, is := before.err, found; {
	case is != nil && (was == nil || was.Error() != is.Error()):
		level := slog.LevelWarn
		if _, lost := errors.AsType[*SetBackError](is); lost {
			level = slog.LevelError
		}
		w.Logger.Log(context.Background(), level, "the log is not known to be whole", "error", is)
	case is == nil && was != nil:
		w.Logger.Info("the newest known event was found in the log")
	}
}

func (w *Watch) finding() (finding, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// Check looks again and waits for the verdict: nil, or a *SetBackError. Where an
// event was missed once, it waits for the second look. Any other error says why
// a look could not be finished. It is for the start, and for callers with reason
// to doubt that the log is whole.
func (w *Watch) Check(ctx context.Context) error {
	w.mu.Lock()
	w.wanted++
	wanted := w.wanted
	w.mu.Unlock()
	select {
	case w.recheck <- struct{}{}:
	default:
	}
	for {
		now, changed := w.finding()
		w.mu.Lock()
		stuck := w.trouble
		w.mu.Unlock()
		if stuck.err != nil && stuck.looks >= wanted {
			return fmt.Errorf("look for the newest event known: %w", stuck.err)
		}
		_, missing := errors.AsType[*MissingError](now.err)
		if now.looks >= wanted && !missing && !errors.Is(now.err, ErrUndecided) {
			return now.err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Guard is an eventstore.Guard: it refuses an append on a session on which the
// log is not known to be whole, and waits a little for a verdict.
func (w *Watch) Guard(ctx context.Context, on eventstore.SessionID) error {
	var enough <-chan time.Time
	for {
		now, changed := w.finding()
		switch {
		case now.err != nil:
			return now.err
		case now.session == on:
			return nil
		case now.session > on:
			return eventstore.ErrReplaced
		}
		if enough == nil { // most appends wait for nothing
			enough = time.After(patience)
		}
		select {
		case <-changed:
		case <-enough:
			return ErrUndecided
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Ready returns nil when the log is known to be whole on the newest session. It
// waits a little for a verdict. An event store that is away is no error here.
func (w *Watch) Ready(ctx context.Context) error {
	for {
		session, _ := w.Store.Session()
		if err := w.Guard(ctx, session); !errors.Is(err, eventstore.ErrReplaced) {
			return err
		}
	}
}

// Pass is part of projections.Gate.
func (w *Watch) Pass(ctx context.Context) (eventstore.SessionID, error) {
	for {
		now, changed := w.finding()
		session, renewed := w.Store.Session()
		if now.err == nil && now.session != 0 && now.session == session {
			return session, nil
		}
		select {
		case <-changed:
		case <-renewed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// Refusal is part of projections.Gate: why the log may not be followed now.
func (w *Watch) Refusal() error {
	now, _ := w.finding()
	return now.err
}

// Because is why commands wait or are refused, for operators; nil while the log
// is known to be whole. A store that is away is reported elsewhere.
func (w *Watch) Because() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.err == nil && w.trouble.err != nil && !errors.Is(w.trouble.err, eventstore.ErrUnavailable) {
		return fmt.Errorf("the newest event that this folder has seen could not be looked for: %w", w.trouble.err)
	}
	return w.now.err
}

// SetBack returns the verdict when the log was set back, else nil.
func (w *Watch) SetBack() *SetBackError {
	lost, _ := errors.AsType[*SetBackError](w.Refusal())
	return lost
}

// During returns a context that ends with ctx, and when the session that Pass
// returned is no longer the newest.
func (w *Watch) During(ctx context.Context, on eventstore.SessionID) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	session, renewed := w.Store.Session()
	if session != on {
		cancel()
	}
	go func() {
		select {
		case <-renewed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

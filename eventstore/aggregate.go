package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"permitledger/domain"
)

// Aggregate says how the events of a stream fold into a state. It is declared
// once for each kind of stream.
type Aggregate[S any, E domain.Event] struct {
	// New makes the state of a stream without events; nil means the zero S.
	New func() S
	// Evolve is pure, and so is whatever folds or shows events: what an event
	// refers to is shared by all who read its stream. It gets the envelope
	// because a state may need the recorded instant, the revision or the
	// command of an event. Of the events that the present command is about to
	// add, only the position is missing.
	Evolve func(S, E, Envelope) S
}

// Loaded is a stream folded to some event.
type Loaded[S any] struct {
	State      S
	Revision   int64 // of the last event folded; -1: none
	Position   Position
	RecordedAt time.Time // of the last event folded; zero: none
}

// Ledger is the log as the commands see it: streams of decoded events.
// It is safe for concurrent use.
type Ledger struct {
	store     *Store
	codec     *Codec
	turns     turns
	histories histories
	copy      Copy // nil: there is none
}

// NewLedger puts the codec over the store.
func NewLedger(store *Store, codec *Codec) *Ledger {
	return &Ledger{store: store, codec: codec}
}

// Store is the log as it is stored.
func (l *Ledger) Store() *Store { return l.store }

// Codec is how stored events are read and written.
func (l *Ledger) Codec() *Codec { return l.codec }

// History is all events of a stream, oldest first; none if there is no such
// stream. The slice is the caller's own, but what the events refer to is not
// and must not be changed. Under a context of AllowCopy, the copy answers where
// the log cannot.
func (l *Ledger) History(ctx context.Context, stream string) ([]Event, error) {
	events, err := l.events(ctx, stream)
	return slices.Clone(events), err
}

// events is History, for nobody to change.
func (l *Ledger) events(ctx context.Context, stream string) ([]Event, error) {
	use := copyUse(ctx)
	if _, used := use.Used(); used && l.copy != nil {
		return l.fromCopy(ctx, stream, use) // and no more waiting, and one source for all
	}
	past, err := l.past(ctx, stream)
	if use != nil && l.copy != nil && errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		return l.fromCopy(ctx, stream, use)
	}
	return past.events, err
}

// past is the stream as it is now, and for nobody to change. What is remembered
// of it is not read again but for its last event: a stream only grows, so as
// long as that one is in its place, all before it are in theirs. After
// anything else, be it another log or a stream that somebody deleted, all is
// read.
func (l *Ledger) past(ctx context.Context, stream string) (history, error) {
	erasures := l.codec.erasures()
	known, remembered := l.histories.get(stream, erasures)
	if !remembered {
		known = history{read: time.Now(), erasures: erasures}
	}
	h, same, err := l.goOn(ctx, stream, known)
	if err == nil && !same {
		h, _, err = l.goOn(ctx, stream, history{read: time.Now(), erasures: erasures})
	}
	if err != nil {
		return history{}, err
	}
	l.histories.put(stream, h)
	return h, nil
}

// goOn reads what a stream has after what is known of it. It is not the same
// stream when the last known event is not where it was.
func (l *Ledger) goOn(ctx context.Context, stream string, known history) (h history, same bool, err error) {
	h = known
	last, remembered := known.last()
	same = !remembered
	for r, err := range l.store.Read(ctx, stream, last.Revision) {
		if err != nil {
			return history{}, false, err
		}
		if !same {
			if !known.endsWith(r) {
				return history{}, false, nil
			}
			same = true
			continue
		}
		e, err := l.codec.Decode(r)
		if err != nil {
			return history{}, false, err
		}
		h.events = append(h.events, e)
		h.add(r.Data, r.Metadata)
	}
	h.events = slices.Clip(h.events)
	return h, same, nil
}

// Load folds a whole stream.
func Load[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E]) (Loaded[S], error) {
	events, err := l.events(ctx, stream)
	if err != nil {
		return Loaded[S]{}, err
	}
	return Fold(a, events)
}

// LoadUntil folds the events of a stream that come before the first one for
// which cut is true: the state as it was then.
func LoadUntil[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E], cut func(Envelope) bool) (Loaded[S], error) {
	events, err := l.events(ctx, stream)
	if err != nil {
		return Loaded[S]{}, err
	}
	for i, e := range events {
		if cut(e.Envelope) {
			events = events[:i]
			break
		}
	}
	return Fold(a, events)
}

// Fold folds a stream's events from its beginning.
func Fold[S any, E domain.Event](a Aggregate[S, E], events []Event) (Loaded[S], error) {
	none := Loaded[S]{Revision: -1}
	if a.New != nil {
		none.State = a.New()
	}
	return advance(a, none, events)
}

// advance folds further events onto what was loaded.
func advance[S any, E domain.Event](a Aggregate[S, E], at Loaded[S], events []Event) (Loaded[S], error) {
	for _, e := range events {
		body, ok := e.Body.(E)
		if !ok {
			return Loaded[S]{}, fmt.Errorf("%w: a %s does not belong into stream %s", ErrMalformed, e.Type, e.Stream)
		}
		at.State = a.Evolve(at.State, body, e.Envelope)
		at.Revision, at.Position, at.RecordedAt = int64(e.Revision), e.Position, e.RecordedAt
	}
	return at, nil
}

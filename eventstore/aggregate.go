package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permitledger/domain"
)

// Aggregate says how the events of a stream fold into a state. It is declared
// once for each kind of stream.
type Aggregate[S any, E domain.Event] struct {
	// New makes the state of a stream without events; nil means the zero S.
	New func() S
	// Evolve is pure. It gets the envelope because a state may need the
	// recorded instant, the revision or the command of an event. Of the events
	// that the present command is about to add, only the position is missing.
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
	store *Store
	codec *Codec
	turns turns
	copy  Copy // nil: there is none
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
// stream. Under a context of AllowCopy, the copy answers where the log cannot.
func (l *Ledger) History(ctx context.Context, stream string) ([]Event, error) {
	use := copyUse(ctx)
	if l.copy == nil || use == nil {
		return l.fromLog(ctx, stream)
	}
	if _, used := use.Used(); used {
		return l.fromCopy(ctx, stream, use) // and no more waiting, and one source for all
	}
	events, err := l.fromLog(ctx, stream)
	if errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		return l.fromCopy(ctx, stream, use)
	}
	return events, err
}

func (l *Ledger) fromLog(ctx context.Context, stream string) ([]Event, error) {
	var events []Event
	for r, err := range l.store.Read(ctx, stream, 0) {
		if err != nil {
			return nil, err
		}
		e, err := l.codec.Decode(r)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// Load folds a whole stream.
func Load[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E]) (Loaded[S], error) {
	events, err := l.History(ctx, stream)
	if err != nil {
		return Loaded[S]{}, err
	}
	return Fold(a, events)
}

// LoadUntil folds the events of a stream that come before the first one for
// which cut is true: the state as it was then.
func LoadUntil[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E], cut func(Envelope) bool) (Loaded[S], error) {
	events, err := l.History(ctx, stream)
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

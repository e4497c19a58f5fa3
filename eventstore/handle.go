package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"permitledger/domain"
)

// Command is what every command carries beside its rule.
type Command struct {
	// ID is the same when the command is sent again. It must not be empty.
	ID domain.CommandID
	// BodyHash tells a repeated command from another one under the same id.
	BodyHash string
	Actor    domain.Actor
	// Now is the instant of the command. What is recorded is never earlier
	// than the last instant of the stream.
	Now time.Time
	// Person is whose key seals the personal parts of the events.
	Person domain.AccountID
	// Correlation names the whole of which the command is a part; when empty
	// it is the command's own id.
	Correlation string
	// Causation is the id of the event that caused the command, if one did.
	Causation string
	// Versions are the published rules that were applied.
	Versions domain.Versions
	// VersionsOf, when set, is asked for each event in place of Versions, for
	// when only the decision knows which rules it applied.
	VersionsOf func(domain.Event) domain.Versions
	// IfRevision, when set, is the revision that the sender has seen.
	IfRevision *uint64
	// MustExist refuses with ErrNoStream where there is no event yet.
	MustExist bool
	// Again has the command decided also when its events are in the stream
	// already: for a decision that looks for them itself, because what it did
	// before may have worn off. What it then adds gets ids of its own.
	Again bool
}

// Outcome is what a command led to.
type Outcome[S any] struct {
	// State is folded to the command's last event, or to the stream's last
	// when the command had nothing to add.
	State      S
	Revision   int64     // of that event; -1: no such stream
	Position   Position  // of that event
	RecordedAt time.Time // of that event
	// Repeated says that this command was done before, and that this is its
	// first answer again.
	Repeated bool
	// Events are the command's own. Where they were appended just now only the
	// last one's position is known.
	Events []Event
}

// Handle runs a command against a stream: it loads and folds the stream, lets
// decide say what happens, and appends that on the condition that the stream
// has not moved. If it has, everything is done again.
//
// A command whose id is already in the stream is not decided again: it gets
// its first answer, whatever happened since. That is looked up before the
// sender's revision, so that a repeated command does not fail on its own
// effect. A refusal by decide leaves no trace, and its error is returned as
// it is; decide may be called several times and must be pure.
func Handle[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E], cmd Command, decide func(S, time.Time) ([]E, error)) (Outcome[S], error) {
	if cmd.ID == "" || cmd.Now.IsZero() {
		return Outcome[S]{}, errors.New("a command needs an id and an instant")
	}
	done, err := l.turns.take(ctx, stream+"\n"+string(cmd.ID))
	if err != nil {
		return Outcome[S]{}, err
	}
	defer done()
	once := func() (out Outcome[S], err error) {
		past, err := l.past(ctx, stream) // nothing is decided on a copy
		if err != nil {
			return out, err
		}
		out, done, err := repeated(a, past.events, cmd)
		if err != nil || done && !cmd.Again {
			return out, err
		}
		now, err := Fold(a, past.events)
		if err != nil {
			return out, err
		}
		if err := cmd.permits(now.Revision); err != nil {
			return out, err
		}
		at := cmd.instant(now.RecordedAt)
		bodies, err := decide(now.State, at)
		if err != nil || len(bodies) == 0 {
			return outcome(now, nil), err
		}
		if err := l.store.confirm(ctx); err != nil { // before a key is made
			return out, err
		}
		events, batch, err := propose(l.codec, stream, now.Revision, len(out.Events), cmd, at, bodies)
		if err != nil {
			return out, err
		}
		written, err := l.store.Append(ctx, stream, After(now.Revision), batch)
		if err != nil {
			return out, err
		}
		events[len(events)-1].Position = written.Position
		if len(events) == 1 { // of more, only the last one's position is known
			l.histories.put(stream, past.with(events[0], batch[0].Data, batch[0].Metadata))
		}
		now, err = advance(a, now, events)
		return outcome(now, events), err
	}
	out, err := untilSettled(ctx, l.store, once)
	if err == nil {
		err = l.store.confirm(ctx) // also where nothing had to be appended
	}
	return out, err
}

// untilSettled repeats what lost a race, with jitter so that the losers do not
// meet again, and within the store's bound.
func untilSettled[T any](ctx context.Context, s *Store, once func() (T, error)) (T, error) {
	out, err := backoff.Retry(ctx, func() (T, error) {
		out, err := once()
		if err != nil && !errors.Is(err, ErrConflict) {
			err = backoff.Permanent(err)
		}
		return out, err
	}, backoff.WithBackOff(s.pauses()), backoff.WithMaxElapsedTime(s.cfg.Bound))
	if errors.Is(err, ErrConflict) {
		err = fmt.Errorf("%w: others kept changing the stream: %w", ErrUnavailable, err)
	}
	return out, err
}

// repeated answers a command that the stream already has.
func repeated[S any, E domain.Event](a Aggregate[S, E], past []Event, cmd Command) (Outcome[S], bool, error) {
	var own []Event
	end := 0
	for i, e := range past {
		if e.Command != cmd.ID {
			continue
		}
		if e.BodyHash != cmd.BodyHash {
			return Outcome[S]{}, false, ErrKeyReused
		}
		own = append(own, e)
		end = i + 1
	}
	if own == nil {
		return Outcome[S]{}, false, nil
	}
	then, err := Fold(a, past[:end])
	out := outcome(then, own)
	out.Repeated = true
	return out, true, err
}

func outcome[S any](at Loaded[S], own []Event) Outcome[S] {
	return Outcome[S]{State: at.State, Revision: at.Revision, Position: at.Position, RecordedAt: at.RecordedAt, Events: own}
}

// permits checks what the command asks of the stream before any rule.
func (c Command) permits(revision int64) error {
	if c.MustExist && revision < 0 {
		return ErrNoStream
	}
	if c.IfRevision != nil && int64(*c.IfRevision) != revision {
		return &RevisionError{Actual: revision}
	}
	return nil
}

// instant is when the command counts as decided: not before the stream's last
// event, even if the clocks of two servers differ.
func (c Command) instant(last time.Time) time.Time {
	now := recordable(c.Now)
	if now.Before(last) {
		return last
	}
	return now
}

// propose makes the batch for what was decided. Each event is read back from
// its stored form, so that nothing is appended that could not be read again,
// and what is folded now is what will be folded later.
func propose[E domain.Event](c *Codec, stream string, revision int64, earlier int, cmd Command, at time.Time, bodies []E) ([]Event, []Proposed, error) {
	events := make([]Event, len(bodies))
	batch := make([]Proposed, len(bodies))
	for i, body := range bodies {
		env := cmd.envelope(stream, at, earlier+i)
		if cmd.VersionsOf != nil {
			env.Versions = cmd.VersionsOf(body)
		}
		p, err := c.Encode(env, cmd.Person, body)
		if err != nil {
			return nil, nil, err
		}
		batch[i] = p
		events[i], err = c.Decode(Recorded{
			ID: p.ID, Stream: stream, Revision: uint64(revision + 1 + int64(i)),
			Type: p.Type, Data: p.Data, Metadata: p.Metadata,
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return events, batch, nil
}

// envelope describes the n-th event of the command.
func (c Command) envelope(stream string, at time.Time, n int) Envelope {
	env := Envelope{
		ID:          eventID(stream, c.ID, n),
		Stream:      stream,
		Actor:       c.Actor,
		RecordedAt:  at,
		Command:     c.ID,
		BodyHash:    c.BodyHash,
		Correlation: c.Correlation,
		Causation:   c.Causation,
		Versions:    c.Versions,
	}
	if env.Correlation == "" {
		env.Correlation = string(c.ID)
	}
	return env
}

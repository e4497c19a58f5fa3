package eventstore

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Handler receives a subscription. Its methods are called by one goroutine,
// one after the other; an error of any of them ends the subscription.
type Handler interface {
	// Event is called for each event of the ledger, in the order of the log,
	// each once.
	Event(Recorded) error
	// CaughtUp is called each time the end of the log has been reached: once
	// after the start and again after each interruption.
	CaughtUp() error
	// Progress says that nothing of the ledger that was not handed over lies
	// up to a position. It is for showing that one is not behind. It must not
	// be stored to resume from: a later event may carry the same position.
	Progress(Position) error
}

// searchWindow is how many events of others the server passes over before it
// tells how far it has come.
const searchWindow = 512

// message is one message of a subscription: an event, or a position that was
// reached, or neither when it has caught up.
type message struct {
	event    *Recorded
	progress Position
}

// Subscribe follows the ledger's events from strictly after a position, for
// ever. It reconnects by itself and goes on after the last event that was
// handed over, so that none is missing and none comes twice. It returns only
// when ctx ends, when the store is closed, with an error of the handler, with
// ErrDamaged when the server cannot read what comes next, or with an error that
// matches ErrDenied or ErrCredentials when it does not let this user.
func (s *Store) Subscribe(ctx context.Context, after Position, h Handler) error {
	return s.SubscribeOn(ctx, 0, after, h)
}

// SubscribeOn is Subscribe for as long as one session is the newest: then it
// returns ErrReplaced. Session 0 is any.
func (s *Store) SubscribeOn(ctx context.Context, on SessionID, after Position, h Handler) error {
	last := after
	open := func(ctx context.Context, c *esdb.Client, emit func(message) bool) error {
		sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
			From:               clientPosition(last), // without it the client starts at the end
			MaxSearchWindow:    searchWindow,
			CheckpointInterval: 1,
			Filter:             &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: LedgerPrefixes()},
		})
		if err != nil {
			return err
		}
		defer func() { _ = sub.Close() }()
		return follow(sub, emit)
	}
	w := subscribed
	w.on = on
	return takeUpBy(ctx, s, forEver, w, open, func(m message) error {
		switch {
		case m.event != nil:
			if m.event.Position <= last {
				return nil
			}
			if err := h.Event(*m.event); err != nil {
				return err
			}
			last = m.event.Position
			return nil
		case m.progress != 0:
			return h.Progress(m.progress)
		}
		return h.CaughtUp()
	})
}

// errDropped ends a subscription for which the client gave no reason.
var errDropped = errors.New("the subscription was dropped")

// follow hands on what a subscription brings until it is dropped.
func follow(sub *esdb.Subscription, emit func(message) bool) error {
	for {
		got := sub.Recv()
		var m message
		switch {
		case got.SubscriptionDropped != nil:
			if got.SubscriptionDropped.Error != nil {
				return got.SubscriptionDropped.Error
			}
			return errDropped
		case got.EventAppeared != nil:
			if got.EventAppeared.Event == nil {
				continue
			}
			r := recorded(got.EventAppeared.Event)
			m.event = &r
		case got.CheckPointReached != nil:
			m.progress = Position(got.CheckPointReached.Commit)
		case got.CaughtUp == nil:
			continue
		}
		if !emit(m) {
			return nil
		}
	}
}

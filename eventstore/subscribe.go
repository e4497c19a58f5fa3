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
	// Progress reports that every ledger event up to this position has been
	// delivered. It shows that the log answers, and says nothing about its end:
	// only CaughtUp does. While a server reads what is stored, its position is
	// where a page began: it may be 0, and less than that of an event delivered
	// before. Do not store it to resume from: a later event may carry it too.
	Progress(Position) error
}

// searchWindow is how many events of others the server passes over before it
// tells how far it has come.
const searchWindow = 512

// message is one message of a subscription. Only its kind says which: each
// value of the other fields may occur, also 0.
type message struct {
	kind  messageKind
	event *Recorded // of an event
	upTo  Position  // of progress
}

// messageKind is a kind of message. The zero value is none.
type messageKind uint8

const (
	kindConfirmed messageKind = iota + 1 // the server has taken the subscription
	kindEvent
	kindCaughtUp
	kindProgress
)

// isConfirmation reports whether a message of a stream only says that the
// server has taken a subscription. It may drop it the moment after.
func isConfirmation(v any) bool {
	m, ok := v.(message)
	return ok && m.kind == kindConfirmed
}

// Subscribe follows the ledger's events from strictly after a position, for
// ever. It reconnects by itself and goes on after the last event that was
// handed over, so that none is missing and none comes twice. It returns only
// when ctx ends, when the store is closed, with an error of the handler, or with
// ErrDamaged when the server cannot read what comes next. While the server
// refuses the right to read $all, or the credentials, it waits.
func (s *Store) Subscribe(ctx context.Context, after Position, h Handler) error {
	return s.SubscribeOn(ctx, 0, after, h)
}

// SubscribeOn is Subscribe for as long as one session is the newest: then it
// returns ErrReplaced. Session 0 is any.
func (s *Store) SubscribeOn(ctx context.Context, on SessionID, after Position, h Handler) error {
	return s.follow(ctx, on, after, LedgerPrefixes(), h)
}

// follow is SubscribeOn for streams with other prefixes.
func (s *Store) follow(ctx context.Context, on SessionID, after Position, prefixes []string, h Handler) error {
	last := after
	open := func(ctx context.Context, c *esdb.Client, emit func(message) bool) error {
		sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
			From:               clientPosition(last), // without it the client starts at the end
			MaxSearchWindow:    searchWindow,
			CheckpointInterval: 1,
			Filter:             &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: prefixes},
		})
		if err != nil {
			return err
		}
		defer func() { _ = sub.Close() }()
		if !emit(message{kind: kindConfirmed}) {
			return nil
		}
		return deliverAll(sub, emit)
	}
	w := s.subscribed()
	w.on = on
	return takeUpBy(ctx, s, need{right: RightReadAll}, forEver, w, open, func(m message) error {
		switch m.kind {
		case kindEvent:
			if m.event.Position <= last {
				return nil
			}
			if err := h.Event(*m.event); err != nil {
				return err
			}
			last = m.event.Position
		case kindCaughtUp:
			return h.CaughtUp()
		case kindProgress:
			return h.Progress(m.upTo)
		}
		return nil
	})
}

// errDropped ends a subscription for which the client gave no reason.
var errDropped = errors.New("the subscription was dropped")

// deliverAll hands on what a subscription brings until it is dropped.
func deliverAll(sub *esdb.Subscription, emit func(message) bool) error {
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
			m = message{kind: kindEvent, event: &r}
		case got.CheckPointReached != nil:
			m = message{kind: kindProgress, upTo: Position(got.CheckPointReached.Commit)}
		case got.CaughtUp != nil:
			m = message{kind: kindCaughtUp}
		default:
			continue
		}
		if !emit(m) {
			return nil
		}
	}
}

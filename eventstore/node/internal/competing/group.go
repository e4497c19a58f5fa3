// Package competing decides for one persistent subscription which of its
// consumers gets which event, what becomes of those that are not acknowledged,
// and how far the group has come.
//
// It is a state machine and nothing else: it has no goroutine, no clock and no
// store, and it knows events only by where they are. Whoever owns a Group
// tells it what happened and when, and afterwards carries out the effects that
// Take hands over. It is not safe for concurrent use.
//
// Begin reading here, then dispatch.go and pinned.go for who gets an event,
// answer.go for what consumers say about it, progress.go for checkpoints and
// replay.go for events that were parked.
package competing

import (
	"time"

	"github.com/google/uuid"
)

// Place is where an event stands in what a group reads: a revision of a
// stream, or a position of $all.
type Place int64

// Nowhere is the place before the first event.
const Nowhere Place = -1

// Strategy is how a group chooses the consumer of an event.
type Strategy int

const (
	// RoundRobin gives events to each consumer in turn.
	RoundRobin Strategy = iota
	// Single gives all events to one consumer as long as it has room.
	Single
	// Pinned gives all events with one Pin to the same consumer. While that has
	// no room its events wait, and those of others pass them.
	Pinned
)

// Settings are the rules of one group.
type Settings struct {
	Strategy Strategy
	// Timings has the group note how long consumers take to answer.
	Timings bool
	// Timeout is how long an event may stay unanswered. With 0 it is retried
	// at each tick, as the original server does.
	Timeout time.Duration
	// MaxRetries is how often an event is retried before it is parked.
	MaxRetries int
	// MinCheckpoint is how many events must have passed for a checkpoint that
	// is due by time.
	MinCheckpoint uint64
	// MaxCheckpoint is after how many events a checkpoint is due at once.
	MaxCheckpoint uint64
	// CheckpointAfter is the time between checkpoints. 0 means that only the
	// count matters.
	CheckpointAfter time.Duration
	// MaxConsumers bounds the consumers. 0 means that nothing does.
	MaxConsumers int
	// Buffer bounds how many events wait in memory.
	Buffer int
	// Batch is how many events are read at once; there must be more room than
	// that for reading to go on.
	Batch int
}

// Event is something that the group's owner read.
type Event struct {
	Place    Place
	Position uint64 // in the log
	ID       uuid.UUID
	Wanted   bool   // false for what a filter keeps from consumers
	Pin      uint32 // with the strategy Pinned: a hash of what binds events to one consumer
}

// Message is an event on its way to being settled: acknowledged, parked or
// skipped.
type Message struct {
	Event
	// Replayed tells that the event is a link in the stream of parked events.
	Replayed bool
	// Retries is how often it was given out in vain.
	Retries int

	number uint64 // counts the events read; the place, for replayed ones
	before Place  // what was read just before it
	index  int    // in the heap of unsettled messages
	holder *consumer
	since  time.Time // when the holder was given it
	until  time.Time // when the holder's time is up
	twin   *Message  // given out after it, under the same id
}

// Group is the state of one persistent subscription.
type Group struct {
	settings Settings
	effects  []Effect

	consumers []*consumer // in the order of their turns
	pins      []pin       // nil for other strategies than Pinned
	holding   holding

	fresh    []*Message // read and never given out, in order
	retry    []*Message // to be given out again, by place
	replayed []*Message // parked once, to be given out again
	progress progress
	replay   replay
	total    uint64 // messages given out
}

// New is a group that has come to a place. Events from there on are given to
// Read in order.
func New(settings Settings, at Place) *Group {
	g := &Group{settings: settings, holding: newHolding(), progress: progress{examined: at}}
	if settings.Strategy == Pinned {
		g.pins = make([]pin, pinCount)
	}
	return g
}

// Room is how many events the group takes now. It is 0 until there is room for
// more than a batch, so that little is not read often.
func (g *Group) Room() int {
	room := g.settings.Buffer - len(g.fresh) - len(g.retry) - len(g.replayed)
	if room <= g.settings.Batch {
		return 0
	}
	return room
}

// Read takes over events that were read in order, and that nothing else is to
// be found up to the place through.
func (g *Group) Read(now time.Time, events []Event, through Place) {
	for _, e := range events {
		g.progress.number++
		if e.Wanted {
			m := &Message{Event: e, number: g.progress.number, before: g.progress.examined}
			g.fresh = append(g.fresh, m)
			g.progress.unsettled.add(m)
		}
		g.progress.examined = e.Place
	}
	g.progress.examined = max(g.progress.examined, through)
	g.push(now)
}

// Tick is to be called about once a second: it takes events away from those
// who have had them for too long.
func (g *Group) Tick(now time.Time) {
	var late []*Message
	for m := range g.holding.all() {
		if !m.until.After(now) {
			late = append(late, m)
		}
	}
	inOrder(late)
	for _, m := range late {
		g.release(now, m)
		g.again(m)
	}
	g.push(now)
}

// Effect is something that the group's owner is to do: one of Deliver,
// Withdraw and Park.
type Effect interface{ effect() }

// Deliver hands an event to a consumer.
type Deliver struct {
	To       ConsumerID
	Position uint64
	Retries  int
	Replayed bool
}

// Withdraw takes an event back that the consumer may not have been sent yet.
type Withdraw struct {
	From     ConsumerID
	Position uint64
}

// Park has an event written to the stream of parked events. The group waits
// for Parked or NotParked.
type Park struct {
	Message *Message
	Reason  string
}

func (Deliver) effect()  {}
func (Withdraw) effect() {}
func (Park) effect()     {}

// Take hands over the effects since it was last called. Among those of one
// call every Withdraw comes before the first Deliver.
func (g *Group) Take() []Effect {
	effects := g.effects
	g.effects = nil
	return effects
}

func (g *Group) emit(e Effect) { g.effects = append(g.effects, e) }

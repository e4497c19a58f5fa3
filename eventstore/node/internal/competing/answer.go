package competing

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Action is what a consumer wants done with events that it could not process.
type Action int

// The actions of the protocol, but for those that mean the same as one of
// these.
const (
	// Retry has an event given out again, or parked if that was done often
	// enough.
	Retry Action = iota
	// ParkIt has it set aside.
	ParkIt
	// Skip has it taken for processed.
	Skip
)

// Ack settles events. Anybody may answer for an event that somebody holds; an
// id that nobody holds is passed over, as the answer may be late.
func (g *Group) Ack(now time.Time, who ConsumerID, ids []uuid.UUID) {
	for _, id := range ids {
		if m := g.answered(now, who, id); m != nil {
			g.settle(m)
		}
	}
	g.push(now)
}

// Nack deals with events that a consumer could not process.
func (g *Group) Nack(now time.Time, who ConsumerID, ids []uuid.UUID, action Action, reason string) {
	for _, id := range ids {
		m := g.answered(now, who, id)
		if m == nil {
			continue
		}
		switch action {
		case Retry:
			g.again(m)
		case ParkIt:
			g.emit(Park{Message: m, Reason: "Client explicitly NAK'ed message.\n" + reason})
		case Skip:
			g.settle(m)
		}
	}
	g.push(now)
}

// answered takes an event from its consumer. If several events have the same id,
// the answer means the first one that was sent, and first of all one that was
// sent to the answering consumer: the protocol cannot say which. Each of them
// must be answered.
func (g *Group) answered(now time.Time, who ConsumerID, id uuid.UUID) *Message {
	m := g.holding.find(id, who)
	switch {
	case m == nil:
	case m.holder.id == who:
		g.forget(now, m)
	default:
		g.release(now, m)
	}
	return m
}

// again has an event given out once more, or parked.
func (g *Group) again(m *Message) {
	if m.Retries >= g.settings.MaxRetries {
		g.emit(Park{Message: m, Reason: fmt.Sprintf("Reached retry count of %d", g.settings.MaxRetries)})
		return
	}
	m.Retries++
	g.requeue(m)
}

// Parked settles events that have been written to the stream of parked events,
// which now ends before the revision end.
func (g *Group) Parked(now time.Time, messages []*Message, end uint64) {
	for _, m := range messages {
		g.settle(m)
	}
	g.replay.end = max(g.replay.end, end)
	g.push(now)
}

// NotParked has events given out again that could not be parked.
func (g *Group) NotParked(now time.Time, messages []*Message) {
	for _, m := range messages {
		g.requeue(m)
	}
	g.push(now)
}

func (g *Group) settle(m *Message) {
	if m.Replayed {
		g.replay.unsettled.remove(m)
		return
	}
	g.progress.unsettled.remove(m)
}

// compare orders messages as they were read.
func compare(a, b *Message) int { return cmp.Compare(a.number, b.number) }

// inOrder sorts messages as they were read, the replayed ones last.
func inOrder(messages []*Message) {
	slices.SortFunc(messages, func(a, b *Message) int {
		if a.Replayed != b.Replayed {
			if a.Replayed {
				return 1
			}
			return -1
		}
		return compare(a, b)
	})
}

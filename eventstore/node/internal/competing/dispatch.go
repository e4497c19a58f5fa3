package competing

import (
	"slices"
	"time"
)

// ConsumerID names a connection for as long as it lasts.
type ConsumerID uint64

type consumer struct {
	id      ConsumerID
	slots   int // events it may hold
	held    int
	total   uint64
	pins    int     // that are assigned to it
	timings timings // of its last answers
}

// Join lets a consumer in that may hold so many events at once. False means
// that the group is full.
func (g *Group) Join(now time.Time, id ConsumerID, slots int) bool {
	if limit := g.settings.MaxConsumers; limit > 0 && len(g.consumers) >= limit {
		return false
	}
	c := &consumer{id: id, slots: slots}
	g.consumers = append(g.consumers, c)
	g.sharePins(c)
	g.push(now)
	return true
}

// Leave gives what a consumer held to the others. Going away is no judgement
// on the events, so that none is parked for it.
func (g *Group) Leave(now time.Time, id ConsumerID) {
	at := slices.IndexFunc(g.consumers, func(c *consumer) bool { return c.id == id })
	if at < 0 {
		return
	}
	gone := g.consumers[at]
	g.consumers = slices.Delete(g.consumers, at, at+1)
	g.freePins(gone)
	var held []*Message
	for m := range g.holding.all() {
		if m.holder == gone {
			held = append(held, m)
		}
	}
	inOrder(held)
	for _, m := range held {
		g.forget(now, m)
		m.Retries++
		g.requeue(m)
	}
	g.push(now)
}

// push gives out what waits while somebody has room: what was given out before
// first.
func (g *Group) push(now time.Time) {
	room := 0
	for _, c := range g.consumers {
		room += c.slots - c.held
	}
	for _, queue := range []*[]*Message{&g.retry, &g.replayed, &g.fresh} {
		*queue = g.pushFrom(now, *queue, &room)
	}
}

// pushFrom gives out what waits in one queue and returns the rest, in order.
func (g *Group) pushFrom(now time.Time, queue []*Message, room *int) []*Message {
	var passed []*Message // their consumer is full
	at := 0
	for ; at < len(queue) && *room > 0; at++ {
		m := queue[at]
		c := g.choose(m)
		if c == nil {
			passed = append(passed, m)
			continue
		}
		g.deliver(now, m, c)
		*room--
	}
	rest := queue[at-len(passed):]
	copy(rest, passed)
	clear(queue[:at-len(passed)])
	return rest
}

func (g *Group) deliver(now time.Time, m *Message, c *consumer) {
	c.held++
	c.total++
	g.total++
	m.holder, m.since, m.until = c, now, now.Add(g.settings.Timeout)
	g.holding.add(m)
	g.emit(Deliver{To: c.id, Position: m.Position, Retries: m.Retries, Replayed: m.Replayed})
}

// choose finds the consumer of an event. Somebody has room; nil if the one that
// the event is pinned to has none.
func (g *Group) choose(m *Message) *consumer {
	if g.settings.Strategy == Pinned {
		return g.pinned(m)
	}
	return g.turn()
}

// turn finds whose turn it is; nil if nobody has room.
func (g *Group) turn() *consumer {
	for range g.consumers {
		c := g.consumers[0]
		free := c.held < c.slots
		if free && g.settings.Strategy == Single {
			return c
		}
		copy(g.consumers, g.consumers[1:])
		g.consumers[len(g.consumers)-1] = c
		if free {
			return c
		}
	}
	return nil
}

// release takes an event away from its holder, who may not have been sent it.
func (g *Group) release(now time.Time, m *Message) {
	g.emit(Withdraw{From: m.holder.id, Position: m.Position})
	g.forget(now, m)
}

// forget notes that nobody holds an event any more.
func (g *Group) forget(now time.Time, m *Message) {
	m.holder.held--
	if g.settings.Timings {
		m.holder.timings.add(now.Sub(m.since))
	}
	m.holder = nil
	g.holding.remove(m)
}

// requeue puts an event where it waits to be given out again: by its place,
// and the replayed ones after all others.
func (g *Group) requeue(m *Message) {
	if m.Replayed {
		g.replayed = append(g.replayed, m)
		return
	}
	at, _ := slices.BinarySearchFunc(g.retry, m, compare)
	g.retry = slices.Insert(g.retry, at, m)
}

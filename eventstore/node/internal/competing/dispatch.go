package competing

import (
	"slices"
	"time"
)

// ConsumerID names a connection for as long as it lasts.
type ConsumerID uint64

type consumer struct {
	id    ConsumerID
	slots int // events it may hold
	held  int
	total uint64
}

// Join lets a consumer in that may hold so many events at once. False means
// that the group is full.
func (g *Group) Join(now time.Time, id ConsumerID, slots int) bool {
	if limit := g.settings.MaxConsumers; limit > 0 && len(g.consumers) >= limit {
		return false
	}
	g.consumers = append(g.consumers, &consumer{id: id, slots: slots})
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
	var held []*Message
	for _, m := range g.holding {
		if m.holder == gone {
			held = append(held, m)
		}
	}
	inOrder(held)
	for _, m := range held {
		delete(g.holding, m.ID)
		m.holder = nil
		m.Retries++
		g.requeue(m)
	}
	g.push(now)
}

// push gives out what waits while somebody has room: what was given out before
// first. Two events with one id are never out at the same time, as an answer
// could not say which of them it means.
func (g *Group) push(now time.Time) {
	for _, queue := range []*[]*Message{&g.retry, &g.replayed, &g.fresh} {
		for len(*queue) > 0 {
			m := (*queue)[0]
			if g.holding[m.ID] != nil {
				return
			}
			c := g.turn()
			if c == nil {
				return
			}
			(*queue)[0] = nil
			*queue = (*queue)[1:]
			g.deliver(now, m, c)
		}
	}
}

func (g *Group) deliver(now time.Time, m *Message, c *consumer) {
	c.held++
	c.total++
	g.total++
	m.holder, m.until = c, now.Add(g.settings.Timeout)
	g.holding[m.ID] = m
	g.emit(Deliver{To: c.id, ID: m.ID, Position: m.Position, Retries: m.Retries, Replayed: m.Replayed})
}

// turn finds whose turn it is; nil if nobody has room.
func (g *Group) turn() *consumer {
	for range g.consumers {
		c := g.consumers[0]
		free := c.held < c.slots
		if free && g.settings.Single {
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
func (g *Group) release(m *Message) {
	g.emit(Withdraw{From: m.holder.id, ID: m.ID})
	g.forget(m)
}

// forget notes that nobody holds an event any more.
func (g *Group) forget(m *Message) {
	m.holder.held--
	m.holder = nil
	delete(g.holding, m.ID)
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

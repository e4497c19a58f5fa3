package competing

import (
	"container/heap"
	"time"
)

// progress is how far a group has come.
type progress struct {
	examined  Place  // all up to here was read
	number    uint64 // events read
	unsettled unsettled
	saved     uint64    // number at the last checkpoint
	savedAt   time.Time // when that was
}

// done is the place up to which all is settled, and its number.
func (p *progress) done() (Place, uint64) {
	if len(p.unsettled) > 0 {
		first := p.unsettled[0]
		return first.before, first.number - 1
	}
	return p.examined, p.number
}

// Checkpoint tells the place to write down, once one is due. With tick it may
// be due by time, too.
func (g *Group) Checkpoint(now time.Time, tick bool) (Place, bool) {
	p := &g.progress
	place, number := p.done()
	if place == Nowhere || number <= p.saved {
		return Nowhere, false
	}
	passed := number - p.saved
	timely := tick && g.settings.CheckpointAfter > 0 && now.Sub(p.savedAt) >= g.settings.CheckpointAfter
	if passed < g.settings.MaxCheckpoint && (!timely || passed < g.settings.MinCheckpoint) {
		return Nowhere, false
	}
	p.saved, p.savedAt = number, now
	return place, true
}

// unsettled is a heap of messages, the one read first on top. It holds what
// keeps the group from having come further, and nothing behind that once it is
// settled: one stuck event must not make the group remember all after it.
type unsettled []*Message

func (u unsettled) Len() int           { return len(u) }
func (u unsettled) Less(i, j int) bool { return u[i].number < u[j].number }

func (u unsettled) Swap(i, j int) {
	u[i], u[j] = u[j], u[i]
	u[i].index, u[j].index = i, j
}

// Push is for container/heap.
func (u *unsettled) Push(x any) {
	m := x.(*Message)
	m.index = len(*u)
	*u = append(*u, m)
}

// Pop is for container/heap.
func (u *unsettled) Pop() any {
	last := len(*u) - 1
	m := (*u)[last]
	(*u)[last] = nil
	*u = (*u)[:last]
	return m
}

func (u *unsettled) add(m *Message)    { heap.Push(u, m) }
func (u *unsettled) remove(m *Message) { heap.Remove(u, m.index) }

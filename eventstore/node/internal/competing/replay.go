package competing

import (
	"slices"
	"time"
)

// replay is the state of the stream of parked events: what of it is there, and
// what of that is being given out again.
type replay struct {
	first     uint64 // lowest revision not truncated
	end       uint64 // the next revision to be written
	next      uint64 // the next revision to be given out again
	stop      uint64 // where that ends
	unsettled unsettled
}

// FoundParked tells what the stream of parked events holds, once it was looked
// up.
func (g *Group) FoundParked(first, end uint64) {
	r := &g.replay
	r.first, r.end = max(r.first, min(first, end)), max(r.end, end)
	r.next = max(r.next, r.first)
}

// Replay has the parked events before a revision given out again. What is
// being replayed already stays so.
func (g *Group) Replay(stop uint64) {
	g.replay.stop = max(g.replay.stop, min(stop, g.replay.end))
}

// WantsParked tells from which revision how many parked events are to be read
// and handed to Unpark.
func (g *Group) WantsParked() (from uint64, count int) {
	r, batch := &g.replay, max(g.settings.Batch, 1) // of a buffer for one event it is 0
	if r.next >= r.stop || len(g.replayed) >= batch {
		return 0, 0
	}
	return r.next, int(min(r.stop-r.next, uint64(batch)))
}

// Unpark takes over parked events before the revision next. They stay parked,
// as far as anyone else can see, until they are settled.
func (g *Group) Unpark(now time.Time, events []Event, next uint64) {
	for _, e := range events {
		m := &Message{Event: e, Replayed: true, number: uint64(e.Place)}
		g.replay.unsettled.add(m)
		g.replayed = append(g.replayed, m)
	}
	g.replay.next = next
	g.push(now)
}

// Truncate tells before which revision the stream of parked events is to be
// truncated, as all of that is settled: when a replay is through, and on the
// way there only at a tick.
func (g *Group) Truncate(tick bool) (before uint64, due bool) {
	r := &g.replay
	before = r.next
	if len(r.unsettled) > 0 {
		before = uint64(r.unsettled[0].Place)
	}
	if before <= r.first || !tick && (len(r.unsettled) > 0 || r.next < r.stop) {
		return 0, false
	}
	r.first = before
	return before, true
}

// Stats is what can be told about a group.
type Stats struct {
	Fresh, Retrying, Holding int
	Total                    uint64
	Parked                   uint64
	Replaying                bool
	Consumers                []ConsumerStats
}

// ConsumerStats is what can be told about a consumer.
type ConsumerStats struct {
	ID          ConsumerID
	Slots, Held int
	Total       uint64
	Timings     []time.Duration // of the last answers, in no order
}

// Stats tells about the group as it is now. What is being replayed no longer
// counts as parked.
func (g *Group) Stats() Stats {
	s := Stats{
		Fresh: len(g.fresh), Retrying: len(g.retry) + len(g.replayed), Holding: g.holding.count,
		Total: g.total, Parked: g.replay.end - g.replay.next,
		Replaying: g.replay.next < g.replay.stop,
	}
	for _, c := range g.consumers {
		s.Consumers = append(s.Consumers, ConsumerStats{ID: c.id, Slots: c.slots, Held: c.held, Total: c.total, Timings: slices.Clone(c.timings.last)})
	}
	return s
}

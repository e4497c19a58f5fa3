package competing

import (
	"cmp"
	"slices"
)

// pinCount is how many sets all streams, or correlation ids, are divided into.
// Each set goes to one consumer as a whole.
const pinCount = 1024

// pin is one set of streams, or correlation ids.
type pin struct{ owner *consumer } // nil for none yet

// pinned returns the consumer of an event if that has room. A set that nobody
// has goes to the consumer with the fewest.
func (g *Group) pinned(m *Message) *consumer {
	p := &g.pins[m.Pin%pinCount]
	if p.owner == nil {
		g.assign(p, slices.MinFunc(g.consumers, func(a, b *consumer) int {
			return cmp.Or(cmp.Compare(a.pins, b.pins), cmp.Compare(a.id, b.id))
		}))
	}
	if p.owner.held >= p.owner.slots {
		return nil
	}
	return p.owner
}

func (g *Group) assign(p *pin, c *consumer) {
	if p.owner != nil {
		p.owner.pins--
	}
	p.owner = c
	c.pins++
}

// freePins takes its sets from a consumer that left.
func (g *Group) freePins(gone *consumer) {
	for i := range g.pins {
		if g.pins[i].owner == gone {
			g.pins[i].owner = nil
		}
	}
}

// sharePins gives a new consumer its share of the sets: from each one that has
// more than its own share, and first the sets of which nothing is held.
func (g *Group) sharePins(fresh *consumer) {
	if g.pins == nil {
		return
	}
	held := make([]int, pinCount)
	for m := range g.holding.all() {
		held[m.Pin%pinCount]++
	}
	assigned := 0
	owned := make(map[*consumer][]int)
	for i, p := range g.pins {
		if p.owner != nil {
			assigned++
			owned[p.owner] = append(owned[p.owner], i)
		}
	}
	share := (assigned + len(g.consumers) - 1) / len(g.consumers)
	for owner, sets := range owned {
		slices.SortStableFunc(sets, func(a, b int) int { return cmp.Compare(held[a], held[b]) })
		for _, i := range sets[:max(0, owner.pins-share)] {
			g.assign(&g.pins[i], fresh)
		}
	}
}

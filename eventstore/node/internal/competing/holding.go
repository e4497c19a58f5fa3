package competing

import (
	"iter"
	"time"

	"github.com/google/uuid"
)

// holding is the events that consumers hold, by id. Events with one id are
// chained in the order in which they were given out.
type holding struct {
	first map[uuid.UUID]*Message
	count int
}

func newHolding() holding { return holding{first: make(map[uuid.UUID]*Message)} }

func (h *holding) add(m *Message) {
	h.count++
	last := h.first[m.ID]
	if last == nil {
		h.first[m.ID] = m
		return
	}
	for last.twin != nil {
		last = last.twin
	}
	last.twin = m
}

func (h *holding) remove(m *Message) {
	h.count--
	if before := h.first[m.ID]; before != m {
		for before.twin != m {
			before = before.twin
		}
		before.twin = m.twin
	} else if m.twin != nil {
		h.first[m.ID] = m.twin
	} else {
		delete(h.first, m.ID)
	}
	m.twin = nil
}

// find returns the event with an id that a consumer was given first, or the one
// that anybody was given first; nil if nobody holds any.
func (h *holding) find(id uuid.UUID, who ConsumerID) *Message {
	for m := h.first[id]; m != nil; m = m.twin {
		if m.holder.id == who {
			return m
		}
	}
	return h.first[id]
}

// all yields the events in no order.
func (h *holding) all() iter.Seq[*Message] {
	return func(yield func(*Message) bool) {
		for _, m := range h.first {
			for ; m != nil; m = m.twin {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// timingsKept is how many answers of a consumer the timings are of.
const timingsKept = 1000

// timings is how long a consumer took for its last answers.
type timings struct {
	last []time.Duration
	next int // where the next one goes, once the ring is full
}

func (t *timings) add(took time.Duration) {
	if len(t.last) < timingsKept {
		t.last = append(t.last, took)
		return
	}
	t.last[t.next] = took
	t.next = (t.next + 1) % timingsKept
}

package node

import "github.com/google/uuid"

// recentIDs remembers where lately written events went, so that a batch sent
// twice without an expected revision is recognised. It is bounded, and empty
// after a start: who must be sure names a revision.
type recentIDs struct {
	budget     int // bytes for each of the two generations
	used       int
	young, old map[recentKey]stored
}

type recentKey struct {
	id     uuid.UUID
	stream string
}

const (
	recentBudget   = 8 << 20
	recentOverhead = 16 + 16 + 16 + 16 // id, string header, value, map slot
)

func newRecentIDs(budget int) *recentIDs {
	return &recentIDs{budget: budget / 2, young: make(map[recentKey]stored)}
}

func (r *recentIDs) get(stream string, id uuid.UUID) (stored, bool) {
	key := recentKey{id, stream}
	if at, ok := r.young[key]; ok {
		return at, true
	}
	at, ok := r.old[key]
	return at, ok
}

// put notes where an event went, unless an earlier place of it in its stream is
// known: a repeat is answered by the first.
func (r *recentIDs) put(stream string, id uuid.UUID, at stored) {
	key := recentKey{id, stream}
	if _, known := r.young[key]; known {
		return
	}
	if first, known := r.old[key]; known {
		at = first
	}
	r.young[key] = at
	r.used += recentOverhead + len(stream)
	if r.used > r.budget {
		r.old, r.young, r.used = r.young, make(map[recentKey]stored), 0
	}
}

package eventstore

import (
	"bytes"
	"slices"
	"sync"
	"time"
	"unsafe"
)

const (
	// historiesBudget is roughly how many bytes of decoded events a ledger
	// remembers at most.
	historiesBudget = 32 << 20
	// historyAge is how long a stream is remembered before it is read from its
	// beginning again.
	historyAge = 10 * time.Second
)

// history is a stream's events from its beginning, decoded.
type history struct {
	events   []Event // others have them too: never changed, and without room for more
	bytes    int     // roughly
	read     time.Time
	erasures uint64 // that the keys knew of before the first was opened

	data, metadata []byte // of the last event, as stored
}

// with is the history with one more event, which is stored in these bytes.
func (h history) with(e Event, data, metadata []byte) history {
	h.events = slices.Clip(append(h.events, e))
	h.add(data, metadata)
	return h
}

// add counts an event that is the last from now on.
func (h *history) add(data, metadata []byte) {
	h.data, h.metadata = data, metadata
	h.bytes += len(data) + len(metadata) + int(unsafe.Sizeof(Event{})) // roughly what it takes decoded
}

// endsWith reports whether an event of a server is the history's last one.
func (h history) endsWith(r Recorded) bool {
	last, _ := h.last()
	return r.ID == last.ID && r.Revision == last.Revision && r.Position == last.Position &&
		bytes.Equal(r.Data, h.data) && bytes.Equal(r.Metadata, h.metadata)
}

// last is the history's last event; false when it has none.
func (h history) last() (Event, bool) {
	if len(h.events) == 0 {
		return Event{}, false
	}
	return h.events[len(h.events)-1], true
}

// histories remembers the streams that were read last, for one command reads
// the same few streams again and again. What is remembered is good only
// together with an answer of the server: that the last event of it is still
// where it was, byte for byte. Until then nothing is known, and if it is not
// there the stream is read from its beginning. (An event of one's own may be
// there with other content: to an id that it has, a server says that the event
// was written.) See Ledger.past.
//
// It is bounded, in two generations of which the older one is let go, and in
// time, so that a stream of which somebody cut off the beginning is seen so.
// Once any key was destroyed all is forgotten, because it may have in it what
// was opened with that key.
type histories struct {
	mu         sync.Mutex
	erasures   uint64 // of all that is remembered; guarded by mu
	young, old map[string]history
	used       int // bytes of young
}

// get finds what is remembered of a stream, if the keys still know of as many
// erasures.
func (h *histories) get(stream string, erasures uint64) (history, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(erasures)
	found, ok := h.young[stream]
	if !ok {
		found, ok = h.old[stream]
	}
	if !ok || found.erasures != erasures || time.Since(found.read) > historyAge {
		return history{}, false
	}
	return found, true
}

// put remembers a stream, unless a key was destroyed since it was read or it
// would take the place of too many others.
func (h *histories) put(stream string, found history) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(found.erasures)
	if found.erasures != h.erasures || len(found.events) == 0 || found.bytes > historiesBudget/8 {
		return
	}
	h.used += found.bytes - h.young[stream].bytes
	if h.young == nil {
		h.young = make(map[string]history)
	}
	h.young[stream] = found
	if h.used > historiesBudget/2 {
		h.old, h.young, h.used = h.young, nil, 0
	}
}

// forget lets go of everything from before the latest erasure.
func (h *histories) forget(erasures uint64) {
	if erasures > h.erasures {
		h.erasures, h.young, h.old, h.used = erasures, nil, nil, 0
	}
}

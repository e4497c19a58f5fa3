package eventstore

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// However many streams are read, what is remembered of them has a bound, and
// those read last are in it.
func TestWhatIsRememberedHasABound(t *testing.T) {
	var h histories
	const each = historiesBudget / 64
	one := history{events: make([]Event, 1), bytes: each, read: time.Now()}
	for n := range 1000 {
		h.put(strconv.Itoa(n), one)
		h.put("often", one) // counts once
		held := 0
		for _, generation := range []map[string]history{h.young, h.old} {
			for _, found := range generation {
				held += found.bytes
			}
		}
		if held > historiesBudget+2*each {
			t.Fatalf("after %d streams %d bytes are remembered", n+1, held)
		}
		for _, stream := range []string{strconv.Itoa(n), strconv.Itoa(max(0, n-16)), "often"} {
			if _, ok := h.get(stream, 0); !ok {
				t.Fatalf("after %d streams stream %s is forgotten", n+1, stream)
			}
		}
	}
	if _, ok := h.get("0", 0); ok {
		t.Error("the first stream of a thousand is remembered")
	}
	h.put("large", history{events: make([]Event, 1), bytes: historiesBudget, read: time.Now()})
	if _, ok := h.get("large", 0); ok {
		t.Error("a stream is remembered that takes the place of all others")
	}
}

// What was remembered for some time is forgotten, also when it was added to
// meanwhile; and what was opened before an erasure, also when it is put away
// after it.
func TestWhatIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h histories
		remembered := func(what string, erasures uint64, want bool) {
			t.Helper()
			if _, ok := h.get("s", erasures); ok != want {
				t.Errorf("%s: remembered is %v", what, ok)
			}
		}
		first := history{events: make([]Event, 1), read: time.Now()}
		h.put("s", first)
		time.Sleep(historyAge)
		h.put("s", first.with(Event{}, nil, nil))
		remembered("just in time", 0, true)
		time.Sleep(time.Nanosecond)
		remembered("later", 0, false)

		before := history{events: make([]Event, 1), read: time.Now()}
		after := history{events: make([]Event, 1), read: time.Now(), erasures: 1}
		h.put("s", before)
		remembered("once a key is destroyed", 1, false)
		h.put("s", before)
		remembered("opened before that, put away after it", 1, false)
		h.put("s", after)
		remembered("opened after that", 1, true)
		remembered("by somebody who asks with the count from before", 0, false)
		remembered("and still opened after that", 1, true)
	})
}

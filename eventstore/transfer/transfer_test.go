package transfer

import (
	"errors"
	"iter"

	"math"
	"strings"
	"testing"

	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// A scavenge takes events away for good, which the node never does: such
// sources are made up.
func TestASourceThatWasScavenged(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	to, err := eventstore.Connect(eventstore.Config{ConnectionString: n.ConnectionString()})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	told := func(stream string, revision uint64) eventstore.Recorded {
		return eventstore.Recorded{ID: uuid.New(), Stream: stream, Revision: revision, Type: "Told", JSON: true, Data: []byte(`{}`)}
	}
	beginning := []eventstore.Recorded{told("permit-1", 0), told("permit-1", 1)}
	for name, events := range map[string][]eventstore.Recorded{
		"revision 3, and 0 would be next": {told("permit-2", 3)},
		"revision 5, and 2 would be next": {told("permit-1", 5)},
	} {
		all := append(beginning[:2:2], events...)
		c := &copier{to: to.Verbatim(), source: pull(made(all...))}
		err := c.run(t.Context())
		c.source.stop()
		if !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), name) {
			t.Errorf("wanted %q, got %v", name, err)
		}
	}
}

// What belongs to the server, or is to be left, is told by its name.
func TestWhatIsCopied(t *testing.T) {
	c := &copier{Options: Options{Leave: func(stream string) bool { return stream == "left" }}}
	for stream, want := range map[string]bool{
		"left": false, "$$left": false, "permit-1": true, "$$permit-1": true, "a$b": true,
		"$settings": false, "$$$settings": false, "$persistentsubscription-permit-1::g-checkpoint": false,
	} {
		if c.copies(stream) != want {
			t.Errorf("%s: %t", stream, !want)
		}
	}
}

// made yields events that no node would write any more.
func made(events ...eventstore.Recorded) iter.Seq2[eventstore.Recorded, error] {
	return func(yield func(eventstore.Recorded, error) bool) {
		for _, r := range events {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// A source in which a deleted stream was written again after the tombstone of
// its metadata is refused before that tombstone: the same kills a server.
func TestCopyRefusesStreamRevivedWithoutMetadata(t *testing.T) {
	const last = uint64(math.MaxInt64)
	event := func(stream string, revision uint64, name, data string) eventstore.Recorded {
		return eventstore.Recorded{Stream: stream, Revision: revision, Type: name, Position: 1, Data: []byte(data)}
	}
	begins, tombstone := event("other", 0, "Told", ""), event("$$other", last, typeTombstone, "")
	again := event("other", 1, "Told", "")
	revived := event("$$other", last+1, typeMetadata, `{"$tb":1}`)
	deleted := event("$$other", last+2, typeMetadata, `{"$tb":9223372036854775807}`)
	for name, c := range map[string]struct {
		log  []eventstore.Recorded
		want int // events that come
		err  string
	}{
		"a tombstone alone":  {[]eventstore.Recorded{begins, tombstone, again}, 3, ""},
		"a deletion":         {[]eventstore.Recorded{begins, tombstone, deleted, again}, 4, ""}, // the copy leaves it out
		"a stream revived":   {[]eventstore.Recorded{begins, tombstone, again, revived}, 1, "other"},
		"two streams":        {[]eventstore.Recorded{begins, tombstone, again, revived, event("$$b", last+1, typeMetadata, `{"$tb":7}`), revived}, 1, "other, b"},
		"metadata as before": {[]eventstore.Recorded{begins, event("$$other", 0, typeMetadata, `{"$tb":1}`), again}, 3, ""},
	} {
		came, said := 0, ""
		rest := func(after eventstore.Recorded) iter.Seq2[eventstore.Recorded, error] {
			for i, r := range c.log {
				if r.Stream == after.Stream && r.Revision == after.Revision {
					return made(c.log[i+1:]...)
				}
			}
			return made()
		}
		for _, err := range checked(made(c.log...), rest) {
			if err != nil {
				said = err.Error()
				if !errors.Is(err, ErrRevived) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			came++
		}
		if came != c.want || (c.err == "") != (said == "") || !strings.HasSuffix(said, c.err) {
			t.Errorf("%s: %d events, %q", name, came, said)
		}
	}
}

// At most 64 appends and 4 MiB are under way, and whatever a server may refuse
// or has an effect on another stream is sent by itself.
func TestSeveralAtOnceBounds(t *testing.T) {
	s := &severalAtOnce{pipeline: eventstore.Verbatim{}.Pipeline()}
	of := func(bytes int) []eventstore.Recorded {
		return []eventstore.Recorded{{Stream: "permit-1", Data: make([]byte, bytes)}}
	}
	for range 64 {
		if s.full(of(1)) {
			t.Fatalf("full with %d", len(s.sent))
		}
		s.add(of(1))
	}
	if !s.full(of(1)) {
		t.Error("a 65th is sent")
	}
	if got := len(s.forget()); got != 64 || s.bytes != 0 || s.full(of(5<<20)) {
		t.Errorf("%d events of %d bytes were left", got, s.bytes)
	}
	for range 4 {
		s.add(of(1 << 20))
	}
	if s.full(of(0)) || !s.full(of(1)) {
		t.Error("the bound is not 4 MiB")
	}
	tombstone := of(0)
	tombstone[0].Type, tombstone[0].Revision = typeTombstone, math.MaxInt64
	for name, c := range map[string]struct {
		batch []eventstore.Recorded
		want  bool
	}{
		"an event":         {of(1), false},
		"a large one":      {of(1<<20 + 1), true},
		"metadata":         {[]eventstore.Recorded{{Stream: "$$permit-1"}}, true},
		"a tombstone":      {tombstone, true},
		"a very long name": {[]eventstore.Recorded{{Stream: strings.Repeat("x", 1025)}}, true},
	} {
		if s.excludes(c.batch) != c.want {
			t.Errorf("%s: %t", name, !c.want)
		}
	}
}

// A log that cannot be read has no end: what was read before is not all of it.
func TestSideKeepsItsError(t *testing.T) {
	broken := errors.New("broken")
	s := pull(func(yield func(eventstore.Recorded, error) bool) { yield(eventstore.Recorded{}, broken) })
	defer s.stop()
	for range 2 {
		if _, err := s.peek(); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
}

// TestEventsBeyondTheLastRevisionAreNamed distinguishes such events from
// tombstones, and counts them by stream.
func TestEventsBeyondTheLastRevisionAreNamed(t *testing.T) {
	for revision, want := range map[uint64]bool{0: false, math.MaxInt64: false, math.MaxInt64 + 1: true, math.MaxUint64: true} {
		if got := isBeyond(eventstore.Recorded{Stream: "$$s", Revision: revision}); got != want {
			t.Errorf("revision %d: %t", revision, got)
		}
	}
	var r Report
	for _, stream := range []string{"$$s", "$$t", "$$s"} {
		r.leaveBeyond(stream)
	}
	if len(r.Beyond) != 2 || r.Beyond["$$s"] != 2 || r.Beyond["$$t"] != 1 {
		t.Errorf("the report has %v", r.Beyond)
	}
}

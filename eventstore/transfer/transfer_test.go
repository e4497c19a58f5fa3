package transfer

import (
	"errors"
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
		c := &copier{to: to.Verbatim(), source: pull(func(yield func(eventstore.Recorded, error) bool) {
			for _, r := range all {
				if !yield(r, nil) {
					return
				}
			}
		})}
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

// TestEventsBeyondTheLastRevisionAreNamed tells such events from tombstones,
// and counts them by stream.
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

package node

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// step is one thing done to the stream "s", and what comes of it.
type step struct {
	do     string // append, delete, tombstone, meta, restart
	at     esdb.ExpectedRevision
	events string // names of the events, or the metadata
	want   string // see outcomeOf
}

var (
	anyRevision = esdb.Any{}
	noStream    = esdb.NoStream{}
	exists      = esdb.StreamExists{}
)

func revision(n uint64) esdb.ExpectedRevision { return esdb.Revision(n) }

// TestExpectedRevisions walks through the whole check of expected revisions:
// which appends are written, which are recognised as written before, and which
// are refused.
func TestExpectedRevisions(t *testing.T) {
	tests := []struct {
		name  string
		steps []step
		holds string // what the stream holds at the end
	}{
		{"a new stream takes any, or none", []step{
			{"append", anyRevision, "a", "0"},
			{"append", anyRevision, "b c", "2"},
		}, "a b c"},
		{"a new stream is not where anyone believes it to be", []step{
			{"append", revision(0), "a", "wrong at -"},
			{"append", revision(math.MaxInt64), "a", "wrong at -"},
			{"append", exists, "a", "wrong at -"},
			{"append", noStream, "a", "0"},
		}, "a"},
		{"the exact revision", []step{
			{"append", noStream, "a", "0"},
			{"append", revision(0), "b", "1"},
			{"append", revision(5), "x", "wrong at 1"},
			{"append", revision(0), "x", "wrong at 1"},
			{"append", noStream, "x", "wrong at 1"},
			{"append", exists, "c", "2"},
		}, "a b c"},
		{"metadata alone makes a stream exist", []step{
			{"meta", nil, `{"a":1}`, "0"},
			{"append", exists, "a", "0"},
		}, "a"},

		{"repeats without a revision", []step{
			{"append", anyRevision, "a b c", "2"},
			{"append", anyRevision, "a b c", "again 2"},
			{"append", anyRevision, "b c", "again 2"},
			{"append", anyRevision, "a", "again 0"},
			{"append", exists, "a b", "again 1"},
			{"append", anyRevision, "a b x", "wrong at 2"},
			{"append", exists, "c x", "wrong at 2"},
			{"append", anyRevision, "x a", "4"}, // the first id is new
		}, "a b c x a"},
		{"repeats without a revision are forgotten over a restart", []step{
			{"append", anyRevision, "a", "0"},
			{"restart", nil, "", ""},
			{"append", anyRevision, "a", "1"},
		}, "a a"},
		{"repeats at an exact revision", []step{
			{"append", noStream, "a b", "1"},
			{"append", revision(1), "c d", "3"},
			{"append", noStream, "a b", "again 1"},
			{"append", noStream, "a", "again 0"},
			{"append", revision(1), "c d", "again 3"},
			{"append", revision(0), "b c", "again 2"},
			{"append", revision(2), "d", "again 3"},
			{"append", revision(1), "d", "wrong at 3"},
			{"append", revision(1), "c x", "wrong at 3"},
			{"append", revision(2), "d e", "wrong at 3"}, // runs past the end
		}, "a b c d"},
		{"repeats at an exact revision survive a restart", []step{
			{"append", noStream, "a b", "1"},
			{"restart", nil, "", ""},
			{"append", noStream, "a b", "again 1"},
			{"append", revision(0), "b", "again 1"},
		}, "a b"},
		{"the same id at a new correct revision is a new event", []step{
			{"append", noStream, "a", "0"},
			{"append", revision(0), "a", "1"},
			{"append", noStream, "b b", "wrong at 1"},
		}, "a a"},
		{"the same id twice in one batch", []step{
			{"append", noStream, "a a", "1"},
			{"append", noStream, "a a", "again 1"},
			{"append", anyRevision, "a a", "again 1"},
		}, "a a"},

		{"no events", []step{
			{"append", noStream, "", "nothing at 0"},
			{"append", revision(3), "", "wrong at -"},
			{"append", anyRevision, "a", "0"},
			{"append", anyRevision, "", "nothing at 0"},
			{"append", revision(0), "", "nothing at 0"},
			{"append", noStream, "", "wrong at 0"},
		}, "a"},

		{"a soft-deleted stream begins anew", []step{
			{"append", noStream, "a b", "1"},
			{"delete", anyRevision, "", "ok"},
			{"append", exists, "x", "deleted"},
			{"append", revision(0), "x", "wrong at 1"},
			{"append", noStream, "c", "2"},
			{"append", revision(2), "d", "3"},
		}, "c d"},
		{"a soft-deleted stream goes on at its last revision", []step{
			{"append", noStream, "a b", "1"},
			{"delete", anyRevision, "", "ok"},
			{"append", revision(1), "c", "2"},
		}, "c"},
		{"repeats after a soft deletion", []step{
			{"append", noStream, "a b", "1"},
			{"delete", revision(1), "", "ok"},
			{"append", noStream, "a b", "again 1 unlocated"},
			{"append", anyRevision, "a b", "again 1 unlocated"},
			{"append", noStream, "a x", "wrong at 1"},
			{"append", anyRevision, "c", "2"},
			{"append", noStream, "a b", "again 1 unlocated"},
			{"append", noStream, "c", "wrong at 2"},
			{"append", revision(1), "c", "again 2"},
		}, "c"},
		{"no events end a soft deletion too", []step{
			{"append", noStream, "a", "0"},
			{"delete", anyRevision, "", "ok"},
			{"append", anyRevision, "", "nothing at 0"},
			{"append", exists, "b", "1"},
		}, "b"},
		{"metadata brings a soft-deleted stream back", []step{
			{"append", noStream, "a", "0"},
			{"delete", anyRevision, "", "ok"},
			{"meta", nil, `{"k":1}`, "1"},
			{"append", exists, "b", "1"},
		}, "b"},
		{"truncation leaves repeats recognised", []step{
			{"append", noStream, "a b c", "2"},
			{"meta", nil, `{"$tb":2}`, "0"},
			{"append", noStream, "a b", "again 1 unlocated"},
			{"append", noStream, "a b c", "again 2"},
			{"append", revision(2), "d", "3"},
		}, "c d"},

		{"a tombstone ends a stream", []step{
			{"append", noStream, "a", "0"},
			{"tombstone", revision(0), "", "ok"},
			{"append", anyRevision, "x", "deleted"},
			{"append", noStream, "a", "deleted"},
			{"append", revision(0), "x", "deleted"},
			{"append", exists, "x", "deleted"},
			{"meta", nil, `{}`, "deleted"},
			{"delete", anyRevision, "", "deleted"},
			{"tombstone", anyRevision, "", "deleted"},
			{"restart", nil, "", ""},
			{"append", anyRevision, "x", "deleted"},
			{"meta", nil, `{}`, "deleted"},
		}, "deleted"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			n, c := reopen(t, nil, dir)
			for i, s := range tc.steps {
				if s.do == "restart" {
					n, c = reopen(t, n, dir)
					continue
				}
				if got := perform(t, c, s); got != s.want {
					t.Fatalf("step %d, %s %q at %v: got %q, want %q", i+1, s.do, s.events, s.at, got, s.want)
				}
			}
			if got := readNames(t, c, "s", esdb.ReadStreamOptions{}, 100); got != tc.holds {
				t.Errorf("the stream holds %q, want %q", got, tc.holds)
			}
		})
	}
}

func reopen(t *testing.T, n *Node, dir string) (*Node, *esdb.Client) {
	t.Helper()
	if n != nil {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	n = openNode(t, Options{Dir: dir})
	return n, connect(t, n)
}

func perform(t *testing.T, c *esdb.Client, s step) string {
	t.Helper()
	events := named(strings.Fields(s.events)...)
	stream := "s"
	switch s.do {
	case "delete":
		_, err := c.DeleteStream(timeout(t), "s", esdb.DeleteStreamOptions{ExpectedRevision: s.at})
		return codeOf(err)
	case "tombstone":
		_, err := c.TombstoneStream(timeout(t), "s", esdb.TombstoneStreamOptions{ExpectedRevision: s.at})
		return codeOf(err)
	case "meta":
		stream, s.at = "$$s", anyRevision
		events = []esdb.EventData{{EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(s.events)}}
	}
	return outcomeOf(t, c, stream, s.at, events)
}

// outcomeOf appends and tells: the last revision written, "again" and the
// revision for a repeat, "wrong at" the stream's revision, or an error. The
// log's growth tells a repeat from a write.
func outcomeOf(t *testing.T, c *esdb.Client, stream string, at esdb.ExpectedRevision, events []esdb.EventData) string {
	t.Helper()
	before := lastPosition(t, c)
	result, err := c.AppendToStream(timeout(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: at}, events...)
	if code := codeOf(err); code == "wrong" {
		_, current, _ := strings.Cut(err.Error(), "but got '")
		return "wrong at " + strings.Replace(strings.Trim(current, "'"), "no_stream", "-", 1)
	} else if err != nil {
		return code
	}
	switch {
	case len(events) == 0:
		return fmt.Sprintf("nothing at %d", result.NextExpectedVersion)
	case result.CommitPosition > before:
		return fmt.Sprint(result.NextExpectedVersion)
	case result.CommitPosition == 0:
		return fmt.Sprintf("again %d unlocated", result.NextExpectedVersion)
	}
	return fmt.Sprintf("again %d", result.NextExpectedVersion)
}

func lastPosition(t *testing.T, c *esdb.Client) uint64 {
	t.Helper()
	events := readAll(t, c, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if len(events) == 0 {
		return 0
	}
	return events[0].OriginalEvent().Position.Commit
}

// TestRepeatWithoutRevisionIsAnsweredByFirstPlace writes one id twice at
// revisions, and repeats it without.
func TestRepeatWithoutRevisionIsAnsweredByFirstPlace(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	first := mustAppend(t, c, "s", "a", "b")
	mustAppendAt(t, c, "s", revision(1), "c", "b", "a")
	mustAppendAt(t, c, "t", noStream, "b")
	for _, want := range []esdb.ExpectedRevision{anyRevision, exists} {
		for _, names := range [][]string{{"b"}, {"a", "b"}, {"c", "b"}} {
			got := mustAppendAt(t, c, "s", want, names...)
			if got.NextExpectedVersion != 1 || got.CommitPosition != first.CommitPosition {
				t.Errorf("repeating %v at %v: revision %d at %d, want 1 at %d", names, want,
					got.NextExpectedVersion, got.CommitPosition, first.CommitPosition)
			}
		}
	}
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "a b c b a" {
		t.Errorf("the stream holds %q", got)
	}
}

// TestRecentIDsKeepFirstPlaceAcrossGenerations lets an id grow old and come
// again.
func TestRecentIDsKeepFirstPlaceAcrossGenerations(t *testing.T) {
	ids := newRecentIDs(4 * recentOverhead)
	id := uuid.New()
	ids.put("", id, stored{revision: 1})
	for i := range 3 { // a generation takes two
		ids.put("", uuid.New(), stored{})
		ids.put("", id, stored{revision: uint64(i + 2)})
		if at, ok := ids.get("", id); !ok || at.revision != 1 {
			t.Errorf("after %d repeats the id is known %v at revision %d, want 1", i+1, ok, at.revision)
		}
	}
}

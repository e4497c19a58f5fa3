package node

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

// endMetadata tombstones the stream with the metadata of another.
func endMetadata(t *testing.T, c *esdb.Client, stream string) {
	t.Helper()
	if _, err := c.TombstoneStream(timeout(t), "$$"+stream, esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
}

// deletionOf gives the answers to deleting a stream at each expectation.
func deletionOf(t *testing.T, c *esdb.Client, stream string, at ...esdb.ExpectedRevision) string {
	t.Helper()
	var got []string
	for _, want := range at {
		_, err := c.DeleteStream(timeout(t), stream, esdb.DeleteStreamOptions{ExpectedRevision: want})
		got = append(got, codeOf(err))
	}
	return strings.Join(got, " ")
}

// TestDeleteIsRefusedAfterTombstoneOfMetadata deletes a stream whose metadata
// can no longer be written, before and after a restart.
func TestDeleteIsRefusedAfterTombstoneOfMetadata(t *testing.T) {
	dir := t.TempDir()
	for _, restarted := range []bool{false, true} {
		n := openNode(t, Options{Dir: dir})
		c := connect(t, n)
		if !restarted {
			for _, stream := range []string{"never described", "described", "$$nested"} {
				mustAppend(t, c, stream, "a", "b")
				if stream != "never described" {
					setMetadata(t, c, stream, `{}`)
				}
				endMetadata(t, c, stream)
			}
			endMetadata(t, c, "never written")
		}
		before, _ := n.tail.get()
		for _, stream := range []string{"never described", "described", "$$nested"} {
			if got := deletionOf(t, c, stream, anyRevision, revision(1)); got != "deleted deleted" {
				t.Errorf("%s: the deletion gives %q", stream, got)
			}
			if got := readNames(t, c, stream, forwardsFrom(esdb.Start{}), 10); !strings.HasSuffix(got, "b") {
				t.Errorf("%s: it holds %q", stream, got)
			}
		}
		if got := deletionOf(t, c, "never written", anyRevision); got != "deleted" {
			t.Errorf("never written: the deletion gives %q", got)
		}
		if after, _ := n.tail.get(); after != before {
			t.Errorf("the log grew from %d to %d", before, after)
		}
		if restarted {
			prepare(t, c, "never described", "tombstoned")
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAppendIsRefusedAfterTombstoneOfMetadata writes to a deleted stream that
// cannot be brought back.
func TestAppendIsRefusedAfterTombstoneOfMetadata(t *testing.T) {
	dir := t.TempDir()
	for _, restarted := range []bool{false, true} {
		n := openNode(t, Options{Dir: dir})
		s, c := stub(t, n), connect(t, n)
		if !restarted {
			prepare(t, c, "s", "deleted")
			endMetadata(t, c, "s")
			mustAppend(t, c, "cut", "a", "b", "c")
			setMetadata(t, c, "cut", `{"$tb":2}`)
			endMetadata(t, c, "cut")
		}
		before, _ := n.tail.get()
		for _, want := range []any{expectAny, expectNoStream, uint64(1)} {
			for _, events := range []int{0, 1} {
				if events == 0 && want == expectNoStream {
					continue // which no stream with events is
				}
				requests := []*streams.AppendReq{appendOptions("s", want)}
				if events > 0 {
					requests = append(requests, rawEvent())
				}
				if _, st, _ := rawAppend(t, s, requests...); st.Code() != codes.FailedPrecondition || !strings.Contains(st.Message(), "is deleted") {
					t.Errorf("appending %d events at %v: %v", events, want, st)
				}
			}
		}
		if after, _ := n.tail.get(); after != before {
			t.Errorf("the log grew from %d to %d", before, after)
		}
		// Events that the metadata hid stay hidden.
		if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "not found" {
			t.Errorf("the deleted stream gives %q", got)
		}
		if got := readNames(t, c, "cut", forwardsFrom(esdb.Start{}), 10); got != "c" {
			t.Errorf("the truncated stream gives %q", got)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEndedStreamsStayEnded checks the neighbours: metadata of a tombstoned
// stream, the stream $$, and an age that no clock can count.
func TestEndedStreamsStayEnded(t *testing.T) {
	n := openNode(t, Options{})
	s, c := stub(t, n), connect(t, n)
	mustAppend(t, c, "$$s", "a")
	prepare(t, c, "s", "tombstoned")
	if got := deletionOf(t, c, "$$s", anyRevision, revision(0)); got != "deleted deleted" {
		t.Errorf("deleting the metadata of a tombstoned stream: %q", got)
	}
	if _, st, _ := rawAppend(t, s, appendOptions("$$", expectAny), rawEvent()); st.Code() != codes.Unknown {
		t.Errorf("appending to $$: %v", st)
	}
	if got := deletionOf(t, c, "$$", anyRevision); got == "ok" {
		t.Errorf("deleting $$: %q", got)
	}
	for i, age := range []string{"63000000001", "922337203685", "922337203686", "9223372036854775807"} {
		stream := fmt.Sprint("aged", i)
		first := mustAppend(t, c, stream, "x", "y")
		setMetadata(t, c, stream, `{"$maxAge":`+age+`}`)
		if again := mustAppend(t, c, stream, "x", "y"); again.CommitPosition != first.CommitPosition {
			t.Errorf("$maxAge %s: the repeat is at %d, want %d", age, again.CommitPosition, first.CommitPosition)
		}
		if got := readNames(t, c, stream, forwardsFrom(esdb.Start{}), 10); got != "x y" {
			t.Errorf("$maxAge %s: the stream holds %q", age, got)
		}
	}
}

// TestRecordsBeyondTheLastRevisionAreNamedAtStart opens a log that an earlier
// version has written, with records behind the tombstone of a stream.
func TestRecordsBeyondTheLastRevisionAreNamedAtStart(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	for _, stream := range []string{"s", "t", "sound"} {
		mustAppend(t, c, stream, "a")
		setMetadata(t, c, stream, `{}`)
		if stream != "sound" {
			endMetadata(t, c, stream)
		}
	}
	first := writeBeyond(t, n, "$$s", 3)
	second := writeBeyond(t, n, "$$t", 1)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	n = openNode(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "beyond the last revision") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 || !strings.Contains(lines[0], fmt.Sprintf("stream=$$s records=3 position=%d", first)) ||
		!strings.Contains(lines[1], fmt.Sprintf("stream=$$t records=1 position=%d", second)) {
		t.Errorf("the log says %q", lines)
	}
	c = connect(t, n)
	if got := readNames(t, c, "s", forwardsFrom(esdb.Start{}), 10); got != "a" {
		t.Errorf("the stream holds %q", got)
	}
	if got := deletionOf(t, c, "s", anyRevision); got != "deleted" {
		t.Errorf("the deletion gives %q", got)
	}
	if got := len(readAll(t, c, esdb.ReadAllOptions{}, 100)); got != 12 {
		t.Errorf("$all holds %d events", got)
	}
}

// writeBeyond writes as the sequencer of earlier versions did, and gives the
// position of the first record.
func writeBeyond(t *testing.T, n *Node, metastream string, records int) (first uint64) {
	t.Helper()
	limit, _ := n.tail.get()
	first = limit
	b := n.engine.newBatch()
	for i := range records {
		rec := record{
			stream: metastream, revision: tombstoneRevision + 1 + uint64(i), position: limit,
			typ: typeMetadata, json: true, data: []byte(`{"$tb":9223372036854775807}`),
		}
		if err := b.add(&rec); err != nil {
			t.Fatal(err)
		}
		limit += uint64(rec.encodedSize())
	}
	if err := n.engine.commit(b, limit); err != nil {
		t.Fatal(err)
	}
	n.tail.advance(limit)
	return first
}

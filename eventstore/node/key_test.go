package node

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"pgregory.net/rapid"
)

// awkwardName draws names that are likely to be prefixes of one another and to
// hold the bytes that mean something in keys.
var awkwardName = rapid.Custom(func(t *rapid.T) string {
	return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7F, 0x80, 0xFF, 'a', 'b', '$'}), 0, 5).Draw(t, "name"))
})

// TestStreamKeys checks that whatever two streams are called, their keys are
// different, that all keys of one lie on the same side of all keys of the
// other, and that a stream's keys lie between its bounds in their order.
func TestStreamKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		revisions := []uint64{0, 1, 255, 256, 1 << 40, tombstoneRevision}
		a, b := awkwardName.Draw(t, "a"), awkwardName.Draw(t, "b")
		keys := func(stream string) (list [][]byte) {
			for _, r := range revisions {
				list = append(list, streamKey(stream, r))
			}
			return list
		}
		ka, kb := keys(a), keys(b)
		if !slices.IsSortedFunc(ka, bytes.Compare) {
			t.Fatalf("the keys of %q are out of order", a)
		}
		if bytes.Compare(streamPrefix(a), ka[0]) >= 0 || bytes.Compare(ka[len(ka)-1], streamEnd(a)) >= 0 {
			t.Fatalf("the keys of %q are out of bounds", a)
		}
		for _, r := range append(revisions, tombstoneRevision+1, 1<<63+1<<62) {
			if prefix := prefixOf(streamKey(a, r)); !bytes.Equal(prefix, streamPrefix(a)) || streamOfPrefix(prefix) != a {
				t.Fatalf("revision %d of %q is found under %q", r, a, prefix)
			}
		}
		if a == b {
			return
		}
		if bytes.Compare(streamEnd(a), kb[0]) > 0 && bytes.Compare(streamEnd(b), ka[0]) > 0 {
			t.Fatalf("the keys of %q and %q are interleaved", a, b)
		}
	})
}

// TestAwkwardStreamNames writes to streams whose names begin with one another
// and sees each keep to itself.
func TestAwkwardStreamNames(t *testing.T) {
	c := connect(t, openNode(t, Options{}))
	names := []string{
		"a", "a\x00", "a\x00\x00", "a\x00\xff", "a\x00b", "a\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "a\x01", "a\xff", "ab", "\x00", "\xff",
		"ä", "a/b c\n", "$a", strings.Repeat("a", maxStreamName),
	}
	for round := range 3 {
		for i, name := range names {
			mustAppendAt(t, c, name, revisionBefore(round), fmt.Sprintf("n%d-%d", i, round))
		}
	}
	if _, err := c.DeleteStream(timeout(t), "a\x00", esdb.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		want := fmt.Sprintf("n%d-0 n%d-1 n%d-2", i, i, i)
		if name == "a\x00" {
			want = "not found"
		}
		if got := readNames(t, c, name, forwardsFrom(esdb.Start{}), 10); got != want {
			t.Errorf("%q holds %q, want %q", name, got, want)
		}
	}
	for _, e := range readAll(t, c, esdb.ReadAllOptions{}, 1000) {
		if !strings.HasPrefix(e.Event.StreamID, "$$") && !slices.Contains(names, e.Event.StreamID) {
			t.Errorf("an event of %q", e.Event.StreamID)
		}
	}
}

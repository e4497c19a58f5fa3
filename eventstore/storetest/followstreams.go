package storetest

import (
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func checkStreamStarts(r *room) {
	for _, tc := range []struct {
		what, stream, history string
		from                  esdb.StreamPosition
	}{
		{"from the start", "s1", "a b c", esdb.Start{}},
		{"after revision 0", "s2", "b c", esdb.Revision(0)},
		{"after the last", "s3", "", esdb.Revision(2)},
		{"from the end", "s4", "", esdb.End{}},
		{"a stream that is not there", "never1", "", esdb.Start{}},
		{"the end of one that is not there", "never2", "", esdb.End{}},
	} {
		s := r.stream(tc.stream)
		if !strings.HasPrefix(tc.stream, "never") {
			r.put(s, "a", "b", "c")
		}
		f := r.follow(s, esdb.SubscribeToStreamOptions{From: tc.from})
		r.same(tc.what, f.history(), tc.history)
		r.put(r.stream("bystander "+tc.stream), "bystander")
		r.put(s, "x", "y")
		r.put(s, "z")
		r.same(tc.what+", live", f.take(3), "x y z")
		f.close()
	}
}

func checkFollowHidden(r *room) {
	truncated, deleted := r.stream("truncated"), r.stream("deleted")
	r.put(truncated, "a", "b", "c", "d")
	r.describe(truncated, `{"$tb":1,"$maxCount":2}`)
	f := r.follow(truncated, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("a truncated stream", f.history(), "c d")
	r.put(deleted, "a")
	g := r.follow(deleted, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("before deleting", g.history(), "a")
	r.mustDelete(deleted)
	h := r.follow(deleted, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("a deleted stream", h.history(), "")
	r.put(deleted, "b")
	r.same("written again, followed before", g.take(1), "b")
	r.same("written again, followed since", h.take(1), "b")
}

func checkFollowTombstone(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	f := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.same("history", f.history(), "a")
	_, err := r.client.TombstoneStream(r.ctx, s, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	for _, want := range []string{"$streamDeleted", "(dropped: deleted)"} {
		word, _ := f.word()
		r.same("live", word, want)
	}
}

func checkTruncatedBeyond(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	r.describe(s, `{"$tb":10}`)
	f := r.follow(s, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	defer f.close()
	r.same("history", f.history(), "")
	r.put(s, "c", "d")
	r.put(s, "e")
	r.same("live", f.take(3), "c d e")
	r.same("reading", r.whole(s), "")
}

func checkFollowTombstoned(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	_, err := r.client.TombstoneStream(r.ctx, s, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	for _, stream := range []string{s, "$$" + s} {
		o := reading(stream)
		o.CountOption = subscribing
		messages, err := r.rawRead(o)
		r.same("subscribing to "+stream, codeOf(err), "deleted")
		r.same("messages of "+stream, len(messages), 0)
	}
}

func checkFollowStream(r *room) {
	r.checkSeam(inStream)
	r.checkSlow(inStream)
	r.checkEnding(inStream)
	r.checkGoingOn(inStream)
}

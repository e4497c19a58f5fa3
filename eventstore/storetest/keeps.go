package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

var keepCases = []Case{
	{Number: "4.1", Name: "$maxCount", check: checkMaxCount, OtherPrograms: noMetadata,
		Rule: "With $maxCount a stream shows only so many of its newest events, in both directions, with unchanged revisions."},
	{Number: "4.2", Name: "$tb", check: checkTruncateBefore,
		Rule: "With $tb a stream shows its events from that revision on. If no event is left, the stream is empty, not absent, and the next append goes on with the next revision."},
	{Number: "4.3", Name: "$maxAge", check: checkMaxAge, OtherPrograms: noMetadata,
		Rule: "With $maxAge a stream stops showing events once they are so many seconds old, without anybody writing to it."},
	{Number: "4.4", Name: "metadata that says nothing", check: checkNonsense, OtherPrograms: noMetadata,
		Rule: "Values that mean nothing hide nothing; nor does metadata that is not JSON, is not marked as JSON, or has one value of the wrong kind."},
	{Number: "4.5", Name: "the newest metadata", check: checkMetastream,
		Rule: "Of a stream's metadata only the newest is shown, whichever way it is read; its revisions go on, and can be expected as those of any stream."},
	{Number: "4.6", Name: "metadata through the client", check: checkClientMetadata, OtherPrograms: noMetadata,
		Rule: "A client reads metadata back as it was set: counts, ages, roles and custom properties."},
	{Number: "4.7", Name: "deleting", check: checkSoftDelete,
		Rule: "A deleted stream is not found; its old events stay in $all."},
	{Number: "4.8", Name: "beginning again", check: checkRecreate,
		Rule: "A deleted stream can be written again by an append that expects none, or its last revision. Revisions go on, and the deleted events stay hidden."},
	{Number: "4.9", Name: "metadata and deleting", check: checkDeletedMetadata,
		Rule: "Deleting replaces the metadata. Writing again keeps what was set since, with the first new revision as $tb; writing metadata alone brings the stream back, empty."},
	{Number: "4.10", Name: "deleting where it is not as expected", check: checkDeleteWrong, OtherPrograms: "The ledger deletes nothing, and a copy deletes a stream whatever its revision.",
		Rule: "A deletion or a tombstone may name a revision, or that the stream exists. If that does not hold, or the stream was never written, the request is refused with wrong-expected-version, the stream, and the expected and the actual revision. Nothing is deleted."},
	{Number: "4.11", Name: "deleting twice", check: checkDeleteTwice,
		Rule: "A deleted stream may be deleted again."},
	{Number: "4.12", Name: "a repeat to a deleted stream", check: checkRepeatDeleted, OtherPrograms: "The ledger deletes nothing, and a copy repeats no append after a deletion.",
		Rule: "A repeat of an append to a stream that was deleted since is no new beginning: it succeeds, and the stream stays deleted."},
	{Number: "4.13", Name: "tombstones", check: checkTombstone,
		Rule: "A tombstoned stream is gone for good: every read, append and deletion is refused because the stream is deleted; so are reads and appends of its metadata, where it never had any. A stream that never was can be tombstoned."},
	{Number: "4.14", Name: "a tombstone in $all", check: checkTombstoneInAll,
		Rule: "$all shows a tombstone as $streamDeleted with the greatest revision."},
}

func checkMaxCount(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c", "d", "e")
	r.describe(s, `{"$maxCount":2}`)
	r.same("forwards", r.whole(s), "d e")
	r.same("backwards", r.read(s, esdb.Backwards, esdb.End{}, everything), "e d")
	r.same("from a hidden revision", r.read(s, esdb.Forwards, esdb.Revision(1), 1), "d")
	r.same("backwards from a hidden revision", r.read(s, esdb.Backwards, esdb.Revision(1), everything), "")
	r.same("one more", r.append(s, esdb.Revision(4), "f"), "ok 5")
	r.same("after one more", r.whole(s), "e f")
	r.describe(s, `{"$maxCount":4}`)
	r.same("with a greater count", r.whole(s), "c d e f")
	for i, e := range r.mustRead(s, esdb.Forwards, esdb.Start{}, everything) {
		r.same("revision of "+nameOf(e.Event), e.Event.EventNumber, i+2)
	}
	r.same("what is hidden, again", r.append(s, esdb.NoStream{}, "a"), "ok 0")
}

func checkTruncateBefore(r *room) {
	s := r.stream("s")
	begin := r.put(s, "a", "b", "c", "d")
	r.describe(s, `{"$tb":2}`)
	r.same("forwards", r.whole(s), "c d")
	r.same("backwards", r.read(s, esdb.Backwards, esdb.End{}, everything), "d c")
	r.describe(s, `{"$tb":1,"$maxCount":2}`)
	r.same("with the stricter of two", r.whole(s), "c d")
	r.describe(s, `{"$tb":4}`)
	r.same("with nothing left, forwards", r.whole(s), "")
	r.same("with nothing left, backwards", r.read(s, esdb.Backwards, esdb.End{}, everything), "")
	r.same("none expected", r.append(s, esdb.NoStream{}, "x"), "expecting 'no_stream' but got '3'")
	r.same("one more", r.append(s, esdb.Revision(3), "e"), "ok 4")
	r.same("after one more", r.whole(s), "e")
	end := r.put(r.stream("end"), "end")
	r.same("in $all from the first batch on", strings.Join(r.mineBetween(placed(begin), placed(end)), " "), "$metadata $metadata $metadata e")
}

func checkMaxAge(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	r.describe(s, `{"$maxAge":3600}`)
	r.same("younger than an hour", r.whole(s), "a b")
	r.describe(s, `{"$maxAge":1}`)
	r.until("the events are older than a second and still shown", func() bool { return r.whole(s) == "" })
	r.same("backwards", r.read(s, esdb.Backwards, esdb.End{}, everything), "")
	r.same("revision 1 expected", r.append(s, esdb.Revision(1), "c"), "ok 2")
}

// until waits for something that the server does in its own time.
func (r *room) until(otherwise string, holds func() bool) {
	end := time.After(r.patience)
	for !holds() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-end:
			r.stop("%s after %s", otherwise, r.patience)
		case <-r.ctx.Done():
			r.stop("%s when the case's time was over", otherwise)
		}
	}
}

func checkNonsense(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c")
	for _, metadata := range []string{
		`{"$maxCount":0}`, `{"$maxCount":-1}`, `{"$maxAge":0}`, `{"$maxAge":-5}`, `{"$tb":-1}`, `{}`, `not JSON`, `{"maxCount":1,"$MAXCOUNT":1}`,
		`{"$maxCount":1,"$tb":"2"}`, `{"$maxCount":1,"$maxAge":1.5}`, `{"$maxCount":1,"$tb":null}`,
	} {
		r.describe(s, metadata)
		r.same("with "+metadata, r.whole(s), "a b c")
	}
	_, err := r.write("$$"+s, esdb.Any{}, esdb.EventData{EventType: "$metadata", ContentType: esdb.ContentTypeBinary, Data: []byte(`{"$maxCount":1}`)})
	r.must("set metadata of another content type", err)
	r.same("with metadata of another content type", r.whole(s), "a b c")
}

func checkMetastream(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	r.same("metadata before any", r.whole("$$"+s), "not found")
	for i := range 3 {
		r.same("metadata written", r.describe(s, fmt.Sprintf(`{"n":%d}`, i)).NextExpectedVersion, i)
	}
	shown := func(what string, direction esdb.Direction, from esdb.StreamPosition) {
		events := r.mustRead("$$"+s, direction, from, everything)
		if r.same(what, len(events), 1) {
			r.same(what+": revision", events[0].Event.EventNumber, 2)
			r.same(what+": content", string(events[0].Event.Data), `{"n":2}`)
		}
	}
	shown("forwards", esdb.Forwards, esdb.Start{})
	shown("backwards", esdb.Backwards, esdb.End{})
	meta := esdb.EventData{EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
	_, err := r.write("$$"+s, esdb.Revision(0), meta)
	r.same("expecting a past revision", codeOf(err), "expecting '0' but got '2'")
	_, err = r.write("$$"+s, esdb.Revision(2), meta)
	r.same("expecting the present one", codeOf(err), "ok")
}

func checkClientMetadata(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	given, acl := esdb.StreamMetadata{}, esdb.Acl{}
	given.SetMaxCount(17)
	given.SetMaxAge(3600 * time.Second)
	given.SetCacheControl(30 * time.Second)
	acl.AddReadRoles("$all")
	acl.AddWriteRoles("$all")
	acl.AddDeleteRoles("$all")
	acl.AddMetaReadRoles("$all")
	acl.AddMetaWriteRoles("$all")
	given.SetAcl(acl)
	given.AddCustomProperty("owner", "storetest")
	_, err := r.client.SetStreamMetadata(r.ctx, s, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, given)
	r.must("set the metadata", err)
	got, err := r.client.GetStreamMetadata(r.ctx, s, esdb.ReadStreamOptions{})
	r.must("get the metadata", err)
	want, err := given.ToJson()
	r.must("encode", err)
	have, err := got.ToJson()
	r.must("encode", err)
	r.same("the metadata", string(have), string(want))
}

func (r *room) delete(stream string, want esdb.ExpectedRevision) string {
	_, err := r.client.DeleteStream(r.ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: want})
	return codeOf(err)
}

func (r *room) mustDelete(stream string) *esdb.DeleteResult {
	result, err := r.client.DeleteStream(r.ctx, stream, esdb.DeleteStreamOptions{})
	r.must("delete "+stream, err)
	return result
}

func checkSoftDelete(r *room) {
	s := r.stream("s")
	begin := r.put(r.stream("begin"), "begin")
	last := r.put(s, "a", "b")
	deleted := r.mustDelete(s)
	r.check(deleted.Position.Commit > last.CommitPosition, "expected a position after %d, seen %d", last.CommitPosition, deleted.Position.Commit)
	r.same("forwards", r.whole(s), "not found")
	r.same("backwards", r.read(s, esdb.Backwards, esdb.End{}, 1), "not found")
	r.same("expected at a revision that it never had", r.append(s, esdb.Revision(5), "x"), "expecting '5' but got '1'")
	end := r.put(r.stream("end"), "end")
	r.same("in $all", strings.Join(r.mineBetween(placed(begin), placed(end)), " "), "a b $metadata")
}

func checkRecreate(r *room) {
	for what, want := range map[string]esdb.ExpectedRevision{
		"none": esdb.NoStream{}, "last": esdb.Revision(2),
	} {
		s := r.stream(what)
		r.put(s, "a", "b", "c")
		r.mustDelete(s)
		r.same(what+": written again", r.append(s, want, "d", "e"), "ok 4")
		r.same(what+": forwards", r.whole(s), "d e")
		r.same(what+": backwards", r.read(s, esdb.Backwards, esdb.End{}, everything), "e d")
		r.same(what+": one more", r.append(s, esdb.Revision(4), "f"), "ok 5")
		r.same(what+": after that", r.whole(s), "d e f")
	}
}

func checkDeletedMetadata(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	r.describe(s, `{"$maxCount":5,"owner":"before"}`)
	r.mustDelete(s)
	r.same("after deleting", r.metadata(s), `{"$tb":9223372036854775807}`)
	r.put(s, "c")
	r.same("after writing again", r.metadata(s), `{"$tb":2}`)
	r.describe(s, `{"$tb":9223372036854775807,"owner":"since"}`)
	r.same("deleted by metadata", r.whole(s), "not found")
	r.put(s, "d")
	r.same("after writing again", r.whole(s), "d")
	kept := r.metadata(s)
	r.check(strings.Contains(kept, `"since"`) && strings.Contains(kept, `"$tb":3`), "expected owner and $tb 3, seen %s", kept)
	r.mustDelete(s)
	r.describe(s, `{"owner":"again"}`)
	r.same("described after deleting", r.whole(s), "")
	kept = r.metadata(s)
	r.check(strings.Contains(kept, `"again"`) && strings.Contains(kept, `"$tb":4`), "expected owner and $tb 4, seen %s", kept)
	r.same("at its revision, described after deleting", r.append(s, esdb.Revision(3), "e"), "ok 4")
	r.same("written after that", r.whole(s), "e")
}

// metadata is the newest metadata of a stream as text without spaces.
func (r *room) metadata(stream string) string {
	events := r.mustRead("$$"+stream, esdb.Backwards, esdb.End{}, 1)
	if len(events) == 0 {
		return ""
	}
	return strings.Join(strings.Fields(string(events[0].Event.Data)), "")
}

func checkDeleteWrong(r *room) {
	s, never := r.stream("s"), r.stream("never")
	r.put(s, "a", "b")
	empty := &shared.Empty{}
	for _, tc := range []struct {
		what, stream string
		option       *streamspb.DeleteReq_Options
		expected     string
		actual       string
	}{
		{"revision 0", s, &streamspb.DeleteReq_Options{ExpectedStreamRevision: &streamspb.DeleteReq_Options_Revision{Revision: 0}}, "0", "1"},
		{"revision 9", s, &streamspb.DeleteReq_Options{ExpectedStreamRevision: &streamspb.DeleteReq_Options_Revision{Revision: 9}}, "9", "1"},
		{"none", s, &streamspb.DeleteReq_Options{ExpectedStreamRevision: &streamspb.DeleteReq_Options_NoStream{NoStream: empty}}, "-1", "1"},
		{"existing", never, &streamspb.DeleteReq_Options{ExpectedStreamRevision: &streamspb.DeleteReq_Options_StreamExists{StreamExists: empty}}, "-4", "-1"},
		{"any", never, &streamspb.DeleteReq_Options{ExpectedStreamRevision: &streamspb.DeleteReq_Options_Any{Any: empty}}, "-2", "-1"},
	} {
		tc.option.StreamIdentifier = identifier(tc.stream)
		var trailers metadata.MD
		_, err := r.Server.streams.Delete(r.ctx, &streamspb.DeleteReq{Options: tc.option}, grpc.Trailer(&trailers))
		what := tc.what + " expected"
		r.same(what, codeOf(err), "FailedPrecondition")
		r.same(what+": exception", trailer(trailers, "exception"), "wrong-expected-version")
		r.same(what+": stream", trailer(trailers, "stream-name"), tc.stream)
		r.same(what+": expected", trailer(trailers, "expected-version"), tc.expected)
		r.same(what+": actual", trailer(trailers, "actual-version"), tc.actual)
	}
	var trailers metadata.MD
	_, err := r.Server.streams.Tombstone(r.ctx, &streamspb.TombstoneReq{Options: &streamspb.TombstoneReq_Options{
		StreamIdentifier: identifier(s), ExpectedStreamRevision: &streamspb.TombstoneReq_Options_Revision{Revision: 0},
	}}, grpc.Trailer(&trailers))
	r.same("a tombstone at another revision", codeOf(err), "FailedPrecondition")
	for key, want := range map[string]string{"exception": "wrong-expected-version", "stream-name": s, "expected-version": "0", "actual-version": "1"} {
		r.same("a tombstone at another revision: "+key, trailer(trailers, key), want)
	}
	r.same("the stream", r.whole(s), "a b")
	r.same("deleting at its revision", r.delete(s, esdb.Revision(1)), "ok")
	r.same("deleting a deleted one that should exist", r.delete(s, esdb.StreamExists{}), "deleted")
	exists := r.stream("exists")
	r.put(exists, "a")
	r.same("deleting what exists", r.delete(exists, esdb.StreamExists{}), "ok")
	ended := r.stream("ended")
	r.put(ended, "a", "b")
	_, err = r.client.TombstoneStream(r.ctx, ended, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(1)})
	r.same("a tombstone at its revision", codeOf(err), "ok")
}

func checkDeleteTwice(r *room) {
	s := r.stream("s")
	r.put(s, "a")
	r.same("once", r.delete(s, esdb.Any{}), "ok")
	r.same("again", r.delete(s, esdb.Any{}), "ok")
	r.same("reading", r.whole(s), "not found")
}

func checkRepeatDeleted(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	r.mustDelete(s)
	r.same("where none was expected", r.append(s, esdb.NoStream{}, "a", "b"), "ok 1")
	r.same("reading", r.whole(s), "not found")
	r.same("a new beginning", r.append(s, esdb.NoStream{}, "c"), "ok 2")
	r.same("reading the new beginning", r.whole(s), "c")
}

func checkTombstone(r *room) {
	s, never := r.stream("s"), r.stream("never")
	// Neither has metadata: a server that wrote some since it was started goes
	// on taking metadata of a tombstoned stream until it is started again.
	// No case deletes $$s then: that kills a server for good.
	r.put(s, "a", "b")
	for _, stream := range []string{s, never} {
		_, err := r.client.TombstoneStream(r.ctx, stream, esdb.TombstoneStreamOptions{})
		r.must("tombstone", err)
		r.same("reading", r.whole(stream), "deleted")
		r.same("reading backwards", r.read(stream, esdb.Backwards, esdb.End{}, 1), "deleted")
		for _, want := range []esdb.ExpectedRevision{esdb.Any{}, esdb.NoStream{}, esdb.StreamExists{}, esdb.Revision(1)} {
			r.same(fmt.Sprintf("appending, expecting %#v", want), r.append(stream, want, "x"), "deleted")
		}
		r.same("repeating", r.append(stream, esdb.NoStream{}, "a", "b"), "deleted")
		r.same("deleting", r.delete(stream, esdb.Any{}), "deleted")
		_, err = r.client.TombstoneStream(r.ctx, stream, esdb.TombstoneStreamOptions{})
		r.same("tombstoning again", codeOf(err), "deleted")
		r.same("reading the metadata", r.whole("$$"+stream), "deleted")
		r.same("writing metadata", r.append("$$"+stream, esdb.Any{}, "x"), "deleted")
	}
}

func checkTombstoneInAll(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	end, err := r.client.TombstoneStream(r.ctx, s, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	events := r.readAll(esdb.Forwards, end.Position, 1)
	r.same("at the position answered", namesOf(events...), "$streamDeleted")
	if len(events) == 1 {
		r.same("its stream", events[0].Event.StreamID, s)
		r.same("its revision", events[0].Event.EventNumber, uint64(1<<63-1))
	}
}

package storetest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

var expectCases = []Case{
	{Number: "2.1", Name: "expectations that hold", check: checkExpected,
		Rule: "An append is accepted if the stream is as expected: absent, or at a revision."},
	{Number: "2.2", Name: "expectations that do not hold", check: checkUnexpected,
		Rule: "An append is refused if the stream is not as expected. The refusal names the expected and the actual revision; nothing of the batch is written."},
	{Number: "2.3", Name: "the fields of a refusal", check: checkWrongFields, OtherPrograms: "The ledger's client reads today's fields, which rule 2.2 covers.",
		Rule: "The refusal is an answer, not an error. It has the expected and the actual revision in the fields of today's clients and of those before 20.6.1."},
	{Number: "2.4", Name: "one of many writers", check: checkRace,
		Rule: "Of many appends that expect the same revision at once, the server accepts exactly one and refuses all the others."},
	{Number: "2.5", Name: "a repeat at a revision", check: checkRepeatExact,
		Rule: "A batch that was written at the revision that it expects is not written again: the answer is the first one, also long after and when others have written meanwhile."},
	{Number: "2.6", Name: "a repeat at no revision", check: checkRepeatAny, OtherPrograms: revisionNamed,
		Rule: "A batch that was just written and names no revision is recognised by its ids, whole, in part or in another order: the answer is the first one, and nothing is written. A batch that goes on with new events is refused. A batch that begins with a new event is written whole, and so is one in another stream."},
	{Number: "2.7", Name: "a repeat in part", check: checkRepeatPart,
		Rule: "The beginning of a batch, and its rest at the revision between, are repeats too. A batch that begins as a repeat and goes on with new events is refused."},
	{Number: "2.8", Name: "a repeat in another order", check: checkRepeatOrder,
		Rule: "At a revision another order is another batch, and refused."},
	{Number: "2.9", Name: "a repeat in another stream", check: checkRepeatElsewhere,
		Rule: "Events are recognised in their own stream only: in another they are written."},
	{Number: "2.10", Name: "other events at a past revision", check: checkNoRepeat,
		Rule: "Other events than those written at a past revision are refused, however much of them is the same."},
	{Number: "2.11", Name: "expectations of no revision", check: checkUnnumbered, OtherPrograms: revisionNamed,
		Rule: "An append without a revision is accepted always, or only if the stream exists, as it asks. A stream with metadata alone exists, and so does a deleted one with new metadata."},
}

func checkExpected(r *room) {
	s := r.stream("s")
	r.same("none expected, none there", r.append(s, esdb.NoStream{}, "a"), "ok 0")
	r.same("revision 0", r.append(s, esdb.Revision(0), "b"), "ok 1")
	r.same("the stream", r.whole(s), "a b")
}

func checkUnnumbered(r *room) {
	s, m := r.stream("s"), r.stream("only-metadata")
	r.same("existing, absent", r.append(s, esdb.StreamExists{}, "x", "y"), "expecting 'stream_exists' but got 'no_stream'")
	r.same("whatever it is, absent", r.append(s, esdb.Any{}, "a"), "ok 0")
	r.same("existing", r.append(s, esdb.StreamExists{}, "b"), "ok 1")
	r.same("whatever it is", r.append(s, esdb.Any{}, "c"), "ok 2")
	r.same("the stream", r.whole(s), "a b c")
	r.describe(m, `{"$maxCount":9}`)
	r.same("existing, with only metadata", r.append(m, esdb.StreamExists{}, "a"), "ok 0")
	r.mustDelete(s)
	r.same("existing, deleted", r.append(s, esdb.StreamExists{}, "x"), "deleted")
	r.same("whatever it is, deleted", r.append(s, esdb.Any{}, "d"), "ok 3")
	r.same("existing, written again", r.append(s, esdb.StreamExists{}, "e"), "ok 4")
	r.mustDelete(s)
	r.describe(s, `{"owner":"again"}`)
	r.same("existing, described after deleting", r.append(s, esdb.StreamExists{}, "f"), "ok 5")
	r.same("the stream at last", r.whole(s), "f")
}

func checkUnexpected(r *room) {
	s, none := r.stream("s"), r.stream("none")
	r.put(s, "a", "b")
	for _, tc := range []struct {
		stream string
		want   esdb.ExpectedRevision
		says   string
	}{
		{s, esdb.NoStream{}, "expecting 'no_stream' but got '1'"},
		{s, esdb.Revision(0), "expecting '0' but got '1'"},
		{s, esdb.Revision(2), "expecting '2' but got '1'"},
		{s, esdb.Revision(1<<63 - 1), "expecting '9223372036854775807' but got '1'"},
		{none, esdb.Revision(0), "expecting '0' but got 'no_stream'"},
		{none, esdb.Revision(7), "expecting '7' but got 'no_stream'"},
	} {
		r.same(fmt.Sprintf("%#v", tc.want), r.append(tc.stream, tc.want, "x", "y"), tc.says)
	}
	r.same("the stream afterwards", r.whole(s), "a b")
	r.same("no stream afterwards", r.whole(none), "not found")
}

func checkWrongFields(r *room) {
	s, none := r.stream("s"), r.stream("none")
	r.put(s, "a", "b")
	for _, tc := range []struct {
		stream   string
		expected int64
		says     string
	}{
		{s, -1, "none expected, at 1; of old: 18446744073709551615, at 1"},
		{s, 0, "0 expected, at 1; of old: 0, at 1"},
		{s, 5, "5 expected, at 1; of old: 5, at 1"},
		{none, 5, "5 expected, none; of old: 5, none"},
		{none, -4, "existing expected, none; of old: existing, none"},
	} {
		resp, _, err := r.rawAppend(expecting(tc.stream, tc.expected), r.proposal("x"))
		r.must("append", err)
		r.same(fmt.Sprint("expecting ", tc.expected), wrongInWords(resp.GetWrongExpectedVersion()), tc.says)
	}
	// Any is only ever wrong where a repeat goes on with something new.
	resp, _, err := r.rawAppend(expecting(s, -2), r.proposal("a"), r.proposal("x"))
	r.must("append", err)
	r.same("expecting anything", wrongInWords(resp.GetWrongExpectedVersion()), "any expected, at 1; of old: any, at 1")
}

// wrongInWords reads every field of a refusal.
func wrongInWords(w *streamspb.AppendResp_WrongExpectedVersion) string {
	if w == nil {
		return "no refusal"
	}
	expected, current, oldExpected, oldCurrent := "-", "-", "-", "-"
	switch v := w.GetExpectedRevisionOption().(type) {
	case *streamspb.AppendResp_WrongExpectedVersion_ExpectedRevision:
		expected = fmt.Sprint(v.ExpectedRevision)
	case *streamspb.AppendResp_WrongExpectedVersion_ExpectedAny:
		expected = "any"
	case *streamspb.AppendResp_WrongExpectedVersion_ExpectedNoStream:
		expected = "none"
	case *streamspb.AppendResp_WrongExpectedVersion_ExpectedStreamExists:
		expected = "existing"
	}
	switch v := w.GetCurrentRevisionOption().(type) {
	case *streamspb.AppendResp_WrongExpectedVersion_CurrentRevision:
		current = fmt.Sprint("at ", v.CurrentRevision)
	case *streamspb.AppendResp_WrongExpectedVersion_CurrentNoStream:
		current = "none"
	}
	switch v := w.GetExpectedRevisionOption_20_6_0().(type) {
	case *streamspb.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0:
		oldExpected = fmt.Sprint(v.ExpectedRevision_20_6_0)
	case *streamspb.AppendResp_WrongExpectedVersion_Any_20_6_0:
		oldExpected = "any"
	case *streamspb.AppendResp_WrongExpectedVersion_StreamExists_20_6_0:
		oldExpected = "existing"
	}
	switch v := w.GetCurrentRevisionOption_20_6_0().(type) {
	case *streamspb.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0:
		oldCurrent = fmt.Sprint("at ", v.CurrentRevision_20_6_0)
	case *streamspb.AppendResp_WrongExpectedVersion_NoStream_20_6_0:
		oldCurrent = "none"
	}
	return fmt.Sprintf("%s expected, %s; of old: %s, %s", expected, current, oldExpected, oldCurrent)
}

func checkRace(r *room) {
	const writers, rounds = 8, 10
	s := r.stream("s")
	for round := range rounds {
		var want esdb.ExpectedRevision = esdb.NoStream{}
		if round > 0 {
			want = esdb.Revision(uint64(round - 1))
		}
		said := make([]string, writers)
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() { said[w] = r.append(s, want, fmt.Sprintf("r%d-w%d", round, w)) })
		}
		writing.Wait()
		taken, refused := 0, 0
		for _, s := range said {
			switch {
			case s == fmt.Sprint("ok ", round):
				taken++
			case strings.HasSuffix(s, fmt.Sprintf("but got '%d'", round)):
				refused++
			}
		}
		if taken != 1 || refused != writers-1 {
			r.stop("round %d: expected one taken and %d refused, seen %s", round, writers-1, quoted(strings.Join(said, "; ")))
		}
	}
	r.same("events in the stream", len(r.mustRead(s, esdb.Forwards, esdb.Start{}, everything)), rounds)
}

func checkRepeatExact(r *room) {
	s := r.stream("s")
	first, err := r.write(s, esdb.NoStream{}, r.events("a", "b")...)
	r.must("append", err)
	second, err := r.write(s, esdb.Revision(1), r.events("c", "d")...)
	r.must("append", err)
	again := func(when string) {
		r.repeat("where none was expected, "+when, s, esdb.NoStream{}, first, "a", "b")
		r.repeat("where revision 1 was expected, "+when, s, esdb.Revision(1), second, "c", "d")
		r.repeat("both as one, "+when, s, esdb.NoStream{}, second, "a", "b", "c", "d")
	}
	again("at once")
	r.put(s, numbered("more", 0, 60)...)
	again("after 60 others")
	r.same("events in the stream", len(r.mustRead(s, esdb.Forwards, esdb.Start{}, everything)), 64)
}

// repeat sends a batch again, and expects the first answer.
func (r *room) repeat(what, stream string, want esdb.ExpectedRevision, first *esdb.WriteResult, names ...string) {
	again, err := r.write(stream, want, r.events(names...)...)
	if err != nil {
		r.fail("%s: expected the first answer, seen %s", what, codeOf(err))
		return
	}
	r.same(what+": the answer", *again, *first)
}

func checkRepeatAny(r *room) {
	s := r.stream("s")
	first := r.put(s, "a", "b")
	second, err := r.write(s, esdb.StreamExists{}, r.events("c")...)
	r.must("append", err)
	r.repeat("whatever the revision", s, esdb.Any{}, first, "a", "b")
	r.repeat("whatever the revision, the later one", s, esdb.Any{}, second, "c")
	r.repeat("where the stream must exist", s, esdb.StreamExists{}, first, "a", "b")
	r.repeat("where the stream must exist, the later one", s, esdb.StreamExists{}, second, "c")
	r.same("the stream", r.whole(s), "a b c")

	// Each stream has ids of its own: a server may know an id only in the stream
	// that it was written to first.
	part := r.stream("part")
	r.put(part, "d", "e", "f")
	r.same("its beginning", r.append(part, esdb.Any{}, "d", "e"), "ok 1")
	r.same("its beginning with one more", r.append(part, esdb.Any{}, "d", "x"), "expecting 'any' but got '2'")
	r.same("its rest with one more, where the stream must exist", r.append(part, esdb.StreamExists{}, "f", "x"), "expecting 'stream_exists' but got '2'")
	r.same("the stream that was repeated in part", r.whole(part), "d e f")

	turned := r.stream("turned")
	r.put(turned, "g", "h")
	// Two events and no more: a server may never answer a longer row whose last
	// event was written two places or more before its first.
	said := r.append(turned, esdb.Any{}, "h", "g")
	r.check(strings.HasPrefix(said, "ok"), "in another order: expected a repeat, seen %s", quoted(said))
	r.same("the stream that was repeated in another order", r.whole(turned), "g h")
	r.same("an unknown one first", r.append(turned, esdb.Any{}, "y", "g"), "ok 3")
	r.same("the stream with the unknown one", r.whole(turned), "g h y g")
	r.same("in another stream", r.append(r.stream("other"), esdb.Any{}, "a", "b"), "ok 1")
}

func checkRepeatPart(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c")
	r.same("its beginning, where none is expected", r.append(s, esdb.NoStream{}, "a"), "ok 0")
	r.same("its middle at its revision", r.append(s, esdb.Revision(0), "b"), "ok 1")
	r.same("its rest at its revision", r.append(s, esdb.Revision(0), "b", "c"), "ok 2")
	r.same("with one more, where none is expected", r.append(s, esdb.NoStream{}, "a", "b", "c", "d"), "expecting 'no_stream' but got '2'")
	r.same("its rest with one more", r.append(s, esdb.Revision(1), "c", "d"), "expecting '1' but got '2'")
	r.same("the stream", r.whole(s), "a b c")
}

func checkRepeatOrder(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b")
	r.same("where none is expected", r.append(s, esdb.NoStream{}, "b", "a"), "expecting 'no_stream' but got '1'")
	r.same("one left out", r.append(s, esdb.NoStream{}, "b"), "expecting 'no_stream' but got '1'")
	r.same("the stream", r.whole(s), "a b")
}

func checkRepeatElsewhere(r *room) {
	s, other := r.stream("s"), r.stream("other")
	r.put(s, "a", "b")
	r.same("where none is expected", r.append(other, esdb.NoStream{}, "a", "b"), "ok 1")
	r.same("the first", r.whole(s), "a b")
	r.same("the second", r.whole(other), "a b")
}

func checkNoRepeat(r *room) {
	s := r.stream("s")
	r.put(s, "a", "b", "c")
	r.same("another first event", r.append(s, esdb.NoStream{}, "x", "b", "c"), "expecting 'no_stream' but got '2'")
	r.same("another second event", r.append(s, esdb.NoStream{}, "a", "x", "c"), "expecting 'no_stream' but got '2'")
	r.same("the same events one revision later", r.append(s, esdb.Revision(0), "a", "b"), "expecting '0' but got '2'")
	r.same("the same events at a revision to come", r.append(s, esdb.Revision(3), "a", "b", "c"), "expecting '3' but got '2'")
	r.same("the stream", r.whole(s), "a b c")
}

package node

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"
	"pgregory.net/rapid"
)

// batches is a call of BatchAppend whose batches have names.
type batches struct {
	testing.TB
	streams.Streams_BatchAppendClient
}

func openBatches(t testing.TB, s streams.StreamsClient) batches {
	t.Helper()
	call, err := s.BatchAppend(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	return batches{t, call}
}

func (b batches) send(requests ...*streams.BatchAppendReq) {
	b.Helper()
	for _, r := range requests {
		if err := b.Send(r); err != nil {
			b.Fatal(err)
		}
	}
}

// next is the next answer in words, after the name of its batch.
func (b batches) next() string {
	b.Helper()
	resp, err := b.Recv()
	if err != nil {
		b.Fatal(err)
	}
	id, err := parseID(resp.GetCorrelationId())
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimRight(string(id[:]), "\x00") + ": " + batchWords(resp)
}

// correlation is an id made of a name of at most sixteen bytes.
func correlation(name string) *shared.UUID {
	var id uuid.UUID
	copy(id[:], name)
	return idToWire(id, true)
}

// ends expects that nothing more is answered.
func (b batches) ends() {
	b.Helper()
	if err := b.CloseSend(); err != nil {
		b.Fatal(err)
	}
	resp, err := b.Recv()
	if !errors.Is(err, io.EOF) {
		b.Errorf("at the end: %v, %v", resp, err)
	}
	for key := range b.Trailer() {
		b.Errorf("the call ends with the trailer %s", key)
	}
}

func batchWords(resp *streams.BatchAppendResp) string {
	if e := resp.GetError(); e != nil {
		if len(e.GetDetails()) != 1 {
			return fmt.Sprint("details: ", e.GetDetails())
		}
		details, err := e.GetDetails()[0].UnmarshalNew()
		if err != nil {
			return err.Error()
		}
		kind := string(details.ProtoReflect().Descriptor().Name())
		return strings.Join(append([]string{codes.Code(e.GetCode()).String(), kind}, slices.Sorted(maps.Keys(fieldsOf(details)))...), " ")
	}
	at := resp.GetSuccess().GetPosition()
	_, none := resp.GetSuccess().GetCurrentRevisionOption().(*streams.BatchAppendResp_Success_NoStream)
	if at.GetCommitPosition() != at.GetPreparePosition() {
		return "two positions"
	}
	return successWords(none, resp.GetSuccess().GetCurrentRevision(), at.GetCommitPosition())
}

// firstOfBatch begins a batch; want is as for appendOptions.
func firstOfBatch(name, stream string, want any, events ...string) *streams.BatchAppendReq {
	o := &streams.BatchAppendReq_Options{StreamIdentifier: identifier(stream)}
	switch want := want.(type) {
	case expected:
		switch want {
		case expectAny:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
		case expectNoStream:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
		case expectExists:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
		default:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(want)}
		}
	case uint64:
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: want}
	}
	req := moreOfBatch(name, events...)
	req.Options = o
	return req
}

// moreOfBatch goes on with a batch.
func moreOfBatch(name string, events ...string) *streams.BatchAppendReq {
	req := &streams.BatchAppendReq{CorrelationId: correlation(name)}
	for _, e := range named(events...) {
		req.ProposedMessages = append(req.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
			Id:             idToWire(e.EventID, false),
			Metadata:       map[string]string{"type": e.EventType, "content-type": "application/json"},
			CustomMetadata: e.Metadata,
			Data:           e.Data,
		})
	}
	return req
}

// lastOfBatch ends a batch.
func lastOfBatch(name string, events ...string) *streams.BatchAppendReq {
	req := moreOfBatch(name, events...)
	req.IsFinal = true
	return req
}

// wholeBatch is a batch in one message.
func wholeBatch(name, stream string, want any, events ...string) *streams.BatchAppendReq {
	req := firstOfBatch(name, stream, want, events...)
	req.IsFinal = true
	return req
}

// TestBatchAnswers sends batches one by one, over one call, and looks at every
// field of the answers.
func TestBatchAnswers(t *testing.T) {
	n := openNode(t, Options{Protect: func(stream string) bool { return stream == "kept" }})
	s, c := stub(t, n), connect(t, n)
	prepare(t, c, "two", "two events")
	prepare(t, c, "deleted", "deleted")
	prepare(t, c, "ended", "tombstoned")
	mustAppend(t, c, "kept", "k")
	b := openBatches(t, s)
	for i, tc := range []struct {
		stream string
		want   any
		events string
		answer string
	}{
		{"none", expectNoStream, "", "ok none unlocated"},
		{"none", uint64(7), "x", "AlreadyExists WrongExpectedVersion current_no_stream expected_stream_position:7"},
		{"none", expectExists, "x", "AlreadyExists WrongExpectedVersion current_no_stream expected_stream_exists"},
		{"two", uint64(7), "x", "AlreadyExists WrongExpectedVersion current_stream_revision:1 expected_stream_position:7"},
		{"two", expectNoStream, "x", "AlreadyExists WrongExpectedVersion current_stream_revision:1 expected_no_stream"},
		{"two", expectAny, "a x", "AlreadyExists WrongExpectedVersion current_stream_revision:1 expected_any"},
		{"two", expectExists, "a x", "AlreadyExists WrongExpectedVersion current_stream_revision:1 expected_stream_exists"},
		{"two", expectNoStream, "a b", "ok 1"},
		{"two", expectAny, "a", "ok 0"},
		{"two", expectAny, "", "ok 1 unlocated"},
		{"two", uint64(1), "c d", "ok 3"},
		{"two", expectExists, "e", "ok 4"},
		{"$$two", expectAny, "m", "ok 0"},
		{"deleted", expectExists, "x", "NotFound StreamDeleted stream_identifier"},
		{"deleted", expectNoStream, "x", "ok 2"},
		{"ended", expectAny, "x", "NotFound StreamDeleted stream_identifier"},
		{"$$ended", expectAny, "x", "NotFound StreamDeleted stream_identifier"},
		{"kept", uint64(0), "l", "ok 1"},
		{"$all", expectAny, "x", "PermissionDenied AccessDenied"},
		{"new", expectAny, "x", "ok 0"},
	} {
		name := fmt.Sprint("batch ", i)
		b.send(wholeBatch(name, tc.stream, tc.want, strings.Fields(tc.events)...))
		if got := b.next(); got != name+": "+tc.answer {
			t.Errorf("%v at %v to %q: %s, want %s", tc.events, tc.want, tc.stream, got, tc.answer)
		}
	}
	truncating := wholeBatch("truncating", "$$kept", expectAny, "m")
	truncating.ProposedMessages[0].Data = []byte(`{"$maxCount":1}`)
	b.send(truncating)
	if got := b.next(); got != "truncating: PermissionDenied AccessDenied" {
		t.Error(got)
	}
	b.ends()
	if got := readNames(t, c, "two", esdb.ReadStreamOptions{}, 99); got != "a b c d e" {
		t.Errorf("the stream holds %s", got)
	}
}

// TestBatchAnswersNameTheirBatch checks what an answer holds beside its result:
// the correlation id as it was sent, and the stream.
func TestBatchAnswersNameTheirBatch(t *testing.T) {
	b := openBatches(t, stub(t, openNode(t, Options{})))
	for _, asString := range []bool{true, false} {
		for _, stream := range []string{"Ünï\xff\x00", "", "$all", strings.Repeat("x", maxStreamName+1)} {
			req := wholeBatch("x", stream, expectAny, "a")
			req.CorrelationId = idToWire(uuid.MustParse("38fffbc2-339e-11ea-8c7b-784f43837872"), asString)
			b.send(req)
			resp, err := b.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if resp.GetCorrelationId().String() != req.GetCorrelationId().String() || resp.GetStreamIdentifier() == nil ||
				string(resp.GetStreamIdentifier().GetStreamName()) != stream || resp.GetExpectedStreamPosition() != nil {
				t.Errorf("to %.20q: %v", stream, resp)
			}
		}
	}
	b.ends()
}

// TestBatchesOfOneCall mixes the messages of several batches. They are decided
// as they become final, each is answered once, and a batch that depends on one
// sent before it need not wait for the answer.
func TestBatchesOfOneCall(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	b := openBatches(t, stub(t, n))
	b.send(
		firstOfBatch("later", "s", uint64(2), "d"),
		firstOfBatch("first", "s", expectNoStream, "a"),
		firstOfBatch("other", "o", expectNoStream),
		moreOfBatch("nobody's", "x"),
		lastOfBatch("nobody's", "x"),
		moreOfBatch("first", "b", "c"),
		firstOfBatch("later", "elsewhere", expectAny, "e"), // what was asked for first holds
		lastOfBatch("other", "p"),
		lastOfBatch("first"),
		lastOfBatch("later", "f"),
		wholeBatch("first", "s", expectAny, "g"), // the name is free again
	)
	for _, want := range []string{"other: ok 0", "first: ok 2", "later: ok 5", "first: ok 6"} {
		if got := b.next(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	const pipelined = 3000
	go func() {
		for i := range pipelined {
			if b.Send(wholeBatch("piped", "p", expected(i-1), fmt.Sprint("p", i))) != nil {
				return
			}
		}
	}()
	for i := range pipelined {
		if got := b.next(); got != fmt.Sprint("piped: ok ", i) {
			t.Fatalf("batch %d: %s", i, got)
		}
	}
	b.ends()
	for stream, want := range map[string]string{"s": "a b c d e f g", "o": "p", "elsewhere": "not found"} {
		if got := readNames(t, c, stream, esdb.ReadStreamOptions{}, 99); got != want {
			t.Errorf("%s holds %q, want %q", stream, got, want)
		}
	}
}

// TestBatchIsDecidedAsAppend sends the same batches in pieces and mixed to one
// node, as appends to another, and finds the same answers and the same log.
func TestBatchIsDecidedAsAppend(t *testing.T) {
	one, other := openNode(t, Options{}), openNode(t, Options{})
	oneClient, otherClient := connect(t, one), connect(t, other)
	b, appends := openBatches(t, stub(t, one)), stub(t, other)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
				_, err := oneClient.DeleteStream(timeout(t), fmt.Sprint("s", run), esdb.DeleteStreamOptions{})
				_, err2 := otherClient.DeleteStream(timeout(t), fmt.Sprint("s", run), esdb.DeleteStreamOptions{})
				if codeOf(err) != codeOf(err2) {
					rt.Fatalf("delete: %v, and %v", err, err2)
				}
			}
			var open, final []*draft
			for i := range rapid.IntRange(1, 6).Draw(rt, "batches") {
				open = append(open, drawBatch(rt, fmt.Sprint("batch ", i), run))
			}
			for len(open) > 0 {
				i := rapid.IntRange(0, len(open)-1).Draw(rt, "next")
				d := open[i]
				b.send(d.messages[d.sent])
				if d.sent++; d.sent == len(d.messages) {
					final = append(final, d)
					open = slices.Delete(open, i, i+1)
				}
			}
			for _, d := range final {
				got, want := b.next(), d.append(t, appends)
				if got != d.name+": "+want {
					rt.Fatalf("%v to %q at %v: %s, as an append %s", d.events, d.stream, d.want, got, want)
				}
			}
		}
	})
	got, want := readAll(t, oneClient, esdb.ReadAllOptions{}, 1<<40), readAll(t, otherClient, esdb.ReadAllOptions{}, 1<<40)
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d events by batches, %d by appends", len(got), len(want))
	}
	for i := range got {
		g, w := got[i].Event, want[i].Event
		if nameOf(g) != nameOf(w) || g.StreamID != w.StreamID || g.EventNumber != w.EventNumber || g.Position != w.Position {
			t.Fatalf("event %d is %v by batches, %v by appends", i, g, w)
		}
	}
}

// draft is a batch that is sent in pieces.
type draft struct {
	name, stream string
	want         any
	events       []string
	messages     []*streams.BatchAppendReq
	sent         int
}

func drawBatch(rt *rapid.T, name string, run int) *draft {
	d := &draft{name: name, stream: fmt.Sprint(rapid.SampledFrom([]string{"s", "t", "$$s"}).Draw(rt, "stream"), run)}
	d.want = rapid.SampledFrom([]any{expectAny, expectNoStream, expectExists, uint64(0), uint64(1), uint64(2), uint64(3)}).Draw(rt, "want")
	for i := range rapid.IntRange(1, 3).Draw(rt, "messages") {
		events := rapid.SliceOfN(rapid.SampledFrom([]string{"p", "q", "r", "s", "t", "u"}), 0, 2).Draw(rt, "events")
		d.events = append(d.events, events...)
		if i == 0 {
			d.messages = append(d.messages, firstOfBatch(name, d.stream, d.want, events...))
		} else {
			d.messages = append(d.messages, moreOfBatch(name, events...))
		}
	}
	d.messages[len(d.messages)-1].IsFinal = true
	return d
}

// append sends a batch as an append, and gives the answer in the words of one
// to a batch.
func (d *draft) append(t *testing.T, s streams.StreamsClient) string {
	t.Helper()
	requests := []*streams.AppendReq{appendOptions(d.stream, d.want)}
	for _, e := range named(d.events...) {
		requests = append(requests, rawEvent(func(p *streams.AppendReq_ProposedMessage) {
			p.Id, p.Data, p.CustomMetadata = idToWire(e.EventID, false), e.Data, e.Metadata
			p.Metadata["type"] = e.EventType
		}))
	}
	resp, st, _ := rawAppend(t, s, requests...)
	if st.Code() == codes.FailedPrecondition {
		return "NotFound StreamDeleted stream_identifier"
	}
	if st.Code() != codes.OK {
		return st.String()
	}
	if w := resp.GetWrongExpectedVersion(); w != nil {
		words := "AlreadyExists WrongExpectedVersion"
		for _, field := range slices.Sorted(maps.Keys(fieldsOf(w))) {
			if !strings.Contains(field, "_20_6_0") {
				words += " " + strings.NewReplacer("current_revision", "current_stream_revision", "expected_revision", "expected_stream_position").Replace(field)
			}
		}
		return words
	}
	at := resp.GetSuccess().GetPosition()
	_, none := resp.GetSuccess().GetCurrentRevisionOption().(*streams.AppendResp_Success_NoStream)
	return successWords(none, resp.GetSuccess().GetCurrentRevision(), at.GetCommitPosition())
}

func successWords(none bool, revision, position uint64) string {
	words := fmt.Sprint("ok ", revision)
	if none {
		words = "ok none"
	}
	if position == 0 {
		return words + " unlocated"
	}
	return words
}

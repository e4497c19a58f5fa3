package storetest

import (
	"fmt"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	streamspb "github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The official client never calls BatchAppend. Whether a server has it is found
// out by trying: one that does not advertise it may serve it all the same.
var batchCases = []Case{
	{Number: "1.13", Name: "BatchAppend", check: checkBatches, OtherPrograms: noBatchAppend,
		Rule: "BatchAppend accepts many batches over one call, in pieces and mixed. The server decides them in the order in which they become final. Each answer has the batch's own id, and the revision and the position of its last event."},
	{Number: "1.14", Name: "BatchAppend and Append", check: checkBatchRepeats, OtherPrograms: noBatchAppend,
		Rule: "A batch that was written by Append is a repeat by BatchAppend, and the other way round: the answer is the first one, and nothing is written."},
	{Number: "1.15", Name: "refusals of BatchAppend", check: checkBatchRefusals, OtherPrograms: noBatchAppend,
		Rule: "When BatchAppend refuses a batch, the details of the status name the reason: the expected and the actual revision, the limit, a deleted stream or a timeout. Nothing of that batch is written; the other batches of the call are."},
}

// batchCall is a call of BatchAppend. Every wait on it is bounded.
type batchCall struct {
	*room
	call streamspb.Streams_BatchAppendClient
}

func (r *room) batches() batchCall {
	call, err := r.Server.streams.BatchAppend(r.ctx)
	r.must("call BatchAppend", err)
	return batchCall{r, call}
}

func (b batchCall) send(requests ...*streamspb.BatchAppendReq) {
	for _, req := range requests {
		if b.call.Send(req) != nil {
			return // why is told to who receives
		}
	}
}

// next is the next answer: of which batch it is, and what it says. The other
// results of a batch are asked of the answer itself.
func (b batchCall) next() (said string, resp *streamspb.BatchAppendResp) {
	received := make(chan error, 1)
	go func() {
		var err error
		resp, err = b.call.Recv()
		received <- err
	}()
	late := time.NewTimer(b.patience)
	defer late.Stop()
	select {
	case err := <-received:
		b.must("receive the answer to a batch", err)
	case <-late.C:
		b.stop("no answer to a batch for %s", b.patience)
	}
	words := batchWords(resp)
	if words == "denied" {
		b.bar("BatchAppend: this user may not")
	}
	return resp.GetCorrelationId().GetString_() + " " + words, resp
}

// batchWords says what became of a batch.
func batchWords(resp *streamspb.BatchAppendResp) string {
	if s := resp.GetSuccess(); s != nil {
		at, ok := s.GetCurrentRevisionOption().(*streamspb.BatchAppendResp_Success_CurrentRevision)
		if !ok {
			return "ok, no stream"
		}
		return fmt.Sprint("ok ", at.CurrentRevision)
	}
	code := codes.Code(resp.GetError().GetCode()).String()
	if len(resp.GetError().GetDetails()) != 1 {
		return code + " without details"
	}
	details, err := resp.GetError().GetDetails()[0].UnmarshalNew()
	if err != nil {
		return code + " with unknown details"
	}
	switch d := details.(type) {
	case *shared.AccessDenied:
		return "denied"
	case *shared.Timeout:
		return code + " late"
	case *shared.StreamDeleted:
		return code + " deleted"
	case *shared.MaximumAppendSizeExceeded:
		return fmt.Sprint(code, " more than ", d.GetMaxAppendSize())
	case *shared.WrongExpectedVersion:
		return code + " " + wrongBatchInWords(d)
	}
	return fmt.Sprintf("%s %s", code, details.ProtoReflect().Descriptor().Name())
}

func wrongBatchInWords(w *shared.WrongExpectedVersion) string {
	expected, current := "-", "-"
	switch v := w.GetExpectedStreamPositionOption().(type) {
	case *shared.WrongExpectedVersion_ExpectedStreamPosition:
		expected = fmt.Sprint(v.ExpectedStreamPosition)
	case *shared.WrongExpectedVersion_ExpectedAny:
		expected = "any"
	case *shared.WrongExpectedVersion_ExpectedNoStream:
		expected = "none"
	case *shared.WrongExpectedVersion_ExpectedStreamExists:
		expected = "existing"
	}
	switch v := w.GetCurrentStreamRevisionOption().(type) {
	case *shared.WrongExpectedVersion_CurrentStreamRevision:
		current = fmt.Sprint("at ", v.CurrentStreamRevision)
	case *shared.WrongExpectedVersion_CurrentNoStream:
		current = "none"
	}
	return expected + " expected, " + current
}

// batch is a message with events of a batch. Whoever begins a batch gives it
// options, and whoever ends it makes it final.
func (r *room) batch(id uuid.UUID, names ...string) *streamspb.BatchAppendReq {
	req := &streamspb.BatchAppendReq{CorrelationId: &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}}
	for _, e := range r.events(names...) {
		req.ProposedMessages = append(req.ProposedMessages, &streamspb.BatchAppendReq_ProposedMessage{
			Id:             wireID(e.EventID),
			Metadata:       map[string]string{"type": e.EventType, "content-type": "application/json"},
			CustomMetadata: e.Metadata,
			Data:           e.Data,
		})
	}
	return req
}

// begin gives a batch its options; the numbers are those of expecting.
func begin(req *streamspb.BatchAppendReq, stream string, revision int64) *streamspb.BatchAppendReq {
	o := &streamspb.BatchAppendReq_Options{StreamIdentifier: identifier(stream)}
	switch revision {
	case -1:
		o.ExpectedStreamPosition = &streamspb.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	case -2:
		o.ExpectedStreamPosition = &streamspb.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
	case -4:
		o.ExpectedStreamPosition = &streamspb.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
	default:
		o.ExpectedStreamPosition = &streamspb.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(revision)}
	}
	req.Options = o
	return req
}

func final(req *streamspb.BatchAppendReq) *streamspb.BatchAppendReq {
	req.IsFinal = true
	return req
}

func checkBatches(r *room) {
	s, other := r.stream("s"), r.stream("other")
	first, second, third := uuid.New(), uuid.New(), uuid.New()
	b := r.batches()
	b.send(
		begin(r.batch(second, "d"), s, 2),
		begin(r.batch(first, "a"), s, -1),
		begin(r.batch(third), other, -2),
		r.batch(first, "b"),
		r.batch(third, "x"),
		final(r.batch(first, "c")),
		final(r.batch(second, "e")),
		final(r.batch(third, "y")),
	)
	answers := map[string]*streamspb.BatchAppendResp{}
	for range 3 {
		said, resp := b.next()
		answers[said] = resp
	}
	for what, want := range map[string]struct {
		stream   string
		id       uuid.UUID
		revision uint64
	}{"the first to end": {s, first, 2}, "the one that expects it": {s, second, 4}, "the one elsewhere": {other, third, 1}} {
		resp := answers[fmt.Sprint(want.id, " ok ", want.revision)]
		if !r.check(resp != nil, "%s: expected the answer %d, seen %v", what, want.revision, answers) {
			continue
		}
		r.same(what+": the stream", string(resp.GetStreamIdentifier().GetStreamName()), want.stream)
		for _, e := range r.mustRead(want.stream, esdb.Forwards, esdb.Revision(want.revision), 1) {
			at := resp.GetSuccess().GetPosition()
			r.same(what+": the position", esdb.Position{Commit: at.GetCommitPosition(), Prepare: at.GetPreparePosition()}, e.Event.Position)
		}
	}
	r.same("the stream", r.whole(s), "a b c d e")
	r.same("the other", r.whole(other), "x y")

	const many = 100
	for i := range many {
		b.send(final(begin(r.batch(uuid.New(), fmt.Sprint("more", i)), s, int64(4+i))))
	}
	for i := range many {
		_, resp := b.next()
		if !r.same(fmt.Sprintf("batch %d of many, each at the revision of the one before", i), batchWords(resp), fmt.Sprint("ok ", 5+i)) {
			return
		}
	}
}

func checkBatchRepeats(r *room) {
	s, t := r.stream("s"), r.stream("t")
	written := r.put(s, "a", "b")
	b := r.batches()
	sameAnswer := func(what string, want esdb.WriteResult) {
		said, resp := b.next()
		at := resp.GetSuccess().GetPosition()
		r.check(resp.GetSuccess() != nil && resp.GetSuccess().GetCurrentRevision() == want.NextExpectedVersion &&
			at.GetCommitPosition() == want.CommitPosition && at.GetPreparePosition() == want.PreparePosition,
			"%s: expected the first answer, %+v, seen %s at %v", what, want, said, at)
	}
	for what, revision := range map[string]int64{"whatever the revision": -2, "where none is expected": -1} {
		b.send(final(begin(r.batch(uuid.New(), "a", "b"), s, revision)))
		sameAnswer(what, *written)
	}
	b.send(final(begin(r.batch(uuid.New(), "c", "d"), t, -1)))
	_, resp := b.next()
	at := resp.GetSuccess().GetPosition()
	first := esdb.WriteResult{
		NextExpectedVersion: resp.GetSuccess().GetCurrentRevision(),
		CommitPosition:      at.GetCommitPosition(), PreparePosition: at.GetPreparePosition(),
	}
	r.repeat("by Append", t, esdb.NoStream{}, &first, "c", "d")
	r.same("the stream", r.whole(s), "a b")
	r.same("the other", r.whole(t), "c d")
}

func checkBatchRefusals(r *room) {
	s, none, gone := r.stream("s"), r.stream("none"), r.stream("gone")
	r.put(s, "a", "b")
	r.put(gone, "a")
	_, err := r.client.TombstoneStream(r.ctx, gone, esdb.TombstoneStreamOptions{})
	r.must("tombstone", err)
	large := begin(r.batch(uuid.New(), "large"), s, -2)
	large.ProposedMessages[0].Data = make([]byte, 1<<20+1)
	late := begin(r.batch(uuid.New(), "late"), s, -2)
	late.Options.DeadlineOption = &streamspb.BatchAppendReq_Options_Deadline{Deadline: &durationpb.Duration{}}
	b := r.batches()
	for _, tc := range []struct {
		what string
		req  *streamspb.BatchAppendReq
		says string
	}{
		{"none expected", begin(r.batch(uuid.New(), "x"), s, -1), "AlreadyExists none expected, at 1"},
		{"a later revision", begin(r.batch(uuid.New(), "x"), s, 5), "AlreadyExists 5 expected, at 1"},
		{"existing", begin(r.batch(uuid.New(), "x"), none, -4), "AlreadyExists existing expected, none"},
		{"a repeat that goes on", begin(r.batch(uuid.New(), "a", "x"), s, -2), "AlreadyExists any expected, at 1"},
		{"a deleted stream", begin(r.batch(uuid.New(), "x"), gone, -2), "NotFound deleted"},
		{"more than 1 MiB", large, fmt.Sprint("InvalidArgument more than ", 1<<20)},
		{"too late", late, "DeadlineExceeded late"},
	} {
		b.send(final(tc.req))
		said, resp := b.next()
		r.same(tc.what, said, tc.req.GetCorrelationId().GetString_()+" "+tc.says)
		r.same(tc.what+": the stream", string(resp.GetStreamIdentifier().GetStreamName()), string(tc.req.GetOptions().GetStreamIdentifier().GetStreamName()))
	}
	b.send(final(begin(r.batch(uuid.New(), "c"), s, 1)))
	_, resp := b.next()
	r.same("the next", batchWords(resp), "ok 2")
	r.same("the stream", r.whole(s), "a b c")
	r.same("no stream", r.whole(none), "not found")
}

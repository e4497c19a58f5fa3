package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestMalformedBatches sends batches that are wrong in one way each, between
// sound ones of the same call.
func TestMalformedBatches(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	b := openBatches(t, stub(t, n))
	type message = streams.BatchAppendReq_ProposedMessage
	edited := func(f func(*message)) *streams.BatchAppendReq {
		req := wholeBatch("bad", "s", expectAny, "x", "y")
		f(req.ProposedMessages[1])
		return req
	}
	named := func(id *shared.UUID) *streams.BatchAppendReq {
		req := wholeBatch("bad", "s", expectAny, "x")
		req.CorrelationId = id
		return req
	}
	nameless := wholeBatch("bad", "", expectAny, "x")
	nameless.Options.StreamIdentifier = nil
	tests := []struct {
		name   string
		req    *streams.BatchAppendReq
		answer string
	}{
		{"no stream", nameless, "InvalidArgument BadRequest message"},
		{"no stream name", wholeBatch("bad", "", expectAny, "x"), "InvalidArgument BadRequest message"},
		{"only the prefix of a metastream", wholeBatch("bad", "$$", expectAny, "x"), "InvalidArgument BadRequest message"},
		{"to $all", wholeBatch("bad", "$all", expectAny, "x"), "PermissionDenied AccessDenied"},
		{"a very long stream name", wholeBatch("bad", strings.Repeat("x", maxStreamName+1), expectAny, "x"), "InvalidArgument BadRequest message"},
		{"no expected revision", wholeBatch("bad", "s", nil, "x"), "InvalidArgument BadRequest message"},
		{"a revision beyond the signed numbers", wholeBatch("bad", "s", uint64(math.MaxInt64+1), "x"), "InvalidArgument BadRequest message"},
		{"no type", edited(func(m *message) { delete(m.Metadata, "type") }), "InvalidArgument BadRequest message"},
		{"no content type", edited(func(m *message) { delete(m.Metadata, "content-type") }), "InvalidArgument BadRequest message"},
		{"no metadata", edited(func(m *message) { m.Metadata = nil }), "InvalidArgument BadRequest message"},
		{"an empty type", edited(func(m *message) { m.Metadata["type"] = "" }), "InvalidArgument BadRequest message"},
		{"no id", edited(func(m *message) { m.Id = nil }), "InvalidArgument BadRequest message"},
		{"an empty id", edited(func(m *message) { m.Id = idToWire(uuid.Nil, false) }), "InvalidArgument BadRequest message"},
		{"a broken id", edited(func(m *message) { m.Id.Value = &shared.UUID_String_{String_: "x"} }), "InvalidArgument BadRequest message"},
		{"too much data", edited(func(m *message) { m.Data = make([]byte, maxAppendSize) }), "InvalidArgument MaximumAppendSizeExceeded maxAppendSize:1048576"},
		{"too much metadata", edited(func(m *message) { m.CustomMetadata = make([]byte, maxAppendSize) }), "InvalidArgument MaximumAppendSizeExceeded maxAppendSize:1048576"},
		{"no correlation id", named(nil), "InvalidArgument BadRequest message"},
		{"a correlation id without a value", named(&shared.UUID{}), "InvalidArgument BadRequest message"},
		{"a broken correlation id", named(&shared.UUID{Value: &shared.UUID_String_{String_: "x"}}), "InvalidArgument BadRequest message"},
	}
	for i, tc := range tests {
		b.send(tc.req)
		resp, err := b.Recv()
		if err != nil {
			t.Fatal(tc.name, err)
		}
		if got := batchWords(resp); got != tc.answer || resp.GetCorrelationId().String() != tc.req.GetCorrelationId().String() {
			t.Errorf("%s: %s for %v, want %s", tc.name, got, resp.GetCorrelationId(), tc.answer)
		}
		b.send(wholeBatch("good", "good", expected(i-1), fmt.Sprint("g", i)))
		if got, want := b.next(), fmt.Sprint("good: ok ", i); got != want {
			t.Errorf("after %s: %s, want %s", tc.name, got, want)
		}
	}
	b.ends()
	if got := readNames(t, c, "s", esdb.ReadStreamOptions{}, 99); got != "not found" {
		t.Errorf("of the malformed is written: %s", got)
	}
}

// TestWhatABatchIsTold reads the sentences of refusals, of which clients show
// some.
func TestWhatABatchIsTold(t *testing.T) {
	b := openBatches(t, stub(t, openNode(t, Options{})))
	typeless := wholeBatch("x", "s", expectAny, "x")
	typeless.ProposedMessages[0].Metadata["type"] = ""
	for _, tc := range []struct {
		req  *streams.BatchAppendReq
		says string
	}{
		{typeless, "The event's type is empty."},
		{wholeBatch("x", "$all", expectAny, "x"), "Nothing can be written to $all."},
		{wholeBatch("x", "s", uint64(0), "x"), "WrongExpectedVersion"},
	} {
		b.send(tc.req)
		resp, err := b.Recv()
		if err != nil || resp.GetError().GetMessage() != tc.says {
			t.Errorf("%q, %v, want %q", resp.GetError().GetMessage(), err, tc.says)
		}
	}
}

// TestARefusedBatchIsOver refuses a batch at its first message and one in its
// middle. The rest, which its sender may be sending already, is passed over.
func TestARefusedBatchIsOver(t *testing.T) {
	n := openNode(t, Options{})
	c := connect(t, n)
	b := openBatches(t, stub(t, n))
	typeless := moreOfBatch("middle", "y")
	typeless.ProposedMessages[0].Metadata["type"] = ""
	b.send(
		firstOfBatch("early", "$all", expectAny, "x"), moreOfBatch("early", "y"), lastOfBatch("early", "z"),
		firstOfBatch("middle", "s", expectAny, "x"), typeless, lastOfBatch("middle", "z"),
		firstOfBatch("large", "s", expectAny, "x"),
	)
	for range 4 {
		quarter := moreOfBatch("large", "q")
		quarter.ProposedMessages[0].Data = make([]byte, maxAppendSize/4)
		b.send(quarter)
	}
	b.send(lastOfBatch("large", "z"), wholeBatch("whole", "s", expectNoStream, "a"))
	for _, want := range []string{
		"early: PermissionDenied AccessDenied", "middle: InvalidArgument BadRequest message",
		"large: InvalidArgument MaximumAppendSizeExceeded maxAppendSize:1048576", "whole: ok 0",
	} {
		if got := b.next(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	b.ends()
	if got := readNames(t, c, "s", esdb.ReadStreamOptions{}, 99); got != "a" {
		t.Errorf("the stream holds %s", got)
	}
}

// TestABrokenCorrelationIDIsNobodys sends an id that cannot be read while a
// batch under the id of zeros is open.
func TestABrokenCorrelationIDIsNobodys(t *testing.T) {
	b := openBatches(t, stub(t, openNode(t, Options{})))
	nobodys := moreOfBatch("", "x", "y")
	nobodys.CorrelationId = nil
	b.send(firstOfBatch("", "s", expectAny, "a"), nobodys)
	resp, err := b.Recv()
	if err != nil || resp.GetCorrelationId() != nil || batchWords(resp) != "InvalidArgument BadRequest message" {
		t.Errorf("without an id: %v, %v", resp, err)
	}
	b.send(lastOfBatch("", "b"))
	if got := b.next(); got != ": ok 1" {
		t.Error(got)
	}
	b.ends()
}

// TestUnfinishedBatches ends calls in the middle of batches. Nothing of these
// is written, and the node goes on.
func TestUnfinishedBatches(t *testing.T) {
	n := openNode(t, Options{})
	s, c := stub(t, n), connect(t, n)

	b := openBatches(t, s)
	b.send(firstOfBatch("half", "s", expectAny, "x"), wholeBatch("whole", "s", expectAny, "a"))
	if err := b.CloseSend(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{b.next(): true, b.next(): true}
	if !seen["half: InvalidArgument BadRequest message"] || !seen["whole: ok 0"] {
		t.Errorf("at the end of the call: %v", seen)
	}
	if _, err := b.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(timeout(t))
	call, err := s.BatchAppend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b = batches{t, call}
	b.send(wholeBatch("whole", "s", expectAny, "b"), firstOfBatch("half", "s", expectAny, "x"))
	if got := b.next(); got != "whole: ok 1" {
		t.Error(got)
	}
	cancel()
	if _, err := b.Recv(); status.Code(err) != codes.Canceled {
		t.Error(err)
	}

	b = openBatches(t, s)
	b.send(firstOfBatch("half", "s", expectAny, "x"))
	beyond := wholeBatch("beyond", "s", expectAny, "x")
	beyond.ProposedMessages[0].Data = make([]byte, 17<<20)
	b.send(beyond)
	if _, err := b.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("after a message beyond all bounds: %v", err)
	}
	mustAppend(t, c, "s", "c")
	if got := readNames(t, c, "s", esdb.ReadStreamOptions{}, 99); got != "a b c" {
		t.Errorf("the stream holds %s", got)
	}
}

// TestCloseEndsBatches closes a node under a call that would go on.
func TestCloseEndsBatches(t *testing.T) {
	n := openNode(t, Options{})
	b := openBatches(t, stub(t, n))
	b.send(wholeBatch("whole", "s", expectAny, "a"), firstOfBatch("half", "s", expectAny, "x"), wholeBatch("second", "s", expectAny, "b"))
	for _, want := range []string{"whole: ok 0", "second: ok 1"} {
		if got := b.next(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	if got := b.next(); got != "half: Unavailable Empty" {
		t.Error(got)
	}
	if _, err := b.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the call ends with %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestBatchesOfAStoppedStore answers each batch that cannot be written.
func TestBatchesOfAStoppedStore(t *testing.T) {
	n := openNode(t, Options{})
	b := openBatches(t, stub(t, n))
	n.sequencer.shutdown()
	n.sequencer.stop = make(chan struct{}) // for Close
	b.send(wholeBatch("x", "s", expectAny, "a"))
	if got := b.next(); got != "x: Unavailable Empty" {
		t.Error(got)
	}
}

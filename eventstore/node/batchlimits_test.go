package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
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

// stalled is a call of BatchAppend in a bubble, whose writes are taken by
// nobody unless the test does.
type stalled struct {
	grpc.ServerStream
	node     *Node
	context  context.Context
	requests chan *streams.BatchAppendReq
	answers  chan *streams.BatchAppendResp
	received atomic.Int64
	ended    chan error
}

func stall(t *testing.T, requests ...*streams.BatchAppendReq) *stalled {
	ctx, cancel := context.WithCancel(t.Context())
	s := &stalled{
		node: &Node{
			log: slog.New(slog.DiscardHandler), closing: make(chan struct{}),
			sequencer: &sequencer{queue: make(chan *write, 1<<16), stop: make(chan struct{}), ended: make(chan struct{})},
		},
		context: ctx, requests: make(chan *streams.BatchAppendReq, len(requests)),
		answers: make(chan *streams.BatchAppendResp, 1<<16), ended: make(chan error, 1),
	}
	for _, r := range requests {
		s.requests <- r
	}
	go func() { s.ended <- streamService{Node: s.node}.BatchAppend(s) }()
	t.Cleanup(func() {
		cancel()
		synctest.Wait()
	})
	return s
}

func (s *stalled) Context() context.Context { return s.context }

func (s *stalled) Recv() (*streams.BatchAppendReq, error) {
	select {
	case r, ok := <-s.requests:
		if !ok {
			return nil, io.EOF
		}
		s.received.Add(1)
		return r, nil
	case <-s.context.Done():
		return nil, s.context.Err()
	}
}

func (s *stalled) Send(r *streams.BatchAppendResp) error {
	s.answers <- r
	return nil
}

// TestBatchDeadlines lets batches be late. Once one is handed over it is
// decided, however long that takes.
func TestBatchDeadlines(t *testing.T) {
	const long = 315_576_000_000 // what a client says that has none
	for _, tc := range []struct {
		name  string
		set   func(*streams.BatchAppendReq_Options)
		after time.Duration
	}{
		{"none", func(*streams.BatchAppendReq_Options) {}, longestOpen},
		{"a short one", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(3 * time.Second)}
		}, 3 * time.Second},
		{"a very long one", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: &durationpb.Duration{Seconds: long}}
		}, longestOpen},
		{"an instant", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(2 * time.Second))}
		}, 2 * time.Second},
		{"an instant far away", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: &timestamppb.Timestamp{Seconds: long}}
		}, longestOpen},
		{"an instant in the past", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now())}
		}, 0},
		{"no time at all", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: &durationpb.Duration{}}
		}, 0},
		{"less than none", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(-time.Second)}
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				first := firstOfBatch("x", "s", expectAny, "a")
				tc.set(first.Options)
				s := stall(t, first, moreOfBatch("x", "b"))
				got := batchWords(<-s.answers)
				if took := time.Since(begun); got != "DeadlineExceeded Timeout" || took != tc.after {
					t.Errorf("%s after %v, want a timeout after %v", got, took, tc.after)
				}
				if len(s.node.sequencer.queue) > 0 {
					t.Error("it is written all the same")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		first := firstOfBatch("x", "s", expectAny, "a")
		first.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(time.Second)}
		s := stall(t, first, lastOfBatch("x", "b"))
		w := <-s.node.sequencer.queue
		late := time.NewTimer(time.Minute)
		select {
		case r := <-s.answers:
			t.Errorf("before it was decided: %v", r)
		case <-late.C:
		}
		w.result <- outcome{last: 1}
		if got := batchWords(<-s.answers); got != "ok 1 unlocated" || len(w.events) != 2 {
			t.Errorf("%s of %d events", got, len(w.events))
		}
	})
}

// TestOpenBatchesAreBounded begins batches and ends none.
func TestOpenBatchesAreBounded(t *testing.T) {
	data := make([]byte, 1_000_000)
	sized := func(i, size int) *streams.BatchAppendReq {
		req := firstOfBatch(fmt.Sprint("open ", i), "s", expectAny, "x")
		req.ProposedMessages[0].Data = data[:size]
		return req
	}
	for _, tc := range []struct {
		name        string
		size, taken int
	}{
		{"many", 0, maxOpenBatches},
		{"large", len(data), 16},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const begun = 3 * maxOpenBatches
				var requests []*streams.BatchAppendReq
				for i := range begun {
					requests = append(requests, sized(i, tc.size))
				}
				s := stall(t, requests...)
				for range begun - tc.taken {
					resp := <-s.answers
					if got := batchWords(resp); got != "InvalidArgument BadRequest message" || !strings.Contains(resp.GetError().GetMessage(), "is_final") {
						t.Fatalf("%s: %s", got, resp.GetError().GetMessage())
					}
				}
				s.requests <- lastOfBatch("open 0")
				s.requests <- sized(begun, tc.size)
				synctest.Wait()
				if len(s.answers) > 0 || len(s.node.sequencer.queue) != 1 {
					t.Errorf("with room again: %v", <-s.answers)
				}
				for range tc.taken { // those that are open run out of time
					if got := batchWords(<-s.answers); got != "DeadlineExceeded Timeout" {
						t.Fatal(got)
					}
				}
			})
		})
	}
	t.Run("one of many small events", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first := firstOfBatch("x", "s", expectAny)
			for range 2 * maxOpenBytes / recordBytes {
				first.ProposedMessages = append(first.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
					Id: idToWire(uuid.Max, false), Metadata: map[string]string{"type": "t", "content-type": ""},
				})
			}
			s := stall(t, first, lastOfBatch("x"))
			if w := <-s.node.sequencer.queue; len(w.events) != len(first.ProposedMessages) {
				t.Errorf("of %d events there are %d", len(first.ProposedMessages), len(w.events))
			}
		})
	})
}

// TestHandedBatchesAreBounded sends many batches while nothing is decided, and
// then decides them all.
func TestHandedBatchesAreBounded(t *testing.T) {
	data := make([]byte, 1_000_000)
	for _, tc := range []struct {
		name       string
		size, most int
	}{
		{"many", 0, maxHandedBatches},
		{"large", len(data), 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const sent = 2 * maxHandedBatches
				var requests []*streams.BatchAppendReq
				for i := range sent {
					req := wholeBatch(fmt.Sprint("batch ", i), "s", expectAny, "x")
					req.ProposedMessages[0].Data = data[:tc.size]
					requests = append(requests, req)
				}
				s := stall(t, requests...)
				synctest.Wait()
				if read := int(s.received.Load()); read != tc.most+1 { // and one that waits
					t.Errorf("%d batches are read while nothing is decided, want %d", read, tc.most+1)
				}
				close(s.requests)
				for i := range sent {
					(<-s.node.sequencer.queue).result <- outcome{last: int64(i), position: 1, located: true}
				}
				if err := <-s.ended; err != nil {
					t.Error(err)
				}
				for i := range sent {
					if got := batchWords(<-s.answers); got != fmt.Sprint("ok ", i) {
						t.Fatalf("batch %d: %s", i, got)
					}
				}
			})
		})
	}
}

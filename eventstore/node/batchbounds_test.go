package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

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
	return stallUnread(t, 1<<16, requests...)
}

// stallUnread is a call whose client takes so many answers without reading.
func stallUnread(t *testing.T, answers int, requests ...*streams.BatchAppendReq) *stalled {
	ctx, cancel := context.WithCancel(t.Context())
	s := &stalled{
		node: &Node{
			log: slog.New(slog.DiscardHandler), closing: make(chan struct{}),
			sequencer: &sequencer{queue: make(chan *write, 1<<16), stop: make(chan struct{}), ended: make(chan struct{})},
		},
		context: ctx, requests: make(chan *streams.BatchAppendReq, len(requests)),
		answers: make(chan *streams.BatchAppendResp, answers), ended: make(chan error, 1),
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
	select {
	case s.answers <- r:
		return nil
	case <-s.context.Done():
		return s.context.Err()
	}
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

// TestBatchOnTheVergeOfItsDeadline ends a batch while its time is over already,
// and the call was too busy to notice either. It is written or too late, and
// never both.
func TestBatchOnTheVergeOfItsDeadline(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			s := stallUnread(t, 0,
				firstOfBatch("x", "s", expectAny, "a"), // times out beside the answer that nobody reads
				wholeBatch("blocks", "$all", expectAny, "b"),
				lastOfBatch("x", "c"),
			)
			late := time.NewTimer(2 * longestOpen)
			<-late.C
			if got := batchWords(<-s.answers); got != deniedBatch {
				t.Error(got)
			}
			close(s.requests)
			select {
			case w := <-s.node.sequencer.queue:
				w.result <- outcome{last: 1}
				seen["written"] = true
			case resp := <-s.answers:
				seen[batchWords(resp)] = true
				if err := <-s.ended; err != nil {
					t.Error(err)
				}
				if len(s.node.sequencer.queue) > 0 {
					t.Error("it was too late, and is written all the same")
				}
				return
			}
			if got := batchWords(<-s.answers); got != "ok 1 unlocated" {
				t.Error(got)
			}
			if err := <-s.ended; err != nil {
				t.Error(err)
			}
		})
	}
	if len(seen) != 2 || !seen["written"] || !seen["DeadlineExceeded Timeout"] {
		t.Errorf("of 200 times: %v", seen)
	}
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

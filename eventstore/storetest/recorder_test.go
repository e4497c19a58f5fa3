package storetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"

	"permitledger/eventstore/storetest"
)

// longestAge is how many seconds of $maxAge a server bears where an id is
// repeated.
const longestAge = 63_000_000_000

// recorder keeps what a server is asked to write, and finds in it the sequences
// that kill an EventStoreDB server. It counts requests, not answers, because a
// request that is refused here may be taken elsewhere.
type recorder struct {
	mu      sync.Mutex
	streams map[string]*pastOf // guarded by mu
	deadly  []string           // guarded by mu; the sequences found
	kinds   map[string]bool    // guarded by mu; of calls
}

// pastOf is the past of one stream.
type pastOf struct {
	ids       map[string]bool
	deleted   bool // softly, by a deletion or by metadata
	tombstone bool
	aged      bool // its metadata have a $maxAge beyond what is borne
}

func newRecorder() *recorder {
	return &recorder{streams: map[string]*pastOf{}, kinds: map[string]bool{}}
}

func (r *recorder) of(stream string) *pastOf {
	if r.streams[stream] == nil {
		r.streams[stream] = &pastOf{ids: map[string]bool{}}
	}
	return r.streams[stream]
}

// about splits the name of a stream of metadata.
func about(stream string) (original string, metadata bool) {
	return strings.CutPrefix(stream, "$$")
}

func (r *recorder) find(what, stream string) {
	r.deadly = append(r.deadly, fmt.Sprintf("%s (stream %s)", what, stream))
}

// event is what the recorder has to know of one that is appended.
type event struct{ id, data string }

// append records an append by either call.
func (r *recorder) append(stream string, events ...event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	original, metadata := about(stream)
	if metadata && original == "" {
		r.find("an append to the stream $$", stream)
	}
	s := r.of(stream)
	if !metadata && s.deleted && r.of("$$"+stream).tombstone {
		r.find("a deleted stream is written again after a tombstone of its metadata", stream)
	}
	for _, e := range events {
		if s.aged && s.ids[e.id] {
			r.find("a repeated id in a stream with a huge $maxAge", stream)
		}
		s.ids[e.id] = true
		if metadata {
			r.of(original).describe(e.data)
		}
	}
}

// describe takes over what metadata say, be they as odd as they may.
func (s *pastOf) describe(data string) {
	var m struct {
		MaxAge         float64 `json:"$maxAge"`
		TruncateBefore float64 `json:"$tb"`
	}
	_ = json.Unmarshal([]byte(data), &m)
	s.aged, s.deleted = m.MaxAge > longestAge, m.TruncateBefore >= math.MaxInt64
}

func (r *recorder) delete(stream string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	original, metadata := about(stream)
	switch {
	case metadata && r.of(original).tombstone:
		r.find("a deletion of the metadata of a tombstoned stream", stream)
	case !metadata && r.of("$$"+stream).tombstone:
		r.find("a deletion after a tombstone of the metadata", stream)
	}
	r.of(stream).deleted = true
}

func (r *recorder) tombstone(stream string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(stream).tombstone = true
}

func (r *recorder) call(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[kind] = true
}

// unary records a call that has one request.
func (r *recorder) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	switch req := req.(type) {
	case *streams.DeleteReq:
		r.call("delete")
		r.delete(string(req.GetOptions().GetStreamIdentifier().GetStreamName()))
	case *streams.TombstoneReq:
		r.call("tombstone")
		r.tombstone(string(req.GetOptions().GetStreamIdentifier().GetStreamName()))
	case *streams.ReadReq:
		r.read(req.GetOptions())
	case *shared.Empty: // what the server offers
	default:
		r.call(fmt.Sprintf("%T", req))
	}
	return handle(ctx, req)
}

// stream records the messages of a call that has several, as they come.
func (r *recorder) stream(server any, call grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(server, &recordedCall{ServerStream: call, recorder: r, batches: map[string]string{}})
}

// recordedCall is a call whose messages are recorded before anybody acts on them.
type recordedCall struct {
	grpc.ServerStream
	recorder *recorder
	target   string            // of an append
	batches  map[string]string // the streams of batches, by correlation id
}

// RecvMsg is called for each message of the client's.
func (c *recordedCall) RecvMsg(m any) error {
	if err := c.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	switch req := m.(type) {
	case *streams.ReadReq:
		c.recorder.read(req.GetOptions())
	case *streams.AppendReq:
		c.recorder.call("append")
		if o := req.GetOptions(); o != nil {
			c.target = string(o.GetStreamIdentifier().GetStreamName())
			c.recorder.append(c.target)
		} else {
			p := req.GetProposedMessage()
			c.recorder.append(c.target, event{p.GetId().String(), string(p.GetData())})
		}
	case *streams.BatchAppendReq:
		c.recorder.call("batch append")
		id := req.GetCorrelationId().String()
		if o := req.GetOptions(); o != nil {
			c.batches[id] = string(o.GetStreamIdentifier().GetStreamName())
		}
		for _, p := range req.GetProposedMessages() {
			c.recorder.append(c.batches[id], event{p.GetId().String(), string(p.GetData())})
		}
	default:
		c.recorder.call(fmt.Sprintf("%T", m))
	}
	return nil
}

// read records a read or subscription by its kind.
func (r *recorder) read(o *streams.ReadReq_Options) {
	kind := "read"
	if o.GetSubscription() != nil {
		kind = "subscribe to"
	}
	if o.GetAll() != nil {
		kind += " $all"
	} else {
		kind += " a stream"
	}
	if o.GetFilter() != nil {
		kind += " with a filter"
	}
	if e := o.GetFilter().GetStreamIdentifier(); o.GetFilter() != nil && (e == nil || e.GetRegex() != "") {
		kind += " other than prefixes of streams"
	}
	if o.GetResolveLinks() {
		kind += ", following links"
	}
	r.call(kind)
}

// harmless fails the test for every deadly sequence that was recorded.
func (r *recorder) harmless(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, found := range r.deadly {
		t.Errorf("kills a server: %s", found)
	}
}

func TestRecorderFindsSequencesThatKillAServer(t *testing.T) {
	gone := `{"$tb":9223372036854775807}`
	for what, sequence := range map[string]func(*recorder){
		"metadata tombstoned, stream deleted": func(r *recorder) {
			r.append("s", event{id: "1"})
			r.tombstone("$$s")
			r.delete("s")
		},
		"stream deleted, metadata tombstoned, stream written": func(r *recorder) {
			r.append("s", event{id: "1"})
			r.delete("s")
			r.tombstone("$$s")
			r.append("s", event{id: "2"})
		},
		"stream deleted by metadata, metadata tombstoned, stream written": func(r *recorder) {
			r.append("$$s", event{id: "1", data: gone})
			r.tombstone("$$s")
			r.append("s", event{id: "2"})
		},
		"metadata written, stream tombstoned, metadata deleted": func(r *recorder) {
			r.append("$$s", event{id: "1", data: `{}`})
			r.tombstone("s")
			r.delete("$$s")
		},
		"a huge $maxAge and a repeated id": func(r *recorder) {
			r.append("s", event{id: "1"})
			r.append("$$s", event{id: "2", data: `{"$maxAge":63000000001}`})
			r.append("s", event{id: "1"})
		},
		"the stream $$": func(r *recorder) { r.append("$$", event{id: "1"}) },
	} {
		r := newRecorder()
		sequence(r)
		if len(r.deadly) != 1 {
			t.Errorf("%s: found %q", what, r.deadly)
		}
	}
	r := newRecorder()
	r.append("s", event{id: "1"})
	r.append("$$s", event{id: "2", data: `{"$maxAge":3600}`})
	r.append("s", event{id: "1"})
	r.delete("s")
	r.append("s", event{id: "3"})
	r.tombstone("s")
	r.tombstone("s")
	r.delete("s")
	r.harmless(t)
}

// No case makes a sequence that kills a server, and neither does its cleaning.
func TestCasesMakeNoSequenceThatKillsAServer(t *testing.T) {
	r := newRecorder()
	t.Run("cases", func(t *testing.T) { checkAll(t, connect(t, spoilRecorded(t, openNode(t).Addr(), fault{}, r))) })
	r.harmless(t)
	ended := 0
	for _, s := range r.streams {
		if s.tombstone {
			ended++
		}
	}
	if ended < 100 || !r.kinds["batch append"] {
		t.Errorf("recorded %d tombstones and the calls %v", ended, r.kinds)
	}
}

// A rule that the ledger needs is checked by the kinds of call that the ledger
// and its copies make.
func TestRulesOfTheLedgerAreCheckedByItsOwnCalls(t *testing.T) {
	n := openNode(t)
	for _, c := range storetest.Cases() {
		if !c.NeededByLedger() {
			continue
		}
		t.Run(c.Number, func(t *testing.T) {
			t.Parallel()
			r := newRecorder()
			if got := c.Run(t.Context(), connect(t, spoilRecorded(t, n.Addr(), fault{}, r)), storetest.Options{}); got.Outcome != storetest.Passed {
				t.Errorf("%s: %v", got.Outcome, got.Because)
			}
			for kind := range r.kinds {
				switch kind {
				case "append", "delete", "tombstone", "read a stream", "read $all", "subscribe to $all", "subscribe to $all with a filter":
				default:
					t.Errorf("the ledger makes no such call: %s", kind)
				}
			}
		})
	}
}

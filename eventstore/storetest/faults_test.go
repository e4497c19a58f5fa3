package storetest_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"

	"permitledger/eventstore/storetest"
)

// each makes a fault of one that looks at events only and keeps no state.
func each(f func(*streams.ReadReq_Options, *streams.ReadResp) []*streams.ReadResp) func(int, *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
	return func(_ int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
		return func(m *streams.ReadResp) []*streams.ReadResp { return f(o, m) }
	}
}

// nth does something to the nth event of each read that it is asked about.
func nth(n int, which func(call int, o *streams.ReadReq_Options) bool, f func(*streams.ReadResp) []*streams.ReadResp) func(int, *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
	return func(call int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
		seen := 0
		return func(m *streams.ReadResp) []*streams.ReadResp {
			if m.GetEvent() != nil && which(call, o) {
				if seen++; seen == n {
					return f(m)
				}
			}
			return []*streams.ReadResp{m}
		}
	}
}

// swapped gives every two events of a read in the wrong order.
func swapped(int, *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
	var held *streams.ReadResp
	return func(m *streams.ReadResp) []*streams.ReadResp {
		switch {
		case m.GetEvent() == nil:
		case held == nil:
			held = m
			return nil
		}
		both := []*streams.ReadResp{m}
		if held != nil {
			both = append(both, held)
			held = nil
		}
		return both
	}
}

func one(m *streams.ReadResp) []*streams.ReadResp { return []*streams.ReadResp{m} }
func none(*streams.ReadResp) []*streams.ReadResp  { return nil }
func twice(m *streams.ReadResp) []*streams.ReadResp {
	return []*streams.ReadResp{m, m}
}
func always(int, *streams.ReadReq_Options) bool { return true }
func subscribes(_ int, o *streams.ReadReq_Options) bool {
	return o.GetSubscription() != nil
}

// recorded changes every event that is read.
func recorded(f func(*streams.ReadResp_ReadEvent_RecordedEvent)) fault {
	return fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if e := m.GetEvent().GetEvent(); e != nil {
			f(e)
		}
		return one(m)
	})}
}

// fromRevision moves where a stream is read or followed from.
func fromRevision(subscription, backwards bool, by int64) fault {
	return fault{reading: func(o *streams.ReadReq_Options) {
		at, ok := o.GetStream().GetRevisionOption().(*streams.ReadReq_Options_StreamOptions_Revision)
		if ok && (o.GetSubscription() != nil) == subscription && (o.GetReadDirection() == streams.ReadReq_Options_Backwards) == backwards {
			at.Revision = uint64(max(int64(at.Revision)+by, 0))
		}
	}}
}

// readsAll fits reads of $all in one direction.
func readsAll(direction streams.ReadReq_Options_ReadDirection) func(int, *streams.ReadReq_Options) bool {
	return func(_ int, o *streams.ReadReq_Options) bool {
		return o.GetAll() != nil && o.GetSubscription() == nil && o.GetReadDirection() == direction
	}
}

// metadataAs replaces whatever metadata is written.
func metadataAs(data string) fault {
	return fault{request: func(_ *streams.AppendReq_Options, events []*proposed) []*proposed {
		for _, e := range events {
			if e.GetMetadata()["type"] == "$metadata" {
				e.Data = []byte(data)
			}
		}
		return events
	}}
}

func written(f func(*streams.AppendReq_Options, []*proposed) []*proposed) fault {
	return fault{request: f}
}
func answered(f func(*streams.AppendReq_Options, []*proposed, *streams.AppendResp)) fault {
	return fault{answer: f}
}

var noTrailers = fault{trailers: func(md metadata.MD) { clear(md) }}

// bad are servers that break a rule, and the cases that must notice.
var bad = []struct {
	how   string
	cases string
	fault fault
}{
	{"says that it is an old version", "1.1", fault{version: "21.10.0"}},
	{"forgets ids", "2.5 2.6 2.7 4.12", written(func(_ *streams.AppendReq_Options, events []*proposed) []*proposed {
		for _, e := range events {
			if e.GetMetadata()["type"] != "" {
				e.Id = &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}
			}
		}
		return events
	})},
	{"knows ids in every stream", "2.9", fault{instead: recogniseAnywhere}},
	{"takes an id once in a batch", "1.11", written(func(_ *streams.AppendReq_Options, events []*proposed) []*proposed {
		return slices.CompactFunc(events, func(a, b *proposed) bool { return a.GetId().String() == b.GetId().String() })
	})},
	{"expects nothing", "2.2 2.4 2.8 2.10", written(func(o *streams.AppendReq_Options, events []*proposed) []*proposed {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
		return events
	})},
	{"takes none for existing", "2.1", written(func(o *streams.AppendReq_Options, events []*proposed) []*proposed {
		if o.GetNoStream() != nil {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		}
		return events
	})},
	{"takes existing for revision 0", "2.11", written(func(o *streams.AppendReq_Options, events []*proposed) []*proposed {
		if o.GetStreamExists() != nil {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 0}
		}
		return events
	})},
	{"refuses with the wrong number", "2.2 2.3 4.5", answered(func(_ *streams.AppendReq_Options, _ []*proposed, resp *streams.AppendResp) {
		if c, ok := resp.GetWrongExpectedVersion().GetCurrentRevisionOption().(*streams.AppendResp_WrongExpectedVersion_CurrentRevision); ok {
			c.CurrentRevision++
		}
	})},
	{"refuses in the new form only", "2.3", answered(func(_ *streams.AppendReq_Options, _ []*proposed, resp *streams.AppendResp) {
		if w := resp.GetWrongExpectedVersion(); w != nil {
			w.CurrentRevisionOption_20_6_0 = nil
		}
	})},
	{"answers with the first of a batch", "1.2", answered(func(_ *streams.AppendReq_Options, events []*proposed, resp *streams.AppendResp) {
		if c, ok := resp.GetSuccess().GetCurrentRevisionOption().(*streams.AppendResp_Success_CurrentRevision); ok && len(events) > 0 {
			c.CurrentRevision -= uint64(len(events) - 1)
		}
	})},
	{"answers an empty append with nothing", "1.7", answered(func(_ *streams.AppendReq_Options, events []*proposed, resp *streams.AppendResp) {
		if s := resp.GetSuccess(); s != nil && len(events) == 0 {
			s.CurrentRevisionOption = nil
		}
	})},
	{"writes batches in pieces", "1.3 2.7", fault{split: true}},
	{"says nothing of why", "1.8 1.9 4.10", noTrailers},
	{"mends what is malformed", "1.9", written(func(_ *streams.AppendReq_Options, events []*proposed) []*proposed {
		for _, e := range events {
			if e.Metadata["type"] == "" {
				e.Metadata["type"] = "mended"
			}
		}
		return events
	})},
	{"loses metadata", "1.4", recorded(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.CustomMetadata = nil })},
	{"keeps stray properties", "1.5", recorded(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Metadata["stray"] = "kept" })},
	{"does not know the time", "1.6", recorded(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Metadata["created"] = "0" })},
	{"gives ids in one form", "1.10", fault{reading: func(o *streams.ReadReq_Options) {
		o.UuidOption = &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}}
	}}},
	{"does not know where in $all events lie", "1.2 3.7", recorded(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.CommitPosition, e.PreparePosition = 1, 1 })},
	{"takes a stream that is not there for an empty one", "3.1 4.7", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if m.GetStreamNotFound() != nil {
			return nil
		}
		return one(m)
	})}},
	{"begins one late", "3.2", fromRevision(false, false, 1)},
	{"begins one early backwards", "3.3", fromRevision(false, true, -1)},
	{"reads great numbers as the start", "3.4", fault{reading: func(o *streams.ReadReq_Options) {
		if at, ok := o.GetStream().GetRevisionOption().(*streams.ReadReq_Options_StreamOptions_Revision); ok && at.Revision > math.MaxInt64 {
			at.Revision = 0
		}
	}}},
	{"gives one where none is asked for", "3.5", fault{reading: func(o *streams.ReadReq_Options) {
		if c, ok := o.GetCountOption().(*streams.ReadReq_Options_Count); ok && c.Count == 0 {
			c.Count = 1
		}
	}}},
	{"swaps neighbours", "1.2 3.6 6.3 7.6", fault{message: swapped}},
	{"loses one of many", "3.6 6.3", fault{message: nth(99, always, none)}},
	{"does not take metadata", "4.1 4.2 4.3 4.6 7.4 8.18", metadataAs(`{}`)},
	{"does not say where a stream ends", "3.8", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if _, ok := m.GetContent().(*streams.ReadResp_LastStreamPosition); ok {
			return nil
		}
		return one(m)
	})}},
	{"mends malformed reads", "3.9", fault{reading: func(o *streams.ReadReq_Options) {
		if o.GetUuidOption() == nil {
			o.UuidOption = &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}}
		}
		if o.GetFilterOption() == nil || o.GetStream() != nil {
			o.FilterOption = &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}}
		}
	}}},
	{"takes each message of a batch for a batch", "1.13", fault{batch: func(req *streams.BatchAppendReq) { req.IsFinal = true }}},
	{"answers batches under other ids", "1.13 1.15", fault{batched: func(resp *streams.BatchAppendResp) {
		resp.CorrelationId = &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}
	}}},
	{"does not know where batches lie", "1.13 1.14", fault{batched: func(resp *streams.BatchAppendResp) {
		if s := resp.GetSuccess(); s != nil {
			s.PositionOption = nil
		}
	}}},
	{"forgets the ids of batches", "1.14 1.15", fault{batch: func(req *streams.BatchAppendReq) {
		for _, e := range req.GetProposedMessages() {
			e.Id = &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}
		}
	}}},
	{"does not say why it refuses a batch", "1.15", fault{batched: func(resp *streams.BatchAppendResp) {
		if e := resp.GetError(); e != nil {
			e.Details = nil
		}
	}}},
	{"forgets when a batch is due", "1.15", fault{batch: func(req *streams.BatchAppendReq) {
		if o := req.GetOptions(); o != nil {
			o.DeadlineOption = nil
		}
	}}},
	{"refuses who asks for the leader", "1.12", fault{unled: true}},
	{"takes any metadata for a limit", "4.4", metadataAs(`{"$maxCount":1}`)},
	{"takes deletions for tombstones, and tombstones for deletions", "4.7 4.8 4.9 4.11 4.12 4.13 4.14 7.5", fault{swap: true}},
	{"does not follow links", "5.1 5.4", fault{reading: func(o *streams.ReadReq_Options) { o.ResolveLinks = false }}},
	{"leaves out broken links", "5.2", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if e := m.GetEvent(); e != nil && e.GetEvent() == nil {
			return nil
		}
		return one(m)
	})}},
	{"does not understand an @ in a name", "5.3", written(func(_ *streams.AppendReq_Options, events []*proposed) []*proposed {
		for _, e := range events {
			if e.GetMetadata()["type"] == "$>" && strings.Count(string(e.Data), "@") > 1 {
				e.Data = []byte("0@")
			}
		}
		return events
	})},
	{"begins $all one late", "6.1", fault{message: nth(1, readsAll(streams.ReadReq_Options_Forwards), none)}},
	{"begins $all backwards one early", "6.2", fault{message: nth(1, readsAll(streams.ReadReq_Options_Backwards), none)}},
	{"hides system events", "6.4", fault{message: each(func(o *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if o.GetAll() != nil && strings.HasPrefix(m.GetEvent().GetEvent().GetMetadata()["type"], "$") {
			return nil
		}
		return one(m)
	})}},
	{"looks at one prefix", "6.5 6.6", fault{reading: func(o *streams.ReadReq_Options) {
		if e := o.GetFilter().GetStreamIdentifier(); len(e.GetPrefix()) > 1 {
			e.Prefix = e.Prefix[:1]
		}
	}}},
	{"gives a subscription no id", "7.1", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if c := m.GetConfirmation(); c != nil {
			c.SubscriptionId = ""
		}
		return one(m)
	})}},
	{"does not say that it caught up", "7.2 7.3", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if m.GetCaughtUp() != nil {
			return nil
		}
		return one(m)
	})}},
	{"begins a subscription to a stream with the event named", "7.2 7.15", fromRevision(true, false, -1)},
	{"begins a subscription to $all with the event named", "7.3 7.10", fault{reading: func(o *streams.ReadReq_Options) {
		if at := o.GetAll().GetPosition(); at != nil && subscribes(0, o) {
			at.PreparePosition = 0 // as of a checkpoint, whose event was not given yet
		}
	}}},
	{"ends a tombstoned stream's subscription without a word", "7.5", fault{endless: true}},
	{"loses an event on the way into the present", "7.6 7.7 7.15", fault{message: nth(50, subscribes, none)}},
	{"gives an event twice", "7.6", fault{message: nth(70, subscribes, twice)}},
	{"drops who takes much", "7.6 7.7 7.15", fault{atMost: 40}},
	{"ends everybody's subscription with one", "7.8", fault{endsAll: true}},
	{"gives no checkpoints", "7.9 7.10", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if m.GetCheckpoint() != nil {
			return nil
		}
		return one(m)
	})}},
	{"gives checkpoints twice", "7.9", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if m.GetCheckpoint() != nil {
			return twice(m)
		}
		return one(m)
	})}},
	{"writes checkpoints of groups past what was answered", "8.19", recorded(func(e *streams.ReadResp_ReadEvent_RecordedEvent) {
		if e.Metadata["type"] == "$SubscriptionCheckpoint" {
			e.Data = []byte(`"1"`)
		}
	})},
	{"says that it caught up where it has a checkpoint", "7.12", fault{message: each(func(_ *streams.ReadReq_Options, m *streams.ReadResp) []*streams.ReadResp {
		if m.GetCheckpoint() != nil {
			return one(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
		}
		return one(m)
	})}},
	{"passes over what a filter lets through of a later page", "7.12", fault{message: func(_ int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
		later := false
		return func(m *streams.ReadResp) []*streams.ReadResp {
			later = later || m.GetCheckpoint() != nil
			if later && m.GetEvent() != nil && subscribes(0, o) {
				return nil
			}
			return one(m)
		}
	}}},
	{"withholds live events below $tb", "7.13", fault{message: func(_ int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
		return func(m *streams.ReadResp) []*streams.ReadResp {
			if e := m.GetEvent().GetEvent(); e != nil && subscribes(0, o) && e.GetStreamRevision() < 10 {
				return nil
			}
			return one(m)
		}
	}}},
	{"confirms a subscription to a tombstoned stream", "7.14", fault{confirms: true}},
	{"looks at no expression of a subscription", "6.7", fault{reading: func(o *streams.ReadReq_Options) {
		if e := o.GetFilter().GetStreamIdentifier(); e.GetRegex() != "" && o.GetSubscription() != nil {
			e.Regex, e.Prefix = "", []string{e.GetRegex()}
		}
	}}},
	{"gives a checkpoint for each event", "7.9", fault{reading: func(o *streams.ReadReq_Options) {
		if f := o.GetFilter(); f != nil && subscribes(0, o) {
			f.Window, f.CheckpointIntervalMultiplier = &streams.ReadReq_Options_FilterOptions_Max{Max: 1}, 1
		}
	}}},
	{"gives some other events than others", "7.11", fault{message: nth(20, func(call int, _ *streams.ReadReq_Options) bool { return call%2 == 0 }, none)}},
}

// recogniseAnywhere answers a known id without writing, whatever the stream.
func recogniseAnywhere(p *proxy, _ *streams.AppendReq_Options, events []*proposed) *streams.AppendResp {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		id := e.GetId().String()
		if p.seen[id] {
			return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
				CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(len(events) - 1)},
			}}}
		}
		p.seen[id] = true
	}
	return nil
}

// mustNotice runs the cases of these numbers, each of which must fail, or
// differ where the ledger does not need the rule.
func mustNotice(t *testing.T, s *storetest.Server, numbers string) {
	t.Helper()
	for _, c := range storetest.Cases() {
		if !slices.Contains(strings.Fields(numbers), c.Number) {
			continue
		}
		r := c.Run(t.Context(), s, storetest.Options{Timeout: 20 * time.Second, Patience: 700 * time.Millisecond})
		want := storetest.Failed
		if !c.NeededByLedger() {
			want = storetest.Differs
		}
		if r.Outcome != want {
			t.Errorf("%s %s: %s", c.Number, c.Name, r.Outcome)
		}
		t.Logf("%s: %s", c.Number, strings.Join(r.Because, "\n"))
	}
}

// Every rule is noticed when it is broken, so no case passes whatever the
// server does. Without a fault the same server passes:
// TestCasesMakeNoSequenceThatKillsAServer.
func TestBadServersAreNoticed(t *testing.T) {
	n := openNode(t)
	noticed := " "
	for _, b := range bad {
		noticed += b.cases + " "
		t.Run(b.how, func(t *testing.T) {
			t.Parallel()
			mustNotice(t, connect(t, spoil(t, n.Addr(), b.fault)), b.cases)
		})
	}
	for _, c := range storetest.Cases() {
		if !strings.HasPrefix(c.Number, "8.") && !strings.Contains(noticed, " "+c.Number+" ") {
			t.Errorf("no server breaks %s %s", c.Number, c.Name)
		}
	}
}

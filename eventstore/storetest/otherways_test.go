package storetest_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/storetest"
)

// otherWays are servers that do something in another way than the embedded node
// and keep the rules: EventStoreDB 24.2 behaves like this. The cases must pass.
// Each is made for one run, because some remember what they were asked.
var otherWays = []struct {
	how   string
	cases string
	fault func() fault
}{
	{"never ends a read of no events of $all", "3.5", func() fault {
		return fault{refuse: func(ctx context.Context, o *streams.ReadReq_Options) error {
			if c, ok := o.GetCountOption().(*streams.ReadReq_Options_Count); ok && c.Count == 0 && o.GetAll() != nil {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
	}},
	{"answers Unknown to reads without a revision or a form of ids", "3.9", func() fault {
		return fault{refuse: func(_ context.Context, o *streams.ReadReq_Options) error {
			if o.GetUuidOption() == nil || o.GetStream() != nil && o.GetStream().GetRevisionOption() == nil {
				return status.Error(codes.Unknown, "Unexpected ReadStreamResult: Error")
			}
			return nil
		}}
	}},
	{"takes metadata of a tombstoned stream that had some", "4.13", metadataOutliveTombstones},
	{"passes over a replay that comes before the last one is over", "8.7", replaysOneAtATime},
	{"names a checkpoint before it is written", "8.11", namesCheckpointsEarly},
	{"answers Unknown, and no more, to a group of the stream $all", "8.16", func() fault {
		return fault{groups: groupFault{refuse: func(o *persistent.CreateReq_Options) error {
			if string(o.GetStream().GetStreamIdentifier().GetStreamName()) == "$all" {
				return status.Error(codes.Unknown, "Exception was thrown by handler.")
			}
			return nil
		}}}
	}},
	{"names checkpoint events as before 24.6", "8.11 8.19", func() fault {
		return recorded(func(e *streams.ReadResp_ReadEvent_RecordedEvent) {
			if e.Metadata["type"] == "$SubscriptionCheckpoint" {
				e.Metadata["type"] = "SubscriptionCheckpoint"
			}
		})
	}},
	{"counts events for a checkpoint that $all does not show", "7.9", hidesEventsOnce},
	{"counts parked events on from the group before", "8.19", countsParkedOn},
	{"drops a checkpoint while another is written", "8.19", dropsCheckpoints},
}

func TestCasesPassOnServersWithOtherWays(t *testing.T) {
	n := openNode(t)
	for _, w := range otherWays {
		t.Run(w.how, func(t *testing.T) {
			t.Parallel()
			s := connect(t, spoil(t, n.Addr(), w.fault()))
			for _, c := range storetest.Cases() {
				if !slices.Contains(strings.Fields(w.cases), c.Number) {
					continue
				}
				r := c.Run(t.Context(), s, storetest.Options{Timeout: 20 * time.Second, Patience: 5 * time.Second})
				if r.Outcome != storetest.Passed || len(r.Left) > 0 {
					t.Errorf("%s %s: %s\n%s", c.Number, c.Name, r.Outcome, strings.Join(append(r.Because, r.Left...), "\n"))
				}
			}
		})
	}
}

// metadataOutliveTombstones answers an append of metadata as if it were
// written, where some were written before the tombstone.
func metadataOutliveTombstones() fault {
	var mu sync.Mutex
	had := map[string]bool{}
	return fault{instead: func(_ *proxy, o *streams.AppendReq_Options, events []*proposed) *streams.AppendResp {
		mu.Lock()
		defer mu.Unlock()
		stream := string(o.GetStreamIdentifier().GetStreamName())
		if !strings.HasPrefix(stream, "$$") {
			return nil
		}
		if had[stream] && events[0].GetMetadata()["type"] != "$metadata" {
			return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
				CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: 1},
			}}}
		}
		had[stream] = true
		return nil
	}}
}

// replaysOneAtATime ends a replay once a client has read the number of parked
// events, and answers a replay before that without doing it.
func replaysOneAtATime() fault {
	var mu sync.Mutex
	replaying := false
	return fault{groups: groupFault{
		replay: func() bool {
			mu.Lock()
			defer mu.Unlock()
			begins := !replaying
			replaying = true
			return begins
		},
		inform: func(*persistent.SubscriptionInfo) {
			mu.Lock()
			defer mu.Unlock()
			replaying = false
		},
	}}
}

// namesCheckpointsEarly keeps what is acknowledged from the group until its
// checkpoint is read, and says meanwhile that the checkpoint is at revision 1.
func namesCheckpointsEarly() fault {
	read := make(chan struct{})
	var once sync.Once
	return fault{
		reading: func(o *streams.ReadReq_Options) {
			if strings.HasSuffix(string(o.GetStream().GetStreamIdentifier().GetStreamName()), "-checkpoint") {
				once.Do(func() { close(read) })
			}
		},
		groups: groupFault{
			join: func(ctx context.Context, req *persistent.ReadReq) bool {
				if req.GetAck() == nil {
					return true
				}
				select {
				case <-read:
					return true
				case <-ctx.Done():
					return false
				}
			},
			inform: func(i *persistent.SubscriptionInfo) { i.LastCheckpointedEventPosition = "1" },
		},
	}
}

// hidesEventsOnce leaves most events out of one of the reads of $all that count
// those between two checkpoints.
func hidesEventsOnce() fault {
	var mu sync.Mutex
	reads := 0
	return fault{message: func(_ int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
		mu.Lock()
		defer mu.Unlock()
		hides, seen := false, 0
		if readsAll(streams.ReadReq_Options_Forwards)(0, o) && o.GetCount() == 100 {
			reads++
			hides = reads == 2
		}
		return func(m *streams.ReadResp) []*streams.ReadResp {
			if seen++; hides && seen > 3 {
				return nil
			}
			return one(m)
		}
	}}
}

// countsParkedOn says one more parked for each time that the group was made.
func countsParkedOn() fault {
	var mu sync.Mutex
	made := int64(-1)
	return fault{groups: groupFault{
		create: func(o *persistent.CreateReq_Options) {
			mu.Lock()
			defer mu.Unlock()
			if o.GetStream() != nil {
				made++
			} else {
				made = 0
			}
		},
		inform: func(i *persistent.SubscriptionInfo) {
			mu.Lock()
			defer mu.Unlock()
			i.ParkedMessageCount += made
		},
	}}
}

// dropsCheckpoints keeps what is acknowledged from the group where the first
// checkpoint of the group was not read as written before: its own checkpoint
// would fall due while that one is being written, and be dropped.
func dropsCheckpoints() fault {
	var mu sync.Mutex
	written := map[string]bool{} // groups whose first checkpoint was seen
	group := func(stream string) string {
		_, group, _ := strings.Cut(strings.TrimSuffix(stream, "-checkpoint"), "::")
		return group
	}
	return fault{
		message: func(_ int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp {
			return func(m *streams.ReadResp) []*streams.ReadResp {
				stream := string(o.GetStream().GetStreamIdentifier().GetStreamName())
				if strings.HasSuffix(stream, "-checkpoint") && m.GetEvent() != nil {
					mu.Lock()
					written[group(stream)] = true
					mu.Unlock()
				}
				return one(m)
			}
		},
		groups: groupFault{join: func(_ context.Context, req *persistent.ReadReq) bool {
			mu.Lock()
			defer mu.Unlock()
			_, group, _ := strings.Cut(string(req.GetAck().GetId()), "::")
			return req.GetAck() == nil || written[group]
		}},
	}
}

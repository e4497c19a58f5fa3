package node

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestReadRefusesPositionWithoutRecord reads and follows $all from each kind of
// position. A subscription is confirmed before its refusal.
func TestReadRefusesPositionWithoutRecord(t *testing.T) {
	n := openNode(t, Options{})
	s, c := stub(t, n), connect(t, n)
	a := mustAppend(t, c, "s", "a").CommitPosition
	b := mustAppend(t, c, "s", "b").CommitPosition
	end, _ := n.tail.get()
	tests := []struct {
		name            string
		commit, prepare uint64
		forwards        string // read, or "refused"
		backwards       string
		follows         bool
	}{
		{"the start", 0, 0, "a b", "", true},
		{"before all events", 1, 1, "refused", "refused", false},
		{"an event", b, b, "b", "a", true},
		{"before an event", b, 0, "b", "a", true},
		{"between the two", b, a, "b", "a", true},
		{"one below an event", b - 1, b - 1, "refused", "refused", false},
		{"one above an event", a + 1, a + 1, "refused", "refused", false},
		{"one above an event, before it", a + 1, 0, "refused", "refused", false},
		{"one above the last event", b + 1, b + 1, "", "refused", true},
		{"the end", end, end, "", "b a", true},
		{"before the end", end, 0, "", "b a", true},
		{"beyond the end", end + 1, end + 1, "", "refused", true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			from := fromPosition(tc.commit, tc.prepare)
			for _, filter := range []func(*streams.ReadReq_Options){func(*streams.ReadReq_Options) {}, filtered(prefixes("s"))} {
				for _, way := range []struct {
					change func(*streams.ReadReq_Options)
					want   string
				}{{func(*streams.ReadReq_Options) {}, tc.forwards}, {backwards, tc.backwards}} {
					all, st := rawReadStatus(t, s, readOptions(from, filter, way.change))
					got := dataOf(all)
					if st.Code() == codes.Unknown && len(all) == 0 {
						got = "refused"
					} else if st.Code() != codes.OK {
						t.Fatal(st)
					}
					if got != way.want {
						t.Errorf("read %q, want %q", got, way.want)
					}
				}
				call, err := s.Read(timeout(t), readOptions(from, filter, asSubscription))
				if err != nil {
					t.Fatal(err)
				}
				first, err := call.Recv()
				if err != nil || first.GetConfirmation() == nil {
					t.Fatalf("subscribing: got %v, %v, want the confirmation", first, err)
				}
				for tc.follows {
					m, err := call.Recv()
					if err != nil {
						t.Fatalf("subscribing: %v", err)
					}
					if m.GetCaughtUp() != nil {
						break
					}
				}
				if tc.follows {
					continue
				}
				if second, err := call.Recv(); status.Code(err) != codes.InvalidArgument {
					t.Errorf("subscribing: then got %v, %v, want InvalidArgument", second, err)
				}
			}
		})
	}
}

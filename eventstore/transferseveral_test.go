package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
	"permitledger/eventstore/transfer"
)

// spread writes events to the source, each of which is a batch of its own for
// a copy.
func spread(t *testing.T, source *node.Node, events int, size int) {
	t.Helper()
	c := newChronicle(t, foreign(t, source))
	for n := range events {
		c.write(fmt.Sprintf("permit-%d", n%7), event(size > 0, size))
	}
}

// throughFront copies from a source through a front, and waits so long for an
// answer: a minute unless the front withholds one.
func throughFront(t *testing.T, from *eventstore.Store, f *front, wait time.Duration) (transfer.Report, error) {
	t.Helper()
	to := connect(t, f.addr, func(cfg *eventstore.Config) { cfg.TryTimeout, cfg.Bound = wait, 2*time.Minute })
	return transfer.Copy(t.Context(), from, to, transfer.Options{})
}

// A copy has 64 appends under way, and fewer where they are large. The front
// answers none before that many have come.
func TestCopyHasSeveralAppendsUnderWay(t *testing.T) {
	for name, c := range map[string]struct{ events, size, together int }{
		"64 appends": {200, 0, 64},
		"4 MiB":      {20, 900 << 10, 4},
	} {
		t.Run(name, func(t *testing.T) {
			source, from := fresh(t)
			target, seen := fresh(t)
			spread(t, source, c.events, c.size)
			came := 1 // the first is sent by itself
			f := newFront(t, target.Addr(), func(b batches) error {
				var held []*streams.BatchAppendResp
				for {
					req, err := b.next()
					if err != nil {
						return err
					}
					resp, err := b.written(req)
					if err != nil {
						return err
					}
					came++
					if held = append(held, resp); len(held) < c.together && came < c.events {
						continue
					}
					for _, resp := range held {
						if err := b.answer(resp); err != nil {
							return err
						}
					}
					// A copy sends one for each answer. So it sends no more than these.
					held = held[:0]
				}
			})
			if _, err := throughFront(t, from, f, time.Minute); err != nil || f.called() != 1 {
				t.Errorf("%d calls, %v", f.called(), err)
			}
			wantCopy(t, from, seen)
			f.halfClosed()
		})
	}
}

// A server without BatchAppend gets one append after the other.
func TestCopyWithoutBatchAppend(t *testing.T) {
	source, from := fresh(t)
	target, seen := fresh(t)
	newChronicle(t, foreign(t, source)).everything()
	spread(t, source, 100, 0)
	f := newFront(t, target.Addr(), func(b batches) error { return status.Error(codes.Unimplemented, "unknown method") })
	report, err := throughFront(t, from, f, time.Minute)
	if err != nil || report.SourceDigest != report.TargetDigest || f.called() != 1 {
		t.Errorf("%d calls, %+v, %v", f.called(), report, err)
	}
	wantCopy(t, from, seen)
}

// Deletions, tombstones and metadata are sent while no append is under way: the
// front fails the test otherwise.
func TestCopySendsMetadataAlone(t *testing.T) {
	source, from := fresh(t)
	target, seen := fresh(t)
	for range 3 {
		spread(t, source, 50, 0)
		c := newChronicle(t, foreign(t, source))
		c.describe("permit-1", `{"of":"metadata"}`)
		c.write("other", event(false, 0))
		c.remove("other")
		c.write("large", event(true, 1<<20-100))
	}
	spread(t, source, 50, 0)
	newChronicle(t, foreign(t, source)).bury("other")
	spread(t, source, 50, 0)
	f := newFront(t, target.Addr(), faithful(func(int, batches, *streams.BatchAppendReq) (bool, error) { return false, nil }))
	if _, err := throughFront(t, from, f, time.Minute); err != nil || f.called() != 1 {
		t.Errorf("%d calls, %v", f.called(), err)
	}
	wantCopy(t, from, seen)
}

// From the first batch on whose outcome is not known, everything is compared
// and sent once more, and the copy is the same.
func TestCopyGoesOnAfterUnknownOutcome(t *testing.T) {
	const at = 20
	timeout := func(b batches, req *streams.BatchAppendReq) error {
		return b.refuse(req, codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	}
	for name, other := range map[string]func(n int, b batches, req *streams.BatchAppendReq) (bool, error){
		"timeout, and it is written": func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
			if n != at {
				return false, nil
			}
			if _, err := b.written(req); err != nil {
				return false, err
			}
			return true, timeout(b, req)
		},
		"timeout, and none is written": func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
			first := b.front.called() == 1
			return n >= at && first, timeoutIf(n >= at && first, b, req)
		},
		"the call fails before it is written": func(n int, _ batches, _ *streams.BatchAppendReq) (bool, error) {
			return false, goneIf(n == at)
		},
		"the call fails after it is written": func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
			if n != at {
				return false, nil
			}
			_, err := b.written(req)
			return true, errors.Join(err, goneIf(true))
		},
		"the answer is lost": func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
			if n != at {
				return false, nil
			}
			_, err := b.written(req)
			return true, err
		},
		"the answer has no position": func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
			if n != at {
				return false, nil
			}
			resp, err := b.written(req)
			if err != nil {
				return false, err
			}
			resp.GetSuccess().PositionOption = &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}}
			return true, b.answer(resp)
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, from := fresh(t)
			target, seen := fresh(t)
			spread(t, source, 150, 0)
			f := newFront(t, target.Addr(), faithful(other))
			wait := time.Minute
			if name == "the answer is lost" {
				wait = 3 * time.Second
			}
			report, err := throughFront(t, from, f, wait)
			if err != nil || report.SourceDigest != report.TargetDigest || f.called() != 2 {
				t.Errorf("%d calls, %+v, %v", f.called(), report, err)
			}
			wantCopy(t, from, seen)
			f.halfClosed()
		})
	}
}

func timeoutIf(is bool, b batches, req *streams.BatchAppendReq) error {
	if !is {
		return nil
	}
	return b.refuse(req, codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
}

func goneIf(is bool) error {
	if !is {
		return nil
	}
	return status.Error(codes.Unavailable, "gone")
}

// A pipeline that always fails is tried less and less often.
func TestCopyAvoidsFailingPipeline(t *testing.T) {
	source, from := fresh(t)
	target, seen := fresh(t)
	spread(t, source, 300, 0)
	f := newFront(t, target.Addr(), func(b batches) error { return goneIf(true) })
	if _, err := throughFront(t, from, f, time.Minute); err != nil || f.called() < 2 || f.called() > 9 {
		t.Errorf("%d calls, %v", f.called(), err)
	}
	wantCopy(t, from, seen)
}

// When the target has written a later batch without one before it, the copy
// ends and says that it has to begin again. So does the next one.
func TestCopyEndsWhenOrderIsLost(t *testing.T) {
	const at = 20
	notReady := func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
		if n != at {
			return false, nil
		}
		return true, b.refuse(req, codes.OK, "Server Is Not Ready", &emptypb.Empty{})
	}
	var waiting *streams.BatchAppendReq
	swapped := func(n int, b batches, req *streams.BatchAppendReq) (bool, error) {
		switch n {
		case at:
			waiting = req
			return true, nil
		case at + 1:
			later, err := b.written(req)
			if err == nil {
				err = b.pass(waiting)
			}
			if err == nil {
				err = b.answer(later)
			}
			return true, err
		}
		return false, nil
	}
	for name, c := range map[string]struct {
		other func(int, batches, *streams.BatchAppendReq) (bool, error)
		words string
	}{"a batch is refused": {notReady, "Server Is Not Ready"}, "two batches are swapped": {swapped, "before the event"}} {
		t.Run(name, func(t *testing.T) {
			source, from := fresh(t)
			target, seen := fresh(t)
			spread(t, source, 150, 0)
			_, err := throughFront(t, from, newFront(t, target.Addr(), faithful(c.other)), time.Minute)
			if !errors.Is(err, transfer.ErrOrder) || !strings.Contains(err.Error(), "begin again with an empty event store") || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v", err)
			}
			before := kept(t, seen)
			if _, err := transfer.Copy(t.Context(), from, seen, transfer.Options{}); !errors.Is(err, transfer.ErrDiffers) {
				t.Errorf("the next copy: %v", err)
			}
			if diff := cmp.Diff(before, kept(t, seen)); diff != "" {
				t.Errorf("the next copy has written:\n%.2000s", diff)
			}
		})
	}
}

// The service's own streams are left behind on both sides.
func TestCopyLeavesServiceStreamsBehind(t *testing.T) {
	source, from := fresh(t)
	target, to := fresh(t)
	in, out := newChronicle(t, foreign(t, source)), newChronicle(t, foreign(t, target))
	for _, c := range []*chronicle{in, out} {
		c.write("permitledger-service", event(false, 0), event(false, 0))
	}
	in.describe("permitledger-check", `{"$maxCount":1}`)
	in.write("permit-1", event(false, 0))
	in.write("permitledger-check", event(false, 0))
	in.write("permit-1", event(false, 0))
	report, err := transfer.Copy(t.Context(), from, to, transfer.Options{})
	if err != nil || report.Events != 2 || report.LedgerEvents != 2 || report.LeftBehind["permitledger"] != 4 {
		t.Errorf("%+v, %v", report, err)
	}
	for r, err := range to.Verbatim().ReadAll(context.Background(), 0) {
		if err != nil || strings.Contains(r.Stream, "permitledger-check") {
			t.Errorf("the target has %s, %v", r.Stream, err)
		}
	}
}

// The copy goes on and is whole after every fault of the connection at every
// point of the BatchAppend call.
func TestCopyOutlivesEveryFaultOfItsPipeline(t *testing.T) {
	const events = 90
	source, from := fresh(t)
	spread(t, source, events, 0)
	all, ctx := errgroup.WithContext(t.Context())
	all.SetLimit(6) // most of them wait for an answer
	patient := func(cfg *eventstore.Config) { cfg.TryTimeout, cfg.Bound = 3*time.Second, 2*time.Minute }
	for _, at := range faultproxy.Points() {
		for _, harm := range faultproxy.Harms() {
			all.Go(func() error {
				target, seen := fresh(t)
				line := faultproxy.New(t, target.Addr())
				armed := line.Arm(faultproxy.Fault{Kind: faultproxy.BatchAppend, At: at, Harm: harm, For: 10 * time.Millisecond})
				report, err := transfer.Copy(ctx, from, connect(t, line.Addr(), patient), transfer.Options{})
				if err != nil || report.SourceDigest != report.TargetDigest {
					return fmt.Errorf("%s, %s: %+v, %w", at, harm, report, err)
				}
				select {
				case <-armed.Struck():
				default:
					return fmt.Errorf("%s, %s: the fault was not met", at, harm)
				}
				if got := kept(t, seen); len(got) != events {
					return fmt.Errorf("%s, %s: %d events", at, harm, len(got))
				}
				return nil
			})
		}
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

// When another member leads, the copy goes on there.
func TestCopyFollowsLeader(t *testing.T) {
	source, from := fresh(t)
	spread(t, source, 300, 0)
	c := newCluster(t)
	c.lead(0)
	leader := 0
	report, err := transfer.Copy(t.Context(), from, connect(t, "", c.seeds(0, 1, 2)), transfer.Options{
		Progress: func(phase transfer.Phase, n uint64, _, _ eventstore.Position) {
			if phase == transfer.Copying && n >= uint64(100*(leader+1)) && leader < 2 {
				c.members[leader].Down()
				leader++
				c.lead(leader)
			}
		}})
	if err != nil || report.Events != 300 || report.SourceDigest != report.TargetDigest || leader != 2 {
		t.Errorf("%d members led, %+v, %v", leader+1, report, err)
	}
	c.wellLed(t)
}

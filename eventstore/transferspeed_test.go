package eventstore_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/transfer"
)

// Over a line with a delay of 2 ms there and back, a copy by BatchAppend takes
// at most a fifth of the time of a copy by one append after the other. Both are
// measured in one run and through the same number of proxies. It takes minutes:
// PERMITLEDGER_COPY_SPEED=1 asks for it.
func TestCopySpeedBesideOneAppendAtATime(t *testing.T) {
	if os.Getenv("PERMITLEDGER_COPY_SPEED") == "" {
		t.Skip("PERMITLEDGER_COPY_SPEED=1 asks for this measurement")
	}
	const (
		events  = 20_000
		streams = 1_500
		delay   = 2 * time.Millisecond
		share   = 5
	)
	_, from := fresh(t)
	revisions := map[string]int64{}
	for n := range events {
		stream := fmt.Sprintf("permit-%d", n%streams)
		last, there := revisions[stream]
		if !there {
			last = -1
		}
		appendOne(t, from, stream, eventstore.After(last))
		revisions[stream] = last + 1
	}
	timed := func(serve func(batches) error) time.Duration {
		target, _ := fresh(t)
		line := faultproxy.New(t, newFront(t, target.Addr(), serve).addr)
		line.Latency(delay / 2)
		begun := time.Now()
		report, err := transfer.Copy(t.Context(), from, connect(t, line.Addr()), transfer.Options{})
		if err != nil || report.Appended != events || report.SourceDigest != report.TargetDigest {
			t.Fatalf("%+v, %v", report, err)
		}
		return time.Since(begun)
	}
	several := timed(nil)
	single := timed(func(batches) error { return status.Error(codes.Unimplemented, "unknown method") })
	t.Logf("%d events: %.1f s with several appends under way (%.0f a second), %.1f s with one (%.0f a second): a share of 1/%.1f",
		events, several.Seconds(), events/several.Seconds(), single.Seconds(), events/single.Seconds(), single.Seconds()/several.Seconds())
	if several > single/share {
		t.Errorf("a copy takes more than 1/%d of the time", share)
	}
}

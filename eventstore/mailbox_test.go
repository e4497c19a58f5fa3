package eventstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whoever is the slower, all messages come through, once and in order, and with
// the last of them why it ended.
func TestAMailboxHandsOnEverything(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(0, 3*readAhead).Draw(t, "messages")
		worth := rapid.SampledFrom([]int{worthOfRead, 1}).Draw(t, "worth")
		putting := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 9).Draw(t, "milliseconds between two")
		getting := rapid.SliceOfN(rapid.IntRange(0, 99), 1, 9).Draw(t, "milliseconds that some take")
		synctest.Test(outer, func(*testing.T) {
			box, why := newMailbox[int](worth), errors.New("the end")
			go func() {
				for n := range total {
					time.Sleep(time.Duration(putting[n%len(putting)]) * time.Millisecond)
					box.put(context.Background(), n)
				}
				box.end(why)
			}()
			next := 0
			var items []int
			for over := false; !over; {
				<-box.some
				var err error
				if items, over, err = box.get(items); over != (err == why) {
					t.Fatalf("over is %v, with %v", over, err)
				}
				for _, v := range items {
					if v != next {
						t.Fatalf("%d came when it was the turn of %d", v, next)
					}
					next++
				}
				time.Sleep(time.Duration(getting[next%len(getting)]) * time.Millisecond)
			}
			if next != total {
				t.Errorf("%d of %d came", next, total)
			}
		})
	})
}

// A mailbox that nobody empties holds its sender up, and lets go of it when
// the reading ends.
func TestAMailboxHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newMailbox[int](1)
		ctx, stop := context.WithCancel(t.Context())
		put := 0
		go func() {
			for box.put(ctx, put) {
				put++
			}
			box.end(context.Cause(ctx))
		}()
		synctest.Wait()
		if put != readAhead {
			t.Errorf("%d messages were put, and there is room for %d", put, readAhead)
		}
		stop()
		synctest.Wait()
		if items, over, err := box.get(nil); len(items) != readAhead || !over || !errors.Is(err, context.Canceled) {
			t.Errorf("then it held %d, over %v, %v", len(items), over, err)
		}
	})
}

// Of what lies in the log few messages wake nobody; of what happens now, each.
func TestAMailboxWakesWhenItIsWorthIt(t *testing.T) {
	for _, worth := range []int{1, worthOfRead} {
		box := newMailbox[int](worth)
		for n := 1; n <= worth; n++ {
			box.put(t.Context(), n)
			if woken := len(box.some) > 0; woken != (n == worth) {
				t.Errorf("worth %d: after %d messages, woken is %v", worth, n, woken)
			}
		}
	}
}

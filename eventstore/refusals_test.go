package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asking makes refusals that ask this function.
func asking(try func(Right) error) (r *refusals, closed chan struct{}) {
	closed = make(chan struct{})
	return &refusals{
		try:    func(_ context.Context, right Right) error { return try(right) },
		reload: func() {}, counted: func(Right) {}, logger: slog.New(slog.DiscardHandler), closed: closed,
		turn: make(chan struct{}, 1), sooner: make(chan struct{}, 1),
		held: map[need]*held{}, changed: make(chan struct{}), last: map[Right]round{},
	}, closed
}

// A hundred requests are refused at once: the probe asks for all of them once
// or twice, then with pauses that double up to a minute.
func TestProbeAsksForAllWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Duration // since began; guarded by mu, as that is
		began := time.Now()
		r, closed := asking(func(Right) error {
			mu.Lock()
			asked = append(asked, time.Since(began))
			mu.Unlock()
			time.Sleep(time.Millisecond)
			return fmt.Errorf("%w: no", ErrDenied)
		})
		defer close(closed)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				again, err := r.met(t.Context(), fmt.Errorf("%w: no", ErrDenied), need{RightWrite, fmt.Sprint(i)}, false)
				if again || !errors.Is(err, ErrRefused) {
					t.Errorf("%v, %v", again, err)
				}
			})
		}
		all.Wait()
		if len(asked) > 2 {
			t.Errorf("it asked %d times at once", len(asked))
		}
		if r.known(need{RightWrite, "another"}) == nil || r.known(need{RightRead, "1"}) != nil || r.known(need{right: RightReadAll}) != nil {
			t.Error("it stops other requests than appends")
		}
		mu.Lock()
		asked, began = nil, time.Now()
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		want := []time.Duration{1, 3, 7, 15, 31, 63, 123, 183}
		for i, at := range want {
			if d := asked[i] - at*time.Second; d.Abs() > 100*time.Millisecond {
				t.Errorf("question %d after %s, want %ds", i, asked[i], at)
			}
		}
	})
}

// A round that began before a request was refused says nothing about it.
func TestRoundThatBeganBeforeARefusalDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		r, closed := asking(func(Right) error {
			rounds++
			late := rounds == 1 // it began while the right was there
			time.Sleep(time.Second)
			if late {
				return nil
			}
			return fmt.Errorf("%w: no", ErrDenied)
		})
		defer close(closed)
		go func() { _ = r.ask(context.Background(), RightWrite) }()
		synctest.Wait()
		if err := r.ask(t.Context(), RightWrite); !errors.Is(err, ErrDenied) {
			t.Errorf("the answer is %v", err)
		}
	})
}

// A refused stream is tried by its own requests, now and then.
func TestRefusedStreamIsRetriedAfterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, closed := asking(func(Right) error { return nil })
		defer close(closed)
		denied, n := fmt.Errorf("%w: no", ErrDenied), need{RightWrite, "permit-1"}
		if again, _ := r.met(t.Context(), denied, n, false); !again {
			t.Error("the right is given, and the request is not sent again")
		}
		r.hold(n, denied)
		sent := 0
		for range 600 {
			time.Sleep(time.Second)
			if r.known(n) == nil {
				sent++
				if again, _ := r.met(t.Context(), denied, n, false); again {
					t.Fatal("a stream that is known to be refused is tried twice at once")
				}
			}
			if r.known(need{RightWrite, "permit-2"}) != nil {
				t.Fatal("another stream is refused")
			}
		}
		if sent < 10 || sent > 20 {
			t.Errorf("it was tried %d times in 10 minutes", sent)
		}
		if all := r.list(); len(all) != 1 || all[0].Stream != n.stream {
			t.Errorf("%v", all)
		}
		time.Sleep(streamKept + 2*time.Minute)
		if all := r.list(); len(all) != 0 {
			t.Errorf("%v is kept for ever", all)
		}
	})
}

package eventstore

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Every call is begun at once, also when all before it hang; so many of their
// goroutines are kept and no more; and all end when no more calls come.
func TestWorkersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop, answer := make(chan struct{}), make(chan struct{})
		w := newWorkers(stop)
		var running atomic.Int32
		hang := func() {
			running.Add(1)
			<-answer
			running.Add(-1)
		}
		for _, calls := range []int32{3, mostIdle + 7, 1} {
			for range calls {
				w.run(hang)
			}
			synctest.Wait()
			if running.Load() != calls {
				t.Errorf("%d of %d calls run", running.Load(), calls)
			}
			for range calls {
				answer <- struct{}{}
			}
			synctest.Wait()
			if idle := w.idle.Load(); idle == 0 || idle > mostIdle {
				t.Errorf("after %d calls %d goroutines are idle", calls, idle)
			}
		}
		if idle := w.idle.Load(); idle != mostIdle {
			t.Errorf("%d goroutines are idle, of at most %d", idle, mostIdle)
		}
		w.run(hang)
		close(stop)
		close(answer) // the bubble waits until all goroutines have ended
	})
}

package eventstore

import "sync/atomic"

// mostIdle is how many goroutines wait for the next call at most.
const mostIdle = 32

// workers run calls in goroutines that are kept from one call to the next. A
// new goroutine would begin with a small stack and grow it again to the depth
// of gRPC, each call anew, which takes about as long as decoding its answer.
type workers struct {
	next chan func()     // has no room: whoever receives from it is idle
	idle atomic.Int32    // how many wait, or are about to
	stop <-chan struct{} // closed when no more calls come
}

func newWorkers(stop <-chan struct{}) *workers {
	return &workers{next: make(chan func()), stop: stop}
}

// run has f done by a goroutine that is idle, or by a new one. It does not wait.
func (w *workers) run(f func()) {
	select {
	case w.next <- f:
	default:
		go w.work(f)
	}
}

func (w *workers) work(f func()) {
	for {
		f()
		if w.idle.Add(1) > mostIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case f = <-w.next:
			w.idle.Add(-1)
		case <-w.stop:
			return
		}
	}
}

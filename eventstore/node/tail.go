package node

import (
	"sync"
	"sync/atomic"
)

// tail is the end of what is durable, and the bell for those who wait for
// more. Readers may see what lies before it.
type tail struct {
	mu   sync.Mutex
	end  uint64        // guarded by mu; only the sequencer moves it
	bell chan struct{} // guarded by mu; closed when end moves

	// listed is the end of the last commit that may have changed an access
	// list. It moves before end does.
	listed atomic.Uint64
}

func newTail(end uint64) *tail {
	return &tail{end: end, bell: make(chan struct{})}
}

// get returns the end, and a channel that is closed once it has moved on.
func (t *tail) get() (uint64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end, t.bell
}

func (t *tail) advance(end uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = end
	close(t.bell)
	t.bell = make(chan struct{})
}

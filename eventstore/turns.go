package eventstore

import (
	"context"
	"sync"
)

// turns lets commands that are one and the same pass one after the other. The
// log itself would take the second for a repetition of the first, by its event
// ids, and say that it was written: with the first one's instant and words,
// while the second answers with its own.
//
// One process writes to a ledger, so it is enough to wait within it.
type turns struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the holder is done; guarded by mu
}

// take waits for the turn of a name and gives what hands it on.
func (t *turns) take(ctx context.Context, name string) (done func(), err error) {
	for {
		t.mu.Lock()
		held, busy := t.busy[name]
		if !busy {
			held = make(chan struct{})
			if t.busy == nil {
				t.busy = make(map[string]chan struct{})
			}
			t.busy[name] = held
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.busy, name)
				t.mu.Unlock()
				close(held)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

package eventstore

import (
	"context"
	"sync"
	"time"
)

// mailbox hands messages from the goroutine that receives them to the one that
// takes them, all that are there at a time. A channel would wake its reader for
// each, which costs more than most messages do, and would need room for many
// from the beginning, when most streams have only a few.
type mailbox[T any] struct {
	worth int           // so many messages are worth waking somebody
	some  chan struct{} // takes one: there is something to get
	room  chan struct{} // takes one: there is room again

	mu    sync.Mutex
	items []T   // at most readAhead; guarded by mu
	over  bool  // nothing comes after items; guarded by mu
	err   error // why; guarded by mu
}

func newMailbox[T any](worth int) *mailbox[T] {
	return &mailbox[T]{worth: worth, some: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put waits for room. It reports false when ctx has ended.
func (m *mailbox[T]) put(ctx context.Context, v T) bool {
	for ctx.Err() == nil {
		m.mu.Lock()
		n := len(m.items)
		if n < readAhead {
			m.items = append(m.items, v)
		}
		m.mu.Unlock()
		if n < readAhead {
			if n+1 == m.worth {
				signal(m.some)
			}
			return true
		}
		select {
		case <-m.room:
		case <-ctx.Done():
		}
	}
	return false
}

// wait returns when there is something to get, or nothing comes any more. It
// fails when nothing has come for as long as silence, unless that is forEver.
// Something that has come by then is no failure.
func (m *mailbox[T]) wait(ctx context.Context, s *session, silence time.Duration) error {
	select {
	case <-m.some: // most often so, and a timer would cost more than a message
		return nil
	default:
	}
	var silent <-chan time.Time
	if silence != forEver {
		t := time.NewTimer(silence)
		defer t.Stop()
		silent = t.C
	}
	select {
	case <-m.some:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return errSessionEnded
	case <-silent:
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.items) == 0 && !m.over {
			return errSilent
		}
	}
	return nil
}

// end says that nothing comes any more, and why.
func (m *mailbox[T]) end(why error) {
	m.mu.Lock()
	m.over, m.err = true, why
	m.mu.Unlock()
	signal(m.some)
}

// get takes what is there. It is given back what it gave before, which is used
// again. With over nothing will come after that.
func (m *mailbox[T]) get(before []T) (items []T, over bool, why error) {
	clear(before)
	m.mu.Lock()
	items, m.items = m.items, before[:0]
	over, why = m.over, m.err
	m.mu.Unlock()
	signal(m.room)
	return items, over, why
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound how fast one subject may send commands, whatever its tokens.
type Limits struct {
	// CommandsPerSecond is how many in the long run. 0 is no limit.
	CommandsPerSecond float64
	// Burst is how many at once; at least 1.
	Burst int
}

// DefaultLimits are for a service that others can reach: above what a program
// that works for the council needs, and low enough that nobody keeps the
// others out.
var DefaultLimits = Limits{CommandsPerSecond: 500, Burst: 1000}

// limiter keeps a bucket for each subject. There are no more than there are
// tokens, so none is ever thrown away.
type limiter struct {
	limits Limits

	mu      sync.Mutex
	buckets map[string]*rate.Limiter // guarded by mu
}

func newLimiter(l Limits) *limiter {
	l.Burst = max(1, l.Burst)
	return &limiter{limits: l, buckets: make(map[string]*rate.Limiter)}
}

// take lets a command through or says when to try again. A command that has
// to wait is not counted.
func (l *limiter) take(c caller) error {
	if l.limits.CommandsPerSecond <= 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := l.buckets[c.subject]
	if bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(l.limits.CommandsPerSecond), l.limits.Burst)
		l.buckets[c.subject] = bucket
	}
	now := time.Now()
	reservation := bucket.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return &fault{kind: tooMany, detail: "You send commands faster than the service takes them.", retryAfter: wait}
	}
	return nil
}

package eventstore

import (
	"errors"
	"math/rand/v2"
	"time"
)

// A node that does not lead yet may answer reads and the search for a node, and
// refuses appends at once: "Server Is Not Ready". Each such session is given up
// and another one is made. The pace keeps them apart, and an outage lasts until
// a call was answered, however many sessions it takes.

// pace is how sessions follow each other.
type pace struct {
	// young is the age before which giving a session up is early: the next one
	// waits for a pause.
	young time.Duration
	// first is the first pause. Each further session that was given up early and
	// answered nothing doubles it, up to most.
	first, most time.Duration
	// proven is the age from which the answer to a read shows that the store is
	// back, although appends wait or were refused.
	proven time.Duration
}

var usualPace = pace{young: 10 * time.Second, first: 20 * time.Millisecond, most: 250 * time.Millisecond, proven: time.Second}

// pauseAfter is the pause before the next session, after so many that were given
// up early. Its jitter, a fifth at most, keeps clients from coming together.
func (p pace) pauseAfter(early int) time.Duration {
	if early == 0 {
		return 0
	}
	pause := min(p.first<<min(early-1, 10), p.most)
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}

// pauseLocked is the pause before the next session is made.
func (c *connector) pauseLocked() time.Duration { return c.pace.pauseAfter(c.early) }

// goneLocked notes that a session was given up. Only the first of an outage is
// logged.
func (c *connector) goneLocked(s *session, why error) {
	now := time.Now()
	switch {
	case now.Sub(s.made) >= c.pace.young:
		c.early = 0
	case s.proven.Load():
		c.early = 1
	default:
		c.early++
	}
	c.reason = why.Error()
	if c.away {
		return
	}
	c.away, c.since = true, now
	c.logger.Warn("event store connection lost", "reason", why)
}

// madeLocked notes that a session was made. It ends no outage: a call has to be
// answered for that.
func (c *connector) madeLocked(s *session) {
	s.made = time.Now()
	if c.away {
		return
	}
	// No outage was logged, so the session is logged for debugging only.
	c.logger.Debug("event store connected", "after", time.Since(c.since).Round(time.Millisecond))
	c.since, c.reason = s.made, ""
}

// ended notes the outcome of a call, before its session is released.
func (c *connector) ended(s *session, err error, isAppend bool) {
	switch {
	case err == nil, definite(err) && !errors.Is(err, ErrClosed):
		c.answered(s, isAppend)
	case isAppend && connectionLost(err):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused = true
	}
}

// answered notes that a call on a session was answered, which ends an outage.
// While appends wait, or were refused in this outage, the answer to something
// else only counts on a session that has lasted.
func (c *connector) answered(s *session, byAppend bool) {
	if s.proven.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.retired {
		return
	}
	if age := time.Since(s.made); c.away && !byAppend && (c.refused || c.appending.Load() > 0) && age < c.pace.proven {
		if !s.promising {
			s.promising = true
			time.AfterFunc(c.pace.proven-age, func() { c.answered(s, false) })
		}
		return
	}
	s.proven.Store(true)
	if !c.away {
		return
	}
	c.logger.Info("event store connected", "after", time.Since(c.since).Round(time.Millisecond))
	c.away, c.refused, c.since, c.reason = false, false, time.Now(), ""
}

// Package clock gives the program its "now": the machine's clock, or a
// simulated one for demonstrations and tests.
package clock

import (
	"sync"
	"time"
)

// System is the machine's clock, in UTC and microseconds.
type System struct{}

// Now gives the present instant.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Simulated is a clock that runs at ordinary speed from an instant of one's
// choice. It is put forward by Set and never goes back.
type Simulated struct {
	mu      sync.Mutex
	at      time.Time // simulated instant at `started`
	started time.Time // carries the monotonic reading that Now counts from
}

// NewSimulated starts a simulated clock at an instant.
func NewSimulated(at time.Time) *Simulated {
	return &Simulated{at: at.UTC(), started: time.Now()}
}

// Now gives the present instant of the simulation.
func (c *Simulated) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Simulated) now() time.Time {
	return c.at.Add(time.Since(c.started)).Truncate(time.Microsecond)
}

// Set puts the clock forward to an instant and reports whether it did: an
// instant that has passed already changes nothing.
func (c *Simulated) Set(to time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !to.After(c.now()) {
		return false
	}
	c.at, c.started = to.UTC(), time.Now()
	return true
}

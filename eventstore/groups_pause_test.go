package eventstore

import (
	"testing"
	"time"
)

// The pause is doubled each time up to a longest one, whatever number of times
// a server tells.
func TestPausesOfAGroup(t *testing.T) {
	g := Group{Pause: time.Second}
	for retries, want := range map[int]time.Duration{-1: 1, 0: 1, 1: 2, 4: 16, 5: longestPauses, 64: longestPauses} {
		if got := g.pauseAfter(retries); got != want*time.Second {
			t.Errorf("after %d times: %s", retries, got)
		}
	}
	if got := (Group{}).pauseAfter(0); got != groupPause {
		t.Errorf("by default: %s", got)
	}
}

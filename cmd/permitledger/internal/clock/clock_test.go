package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"permitledger/cmd/permitledger/internal/clock"
)

// In the bubble, the machine's time stands still until everybody sleeps.
func TestTheSimulatedClockRunsAndOnlyGoesForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
		c := clock.NewSimulated(start)
		if got := c.Now(); !got.Equal(start) {
			t.Fatalf("it starts at %s", got)
		}
		<-time.After(90 * time.Second)
		if got := c.Now(); !got.Equal(start.Add(90 * time.Second)) {
			t.Fatalf("after 90 seconds it stands at %s", got)
		}
		to := start.AddDate(1, 0, 0)
		if !c.Set(to) || !c.Now().Equal(to) {
			t.Fatalf("put forward to %s it stands at %s", to, c.Now())
		}
		<-time.After(time.Second)
		for _, back := range []time.Time{to, to.Add(time.Second), start} {
			if c.Set(back) {
				t.Errorf("it was put back to %s", back)
			}
		}
		if got := c.Now(); !got.Equal(to.Add(time.Second)) {
			t.Errorf("in the end it stands at %s", got)
		}
	})
}

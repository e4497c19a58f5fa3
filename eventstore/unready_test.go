package eventstore_test

import (
	"testing"
	"time"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
)

// Each new leader refuses appends for some seconds, while it answers reads and
// subscriptions.
func TestAppendOutlivesLeadersThatAreNotReady(t *testing.T) {
	const leaders, unready, most = 5, 3 * time.Second, 20
	c := newCluster(t)
	c.lead(0)
	log := &lines{}
	s := connect(t, "", c.seeds(0, 1, 2), func(cfg *eventstore.Config) {
		cfg.Logger, cfg.MaxBackoff = log.logger(), time.Second
	})
	appendOne(t, s, "permit-1", eventstore.NoStream())
	followed := make(chan error, 1)
	go func() { followed <- s.Subscribe(t.Context(), 0, funcs{}) }()
	for n := range leaders {
		before, _ := s.Session()
		lost, back := log.count("event store connection lost"), log.count("event store connected")
		appended := make(chan error, 1)
		c.setUnready(true)
		c.lead((n + 1) % 3)
		c.members[n%3].Do(faultproxy.Reset)
		go func() {
			_, err := s.Append(t.Context(), "permit-1", eventstore.At(uint64(n)), proposed(1))
			appended <- err
		}()
		select {
		case err := <-appended:
			t.Fatalf("leader %d: the append ended before it was ready: %v", n, err)
		case <-time.After(unready):
		}
		if s.Connection().Up {
			t.Errorf("leader %d: the store counts as there, and no append was answered", n)
		}
		c.setUnready(false)
		ready := time.Now()
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(ready); took > 500*time.Millisecond {
			t.Errorf("leader %d: the append succeeded after %s", n, took)
		}
		after, _ := s.Session()
		if made := after - before; made > most {
			t.Errorf("leader %d: %d sessions", n, made)
		}
		lost, back = log.count("event store connection lost")-lost, log.count("event store connected")-back
		if lost != 1 || back != 1 || !s.Connection().Up {
			t.Errorf("leader %d: logged as lost %d times and as back %d times", n, lost, back)
		}
		t.Logf("leader %d: %d sessions", n, after-before)
	}
	if t.Failed() {
		t.Log(log.text.String())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-followed
	c.wellLed(t)
}

package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// TestPersistentRestart has a node go on with its groups where they were.
func TestPersistentRestart(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{Dir: dir})
	c := connect(t, n)
	mustAppend(t, c, "s", "before")
	createGroup(t, c, "s", "g", esdb.Revision(1), settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.ResolveLinkTos, s.ConsumerStrategyName, s.MaxRetryCount = true, esdb.ConsumerStrategyDispatchToSingle, 7
	}))
	createGroup(t, c, "s", "idle", esdb.End{}, nil)
	createAllGroup(t, c, "cars", esdb.End{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"car,", "bus"}}, nil)
	saved := watchCheckpoints(t, c, "s", "g")
	parked := watch(t, c, parkedStream("s::g"))
	mustAppend(t, c, "s", "a", "b", "c", "d", "e")
	m := joinGroup(t, c, "s", "g", 4)
	events := m.expect("a b c d")
	_ = m.sub.Ack(events[0], events[1])
	_ = m.sub.Nack("why", esdb.NackActionPark, events[3])
	saved("2")
	parked()
	want := *infoOf(t, c, "s", "g").Settings
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, Options{Dir: dir})
	c = connect(t, n)
	mustAppend(t, c, "car,1", "x")
	mustAppend(t, c, "car", "y")
	m = joinGroup(t, c, "s", "g", 10)
	m.expect("c d e")
	joinGroup(t, c, "s", "idle", 10).expect("a b c d e")
	joinGroup(t, c, "", "cars", 10).expect("x")
	info := infoOf(t, c, "s", "g")
	if *info.Settings != want {
		t.Errorf("the settings are %+v, were %+v", *info.Settings, want)
	}
	if got := *info.Stats.LastCheckpointedEventRevision; got != 2 || info.Stats.ParkedMessagesCount != 1 {
		t.Errorf("the checkpoint is at %d, %d events are parked", got, info.Stats.ParkedMessagesCount)
	}
	if err := c.ReplayParkedMessages(timeout(t), "s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	m.expect("$>>d")
}

// TestPersistentKill kills a node's process again and again while a group is
// worked on. In the end every event was given to somebody.
func TestPersistentKill(t *testing.T) {
	const kills, each = 4, 300
	dir := t.TempDir()
	child, c := startChild(t, dir)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.CheckpointUpperBound, s.MaxRetryCount = 5, 1
	}))
	done := &tally{seen: make(map[string]bool)}
	random := rand.New(rand.NewPCG(3, 3))
	for kill := range kills {
		var names []string
		for i := range each {
			names = append(names, fmt.Sprintf("e%d-%d", kill, i))
		}
		mustAppend(t, c, "s", names...)
		done.want += each
		stop := done.size() + random.IntN(each)
		done.work(t, c, func(n int) bool { return n >= stop })
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		child, c = startChild(t, dir)
	}
	done.work(t, c, func(n int) bool { return n == done.want })
	t.Logf("%d events, %d deliveries", done.want, done.deliveries)
}

// tally counts what consumers were given.
type tally struct {
	want int

	mu         sync.Mutex
	seen       map[string]bool // guarded by mu
	deliveries int             // guarded by mu
}

func (d *tally) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seen)
}

func (d *tally) note(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[name] = true
	d.deliveries++
	return len(d.seen)
}

// work has three consumers work on the group until there is enough. They
// acknowledge most of what they get, have some of it retried and park some.
func (d *tally) work(t *testing.T, c *esdb.Client, enough func(int) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	var busy sync.WaitGroup
	for range 3 {
		sub, err := c.SubscribeToPersistentSubscription(ctx, "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 7})
		if err != nil && ctx.Err() != nil {
			break // the others had enough meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		busy.Go(func() {
			defer sub.Close()
			for i := 0; ; i++ {
				e := sub.Recv()
				if e.EventAppeared == nil {
					if !enough(d.size()) {
						t.Errorf("dropped after %d events of %d: %v", d.size(), d.want, e.SubscriptionDropped.Error)
					}
					return
				}
				event := e.EventAppeared.Event
				switch i % 7 {
				case 3:
					_ = sub.Nack("again", esdb.NackActionRetry, event)
				case 5:
					_ = sub.Nack("aside", esdb.NackActionPark, event)
				default:
					_ = sub.Ack(event)
				}
				if enough(d.note(nameOf(event.Event))) {
					cancel()
					return
				}
			}
		})
	}
	busy.Wait()
}

package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// journal is what the outside knows of a node's history: what was sent to it,
// what it acknowledged, and what its readers were shown.
type journal struct {
	mu    sync.Mutex
	sent  map[uuid.UUID]string // stream of each event ever sent
	acked map[uuid.UUID]place
	shown map[uuid.UUID]place
	rung  chan struct{} // gets something at each acknowledgement; writers wait when it is full
}

type place struct {
	stream   string
	revision uint64
	position uint64 // 0 where it is not known
}

func newJournal() *journal {
	return &journal{
		sent: map[uuid.UUID]string{}, acked: map[uuid.UUID]place{}, shown: map[uuid.UUID]place{},
		rung: make(chan struct{}, 32),
	}
}

// copy is the journal at this moment.
func (j *journal) copy() *journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := newJournal()
	for id, s := range j.sent {
		c.sent[id] = s
	}
	for id, p := range j.acked {
		c.acked[id] = p
	}
	for id, p := range j.shown {
		c.shown[id] = p
	}
	return c
}

// write appends batches to a stream of its own and to a shared one until ctx
// ends or the node is gone, and notes what is acknowledged.
func (j *journal) write(ctx context.Context, c *esdb.Client, writer int) {
	own, last := fmt.Sprintf("own-%d-%s", writer, uuid.NewString()[:8]), esdb.ExpectedRevision(esdb.NoStream{})
	for round := 0; ctx.Err() == nil; round++ {
		stream, at := own, last
		if round%3 == 2 {
			stream, at = "shared", esdb.Any{}
		}
		events := make([]esdb.EventData, 1+(round+writer)%3)
		j.mu.Lock()
		for i := range events {
			events[i] = esdb.EventData{EventID: uuid.New(), EventType: "t", Data: make([]byte, 10+round%700)}
			j.sent[events[i].EventID] = stream
		}
		j.mu.Unlock()
		result, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: at}, events...)
		if err != nil {
			return
		}
		if stream == own {
			last = esdb.Revision(result.NextExpectedVersion)
		}
		j.mu.Lock()
		for i, e := range events {
			p := place{stream: stream, revision: result.NextExpectedVersion - uint64(len(events)-1-i)}
			if i == len(events)-1 {
				p.position = result.CommitPosition
			}
			j.acked[e.EventID] = p
		}
		j.mu.Unlock()
		select {
		case j.rung <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// watch subscribes to everything and notes what it is shown.
func (j *journal) watch(ctx context.Context, c *esdb.Client) {
	sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	if err != nil {
		return
	}
	defer sub.Close()
	for {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			return
		}
		if r := e.EventAppeared; r != nil {
			j.mu.Lock()
			j.shown[r.Event.EventID] = place{r.Event.StreamID, r.Event.EventNumber, r.Event.Position.Commit}
			j.mu.Unlock()
		}
	}
}

// verify compares a reopened node with the journal: everything acknowledged or
// shown is there, once, where it was; nothing is there that was not sent; each
// stream is whole; and $all and the streams agree.
func (j *journal) verify(t *testing.T, c *esdb.Client) {
	t.Helper()
	found := map[uuid.UUID]place{}
	next := map[string]uint64{}
	for _, e := range readAll(t, c, esdb.ReadAllOptions{}, 1<<40) {
		r := e.Event
		if _, twice := found[r.EventID]; twice {
			t.Fatalf("event %v is there twice", r.EventID)
		}
		if j.sent[r.EventID] != r.StreamID {
			t.Fatalf("event %v of %s was never sent there", r.EventID, r.StreamID)
		}
		if r.EventNumber != next[r.StreamID] {
			t.Fatalf("%s has revision %d after %d others", r.StreamID, r.EventNumber, next[r.StreamID])
		}
		next[r.StreamID]++
		found[r.EventID] = place{r.StreamID, r.EventNumber, r.Position.Commit}
	}
	for what, known := range map[string]map[uuid.UUID]place{"acknowledged": j.acked, "shown to a reader": j.shown} {
		for id, want := range known {
			got, ok := found[id]
			if !ok {
				t.Fatalf("revision %d of %s was %s and is lost", want.revision, want.stream, what)
			}
			if want.position == 0 {
				want.position = got.position
			}
			if got != want {
				t.Fatalf("an event %s at %+v is at %+v", what, want, got)
			}
		}
	}
	for stream, count := range next {
		events, err := readStream(t, c, stream, esdb.ReadStreamOptions{}, 1<<40)
		if err != nil || uint64(len(events)) != count {
			t.Fatalf("%s has %d events in $all and %d of its own, %v", stream, count, len(events), err)
		}
		for i, e := range events {
			if found[e.Event.EventID] != (place{stream, uint64(i), e.Event.Position.Commit}) {
				t.Fatalf("revision %d of %s differs between $all and the stream", i, stream)
			}
		}
	}
}

// TestPowerCuts takes images of the disk in the midst of writing, each with a
// random part of what was not synced, and opens a node on each of them.
func TestPowerCuts(t *testing.T) {
	const writers, images = 6, 8
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			disk := vfs.NewCrashableMem()
			n := openNode(t, Options{Dir: "store", FS: disk})
			c := connect(t, n)
			j := newJournal()
			ctx, stop := context.WithCancel(timeout(t))
			var busy sync.WaitGroup
			defer busy.Wait()
			defer stop()
			for w := range writers {
				busy.Go(func() { j.write(ctx, c, w) })
			}
			busy.Go(func() { j.watch(ctx, c) })
			for range images {
				for range 33 + random.IntN(40) {
					<-j.rung
				}
				if random.IntN(4) == 0 {
					if err := n.engine.db.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				before := j.copy()
				image := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
				after := j.copy()
				before.sent = after.sent
				reopened := openNode(t, Options{Dir: "store", FS: image})
				before.verify(t, connect(t, reopened))
				goOn(t, connect(t, reopened))
			}
		})
	}
}

// goOn sees that a recovered node takes writes as if nothing had happened.
func goOn(t *testing.T, c *esdb.Client) {
	t.Helper()
	last := readAll(t, c, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	result := mustAppendAt(t, c, "after-"+uuid.NewString(), esdb.NoStream{}, "a", "b")
	if len(last) > 0 && result.CommitPosition <= last[0].Event.Position.Commit {
		t.Fatalf("after recovery position %d follows %d", result.CommitPosition, last[0].Event.Position.Commit)
	}
}

package competing

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// world is what a group's owner and its consumers see of it.
type world struct {
	t        *rapid.T
	g        *Group
	settings Settings
	now      time.Time

	read    []Event
	events  map[uint64]Event // read or replayed, by position
	settled map[uint64]bool  // by position
	held    []Deliver        // in the order in which they were given out
	slots   map[ConsumerID]int
	pins    map[uint32]ConsumerID // who got the last event of a set; cleared when it may go to another
	parking []*Message
	parked  int // how many events were parked
	saved   Place
	tb      uint64
}

// consumers are those that are there.
func (w *world) consumers() []ConsumerID { return slices.Sorted(maps.Keys(w.slots)) }

// holds counts the events that a consumer holds.
func (w *world) holds(id ConsumerID) (n int) {
	for _, d := range w.held {
		if d.To == id {
			n++
		}
	}
	return n
}

// absorb carries out what the group decided, and checks it.
func (w *world) absorb(tick bool) {
	for {
		delivered := false
		for _, e := range w.g.Take() {
			switch e := e.(type) {
			case Deliver:
				delivered = true
				w.deliver(e)
			case Withdraw:
				if delivered {
					w.t.Fatal("withdrawn after something was delivered")
				}
				w.withdraw(e)
			case Park:
				w.parking = append(w.parking, e.Message)
			}
		}
		from, count := w.g.WantsParked()
		if count == 0 {
			break
		}
		var events []Event
		for i := range uint64(count) {
			id := idOf(Place(from+i), true)
			e := Event{Place: Place(from + i), Position: positionOf(id), ID: id, Wanted: true, Pin: uint32(from+i) % 3}
			events = append(events, e)
			w.events[e.Position] = e
		}
		w.g.Unpark(w.now, events, from+uint64(count))
	}
	if place, due := w.g.Checkpoint(w.now, tick); due {
		w.checkpoint(place)
	}
	if before, due := w.g.Truncate(tick); due {
		for n := w.tb; n < before; n++ {
			if !w.settled[positionOf(idOf(Place(n), true))] {
				w.t.Fatalf("truncated before %d, but %d is not settled", before, n)
			}
		}
		w.tb = before
	}
}

// Check holds at any time: no more waits than there is room for, everybody
// agrees on what is out, and nothing waits for a consumer that has room.
func (w *world) Check(t *rapid.T) {
	stats := w.g.Stats()
	if stats.Holding != len(w.held) {
		t.Fatalf("the group has %d events out, its consumers hold %d", stats.Holding, len(w.held))
	}
	if stats.Fresh > w.settings.Buffer {
		t.Fatalf("%d events wait, with room for %d", stats.Fresh, w.settings.Buffer)
	}
	for _, id := range w.consumers() {
		if w.holds(id) == w.slots[id] {
			continue
		}
		if w.settings.Strategy != Pinned && stats.Fresh+stats.Retrying > 0 {
			t.Fatalf("%d has room, but %d events wait", id, stats.Fresh+stats.Retrying)
		}
		for _, m := range slices.Concat(w.g.fresh, w.g.retry, w.g.replayed) {
			if to := w.g.pins[m.Pin%pinCount].owner; to == nil || to.id == id {
				t.Fatalf("%s waits for %d, who has room", nameAt(m.Position), id)
			}
		}
	}
	if w.settings.Strategy == Pinned {
		w.checkPins(t)
	}
}

// checkPins holds the assignment of sets to its own numbers.
func (w *world) checkPins(t *rapid.T) {
	owned := make(map[ConsumerID]int)
	for _, p := range w.g.pins {
		if p.owner != nil {
			owned[p.owner.id]++
		}
	}
	for _, c := range w.g.consumers {
		if c.pins != owned[c.id] {
			t.Fatalf("%d has %d sets, and counts %d", c.id, owned[c.id], c.pins)
		}
		delete(owned, c.id)
	}
	if len(owned) > 0 {
		t.Fatalf("consumers that left have sets: %v", owned)
	}
}

func (w *world) deliver(d Deliver) {
	if w.slots[d.To] == 0 {
		w.t.Fatalf("%d is not there", d.To)
	}
	for _, other := range w.held {
		if other.Position == d.Position {
			w.t.Fatalf("%s is out twice", nameAt(d.Position))
		}
	}
	w.held = append(w.held, d)
	if n := w.holds(d.To); n > w.slots[d.To] {
		w.t.Fatalf("%d holds %d events, but has %d slots", d.To, n, w.slots[d.To])
	}
	if w.settled[d.Position] {
		w.t.Fatalf("%s was settled already", nameAt(d.Position))
	}
	if w.settings.Strategy != Pinned {
		return
	}
	set := w.events[d.Position].Pin % pinCount
	if to, pinned := w.pins[set]; pinned && to != d.To {
		w.t.Fatalf("%s went to %d, but its set is pinned to %d", nameAt(d.Position), d.To, to)
	}
	w.pins[set] = d.To
}

func (w *world) withdraw(e Withdraw) {
	at := slices.IndexFunc(w.held, func(d Deliver) bool { return d.Position == e.Position })
	if at < 0 {
		return // the answer of another consumer was for it
	}
	if w.held[at].To != e.From {
		w.t.Fatalf("%s is withdrawn from %d, but %d holds it", nameAt(e.Position), e.From, w.held[at].To)
	}
	w.held = slices.Delete(w.held, at, at+1)
}

func (w *world) checkpoint(place Place) {
	if place <= w.saved {
		w.t.Fatalf("checkpoint at %d after %d", place, w.saved)
	}
	w.saved = place
	for _, e := range w.read {
		if e.Place <= place && e.Wanted && !w.settled[e.Position] {
			w.t.Fatalf("checkpoint at %d, but %d is not settled", place, e.Place)
		}
	}
}

// Read reads some events, as many as the group has room for.
func (w *world) Read(t *rapid.T) {
	var events []Event
	next := Place(0)
	if n := len(w.read); n > 0 {
		next = w.read[n-1].Place + 1
	}
	for range rapid.IntRange(0, w.g.Room()).Draw(t, "events") {
		next += Place(rapid.IntRange(0, 2).Draw(t, "gap"))
		id := idOf(next, false)
		e := Event{Place: next, Position: positionOf(id), ID: id, Wanted: rapid.IntRange(0, 3).Draw(t, "wanted") > 0,
			Pin: uint32(rapid.IntRange(0, 4).Draw(t, "pin")) * 512}
		if n := len(w.read); n > 0 && rapid.IntRange(0, 4).Draw(t, "twin") == 0 {
			e.ID = w.read[rapid.IntRange(0, n-1).Draw(t, "of")].ID
		}
		events = append(events, e)
		w.events[e.Position] = e
		next++
	}
	w.read = append(w.read, events...)
	w.g.Read(w.now, events, next-1)
	w.absorb(false)
}

// Join lets a consumer in.
func (w *world) Join(t *rapid.T) {
	id := ConsumerID(rapid.IntRange(1, 4).Draw(t, "who"))
	if w.slots[id] > 0 {
		return
	}
	w.slots[id] = rapid.IntRange(1, 5).Draw(t, "slots")
	clear(w.pins) // it gets its share
	if !w.g.Join(w.now, id, w.slots[id]) {
		if len(w.slots) <= w.settings.MaxConsumers {
			t.Fatal("refused although there was room")
		}
		delete(w.slots, id)
	}
	w.absorb(false)
}

// Leave has a consumer go.
func (w *world) Leave(t *rapid.T) {
	if len(w.slots) == 0 {
		return
	}
	w.leave(rapid.SampledFrom(w.consumers()).Draw(t, "who"))
}

func (w *world) leave(id ConsumerID) {
	delete(w.slots, id)
	w.held = slices.DeleteFunc(w.held, func(d Deliver) bool { return d.To == id })
	maps.DeleteFunc(w.pins, func(_ uint32, to ConsumerID) bool { return to == id })
	w.g.Leave(w.now, id)
	w.absorb(false)
}

// meant takes away the event that an answer means: the first that its sender
// was given with the id, or else the first that anybody was given.
func (w *world) meant(who ConsumerID, id uuid.UUID) (Event, bool) {
	same := func(d Deliver) bool { return w.events[d.Position].ID == id }
	at := slices.IndexFunc(w.held, func(d Deliver) bool { return d.To == who && same(d) })
	if at < 0 {
		at = slices.IndexFunc(w.held, same)
	}
	if at < 0 {
		return Event{}, false
	}
	e := w.events[w.held[at].Position]
	w.held = slices.Delete(w.held, at, at+1)
	return e, true
}

// Answer has a consumer say something about events that it or others hold.
func (w *world) Answer(t *rapid.T) {
	if len(w.held) == 0 || len(w.slots) == 0 {
		return
	}
	var out []uuid.UUID
	for _, d := range w.held {
		out = append(out, w.events[d.Position].ID)
	}
	who := rapid.SampledFrom(w.consumers()).Draw(t, "who")
	ids := rapid.SliceOfN(rapid.SampledFrom(out), 1, len(out)).Draw(t, "ids")
	say := rapid.IntRange(-1, 2).Draw(t, "action")
	for _, id := range ids {
		if e, ok := w.meant(who, id); ok && (say == -1 || Action(say) == Skip) {
			w.settled[e.Position] = true
		}
	}
	if say == -1 {
		w.g.Ack(w.now, who, ids)
	} else {
		w.g.Nack(w.now, who, ids, Action(say), "")
	}
	w.absorb(false)
}

// Park finishes what was to be parked, or fails to.
func (w *world) Park(t *rapid.T) {
	if len(w.parking) == 0 {
		return
	}
	n := rapid.IntRange(1, len(w.parking)).Draw(t, "writes")
	batch := w.parking[:n]
	w.parking = w.parking[n:]
	if rapid.IntRange(0, 3).Draw(t, "luck") == 0 {
		w.g.NotParked(w.now, batch)
	} else {
		for _, m := range batch {
			w.settled[m.Position] = true
			w.parked++
		}
		w.g.Parked(w.now, batch, uint64(w.parked))
	}
	w.absorb(false)
}

// Replay gives parked events out again.
func (w *world) Replay(t *rapid.T) {
	w.g.Replay(uint64(rapid.IntRange(0, w.parked+1).Draw(t, "stop")))
	w.absorb(false)
}

// Tick lets time pass.
func (w *world) Tick(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
	w.g.Tick(w.now)
	w.absorb(true)
}

// TestModel does anything in any order. Whatever happened, one patient
// consumer gets everything in the end, and the group has then come as far as
// it was read.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := usual()
		settings.Strategy = rapid.SampledFrom([]Strategy{RoundRobin, Single, Pinned}).Draw(t, "strategy")
		settings.MaxRetries = rapid.IntRange(0, 3).Draw(t, "retries")
		settings.MaxConsumers = rapid.IntRange(0, 3).Draw(t, "consumers")
		settings.MinCheckpoint = 1
		if settings.MaxConsumers == 0 {
			settings.MaxConsumers = 9
		}
		w := &world{
			t: t, g: New(settings, Nowhere), settings: settings, now: start, saved: Nowhere,
			events: make(map[uint64]Event), settled: make(map[uint64]bool),
			slots: make(map[ConsumerID]int), pins: make(map[uint32]ConsumerID),
		}
		t.Repeat(rapid.StateMachineActions(w))
		w.finish()
	})
}

func (w *world) finish() {
	for _, id := range w.consumers() {
		w.leave(id)
	}
	const patient = ConsumerID(9)
	w.slots[patient] = 3
	w.g.Join(w.now, patient, 3)
	w.absorb(false)
	for rounds := 0; len(w.held) > 0 || len(w.parking) > 0; rounds++ {
		if rounds > 10_000 {
			w.t.Fatal("there is no end of events")
		}
		for _, m := range w.parking {
			w.settled[m.Position] = true
			w.parked++
		}
		w.g.Parked(w.now, w.parking, uint64(w.parked))
		w.parking = nil
		var ids []uuid.UUID
		for _, d := range w.held {
			ids = append(ids, w.events[d.Position].ID)
			w.settled[d.Position] = true
		}
		w.held = nil
		w.g.Ack(w.now, patient, ids)
		w.absorb(false)
	}
	w.now = w.now.Add(time.Hour)
	w.g.Tick(w.now)
	w.absorb(true)
	if n := len(w.read); n > 0 && w.saved < w.read[n-1].Place {
		w.t.Fatalf("read up to %d, but the checkpoint is at %d", w.read[n-1].Place, w.saved)
	}
}

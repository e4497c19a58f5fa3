package competing

import (
	"encoding/binary"
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

	read     []Event
	settled  map[uuid.UUID]bool
	held     map[ConsumerID]map[uuid.UUID]bool
	slots    map[ConsumerID]int
	parking  []*Message
	parked   []uuid.UUID // the events that were parked, in order
	resolved map[uint64]bool
	saved    Place
	tb       uint64
}

func (w *world) consumers() []ConsumerID {
	var list []ConsumerID
	for id := range w.held {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
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
				delete(w.held[e.From], e.ID)
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
			events = append(events, Event{Place: Place(from + i), ID: idOf(Place(from+i), true), Wanted: true})
		}
		w.g.Unpark(w.now, events, from+uint64(count))
	}
	if place, due := w.g.Checkpoint(w.now, tick); due {
		w.checkpoint(place)
	}
	if before, due := w.g.Truncate(tick); due {
		for n := w.tb; n < before; n++ {
			if !w.resolved[n] {
				w.t.Fatalf("truncated before %d, but %d is not settled", before, n)
			}
		}
		w.tb = before
	}
}

// Check holds at any time: no more waits than there is room for, and everybody
// agrees on what is out.
func (w *world) Check(t *rapid.T) {
	out := 0
	for _, held := range w.held {
		out += len(held)
	}
	stats := w.g.Stats()
	if stats.Holding != out {
		t.Fatalf("the group has %d events out, its consumers hold %d", stats.Holding, out)
	}
	if stats.Fresh > w.settings.Buffer {
		t.Fatalf("%d events wait, with room for %d", stats.Fresh, w.settings.Buffer)
	}
}

func (w *world) deliver(d Deliver) {
	held := w.held[d.To]
	if held == nil {
		w.t.Fatalf("%d is not there", d.To)
	}
	for _, other := range w.held {
		if other[d.ID] {
			w.t.Fatalf("%s is out twice", nameOf(d.ID))
		}
	}
	held[d.ID] = true
	if len(held) > w.slots[d.To] {
		w.t.Fatalf("%d holds %d events, but has %d slots", d.To, len(held), w.slots[d.To])
	}
	if w.settled[d.ID] {
		w.t.Fatalf("%s was settled already", nameOf(d.ID))
	}
}

func (w *world) checkpoint(place Place) {
	if place <= w.saved {
		w.t.Fatalf("checkpoint at %d after %d", place, w.saved)
	}
	w.saved = place
	for _, e := range w.read {
		if e.Place <= place && e.Wanted && !w.settled[e.ID] {
			w.t.Fatalf("checkpoint at %d, but %d is not settled", place, e.Place)
		}
	}
}

func (w *world) settle(id uuid.UUID, place Place) {
	w.settled[id] = true
	if id[0] == 1 {
		w.resolved[uint64(place)] = true
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
		events = append(events, Event{Place: next, ID: idOf(next, false), Wanted: rapid.IntRange(0, 3).Draw(t, "wanted") > 0})
		next++
	}
	w.read = append(w.read, events...)
	w.g.Read(w.now, events, next-1)
	w.absorb(false)
}

// Join lets a consumer in.
func (w *world) Join(t *rapid.T) {
	id := ConsumerID(rapid.IntRange(1, 4).Draw(t, "who"))
	if w.held[id] != nil {
		return
	}
	w.held[id], w.slots[id] = make(map[uuid.UUID]bool), rapid.IntRange(1, 5).Draw(t, "slots")
	if !w.g.Join(w.now, id, w.slots[id]) {
		if len(w.held) <= w.settings.MaxConsumers {
			t.Fatal("refused although there was room")
		}
		delete(w.held, id)
	}
	w.absorb(false)
}

// Leave has a consumer go.
func (w *world) Leave(t *rapid.T) {
	if len(w.held) == 0 {
		return
	}
	id := rapid.SampledFrom(w.consumers()).Draw(t, "who")
	delete(w.held, id)
	w.g.Leave(w.now, id)
	w.absorb(false)
}

// Answer has a consumer say something about events that it or others hold.
func (w *world) Answer(t *rapid.T) {
	var out []uuid.UUID
	for _, id := range w.consumers() {
		for event := range w.held[id] {
			out = append(out, event)
		}
	}
	if len(out) == 0 {
		return
	}
	slices.SortFunc(out, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	who := rapid.SampledFrom(w.consumers()).Draw(t, "who")
	ids := rapid.SliceOfNDistinct(rapid.SampledFrom(out), 1, len(out), rapid.ID).Draw(t, "ids")
	say := rapid.IntRange(-1, 2).Draw(t, "action")
	for _, id := range ids {
		for _, held := range w.held {
			delete(held, id)
		}
		if say == -1 || Action(say) == Skip {
			w.settle(id, placeOf(id))
		}
	}
	if say == -1 {
		w.g.Ack(w.now, who, ids)
	} else {
		w.g.Nack(w.now, who, ids, Action(say), "")
	}
	w.absorb(false)
}

func placeOf(id uuid.UUID) Place { return Place(binary.BigEndian.Uint64(id[8:])) }

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
			w.settle(m.ID, m.Place)
			w.parked = append(w.parked, m.ID)
		}
		w.g.Parked(w.now, batch, uint64(len(w.parked)))
	}
	w.absorb(false)
}

// Replay gives parked events out again.
func (w *world) Replay(t *rapid.T) {
	w.g.Replay(uint64(rapid.IntRange(0, len(w.parked)+1).Draw(t, "stop")))
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
		settings.Single = rapid.Bool().Draw(t, "single")
		settings.MaxRetries = rapid.IntRange(0, 3).Draw(t, "retries")
		settings.MaxConsumers = rapid.IntRange(0, 3).Draw(t, "consumers")
		settings.MinCheckpoint = 1
		if settings.MaxConsumers == 0 {
			settings.MaxConsumers = 9
		}
		w := &world{
			t: t, g: New(settings, Nowhere), settings: settings, now: start, saved: Nowhere,
			settled: make(map[uuid.UUID]bool), held: make(map[ConsumerID]map[uuid.UUID]bool),
			slots: make(map[ConsumerID]int), resolved: make(map[uint64]bool),
		}
		t.Repeat(rapid.StateMachineActions(w))
		w.finish()
	})
}

func (w *world) finish() {
	for _, id := range w.consumers() {
		delete(w.held, id)
		w.g.Leave(w.now, id)
		w.absorb(false)
	}
	const patient = ConsumerID(9)
	w.held[patient], w.slots[patient] = make(map[uuid.UUID]bool), 3
	w.g.Join(w.now, patient, 3)
	w.absorb(false)
	for rounds := 0; len(w.held[patient]) > 0 || len(w.parking) > 0; rounds++ {
		if rounds > 10_000 {
			w.t.Fatal("there is no end of events")
		}
		for _, m := range w.parking {
			w.settle(m.ID, m.Place)
			w.parked = append(w.parked, m.ID)
		}
		w.g.Parked(w.now, w.parking, uint64(len(w.parked)))
		w.parking = nil
		var ids []uuid.UUID
		for id := range w.held[patient] {
			ids = append(ids, id)
			w.settle(id, placeOf(id))
		}
		clear(w.held[patient])
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

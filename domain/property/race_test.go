package property

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"permitledger/domain"
)

// world is a small town in memory: a stream for each house, permits that live
// in them, and requests that are anywhere between their steps.
type world struct {
	now      time.Time
	limit    int
	houses   [2]house
	permits  []*permit // all that ever were
	people   []*permit // the latest of each person
	requests []*request
}

type house struct {
	state    State
	revision int
}

type permit struct {
	id       domain.PermitID
	revision int // 0: never written
	house    int
	since    time.Time // of its take there
	ends     time.Time
	over     bool // rejected or cancelled
}

func (p *permit) live(at time.Time) bool { return p.revision > 0 && !p.over && at.Before(p.ends) }

// request is an application, a move or a renewal. It reads the house, looks at
// the holders, appends its take and writes the permit, and anything may happen
// between these.
type request struct {
	what    string
	permit  *permit
	house   int
	command domain.CommandID
	at      time.Time

	step           int
	permitRevision int
	read           house // as it was when the request read it
	decided        []Event
}

func (w *world) begin(what string, p *permit, to int, command domain.CommandID) *request {
	r := &request{what: what, permit: p, house: to, command: command, at: w.now, permitRevision: p.revision}
	w.requests = append(w.requests, r)
	return r
}

func (w *world) holders(s State, at time.Time, here int) (all []HolderStatus) {
	for _, slot := range s.Holders() {
		for _, p := range w.permits {
			if p.id != slot.Permit {
				continue
			}
			h := HolderStatus{Permit: p.id, Account: domain.AccountID(p.id), Exists: p.revision > 0}
			if h.Exists {
				h.Cancelled, h.Elsewhere, h.ElsewhereSince = p.over, p.house != here, p.since
				if !at.Before(p.ends) {
					h.EndedAt = p.ends
				}
			}
			all = append(all, h)
		}
	}
	return all
}

// advance takes a request one step on; it says whether the request goes on.
func (w *world) advance(r *request) bool {
	if w.now.Sub(r.at) >= RequestLife {
		return false // the desk gave up
	}
	h := &w.houses[r.house]
	switch r.step {
	case 0: // read
		if r.what == "renew" {
			if !r.permit.live(r.at) {
				return false
			}
			r.step = 3
			return true
		}
		r.read = *h
	case 1: // look and decide
		events, err := Decide(r.read.state, Take{
			Permit: r.permit.id, Account: domain.AccountID(r.permit.id), Command: r.command,
			At: r.at, Limit: w.limit, Holders: w.holders(r.read.state, r.at, r.house),
		})
		if err != nil {
			return false
		}
		r.decided = events
	case 2: // append with the expected revision
		if h.revision != r.read.revision {
			r.step = 0
			return true
		}
		for _, e := range r.decided {
			h.state = Evolve(h.state, e, domain.Meta{At: r.at, Command: r.command})
			h.revision++
		}
	case 3: // write the permit with its expected revision
		w.write(r)
		return false
	}
	r.step++
	return true
}

func (w *world) write(r *request) {
	p := r.permit
	if p.revision != r.permitRevision {
		return
	}
	switch {
	case r.what == "apply":
		p.house, p.since, p.ends = r.house, r.at, r.at.Add(40*time.Minute)
	case r.what == "move" && p.live(r.at):
		p.house, p.since = r.house, r.at
	case r.what == "renew":
		p.ends = p.ends.Add(40 * time.Minute)
	default:
		return
	}
	p.revision++
}

func (w *world) check(t *rapid.T) {
	for i := range w.houses {
		var live []domain.PermitID
		for _, p := range w.permits {
			if p.live(w.now) && p.house == i {
				live = append(live, p.id)
			}
		}
		if len(live) > w.limit {
			t.Fatalf("at %s house %d has %v, the limit is %d", w.now.Sub(start), i, live, w.limit)
		}
	}
}

// moments are the instants around which something changes for somebody.
func (w *world) moments() (all []time.Time) {
	for _, p := range w.permits {
		all = append(all, p.ends, p.ends.Add(Grace), p.since.Add(Grace))
	}
	for _, h := range w.houses {
		for _, slot := range h.state.Holders() {
			all = append(all, slot.TakenAt.Add(Grace))
		}
	}
	return all
}

// However applications, moves, renewals, crashes and retries fall between each
// other, no house ever has more live permits than the limit.
func TestNeverMoreLivePermitsThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: start, limit: rapid.IntRange(1, 2).Draw(t, "limit")}
		for i := range 5 {
			w.people = append(w.people, w.newcomer(min(1, i/3)))
		}
		for i := range rapid.IntRange(10, 100).Draw(t, "steps") {
			w.act(t, domain.CommandID(fmt.Sprintf("command-%d", i)))
			w.check(t)
		}
	})
}

func (w *world) newcomer(house int) *permit {
	p := &permit{id: domain.PermitID(fmt.Sprintf("permit-%d", len(w.permits))), house: house}
	w.permits = append(w.permits, p)
	return p
}

// act does one thing that may happen: somebody begins a request and it gets so
// far, a request that is under way goes on or crashes, or time passes.
func (w *world) act(t *rapid.T, command domain.CommandID) {
	person := rapid.IntRange(0, len(w.people)-1).Draw(t, "person")
	p := w.people[person]
	steps := rapid.IntRange(1, toEnd).Draw(t, "steps")
	switch action := rapid.SampledFrom([]string{"begin", "begin", "begin", "begin", "go on", "go on", "go on", "crash", "end", "wait", "wait", "jump", "jump"}).Draw(t, "action"); action {
	case "begin":
		if p.revision > 0 && !p.live(w.now) {
			p = w.newcomer(p.house)
			w.people[person] = p
		}
		var r *request
		switch {
		case p.revision == 0: // also the retry of an application that crashed
			r = w.begin("apply", p, p.house, domain.CommandID(p.id))
		case rapid.Bool().Draw(t, "move"):
			r = w.begin("move", p, 1-p.house, command)
		default:
			r = w.begin("renew", p, p.house, command)
		}
		w.goOn(r, steps)
	case "go on", "crash":
		if len(w.requests) == 0 {
			return
		}
		r := w.requests[rapid.IntRange(0, len(w.requests)-1).Draw(t, "request")]
		if action == "crash" {
			steps = 0
			w.requests = slices.DeleteFunc(w.requests, func(other *request) bool { return other == r })
		}
		w.goOn(r, steps)
	case "end":
		if p.revision > 0 && !p.over {
			p.over, p.revision = true, p.revision+1
		}
	case "wait":
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
	case "jump":
		// Most often to the next moment, so that none is passed over.
		ahead := slices.DeleteFunc(w.moments(), func(m time.Time) bool { return !m.After(w.now.Add(20 * time.Second)) })
		if len(ahead) == 0 {
			return
		}
		to := slices.MinFunc(ahead, time.Time.Compare)
		if rapid.IntRange(0, 3).Draw(t, "far") == 0 {
			to = rapid.SampledFrom(ahead).Draw(t, "moment")
		}
		w.now = to.Add(time.Duration(rapid.IntRange(-20, 20).Draw(t, "seconds")) * time.Second)
	}
}

// goOn takes a request so many steps on and forgets it when it is over.
func (w *world) goOn(r *request, steps int) {
	for range steps {
		if !w.advance(r) {
			w.requests = slices.DeleteFunc(w.requests, func(other *request) bool { return other == r })
			return
		}
	}
}

// run takes a request to its end, or to just before a step.
func (w *world) run(r *request, until int) {
	for r.step < until && w.advance(r) {
	}
}

const atAppend, atWrite, toEnd = 2, 3, 4

func settled(limit int, permits ...*permit) *world {
	w := &world{now: start, limit: limit, permits: permits}
	for _, p := range permits {
		w.run(w.begin("apply", p, 0, domain.CommandID(p.id)), toEnd)
	}
	return w
}

func TestRaceForTheLastSlot(t *testing.T) {
	first, second := &permit{id: "first"}, &permit{id: "second"}
	w := settled(2, &permit{id: "neighbour"})
	w.permits = append(w.permits, first, second)
	a, b := w.begin("apply", first, 0, "a"), w.begin("apply", second, 0, "b")
	w.run(a, atAppend)
	w.run(b, atAppend)
	w.run(b, toEnd)
	w.run(a, toEnd)
	if !second.live(w.now) || first.live(w.now) {
		t.Errorf("first %v, second %v", first.live(w.now), second.live(w.now))
	}
}

func TestRaceMovingBackBesideANewcomer(t *testing.T) {
	for _, newcomerFirst := range []bool{true, false} {
		mover, newcomer := &permit{id: "mover"}, &permit{id: "newcomer"}
		w := settled(1, mover)
		w.run(w.begin("move", mover, 1, "away"), toEnd)
		w.permits = append(w.permits, newcomer)
		w.now = w.now.Add(Grace)
		back, apply := w.begin("move", mover, 0, "back"), w.begin("apply", newcomer, 0, "new")
		w.run(back, atAppend)
		w.run(apply, atAppend)
		if newcomerFirst {
			w.run(apply, atWrite)
			w.run(back, toEnd)
			w.run(apply, toEnd)
		} else {
			w.run(back, atWrite) // taken, not yet moved
			w.run(apply, toEnd)
			w.run(back, toEnd)
		}
		if here := mover.house == 0; here == newcomerFirst || newcomer.live(w.now) != newcomerFirst {
			t.Errorf("newcomer first %v: mover in house %d, newcomer live %v", newcomerFirst, mover.house, newcomer.live(w.now))
		}
	}
}

func TestRaceCrashedApplicationRetriedAnHourLater(t *testing.T) {
	crashed, newcomer := &permit{id: "crashed"}, &permit{id: "newcomer"}
	w := &world{now: start, limit: 1, permits: []*permit{crashed, newcomer}}
	w.run(w.begin("apply", crashed, 0, "apply"), atWrite) // and no further
	w.now = w.now.Add(20 * time.Minute)
	apply := w.begin("apply", newcomer, 0, "new")
	w.run(apply, atAppend) // about to displace the crashed one
	retry := w.begin("apply", crashed, 0, "apply")
	w.run(retry, toEnd)
	w.run(apply, toEnd)
	if !crashed.live(w.now) || newcomer.live(w.now) {
		t.Errorf("crashed %v, newcomer %v", crashed.live(w.now), newcomer.live(w.now))
	}
}

func TestRaceRenewalAtMidnight(t *testing.T) {
	holder, newcomer := &permit{id: "holder"}, &permit{id: "newcomer"}
	w := settled(1, holder)
	w.permits = append(w.permits, newcomer)
	midnight := holder.ends
	w.now = midnight.Add(-100 * time.Millisecond)
	renewal := w.begin("renew", holder, 0, "renew")
	w.run(renewal, atWrite)
	w.now = midnight.Add(100 * time.Millisecond)
	w.run(w.begin("apply", newcomer, 0, "new"), toEnd) // sees an ended permit
	w.run(renewal, toEnd)
	if !holder.live(w.now) || newcomer.live(w.now) {
		t.Errorf("holder %v, newcomer %v", holder.live(w.now), newcomer.live(w.now))
	}
}

func TestRaceMoveBetweenItsTakeAndItsWriting(t *testing.T) {
	mover, newcomer := &permit{id: "mover"}, &permit{id: "newcomer"}
	w := settled(1, mover)
	w.permits = append(w.permits, newcomer)
	w.now = w.now.Add(20 * time.Minute)
	move := w.begin("move", mover, 1, "move")
	w.run(move, atWrite)
	w.now = w.now.Add(30 * time.Second)
	w.run(w.begin("apply", newcomer, 1, "new"), toEnd) // the mover holds the slot, and is elsewhere
	w.run(move, toEnd)
	if mover.house != 1 || newcomer.live(w.now) {
		t.Errorf("mover in house %d, newcomer live %v", mover.house, newcomer.live(w.now))
	}
	// And the place it left is free only once nobody can be on the way back.
	second := &permit{id: "second"}
	w.permits = append(w.permits, second)
	w.run(w.begin("apply", second, 0, "early"), toEnd)
	if second.live(w.now) {
		t.Error("the place it left was given away at once")
	}
	w.now = mover.since.Add(Grace)
	w.run(w.begin("apply", second, 0, "late"), toEnd)
	if !second.live(w.now) {
		t.Error("the place it left is never given away")
	}
}

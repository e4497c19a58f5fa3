package eventstore

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The model walks all schedules of the protocol up to a depth: of each process
// every call may wait at the server's door, be answered late, or be lost on
// either way, and every process may pause between any two steps. The decisions
// are those of claimant; only the stream and the network are the model's.

// modelTimes are the times of the protocol in steps of the model's clock. Their
// order is that of the real ones.
var modelTimes = claimTimes{every: 1, counts: 2, silence: 3, poll: 1}

// modelProcess is one process: its part in the protocol and the one call that it
// has under way in the protocol, and the append to the ledger under way.
type modelProcess struct {
	claimant
	ended   bool
	refused bool
	taken   bool
	stops   bool // it releases its claim and does nothing more
	call    modelCall
	append  modelAppend
}

// modelCall is a call about the stream of the claim.
type modelCall struct {
	step     claimStep // "" none; "read" or what is appended
	sent     Instant
	seen     claimView // of an append: what it was decided from
	done     bool      // the server has acted
	view     claimView // of a read: the answer
	revision int64     // of an append: the answer; -1 conflict
}

// modelAppend is an append to the ledger.
type modelAppend struct {
	sent, done bool
	at         int // its place in the ledger
}

const stepRead claimStep = "read"

// model is one state of the whole.
type model struct {
	now    time.Duration
	stream []claimEvent
	ledger []int // who wrote each event of the ledger
	procs  []modelProcess
	late   bool // a fault: reads count from their answer
}

func (m *model) clone() *model {
	c := *m
	c.stream, c.ledger, c.procs = slices.Clone(m.stream), slices.Clone(m.ledger), slices.Clone(m.procs)
	return &c
}

// clock is what a process reads from its clocks. The one with an odd number has
// a wall clock that is far off, which must not matter.
func (m *model) clock(p int) Instant {
	return Instant{Monotonic: m.now, Wall: time.Unix(int64(p)*1000, 0).Add(m.now)}
}

// key names a state, so that each is walked once. Only differences of times
// matter, up to the longest time of the protocol.
func (m *model) key() string {
	age := func(i Instant) time.Duration { return min(m.now-i.Monotonic, modelTimes.silence+1) }
	s := ""
	for _, e := range m.stream {
		s += fmt.Sprintf("%c%s ", e.kind[2], e.claim.Holder)
	}
	s += fmt.Sprint(m.ledger)
	for _, p := range m.procs {
		s += fmt.Sprintf("|%d %d %d %d %d %t %t %t|%s %d %d %t %d %+v|%+v", p.asked, age(p.answered), p.own, age(p.counted), p.session, p.ended, p.refused, p.stops,
			p.call.step, age(p.call.sent), p.call.seen.revision, p.call.done, p.call.revision, p.call.view.revision, p.append)
	}
	return s
}

// next gives the states that may follow.
func (m *model) next() []*model {
	var all []*model
	do := func(f func(*model)) { c := m.clone(); f(c); all = append(all, c) }
	do(func(c *model) { c.now++ })
	for i := range m.procs {
		p := &m.procs[i]
		switch {
		case p.ended:
		case p.call.step == "":
			do(func(c *model) { c.procs[i].call = modelCall{step: stepRead, sent: c.clock(i)} })
		case !p.call.done:
			do(func(c *model) { c.serve(i) })
			do(func(c *model) { c.procs[i].call = modelCall{} }) // lost, or given up
		default:
			do(func(c *model) { c.answer(i) })
			do(func(c *model) { c.procs[i].call = modelCall{} })
		}
		if i == 0 && !p.stops && !p.ended {
			do(func(c *model) { c.procs[i].stops, c.procs[i].session, c.procs[i].call = true, 0, modelCall{} })
		}
		switch {
		case !p.append.sent && !p.ended && p.own >= 0 && p.fresh(m.clock(i), 1):
			do(func(c *model) { c.procs[i].append.sent = true })
		case p.append.sent && !p.append.done: // it may come late, also when its process has ended
			do(func(c *model) {
				c.procs[i].append = modelAppend{sent: true, done: true, at: len(c.ledger)}
				c.ledger = append(c.ledger, i)
			})
		}
	}
	return all
}

// serve has the server act on the call of a process.
func (m *model) serve(i int) {
	call := &m.procs[i].call
	call.done = true
	if call.step == stepRead {
		call.view = claimViewOf(m.stream)
		return
	}
	if call.revision = int64(len(m.stream)); call.seen.revision != call.revision-1 {
		call.revision = -1
		return
	}
	kind := map[claimStep]string{stepAsk: typeRequested, stepClaim: typeClaimed, stepRefuse: typeRefused, stepRelease: typeReleased}[call.step]
	m.stream = append(m.stream, claimEvent{kind: kind, revision: call.revision, claim: m.procs[i].me})
}

// answer has a process get the answer to its call.
func (m *model) answer(i int) {
	p := &m.procs[i]
	call := p.call
	p.call = modelCall{}
	if p.stops {
		if call.step == stepRead && call.view.last.claim.Holder == p.me.Holder {
			p.call = modelCall{step: stepRelease, sent: m.clock(i), seen: call.view}
		}
		p.ended = call.step == stepRelease && call.revision >= 0
		return
	}
	if call.step != stepRead {
		if call.revision >= 0 {
			p.wrote(call.step, call.revision, call.sent, m.clock(i), 1)
		}
		return
	}
	if m.late {
		call.sent = m.clock(i)
	}
	switch step := p.see(call.view, call.sent, m.clock(i), 1); step {
	case stepClaim, stepAsk, stepRefuse:
		p.call = modelCall{step: step, sent: m.clock(i), seen: call.view}
	case stepTaken, stepGone, stepRefused:
		p.ended, p.refused, p.taken = true, step == stepRefused, step == stepTaken
		p.session = 0
	}
}

// wrong names the rule that a state breaks; "" none.
func (m *model) wrong() string {
	fresh := 0
	for i, p := range m.procs {
		if !p.ended && p.own >= 0 && p.fresh(m.clock(i), 1) {
			fresh++
			// It could answer now that its append is done.
			if p.append.done {
				for _, by := range m.ledger[:p.append.at] {
					if m.procs[by].own > p.own {
						return fmt.Sprintf("process %d acknowledges an event behind one of process %d, which claimed later", i, by)
					}
				}
			}
		}
	}
	if fresh > 1 {
		return "two processes may act at once"
	}
	return ""
}

// walk looks at every state up to a depth, breadth first, and counts.
func (m *model) walk(depth, most int) (states int, met map[string]int, wrong string) {
	met = map[string]int{}
	seen := map[string]bool{m.key(): true}
	level := []*model{m}
	for range depth {
		var following []*model
		for _, at := range level {
			for _, n := range at.next() {
				if k := n.key(); seen[k] {
					continue
				} else {
					seen[k] = true
				}
				if wrong := n.wrong(); wrong != "" {
					return len(seen), met, wrong
				}
				n.count(met)
				following = append(following, n)
				if len(seen) >= most {
					return len(seen), met, ""
				}
			}
		}
		level = following
	}
	return len(seen), met, ""
}

// count notes what a state shows.
func (m *model) count(met map[string]int) {
	for i, p := range m.procs {
		if p.refused {
			met["refused"]++
		}
		if p.taken {
			met["taken over"]++
		}
		if i > 0 && p.own >= 0 {
			met["newcomer claimed"]++
		}
		if i > 0 && p.own >= 0 && p.append.done {
			met["newcomer wrote"]++
		}
	}
}

// newModel begins with a holder and newcomers of other homes.
func newModel(newcomers int, times claimTimes) *model {
	m := &model{}
	for i := range newcomers + 1 {
		me := ServiceClaim{Holder: strconv.Itoa(i), Home: "home " + strconv.Itoa(i)}
		m.procs = append(m.procs, modelProcess{claimant: newClaimant(me, times)})
	}
	m.stream = []claimEvent{{kind: typeClaimed, claim: m.procs[0].me}}
	m.procs[0].wrote(stepClaim, 0, m.clock(0), m.clock(0), 1)
	return m
}

func modelDepth(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("PERMITLEDGER_CLAIM_DEPTH")
	if text == "" {
		return usual
	}
	depth, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return depth
}

// PERMITLEDGER_CLAIM_DEPTH walks deeper: each step takes some three times as long.
func TestClaimModelNeverLetsTwoProcessesAct(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		newcomers int
		dead      bool // the holder
		depth     int
		meets     []string
	}{
		{"a newcomer", 1, false, 16, []string{"refused", "newcomer claimed", "taken over", "newcomer wrote"}},
		{"two newcomers", 2, false, 11, nil},
		{"two newcomers after a crash", 2, true, 15, []string{"newcomer claimed", "newcomer wrote"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(c.newcomers, modelTimes)
			if c.dead {
				m.procs[0].ended, m.procs[0].session = true, 0
			}
			states, met, wrong := m.walk(modelDepth(t, c.depth), 20_000_000)
			if wrong != "" {
				t.Fatal(wrong)
			}
			t.Logf("%d states: %v", states, met)
			for _, what := range c.meets {
				if met[what] == 0 {
					t.Errorf("no schedule shows: %s", what)
				}
			}
		})
	}
}

// The model finds both faults that would let two processes act.
func TestClaimModelFindsFaults(t *testing.T) {
	t.Parallel()
	short := modelTimes
	short.silence = 1
	late := newModel(1, modelTimes)
	late.late = true
	for name, m := range map[string]*model{"a newcomer that waits for less than a read counts": newModel(1, short), "reads that count from their answer": late} {
		states, _, wrong := m.walk(20, 20_000_000)
		if wrong == "" {
			t.Errorf("%s: no fault was found in %d states", name, states)
		}
		t.Logf("%s: %d states: %s", name, states, wrong)
	}
}

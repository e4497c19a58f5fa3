package demo

import (
	"context"
	"math/rand/v2"
	"time"

	"permitledger/domain"
)

// story is what happens to one resident. It is planned as a whole, then told
// step by step; only one goroutine has it at a time.
type story struct {
	n       int
	shows   string // what there is to see; of stories that are an example
	plan    *rand.Rand
	props   *rand.Rand // for what is made while it is told: papers
	person  person
	entered string         // the operator who acts for the resident; empty: they act themselves
	channel domain.Channel // how the resident reached the council

	account      domain.AccountID // known once told
	applications []*application
	steps        []step
	slot, last   time.Time // of the last planned step
}

// step is one thing that happens.
type step struct {
	name    string
	slot    time.Time // where the desk's clock stands when it is done
	at      time.Time // the command's own instant, within the window before
	refused domain.Rule
	do      action
}

// action gives the commands of a step.
type action func(context.Context, moment) error

// by is an action of somebody else in the story.
func by(other *story, do action) action {
	return func(ctx context.Context, m moment) error {
		m.story = other
		return do(ctx, m)
	}
}

// application is one permit of a story, from its planning on.
type application struct {
	kind     domain.Kind
	months   int
	home     house
	vehicle  string
	startsIn int         // days from the application to the day asked for
	startsOn domain.Date // the day asked for; zero: that of the application
	auto     bool
	proof    domain.EvidenceKind
	proofAge int // days from the proof's date to the application
	provider []string
	follows  *application

	first, last domain.Date       // of the first term, as planned
	id          domain.PermitID   // known once told
	papers      []domain.Evidence // known once told
}

// begin fixes the first term as of the day of the approval.
func (a *application) begin(approved domain.Date) {
	if a.first.Before(approved) {
		a.first = approved
	}
	a.last = domain.LastDay(a.first, a.months)
}

// by has the resident reach the council through a channel. Only the web do
// they use themselves; else an operator enters what they want.
func (s *story) by(c domain.Channel) {
	s.channel, s.entered = c, ""
	if c != domain.ChannelWeb {
		s.entered = operators[s.n%len(operators)]
	}
}

// in plans a step into an hour of a workday. Steps of one story in the same
// hour follow each other by some minutes.
func (s *story) in(slot time.Time, name string, do action) *step {
	at := slot.Add(-window).Add(time.Duration(s.plan.IntN(25*60)) * time.Second)
	if slot.Equal(s.slot) {
		at = s.last.Add(5*time.Minute + time.Duration(s.plan.IntN(120))*time.Second)
	}
	return s.plot(slot, at, name, do)
}

// at plans a step to an instant, or at most a minute later.
func (s *story) at(at time.Time, name string, do action) *step {
	return s.plot(at.Add(entering), at.Add(time.Duration(s.plan.IntN(60))*time.Second), name, do)
}

func (s *story) plot(slot, at time.Time, name string, do action) *step {
	s.slot, s.last = slot, at
	s.steps = append(s.steps, step{name: name, slot: slot, at: at, do: do})
	return &s.steps[len(s.steps)-1]
}

// between is a number from low to high, both included.
func (s *story) between(low, high int) int { return low + s.plan.IntN(max(1, high-low+1)) }

// chance is true in one of n cases.
func (s *story) chance(n int) bool { return s.plan.IntN(n) == 0 }

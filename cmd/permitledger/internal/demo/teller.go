package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
)

// together is how many stories are told at a time. Appends wait for the disk
// in groups, so more of them at once cost little more than one.
const together = 64

// commandSpace is the UUID namespace of the history's commands.
var commandSpace = uuid.MustParse("c1f5a1de-5c5e-4f53-8f0c-6d1d0a0e7b42")

// teller tells the stories through the desk.
type teller struct {
	Config
	mu       sync.Mutex
	refusals map[domain.Rule]int // guarded by mu
	done     int                 // owned by tell
}

// hour is what happens while the desk's clock stands at one instant.
type hour struct {
	slot  time.Time
	parts []part // in the order of the stories
	steps int
}

// part is the steps of one story in an hour, by their places in it.
type part struct {
	story    *story
	from, to int
}

// agenda arranges the steps of all stories by the hour.
func agenda(stories []*story) (hours []*hour, steps int) {
	bySlot := map[time.Time]*hour{}
	for _, s := range stories {
		for i := 0; i < len(s.steps); {
			j := i
			for j < len(s.steps) && s.steps[j].slot.Equal(s.steps[i].slot) {
				j++
			}
			h := bySlot[s.steps[i].slot]
			if h == nil {
				h = &hour{slot: s.steps[i].slot}
				bySlot[h.slot] = h
				hours = append(hours, h)
			}
			h.parts = append(h.parts, part{s, i, j})
			h.steps += j - i
			steps += j - i
			i = j
		}
	}
	slices.SortFunc(hours, func(a, b *hour) int { return a.slot.Compare(b.slot) })
	return hours, steps
}

// tell goes through the hours up to the end of the history.
func (t *teller) tell(ctx context.Context, stories []*story) error {
	hours, steps := agenda(stories)
	for _, h := range hours {
		if err := t.Walk(ctx, h.slot); err != nil {
			return fmt.Errorf("demo: go on to %s: %w", h.slot.Format(time.RFC3339), err)
		}
		var g errgroup.Group
		g.SetLimit(together)
		for _, p := range h.parts {
			g.Go(func() error { return t.tellPart(ctx, p) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		t.done += h.steps
		if t.Progress != nil {
			t.Progress(t.done, steps)
		}
	}
	if err := t.Walk(ctx, t.Until); err != nil {
		return fmt.Errorf("demo: go on to the end of the history: %w", err)
	}
	return nil
}

func (t *teller) tellPart(ctx context.Context, p part) error {
	for i := p.from; i < p.to; i++ {
		step := p.story.steps[i]
		err := t.expect(step.refused, step.do(ctx, moment{teller: t, story: p.story, step: i, at: step.at}))
		if err != nil {
			return fmt.Errorf("demo: story %d, step %d (%s) at %s: %w", p.story.n, i, step.name, step.at.Format(time.RFC3339), err)
		}
	}
	return nil
}

// expect turns a planned refusal into a number and everything unplanned into
// an error.
func (t *teller) expect(rule domain.Rule, err error) error {
	if rule == "" {
		return err
	}
	var refusal *domain.Refusal
	switch {
	case err == nil:
		return fmt.Errorf("this was to be refused by the rule %s and was not", rule)
	case !errors.As(err, &refusal) || refusal.Rule != rule:
		return fmt.Errorf("this was to be refused by the rule %s: %w", rule, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusals[rule]++
	return nil
}

// moment is a step that is being done.
type moment struct {
	*teller
	story *story
	step  int
	at    time.Time
}

// call is a command of this step. Its id follows from the seed and the step,
// and with it the ids of everything that it makes.
func (m moment) call(what, subject string, role domain.Role, channel domain.Channel) desk.Call {
	name := fmt.Sprintf("%d/%d/%d/%s", m.Seed, m.story.n, m.step, what)
	return desk.Call{ID: domain.CommandID(uuid.NewSHA1(commandSpace, []byte(name)).String()),
		Subject: subject, Role: role, Channel: channel, At: m.at}
}

// asks is a command of the resident, or of the operator who acts for them.
func (m moment) asks(what string) desk.Call {
	if m.story.entered != "" {
		return m.call(what, m.story.entered, domain.RoleOperator, m.story.channel)
	}
	return m.call(what, m.story.person.subject, domain.RoleResident, domain.ChannelWeb)
}

// operator is a command of an operator about this resident.
func (m moment) operator(what string) desk.Call {
	name, channel := m.story.entered, m.story.channel
	if name == "" {
		name, channel = operators[m.story.n%len(operators)], domain.ChannelPhone
	}
	return m.call(what, name, domain.RoleOperator, channel)
}

// reviewer is a command of the reviewer of this hour.
func (m moment) reviewer(what string) desk.Call {
	return m.call(what, reviewers[(m.story.n+m.step)%len(reviewers)], domain.RoleReviewer, domain.ChannelWeb)
}

// later is the same step some time on.
func (m moment) later(by time.Duration) moment {
	m.at = m.at.Add(by)
	return m
}

// The staff of a demonstration. Operators enter and reviewers decide, so that
// nobody ever decides what they entered.
var (
	operators = []string{"operator-1", "operator-2"}
	reviewers = []string{"reviewer-1", "reviewer-2"}
)

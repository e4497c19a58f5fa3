package desk

import (
	"context"
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// Case is a permit as it stands now, or ErrNotFound.
func (d *Desk) Case(ctx context.Context, id domain.PermitID) (Case, error) {
	return d.caseWhere(ctx, id, d.Now(), everything)
}

// caseNow is what a command begins with: the permit as it stands, told at the
// command's instant.
func (d *Desk) caseNow(ctx context.Context, c Call, id domain.PermitID) (Case, error) {
	return d.caseWhere(ctx, id, d.at(c), everything)
}

// caseAt is the answer to a command: everything up to the command's last
// event, told at the instant of the command. What others wrote since is left
// out, so that a repetition is answered in the same words.
func (d *Desk) caseAt(ctx context.Context, id domain.PermitID, end eventstore.Position, at time.Time) (Case, error) {
	cs, err := d.caseWhere(ctx, id, at, func(e eventstore.Event) bool { return e.Position <= end })
	cs.Position = end
	return cs, err
}

// CaseAt is a permit as it was at an instant (asOf), as the ledger knew it
// when its log reached a position (known). A nil instant is now; position 0
// is everything.
func (d *Desk) CaseAt(ctx context.Context, id domain.PermitID, asOf *time.Time, known eventstore.Position) (Case, error) {
	at := d.Now()
	if asOf != nil {
		at = *asOf
	}
	story, err := Story(ctx, d.Ledger, id)
	if err != nil {
		return Case{}, err
	}
	if known > 0 {
		story = slices.DeleteFunc(story, func(e eventstore.Event) bool { return e.Position > known })
	}
	if asOf != nil {
		story = True(story, at)
	}
	if len(story) == 0 {
		return Case{}, ErrNotFound
	}
	cs := After(id, story)
	cs.At = at
	return d.withRules(cs), nil
}

// True is the part of a story that was true at an instant, as is known by the
// whole of it. What became true before it was recorded, as an approval does
// that covers the whole of its first day, brings along what led to it.
func True(story []eventstore.Event, at time.Time) []eventstore.Event {
	var events []permit.Event
	var metas []domain.Meta
	for _, e := range story {
		if body, ok := e.Body.(permit.Event); ok {
			events, metas = append(events, body), append(metas, e.Meta())
		}
	}
	n := permit.TrueBy(events, metas, at)
	var part []eventstore.Event
	for _, e := range story {
		_, lifecycle := e.Body.(permit.Event)
		if n > 0 && (lifecycle && e.Revision < uint64(n) || !lifecycle && !e.RecordedAt.After(at)) {
			part = append(part, e)
		}
	}
	return part
}

// Money is a permit with the payments of all its terms, and of the next one
// where that was begun, as they were when the log reached a position. Of a
// permit that was not there both are empty.
func (d *Desk) Money(ctx context.Context, id domain.PermitID, upTo eventstore.Position) (permit.State, map[int]payment.State, error) {
	later := func(e eventstore.Envelope) bool { return e.Position > upTo }
	l, err := eventstore.LoadUntil(ctx, d.Ledger, permit.Stream(id), permits, later)
	if err != nil || l.Revision < 0 {
		return permit.State{}, nil, err
	}
	all := map[int]payment.State{}
	for _, term := range paidTerms(l.State) {
		money, err := eventstore.LoadUntil(ctx, d.Ledger, payment.Stream(id, term), moneys, later)
		if err != nil {
			return permit.State{}, nil, err
		}
		if money.Revision >= 0 {
			all[term] = money.State
		}
	}
	return l.State, all, nil
}

// paidTerms are the terms of a permit for which there may be a payment: also
// the next one, for a renewal's payment may have begun without having led to a
// term yet.
func paidTerms(s permit.State) []int {
	terms := []int{1}
	for len(terms) <= max(1, len(s.Terms)) {
		terms = append(terms, len(terms)+1)
	}
	return terms
}

func everything(eventstore.Event) bool { return true }

// caseWhere folds those events of a permit, its latest payment and its
// correspondence that are wanted.
func (d *Desk) caseWhere(ctx context.Context, id domain.PermitID, at time.Time, want func(eventstore.Event) bool) (Case, error) {
	history, err := d.Ledger.History(ctx, permit.Stream(id))
	if err != nil {
		return Case{}, err
	}
	state, revision := fold(history, permits, want)
	if revision < 0 {
		return Case{}, ErrNotFound
	}
	var money []eventstore.Event
	if latest := state.Latest(); latest.Price > 0 {
		if money, err = d.Ledger.History(ctx, payment.Stream(id, max(1, latest.Term))); err != nil {
			return Case{}, err
		}
	}
	letters, err := d.Ledger.History(ctx, notice.Stream(id))
	if err != nil {
		return Case{}, err
	}
	cs := Case{ID: id, Permit: state, Revision: uint64(revision), At: at}
	if paid, n := fold(money, moneys, want); n >= 0 {
		cs.Payment = &paid
	}
	cs.Notice, _ = fold(letters, notices, want)
	return d.withRules(cs), nil
}

// CaseOf makes a case of states that were folded elsewhere: by a read model.
func (d *Desk) CaseOf(id domain.PermitID, p permit.State, m *payment.State, n notice.State, revision uint64, at time.Time) Case {
	return d.withRules(Case{ID: id, Permit: p, Payment: m, Notice: n, Revision: revision, At: at})
}

// withRules adds the policy of the day on which the case is told.
func (d *Desk) withRules(cs Case) Case {
	if p, ok := d.Book().PolicyOn(domain.DateOf(cs.At)); ok {
		cs.Rules, cs.Council = p.Rules, p.Council
	}
	return cs
}

// fold is Load's fold over events that are at hand. The revision is that of
// the last event folded, -1 when there was none.
func fold[S any, E domain.Event](events []eventstore.Event, a eventstore.Aggregate[S, E], want func(eventstore.Event) bool) (S, int64) {
	var state S
	revision := int64(-1)
	for _, e := range events {
		body, ok := e.Body.(E)
		if !ok || !want(e) {
			continue
		}
		state, revision = a.Evolve(state, body, e.Envelope), int64(e.Revision)
	}
	return state, revision
}

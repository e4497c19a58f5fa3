package desk

import (
	"context"
	"slices"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// Chronicle is every event of a permit, its payments and its correspondence
// in log order, each with the case as it stood after it. When sealed parts are
// to be opened for somebody, the reason is recorded first.
func (d *Desk) Chronicle(ctx context.Context, c Call, id domain.PermitID, open string) ([]Chronicle, error) {
	events, err := Story(ctx, d.Ledger, id)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, ErrNotFound
	}
	if applied, ok := events[0].Body.(permit.Applied); ok && open != "" {
		read := access.RecordRead{Account: applied.Account, Permit: id, What: access.ReadHistoryOpened}
		if !applied.Personal.Erased { // else there is no key to seal the reason with
			read.Personal = domain.PersonalOf(access.ReadPersonal{Reason: open})
		}
		if err := d.recordRead(ctx, c, read); err != nil {
			return nil, err
		}
	}
	tale := make([]Chronicle, len(events))
	for i, e := range events {
		tale[i] = Chronicle{Event: e, After: d.withRules(After(id, events[:i+1]))}
	}
	return tale, nil
}

// Story gathers the events of a permit, its payments and its correspondence
// in log order. It is empty when there is no such permit.
func Story(ctx context.Context, l *eventstore.Ledger, id domain.PermitID) ([]eventstore.Event, error) {
	events, err := l.History(ctx, permit.Stream(id))
	if err != nil || len(events) == 0 {
		return nil, err
	}
	state, _ := fold(events, permits, everything)
	streams := []string{notice.Stream(id)}
	for _, term := range paidTerms(state) {
		streams = append(streams, payment.Stream(id, term))
	}
	for _, stream := range streams {
		more, err := l.History(ctx, stream)
		if err != nil {
			return nil, err
		}
		events = append(events, more...)
	}
	slices.SortStableFunc(events, func(a, b eventstore.Event) int {
		if a.Position != b.Position {
			if a.Position < b.Position {
				return -1
			}
			return 1
		}
		return 0
	})
	return events, nil
}

// After folds a story to the case as it stood after its last event, at that
// event's own instant.
func After(id domain.PermitID, story []eventstore.Event) Case {
	last := story[len(story)-1]
	cs := Case{ID: id, At: last.RecordedAt}
	var revision int64
	cs.Permit, revision = fold(story, permits, everything)
	cs.Revision = uint64(max(0, revision))
	cs.Notice, _ = fold(story, notices, everything)
	latest := payment.Stream(id, max(1, cs.Permit.Latest().Term))
	paid, n := fold(story, moneys, func(e eventstore.Event) bool { return e.Stream == latest })
	if n >= 0 {
		cs.Payment = &paid
	}
	return cs
}

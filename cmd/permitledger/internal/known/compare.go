package known

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/google/uuid"

	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/audit"
)

// Difference is how a log differs from what the read models have seen of it.
type Difference struct {
	Known  eventstore.Place
	Agreed uint64 // the newest ledger number at which both are the same
	// Lost are the events after it that the audit read model has and the log
	// lacks. An event whose command was done once more is not lost.
	Lost []audit.Seen
	// Listed is the number of the last event that the audit read model has, or
	// Agreed where that is more. Events after it cannot be listed.
	Listed uint64
}

// Compare reads the log from its beginning beside the events that the audit
// read model has. After its last event both count as the same for as long as no
// mark of another read model says otherwise and nothing was recorded later than
// the newest event known.
func Compare(ctx context.Context, store *eventstore.Store, left []projections.Left, newest eventstore.Place) (Difference, error) {
	d := Difference{Known: newest}
	for _, l := range left {
		if l.Mark.Ledger > d.Known.Ledger && newest.Ledger != 0 {
			d.Known = l.Mark.Place()
		}
	}
	if d.Known.Ledger == 0 { // an append that no read model had yet
		for _, l := range left {
			if l.Mark.EventID == d.Known.ID {
				d.Known.Ledger = l.Mark.Ledger
				break
			}
			d.Known.Ledger = max(d.Known.Ledger, l.Mark.Ledger+1)
		}
	}
	m := newMemory(ctx, left)
	defer m.stop()
	number, here := uint64(0), map[uuid.UUID]bool{}
	for r, err := range store.ReadAll(ctx, 0) {
		if err != nil {
			return d, err
		}
		number++
		if d.Agreed == number-1 && number <= d.Known.Ledger && m.same(number, r, d.Known.Clock) {
			d.Agreed = number
			continue
		}
		here[r.ID] = true
	}
	d.Listed = d.Agreed
	if m.audit == nil {
		return d, nil
	}
	for e, err := range audit.SeenIn(ctx, *m.audit, d.Agreed) {
		if err != nil {
			return d, ctx.Err() // unreadable events are not listed
		}
		d.Listed = e.Ledger
		if id, err := uuid.Parse(e.EventID); err != nil || !here[id] {
			d.Lost = append(d.Lost, e)
		}
	}
	return d, nil
}

// memory has what the read models' files know of the log's events.
type memory struct {
	audit *projections.Left // nil: it has no file
	marks map[uint64]projections.Mark
	next  func() (audit.Seen, error, bool)
	stop  func()
	over  bool // there are no more events of audit
}

func newMemory(ctx context.Context, left []projections.Left) *memory {
	m := &memory{marks: map[uint64]projections.Mark{}, stop: func() {}, over: true}
	for _, l := range left {
		m.marks[l.Mark.Ledger] = l.Mark
		if l.Model == audit.Name && (m.audit == nil || m.audit.Mark.Ledger < l.Mark.Ledger) {
			m.audit = &l
		}
	}
	if m.audit != nil {
		m.over = false
		m.next, m.stop = iter.Pull2(audit.SeenIn(ctx, *m.audit, 0))
	}
	return m
}

// same reports whether the event at a number is the one that was seen there. It
// is called for 1, 2, 3, … without a gap.
func (m *memory) same(number uint64, r eventstore.Recorded, clock time.Time) bool {
	if mark, ok := m.marks[number]; ok && !(mark.EventID == r.ID.String() && mark.Stream == r.Stream && mark.Revision == r.Revision) {
		return false
	}
	at, unreadable := eventstore.RecordedAt(r)
	if !m.over {
		e, err, some := m.next()
		if some && err == nil && e.Ledger == number {
			return e.EventID == r.ID.String() && e.Stream == r.Stream && e.Revision == r.Revision &&
				(unreadable != nil || e.RecordedAt.Equal(at))
		}
		m.over = true
	}
	return clock.IsZero() || unreadable != nil || !at.After(clock)
}

// setBack reads a LogSetBack; false when an event is none.
func setBack(r eventstore.Recorded) (b ledger.LogSetBack, at time.Time, ok bool) {
	if r.Type != ledger.TypeLogSetBack || json.Unmarshal(r.Data, &b) != nil {
		return b, at, false
	}
	at, err := eventstore.RecordedAt(r)
	return b, at, err == nil
}

package reviews

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/projections"
)

// Warning says that the money held for an application runs out, or is not held.
type Warning string

// The warnings.
const (
	WarningNone   Warning = ""
	Warning48h    Warning = "48h"    // the hold ends within 48 hours
	Warning24h    Warning = "24h"    // the hold ends within 24 hours
	WarningLapsed Warning = "lapsed" // the last hold has ended
	WarningUnpaid Warning = "unpaid" // there never was a hold
)

// The names of flags.
const (
	FlagSameVehicle      = "same-vehicle"      // another live permit of the zone has this mark
	FlagEarlierRejection = "earlier-rejection" // the account had an application rejected
)

// Flag points a reviewer to another permit.
type Flag struct {
	Flag     string
	PermitID domain.PermitID
}

// Item is an application that waits for its decision.
type Item struct {
	PermitID   domain.PermitID
	AccountID  domain.AccountID
	Permit     permit.State
	Payment    payment.State // the zero state when nothing was asked for
	Revision   uint64        // of the permit's stream
	HoldEndsAt time.Time     // zero when free or unpaid
	OrderedBy  time.Time     // the end of the hold, or what stands for it
	Warning    Warning
	Flags      []Flag
}

// freeHold is how long a free application is treated as if money were held for
// it: as long as a payment provider holds it. So the free wait no longer.
const freeHold = 120 * time.Hour

// Reader answers from the rows. It is safe for concurrent use.
type Reader struct{ p *projections.Projection }

// NewReader reads the runner's projection of this model.
func NewReader(p *projections.Projection) Reader { return Reader{p} }

// Projection is what the reader reads.
func (r Reader) Projection() *projections.Projection { return r.p }

// The groups of the queue, in its order.
const (
	groupLive = iota // a live hold, or free
	groupLapsed
	groupUnpaid
)

// place is where an application stands in the queue.
type place struct {
	Group  int
	By     int64 // microseconds since 1970
	Ledger uint64
}

// ordered is the queue as it stands at an instant: first what has a live hold
// by the hold's end, and with it what is free as if it had one from its
// submission; then what had a hold; then what never had one.
const ordered = `WITH queue AS (
	SELECT *, CASE WHEN free OR hold_ends_at > :now THEN 0
		WHEN coalesce(hold_ends_at, hold_ended_at) IS NOT NULL THEN 1 ELSE 2 END AS stands
	FROM permits WHERE pending
), placed AS (
	SELECT *, CASE WHEN free THEN submitted_at + :free
		ELSE coalesce(hold_ends_at, hold_ended_at, submitted_at) END AS by_instant
	FROM queue
)
SELECT permit_id, account_id, state, payment, revision, free, stands, by_instant, ledger FROM placed
WHERE (stands, by_instant, ledger) > (:group, :by, :ledger)
ORDER BY stands, by_instant, ledger LIMIT :limit`

// Queue lists the pending applications as they are to be looked at at an
// instant. next is empty after the last.
func (r Reader) Queue(ctx context.Context, now time.Time, cursor string, limit int) (items []Item, next string, err error) {
	after := place{Group: -1}
	if err := projections.DecodeCursor(cursor, &after); err != nil {
		return nil, "", err
	}
	var places []place
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		err := projections.Each(ctx, tx, func(scan func(...any) error) error {
			it, at, err := scanItem(scan, now)
			items, places = append(items, it), append(places, at)
			return err
		}, ordered, sql.Named("now", now.UnixMicro()), sql.Named("free", freeHold.Microseconds()),
			sql.Named("group", after.Group), sql.Named("by", after.By), sql.Named("ledger", after.Ledger), sql.Named("limit", limit+1))
		if err != nil {
			return err
		}
		if len(items) > limit {
			items = items[:limit]
			if limit > 0 {
				after = places[limit-1]
			}
			if next, err = projections.EncodeCursor(after); err != nil {
				return err
			}
		}
		for i := range items {
			if items[i].Flags, err = flags(ctx, tx, items[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("the review queue: %w", err)
	}
	return items, next, nil
}

func scanItem(scan func(...any) error, now time.Time) (Item, place, error) {
	var it Item
	var at place
	var free bool
	var state projections.Column[permit.State]
	var money projections.Column[payment.State]
	if err := scan(&it.PermitID, &it.AccountID, &state, &money, &it.Revision, &free, &at.Group, &at.By, &at.Ledger); err != nil {
		return it, at, err
	}
	it.Permit, it.Payment = state.State, money.State
	it.OrderedBy = time.UnixMicro(at.By).UTC()
	if !free && at.Group != groupUnpaid {
		it.HoldEndsAt = it.OrderedBy
	}
	it.Warning = warning(at.Group, it.OrderedBy.Sub(now))
	return it, at, nil
}

func warning(group int, left time.Duration) Warning {
	switch {
	case group == groupLapsed:
		return WarningLapsed
	case group == groupUnpaid:
		return WarningUnpaid
	case left <= 24*time.Hour:
		return Warning24h
	case left <= 48*time.Hour:
		return Warning48h
	}
	return WarningNone
}

// flags looks at the other permits as they are at an instant. Nothing of it is
// kept: a row about one person is never made from another's mark.
func flags(ctx context.Context, tx *sql.Tx, it Item, now time.Time) (found []Flag, err error) {
	add := func(flag string, wanted func(permit.State) bool) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var id domain.PermitID
			var state projections.Column[permit.State]
			err := scan(&id, &state)
			if err == nil && wanted(state.State) {
				found = append(found, Flag{flag, id})
			}
			return err
		}
	}
	live := func(s permit.State) bool {
		switch s.Status(now) {
		case permit.StatusPending, permit.StatusUpcoming, permit.StatusActive:
			return true
		}
		return false
	}
	rejected := func(s permit.State) bool { return s.Status(now) == permit.StatusRejected }
	err = projections.Each(ctx, tx, add(FlagSameVehicle, live),
		`SELECT permit_id, state FROM permits WHERE mark = ? AND zone = ? AND permit_id <> ? ORDER BY ledger`,
		it.Permit.Vehicle.Mark, it.Permit.Zone, it.PermitID)
	if err != nil {
		return nil, err
	}
	err = projections.Each(ctx, tx, add(FlagEarlierRejection, rejected),
		`SELECT permit_id, state FROM permits WHERE account_id = ? AND rejected AND permit_id <> ? ORDER BY ledger`,
		it.AccountID, it.PermitID)
	return found, err
}

package audit

import (
	"slices"
	"time"

	"permitledger/domain"
	"permitledger/domain/property"
)

// place is the slots of a property, as its stream has them.
type place struct {
	slots []slot
	blind bool
}

type slot struct {
	permit key
	at     int64 // when it was taken last
}

// take checks a SlotTaken. What is decided here is that no more slots are held
// than the limit allows, and that each permit that lost its slot needed it no
// more. Together with settleIn, by which no counted permit begins or moves
// without a slot, it follows that a property never has more live permits than
// the limit.
//
// Three things are not decided, because they depend on what is sealed or was
// not written: to which address a property's stream belongs, whether one whose
// permit had just ended was displaced by the same resident (who need not wait)
// or by another (who must, for a quarter of an hour), and since when a permit
// that moved away has been elsewhere.
func (w *Whole) take(f *finder, e property.SlotTaken) {
	k := keyOf(f.Stream)
	p := w.properties.at(k)
	at := f.Meta.At
	for _, id := range e.Displaced {
		lost := keyOf(id)
		i := slices.IndexFunc(p.slots, func(s slot) bool { return s.permit == lost })
		if i < 0 {
			f.expect(p.blind, RuleSlots, "%s is displaced and had no slot", id)
			continue
		}
		why := w.needed(lost, k, p.slots[i], at)
		f.expect(why == "", RuleSlots, "%s is displaced although it %s", id, why)
	}
	taker := keyOf(e.Permit)
	kept := make([]slot, 0, len(p.slots)+1)
	for _, s := range p.slots {
		if s.permit != taker && !slices.ContainsFunc(e.Displaced, func(id domain.PermitID) bool { return keyOf(id) == s.permit }) {
			kept = append(kept, s)
		}
	}
	p.slots = append(kept, slot{permit: taker, at: at.UnixMicro()})
	f.expect(len(p.slots) <= e.Limit || p.blind, RuleSlots, "%d slots are held and the limit is %d", len(p.slots), e.Limit)
	w.published.limit(f, e.Limit)

	h := w.permits.at(taker)
	h.taken, h.takenBy, h.borrowed = k, keyOf(f.Meta.Command), p.blind
}

// needed says why a permit still needed its slot; empty when it did not.
func (w *Whole) needed(id, at key, s slot, now time.Time) string {
	h := w.permits.find(id)
	held := time.UnixMicro(s.at)
	waited := !now.Before(held.Add(property.Grace))
	switch {
	case h.blind, h.rejected, h.cancelled && now.UnixMicro() >= h.ends:
		return ""
	case !waited:
		return "took its slot less than a quarter of an hour ago"
	case !h.exists, h.home != at:
		return ""
	case h.approved && now.UnixMicro() >= h.ends:
		return ""
	case !h.approved:
		return "waits for its decision"
	}
	return "is live until " + h.last.date().String()
}

// settleIn checks that a permit that counts has taken a slot, by the same
// command, and still has it.
func (w *Whole) settleIn(f *finder, k key, h *holder) {
	if !h.counts || h.blind {
		return
	}
	p := w.properties.find(h.taken)
	has := slices.ContainsFunc(p.slots, func(s slot) bool { return s.permit == k })
	f.expect(has && h.takenBy == keyOf(f.Meta.Command) || h.borrowed || p.blind, RuleSlots,
		"the permit counts towards the limit and its command took no slot for it")
	h.home = h.taken
}

package property

import (
	"fmt"
	"time"

	"permitledger/domain"
)

// HolderStatus is what the desk found when it folded a permit that holds a
// slot, at the instant of the take.
type HolderStatus struct {
	Permit         domain.PermitID
	Account        domain.AccountID
	Exists         bool      // it was written
	Rejected       bool      // its application was rejected
	Cancelled      bool      // cancelled, and the cancellation is in effect
	EndedAt        time.Time // when its last day was over; zero = not yet
	Elsewhere      bool      // it is at another property
	ElsewhereSince time.Time // when it took its slot there
}

// Take asks for a slot: an application's, or that of a permit that moves here.
type Take struct {
	Permit  domain.PermitID
	Account domain.AccountID
	Command domain.CommandID
	At      time.Time
	Limit   int            // permits allowed here at a time
	Holders []HolderStatus // of every slot; needed only when the property is full
}

// Decide says whether a permit may have a slot. The error is a
// *domain.Refusal with RulePropertyLimit.
//
// A take appends even when the permit holds a slot already: whoever is about to
// displace it then fails on the expected revision and looks again. It appends
// nothing only when the same command took the slot so recently that nobody may
// displace it before this request is over.
func Decide(s State, t Take) ([]Event, error) {
	if own, held := s.slotOf(t.Permit); held && own.Command == t.Command && t.At.Add(RequestLife).Before(own.TakenAt.Add(Grace)) {
		return nil, nil
	}
	taken := SlotTaken{Permit: t.Permit, Limit: t.Limit}
	others := s.without(t.Permit)
	if len(others) < t.Limit {
		return []Event{taken}, nil
	}
	staying := 0
	var next time.Time // when the first of those who stay for now may be displaced
	for _, slot := range others {
		from, may := displaceableFrom(slot, t.Holders, t.Account)
		if may && !t.At.Before(from) {
			taken.Displaced = append(taken.Displaced, slot.Permit)
			continue
		}
		staying++
		if may && (next.IsZero() || from.Before(next)) {
			next = from
		}
	}
	if staying >= t.Limit {
		return nil, refuse(t, staying, next)
	}
	return []Event{taken}, nil
}

// Free counts the slots that an account could take at an instant, by the same
// rule as Decide. The account is empty when nobody is known to ask.
func (s State) Free(at time.Time, limit int, holders []HolderStatus, account domain.AccountID) int {
	free := limit
	for _, slot := range s.slots {
		if from, may := displaceableFrom(slot, holders, account); !may || at.Before(from) {
			free--
		}
	}
	return max(0, free)
}

func (s State) without(p domain.PermitID) []Slot {
	var others []Slot
	for _, slot := range s.slots {
		if slot.Permit != p {
			others = append(others, slot)
		}
	}
	return others
}

// displaceableFrom says from when on a slot may be taken from its holder; false
// when it may not, also when nothing is known of the holder.
//
// A take of this very slot always starts the grace anew. Without that, a permit
// on its way back to this property could lose the slot between its take and its
// change of address.
func displaceableFrom(slot Slot, holders []HolderStatus, asking domain.AccountID) (time.Time, bool) {
	for _, h := range holders {
		if h.Permit != slot.Permit {
			continue
		}
		if h.Rejected || h.Cancelled {
			return time.Time{}, true // final: it can finish nothing any more
		}
		since, over := h.overSince(asking)
		return later(since.Add(Grace), slot.TakenAt.Add(Grace)), over
	}
	return time.Time{}, false
}

// overSince says since when a permit no longer needs a slot here; false while
// it does. The zero instant means: since ever.
func (h HolderStatus) overSince(asking domain.AccountID) (time.Time, bool) {
	ended := !h.EndedAt.IsZero()
	switch {
	case !h.Exists:
		return time.Time{}, true
	case ended && h.Account == asking && asking != "":
		return time.Time{}, true // one's own ended permit does not make one wait
	case ended && h.Elsewhere && h.ElsewhereSince.Before(h.EndedAt):
		return h.ElsewhereSince, true
	case ended:
		return h.EndedAt, true
	}
	return h.ElsewhereSince, h.Elsewhere
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func refuse(t Take, staying int, next time.Time) error {
	detail := "Cancel a permit of this address that is no longer needed, or ask again when one has ended: "
	if staying == t.Limit && !next.IsZero() {
		detail = fmt.Sprintf("Ask again at %s, when a permit of this address that has ended gives up its place: ",
			ceilMinute(next).In(domain.London()).Format("15:04 on 2 January 2006"))
	}
	r := domain.Refuse(domain.RulePropertyLimit, "uprn", detail+fmt.Sprintf("an address may have %d at a time.", t.Limit))
	r.At = t.At
	return r
}

// ceilMinute rounds up: a time that people are told must not be too early.
func ceilMinute(t time.Time) time.Time {
	if whole := t.Truncate(time.Minute); !whole.Equal(t) {
		return whole.Add(time.Minute)
	}
	return t
}

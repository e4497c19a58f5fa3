// Package property keeps the limit of permits at one address.
//
// Each property has a stream of its own, and whoever needs a place there
// appends to it with its expected revision: of two who race for the last place
// exactly one wins, and no query has to be trusted.
//
// Nothing ever releases a place. A permit that is cancelled, rejected, moved or
// over keeps its slot until somebody finds the property full; they look at the
// permits that hold it and displace those that no longer need it, in the same
// append. So there is no second write that a crash could lose. The package
// knows slots only, not permits: what became of a holder is found out by the
// desk, which hands it in as a HolderStatus.
//
// Begin reading at Decide.
package property

import (
	"slices"
	"time"

	"permitledger/domain"
)

// Stream names the stream of one property. The hash is keyed, so that the name
// does not tell where the house is.
func Stream(keyedHash string) string { return "property-" + keyedHash }

// Grace is how long a slot is left alone after its permit ended, moved away or
// took it without being written: somebody may still be about to finish.
const Grace = 15 * time.Minute

// RequestLife is the longest that a request may go on after it took a slot, or
// found that it holds one. Whoever runs commands has to give up by then.
const RequestLife = 5 * time.Minute

// Slot is one place at the property and who took it.
type Slot struct {
	Permit  domain.PermitID
	TakenAt time.Time        // when it was taken last
	Command domain.CommandID // by which command
}

// State is the slots of one property. The zero State is a property where
// nobody ever applied.
type State struct {
	slots []Slot // in the order in which they were taken; never changed in place
}

// Evolve folds one event. The old state stays as it was.
func Evolve(s State, e Event, m domain.Meta) State {
	switch e := e.(type) {
	case SlotTaken:
		slots := make([]Slot, 0, len(s.slots)+1)
		for _, slot := range s.slots {
			if slot.Permit != e.Permit && !slices.Contains(e.Displaced, slot.Permit) {
				slots = append(slots, slot)
			}
		}
		s.slots = append(slots, Slot{Permit: e.Permit, TakenAt: m.At, Command: m.Command})
	}
	return s
}

// Holders lists the slots with the permits that hold them, whether they still
// need them or not.
func (s State) Holders() []Slot { return slices.Clone(s.slots) }

// slotOf finds the slot of a permit.
func (s State) slotOf(p domain.PermitID) (Slot, bool) {
	i := slices.IndexFunc(s.slots, func(slot Slot) bool { return slot.Permit == p })
	if i < 0 {
		return Slot{}, false
	}
	return s.slots[i], true
}

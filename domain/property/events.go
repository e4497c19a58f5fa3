package property

import "permitledger/domain"

// Event is a fact about the slots of one property.
type Event interface {
	domain.Event
	property()
}

// SlotTaken gives a permit a slot at this property, and says which permits
// had lost theirs. Nothing ever releases a slot: who finds the property full
// displaces those that have ended.
type SlotTaken struct {
	Permit    domain.PermitID   `json:"permit"`
	Displaced []domain.PermitID `json:"displaced,omitempty"`
	Limit     int               `json:"limit"` // permits allowed at a time by the policy then in force
}

// TypeSlotTaken is the stored name of SlotTaken.
const TypeSlotTaken = "SlotTaken"

// Types lists the stored names of all property events.
func Types() []string { return []string{TypeSlotTaken} }

// EventType gives the stored name.
func (SlotTaken) EventType() string { return TypeSlotTaken }

func (SlotTaken) property() {}

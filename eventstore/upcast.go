package eventstore

import (
	"encoding/json"
	"errors"
	"fmt"

	"permitledger/domain/property"
)

// fields are the members of a stored JSON object.
type fields map[string]json.RawMessage

// An upcaster turns the stored form of a type at one schema version into that
// of the next. It works on the stored JSON and never on the event structs,
// because those only have the newest shape. personal is nil when the event has
// no personal part or when it was erased.
type upcaster func(clear, personal fields) error

// upcasters gives the step from one schema version of a type to the next. A
// step stays here for ever: the log keeps what was written.
func upcasters(name string, from int) upcaster {
	switch name {
	case property.TypeSlotTaken:
		switch from {
		case 1:
			return slotTakenLimit
		}
	}
	return nil
}

// slotTakenLimit adds the limit that was in force when a slot was taken. In
// the first shape of the event it was not recorded, because every council had
// the two permits at a property of the default policy; since the limit is a
// figure of a versioned policy, an event must say which one it was held to.
func slotTakenLimit(clear, _ fields) error {
	if _, ok := clear["limit"]; ok {
		return errors.New("schema 1 has no limit")
	}
	clear["limit"] = json.RawMessage("2")
	return nil
}

// upcast brings a stored body from one schema version to another, step by step.
func upcast(name string, from, to int, s stored) (stored, error) {
	var clear, personal fields
	if err := json.Unmarshal(s.clear, &clear); err != nil {
		return s, err
	}
	if s.personal != nil {
		if err := json.Unmarshal(s.personal, &personal); err != nil {
			return s, err
		}
	}
	for v := from; v < to; v++ {
		step := upcasters(name, v)
		if step == nil {
			return s, fmt.Errorf("no upcaster of %s from schema %d", name, v)
		}
		if err := step(clear, personal); err != nil {
			return s, fmt.Errorf("upcast %s from schema %d: %w", name, v, err)
		}
	}
	var err error
	if s.clear, err = json.Marshal(clear); err != nil {
		return s, err
	}
	if s.personal != nil {
		s.personal, err = json.Marshal(personal)
	}
	return s, err
}

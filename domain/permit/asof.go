package permit

import (
	"time"

	"permitledger/domain"
)

// EffectiveAt is the instant from which an event is true, which is not always
// when it was recorded: a permit covers the whole of its first day although it
// was approved in the afternoon, and a withdrawal gives notice.
func EffectiveAt(e Event, m domain.Meta) time.Time {
	switch e := e.(type) {
	case Approved:
		if first := e.FirstDay.Midnight(); first.Before(m.At) {
			return first
		}
	case Cancelled:
		return e.EffectiveAt
	case VehicleChanged:
		return e.EffectiveAt
	}
	return m.At
}

// AsOf folds what was true at an instant, given all that is known: the events
// that had taken effect by then. An event that took effect before it was
// recorded brings those before it along, for an approval means nothing without
// its application. The events are those of one stream in their order, each
// with its meta.
func AsOf(events []Event, metas []domain.Meta, at time.Time) State {
	last := -1
	for i, e := range events {
		if !EffectiveAt(e, metas[i]).After(at) {
			last = i
		}
	}
	var s State
	for i := range last + 1 {
		s = Evolve(s, events[i], metas[i])
	}
	return s
}

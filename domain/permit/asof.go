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

// TrueBy counts the events that were true by an instant, given all that is
// known. An event that took effect before it was recorded brings those before
// it along, for an approval means nothing without its application. The events
// are those of one stream from its beginning, each with its meta.
func TrueBy(events []Event, metas []domain.Meta, at time.Time) int {
	n := 0
	for i, e := range events {
		if !EffectiveAt(e, metas[i]).After(at) {
			n = i + 1
		}
	}
	return n
}

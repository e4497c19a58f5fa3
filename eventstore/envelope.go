package eventstore

import (
	"time"

	"github.com/google/uuid"

	"permitledger/domain"
)

// Envelope is everything of an event but its body: where it lies, who acted,
// when, by which command, and which published rules were applied.
type Envelope struct {
	ID       uuid.UUID
	Stream   string
	Revision uint64
	Position Position
	Type     string
	// Schema is the version in which the body was stored. A decoded body
	// always has the newest shape, whatever this says.
	Schema int
	Actor  domain.Actor
	// RecordedAt is the instant of the decision, in UTC and whole
	// microseconds. Within a stream it never goes backwards.
	RecordedAt time.Time
	Command    domain.CommandID
	// BodyHash is the keyed hash of the request's canonical body; the same
	// command id with another hash is another request under a used key.
	BodyHash    string
	Correlation string
	Causation   string
	Versions    domain.Versions
}

// Event is a decoded event of the ledger. The body is a value of one of the
// closed set of event structs, never a pointer.
type Event struct {
	Envelope
	Body domain.Event
}

package eventstore

import (
	"errors"
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

// Meta is what the domain may know of an event beside its body.
func (e Envelope) Meta() domain.Meta {
	return domain.Meta{ID: domain.EventID(e.ID.String()), Revision: e.Revision, At: e.RecordedAt,
		Command: e.Command, Actor: e.Actor}
}

// Event is a decoded event of the ledger. The body is a value of one of the
// closed set of event structs, never a pointer.
type Event struct {
	Envelope
	Body domain.Event
}

// metadata is the stored form of an envelope. The names with a dollar sign
// are EventStoreDB's own; its tools group by them.
type metadata struct {
	Schema      int              `json:"schema"`
	Actor       domain.Actor     `json:"actor"`
	RecordedAt  time.Time        `json:"recordedAt"`
	Command     domain.CommandID `json:"commandId"`
	BodyHash    string           `json:"bodyHash,omitempty"`
	Correlation string           `json:"$correlationId,omitempty"`
	Causation   string           `json:"$causationId,omitempty"`
	domain.Versions
}

func metadataOf(e Envelope) metadata {
	return metadata{
		Schema:      e.Schema,
		Actor:       e.Actor,
		RecordedAt:  recordable(e.RecordedAt),
		Command:     e.Command,
		BodyHash:    e.BodyHash,
		Correlation: e.Correlation,
		Causation:   e.Causation,
		Versions:    e.Versions,
	}
}

func envelopeOf(r Recorded) (Envelope, error) {
	var m metadata
	if err := strict(r.Metadata, &m); err != nil {
		return Envelope{}, err
	}
	if m.RecordedAt.IsZero() || m.Command == "" {
		return Envelope{}, errors.New("metadata without instant or command")
	}
	return Envelope{
		ID:          r.ID,
		Stream:      r.Stream,
		Revision:    r.Revision,
		Position:    r.Position,
		Type:        r.Type,
		Schema:      m.Schema,
		Actor:       m.Actor,
		RecordedAt:  m.RecordedAt.UTC(),
		Command:     m.Command,
		BodyHash:    m.BodyHash,
		Correlation: m.Correlation,
		Causation:   m.Causation,
		Versions:    m.Versions,
	}, nil
}

// recordable is an instant as it can be recorded: in UTC, whole microseconds.
func recordable(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// RecordedAt reads the recorded instant of an event without opening the rest
// of it, so that places in history can be found where the keys are not.
func RecordedAt(r Recorded) (time.Time, error) {
	env, err := envelopeOf(r)
	return env.RecordedAt, err
}

// Package streams is a copy of the streams that residents' reads are folded
// from, for the time in which the event store is away.
//
// It is made of the stored bytes and decides nothing: whoever reads it decodes
// and folds what it gives in the same way as what the log gives, with the same
// keys. What is personal stays sealed, so an erasure has nothing to do here.
// Nothing that is written rests on it. Begin reading at Reader.
package streams

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"permitledger/eventstore"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "streams"

const version = 1

//go:embed schema.sql
var schema string

// Model keeps the events.
type Model struct{}

// New makes the model.
func New() Model { return Model{} }

// Name is the model's name.
func (Model) Name() string { return Name }

// Schema is the table and its version.
func (Model) Schema() (int, string) { return version, schema }

// Follows is what accounts, permits and the places at a property are folded
// from. What the council published every service keeps in memory, and who
// looked at whose record is nothing that is shown unrecorded.
func (Model) Follows() []string {
	return []string{"account-", "permit-", "payment-", "notice-", "property-", "dispute-"}
}

// AsStored asks for the events as the log holds them.
func (Model) AsStored() bool { return true }

// Impersonal says that nothing personal can be read from the rows.
func (Model) Impersonal() bool { return true }

// Lookups is the index that only readers use.
func (Model) Lookups() []string { return []string{"events_by_stream"} }

// Apply keeps one event.
func (Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	r := e.Stored
	return projections.Exec(ctx, tx, `INSERT INTO events (ledger, stream, revision, position, event_id, type, data, metadata)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Ledger, r.Stream, r.Revision, r.Position, r.ID.String(), r.Type, bytes(r.Data), bytes(r.Metadata))
}

// bytes is never NULL.
func bytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// errNotWhole is returned while the copy was not yet, or is no more, known to
// have been at the end of the log.
var errNotWhole = errors.New("the copy of the streams has not caught up with the log")

// Reader reads the copy; it is an eventstore.Copy. It is safe for concurrent
// use.
type Reader struct{ p *projections.Projection }

// NewReader reads the runner's projection of this model.
func NewReader(p *projections.Projection) Reader { return Reader{p} }

// Stream gives what the copy has of a stream, oldest first, and the position
// up to which it has everything. It fails for a copy that never was at the end
// of the log: half of a history would tell of permits that ended long ago.
func (r Reader) Stream(ctx context.Context, stream string) (events []eventstore.Recorded, reached eventstore.Position, err error) {
	if r.p.Status().State != projections.Running {
		return nil, 0, errNotWhole
	}
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		mark, err := projections.MarkOf(ctx, tx)
		if err != nil {
			return err
		}
		reached = mark.Position
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			e := eventstore.Recorded{Stream: stream}
			var id string
			if err := scan(&e.Revision, &e.Position, &id, &e.Type, &e.Data, &e.Metadata); err != nil {
				return err
			}
			if e.ID, err = uuid.Parse(id); err != nil {
				return err
			}
			events = append(events, e)
			return nil
		}, `SELECT revision, position, event_id, type, data, metadata FROM events WHERE stream = ? ORDER BY revision`, stream)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("the copy of stream %s: %w", stream, err)
	}
	return events, reached, nil
}

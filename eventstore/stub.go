package eventstore

import (
	"context"
	"iter"
	"time"

	"permitledger/domain"
)

// Store is the log, over the official client. It is safe for concurrent use.
type Store struct{}

// Connect prepares a store. It does not wait for the server.
func Connect(cfg Config) (*Store, error) { panic("stub") }

// Append writes a batch.
func (s *Store) Append(ctx context.Context, stream string, expected Expected, batch []Proposed) (Appended, error) {
	panic("stub")
}

// Read yields a stream forwards.
func (s *Store) Read(ctx context.Context, stream string, from uint64) iter.Seq2[Recorded, error] {
	panic("stub")
}

// ReadAll yields the ledger's events strictly after a position.
func (s *Store) ReadAll(ctx context.Context, from Position) iter.Seq2[Recorded, error] {
	panic("stub")
}

// Head is the position of the last ledger event.
func (s *Store) Head(ctx context.Context) (Position, error) { panic("stub") }

// Handler receives a subscription.
type Handler interface {
	// Event is called for each event of the ledger, in order, once.
	Event(Recorded) error
	// CaughtUp is called each time the end of the log has been reached.
	CaughtUp() error
	// Progress says that nothing of the ledger lies up to a position beyond
	// what was handed over. It is for showing lag, never for resuming.
	Progress(Position) error
}

// Subscribe follows the ledger from after a position.
func (s *Store) Subscribe(ctx context.Context, after Position, h Handler) error { panic("stub") }

// Close ends the store.
func (s *Store) Close() error { panic("stub") }

// Keys is what the codec needs of the vault.
type Keys interface {
	Seal(person domain.AccountID, plaintext, aad []byte) (keyID string, sealed []byte, err error)
	Open(keyID string, sealed, aad []byte) (plaintext []byte, erased bool, err error)
}

// Codec turns events into stored bytes and back.
type Codec struct{}

// NewCodec uses keys for the personal parts.
func NewCodec(keys Keys) *Codec { panic("stub") }

// Encode makes the stored form; env.Schema is set by it.
func (c *Codec) Encode(env Envelope, person domain.AccountID, body domain.Event) (Proposed, error) {
	panic("stub")
}

// Decode reads a stored event.
func (c *Codec) Decode(r Recorded) (Event, error) { panic("stub") }

// Types lists the stored names of all event types.
func Types() []string { panic("stub") }

// Command is what every command carries beside its rule.
type Command struct {
	ID          domain.CommandID
	BodyHash    string
	Actor       domain.Actor
	Now         time.Time
	Person      domain.AccountID // whose key seals the personal parts
	Correlation string
	Causation   string
	Versions    domain.Versions
	VersionsOf  func(domain.Event) domain.Versions // when set, wins over Versions
	IfRevision  *uint64
	MustExist   bool // ErrNoStream when the stream has no events
}

// Outcome is what a command led to.
type Outcome[S any] struct {
	State      S
	Revision   int64 // -1: no such stream
	Position   Position
	RecordedAt time.Time
	Repeated   bool
	Events     []Event // the command's own
}

// Handle is the loop by which every command reaches the log.
func Handle[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E], cmd Command, decide func(S, time.Time) ([]E, error)) (Outcome[S], error) {
	panic("stub")
}

// Load folds a whole stream.
func Load[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E]) (Loaded[S], error) {
	panic("stub")
}

// LoadUntil folds the events of a stream before the first one for which cut is true.
func LoadUntil[S any, E domain.Event](ctx context.Context, l *Ledger, stream string, a Aggregate[S, E], cut func(Envelope) bool) (Loaded[S], error) {
	panic("stub")
}

// History is all events of a stream.
func (l *Ledger) History(ctx context.Context, stream string) ([]Event, error) { panic("stub") }

// BindVault ties the log to the vault, once.
func BindVault(ctx context.Context, l *Ledger, vaultID string, now time.Time) error { panic("stub") }

// CommandID derives a command's id.
func CommandID(pepper []byte, subject, method, path, key string) domain.CommandID { panic("stub") }

// BodyHash is the keyed hash of a canonical body.
func BodyHash(pepper, canonicalBody []byte) string { panic("stub") }

// DerivedID derives an id for something that a command creates.
func DerivedID(command domain.CommandID, what string) string { panic("stub") }

// CanonicalJSON writes JSON in its one canonical form.
func CanonicalJSON(raw []byte) ([]byte, error) { panic("stub") }

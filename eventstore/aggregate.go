package eventstore

import (
	"time"

	"permitledger/domain"
)

// Aggregate says how the events of a stream fold into a state. It is declared
// once for each kind of stream.
type Aggregate[S any, E domain.Event] struct {
	// New makes the state of a stream without events; nil means the zero S.
	New func() S
	// Evolve is pure. It gets the envelope because a state may need the
	// recorded instant, the revision or the command of an event.
	Evolve func(S, E, Envelope) S
}

// Loaded is a stream folded to some event.
type Loaded[S any] struct {
	State      S
	Revision   int64 // of the last event folded; -1: none
	Position   Position
	RecordedAt time.Time // of the last event folded; zero: none
}

// Ledger is the log as the commands see it: streams of decoded events.
// It is safe for concurrent use.
type Ledger struct {
	store *Store
	codec *Codec
}

// NewLedger puts the codec over the store.
func NewLedger(store *Store, codec *Codec) *Ledger {
	return &Ledger{store: store, codec: codec}
}

// Store is the log as it is stored.
func (l *Ledger) Store() *Store { return l.store }

// Codec is how stored events are read and written.
func (l *Ledger) Codec() *Codec { return l.codec }

// Package desk is the council's desk: every command of the ledger as the
// outside calls it, one method each. A method resolves what the rules need
// (tariff, zone, evidence, the state of the hold), takes the property's slot
// where one is needed, lets the domain decide, and has the result appended.
//
// It holds no rule and no storage. Rules are in domain, events are appended
// by eventstore.Handle, and who may call what is checked before a call comes
// here. Programs, pages, timers and demonstrations all use the same methods.
//
// Begin reading at Apply.
package desk

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// Clock tells the instant at which a command is given.
type Clock interface {
	Now() time.Time
}

// Gateway is the payment provider. Every call is idempotent: the same
// reference is the same charge, and a capture, release or refund that was
// already done answers as it did the first time. An answer may hold more
// than one message, and the same message more than once. An error means that
// the outcome is unknown, and that the call has to be made again.
type Gateway interface {
	Request(ctx context.Context, c payments.Charge) ([]payments.Message, error)
	Capture(ctx context.Context, providerID string, at time.Time) ([]payments.Message, error)
	Release(ctx context.Context, providerID string, at time.Time) ([]payments.Message, error)
	Refund(ctx context.Context, providerID string, amount domain.Pence, at time.Time) ([]payments.Message, error)
}

var (
	// ErrNotFound is returned when an account, permit or document does not exist.
	ErrNotFound = errors.New("not found")
	// ErrDocumentLost is returned for a document that the log has and the keep
	// folder lacks.
	ErrDocumentLost = errors.New("the file of the document is lost")
)

// Config is what a Desk works with. All fields are needed.
type Config struct {
	Ledger    *eventstore.Ledger
	Gateway   Gateway
	Documents *documents.Store
	Mailer    Mailer
	Clock     Clock
	Pepper    []byte // secret of the keyed hashes: command ids, property streams, owners
	Logger    *slog.Logger
}

// Desk gives the commands. It is safe for concurrent use and keeps nothing
// but the published rules, which Publish replaces as a whole, and what it may
// forget.
type Desk struct {
	Config
	book   atomic.Pointer[policy.Book]
	looked lookedToday
}

// New makes a desk that knows no published rules yet: see Publish.
func New(c Config) *Desk {
	d := &Desk{Config: c}
	d.book.Store(&policy.Book{})
	return d
}

// Book is the published rules as they stand. It must not be changed.
func (d *Desk) Book() *policy.Book { return d.book.Load() }

// Now is the instant by the desk's clock, in the precision of the ledger.
func (d *Desk) Now() time.Time { return d.Clock.Now().UTC().Truncate(time.Microsecond) }

// Call is what every command has in common: which command it is, who gives
// it and how it reached the council.
type Call struct {
	ID         domain.CommandID // from the caller, the route and the idempotency key
	BodyHash   string           // keyed hash of the canonical body
	Subject    string           // whom the caller signed in as
	Role       domain.Role
	Channel    domain.Channel
	IfRevision *uint64   // revision that the caller has seen, if they said so
	At         time.Time // instant of the command; zero: the desk's clock
	// Correlation names the whole that this is a part of; empty: the call itself.
	Correlation string
	// Causation is the event that led to a command of the ledger itself.
	Causation string
}

// SystemCall is a command that the ledger gives itself. The same occasion
// again is the same command.
func SystemCall(occasion, causation string, at time.Time) Call {
	return Call{
		ID:   domain.CommandID(uuid.NewSHA1(occasionSpace, []byte(occasion)).String()),
		Role: domain.RoleSystem, Channel: domain.ChannelSystem, At: at, Causation: causation,
	}
}

// occasionSpace is the UUID namespace of the ledger's own commands.
var occasionSpace = uuid.MustParse("7d0d4f43-9f5c-4c39-9d52-5b7c0f0f6a11")

// actor is who acts, as the events name them: a resident by their account,
// staff by their subject.
func (c Call) actor(account domain.AccountID) domain.Actor {
	switch c.Role {
	case domain.RoleSystem:
		return domain.System()
	case domain.RoleResident:
		return domain.Actor{ID: string(account), Role: c.Role, Channel: c.Channel}
	case domain.RoleOperator:
		return domain.Actor{ID: c.Subject, Role: c.Role, Channel: c.Channel, OnBehalfOf: account}
	}
	return domain.Actor{ID: c.Subject, Role: c.Role, Channel: c.Channel}
}

// step is a part of the call that is a command of its own in some stream:
// its id follows from the call's, so that a repeated call repeats the part.
func (c Call) step(what string) Call {
	if c.Correlation == "" {
		c.Correlation = string(c.ID)
	}
	c.IfRevision = nil
	c.ID = domain.CommandID(eventstore.DerivedID(c.ID, what))
	return c
}

// at is the instant of a call.
func (d *Desk) at(c Call) time.Time {
	if c.At.IsZero() {
		return d.Now()
	}
	return c.At
}

// dated is the call with its instant fixed. A command has one instant,
// however long it takes: otherwise one that is carried out at midnight would
// have the price of one day and the date of the next.
func (d *Desk) dated(c Call) Call {
	c.At = d.at(c)
	return c
}

// command is a call as the event store takes it. Personal parts are sealed
// with the key of the account's person.
func (d *Desk) command(c Call, account domain.AccountID) eventstore.Command {
	return eventstore.Command{
		ID: c.ID, BodyHash: c.BodyHash, Actor: c.actor(account), Now: d.at(c), Person: account,
		Correlation: c.Correlation, Causation: c.Causation, IfRevision: c.IfRevision,
	}
}

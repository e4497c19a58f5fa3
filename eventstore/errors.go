package eventstore

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	// ErrConflict is matched by a *ConflictError: the stream was not at the
	// expected revision, and nothing was written.
	ErrConflict = errors.New("the stream is not at the expected revision")
	// ErrUnavailable is returned when the log could not be reached within the
	// bound, or when it could not be told whether an append was written. The
	// same command sent again finds out.
	ErrUnavailable = errors.New("the event store is not available")
	// ErrRefused is matched, beside ErrUnavailable, while the server refuses a
	// right that the request needs, or the credentials. It passes when an admin
	// gives the right, or the credentials file is put right.
	ErrRefused = errors.New("the event store refuses this at present")
	// ErrClosed is returned by a Store after Close.
	ErrClosed = errors.New("the event store client is closed")
	// ErrDenied is matched when the server lets the user of the connection
	// string in, but not do this.
	ErrDenied = errors.New("the event store does not let this user do that")
	// ErrCredentials is matched when the server does not take the user and the
	// password of the connection string.
	ErrCredentials = errors.New("the event store does not take this user name and password")
	// ErrDamaged is matched when the server found that what it has stored at some
	// place is not what was written. Its text says where, as the server does.
	ErrDamaged = errors.New("the event store cannot read what it has stored")
	// ErrTooLarge is matched by a *TooLargeError.
	ErrTooLarge = errors.New("the event is too large")
	// ErrNotLedgerStream is returned for an append to a stream that the
	// ledger's filter would never show to a reader.
	ErrNotLedgerStream = errors.New("not a stream of the ledger")
	// ErrKeyReused is returned when a command's id was used before with
	// another body.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrRevision is matched by a *RevisionError.
	ErrRevision = errors.New("the stream has moved on from the given revision")
	// ErrNoStream is returned for a command that needs a stream to exist.
	ErrNoStream = errors.New("no such stream")
	// ErrNoGroup is returned for a persistent subscription that the server does
	// not have.
	ErrNoGroup = errors.New("the event store has no such persistent subscription")
	// ErrUnknownType is matched by an *UnknownTypeError.
	ErrUnknownType = errors.New("unknown event type")
	// ErrUnknownSchema is matched by an *UnknownSchemaError.
	ErrUnknownSchema = errors.New("unknown schema version")
	// ErrMalformed is returned when stored bytes are not what the codec
	// writes: broken JSON, an unknown field, or a sealed part that does not
	// open under its living key.
	ErrMalformed = errors.New("malformed event")
	// ErrForeignVault is matched by a *ForeignVaultError.
	ErrForeignVault = errors.New("the log belongs to another vault")
)

// ConflictError tells what an append found instead of the expected revision.
type ConflictError struct {
	Stream   string
	Expected Expected
	Actual   int64 // -1: no such stream
}

// Error says which stream was found where.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s: expected %s, found %s", e.Stream, e.Expected, After(e.Actual))
}

// Is matches ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// TooLargeError names an event that passes MaxEventSize.
type TooLargeError struct {
	Type string
	Size int
}

// Error gives the size and the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("event %s has %d bytes, more than %d", e.Type, e.Size, MaxEventSize)
}

// Is matches ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// RevisionError tells the revision of a stream that a command's If-Match did
// not name.
type RevisionError struct {
	Actual int64 // -1: no such stream
}

// Error gives the actual revision.
func (e *RevisionError) Error() string {
	return fmt.Sprintf("the stream is at %s", After(e.Actual))
}

// Is matches ErrRevision.
func (e *RevisionError) Is(target error) bool { return target == ErrRevision }

// UnknownTypeError names a stored event type that this program does not have.
type UnknownTypeError struct {
	Type string
}

// Error names the type and what to do.
func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("event type %q is unknown here; was it written by a newer version?", e.Type)
}

// Is matches ErrUnknownType.
func (e *UnknownTypeError) Is(target error) bool { return target == ErrUnknownType }

// UnknownSchemaError names a schema version that this program cannot read.
type UnknownSchemaError struct {
	Type          string
	Schema, Known int
}

// Error names both versions.
func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("event type %s has schema %d, and this version knows up to %d", e.Type, e.Schema, e.Known)
}

// Is matches ErrUnknownSchema.
func (e *UnknownSchemaError) Is(target error) bool { return target == ErrUnknownSchema }

// DecodeError names an event whose stored bytes cannot be read. Its text says
// where the event is and what kind of fault it has; the reason is only for
// errors.Is, because an error of JSON may quote a value.
type DecodeError struct {
	Type     string
	Stream   string
	Revision uint64
	reason   error
}

// Error names the event.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("event %s at revision %d of %s cannot be read: %s", e.Type, e.Revision, e.Stream, e.fault())
}

// fault is the reason without anything that may stand in the event.
func (e *DecodeError) fault() string {
	if _, ok := errors.AsType[*jsontext.SyntacticError](e.reason); ok {
		return "broken JSON"
	}
	if s, ok := errors.AsType[*json.SemanticError](e.reason); ok {
		if errors.Is(s, json.ErrUnknownName) {
			return "an unknown field"
		}
		return "a value of the wrong kind at " + string(s.JSONPointer)
	}
	return e.reason.Error()
}

// Is matches ErrMalformed.
func (e *DecodeError) Is(target error) bool { return target == ErrMalformed }

// Unwrap gives the reason.
func (e *DecodeError) Unwrap() error { return e.reason }

// ForeignVaultError is told at the start, when the keys at hand are not the
// ones that the log's personal parts were sealed with.
type ForeignVaultError struct {
	Log  string // the vault the log names
	Here string // the vault that was opened
}

// Error names both vaults and the next step.
func (e *ForeignVaultError) Error() string {
	return fmt.Sprintf("the log belongs to vault %s, but vault %s was opened; restore the keep folder that goes with this log", e.Log, e.Here)
}

// Is matches ErrForeignVault.
func (e *ForeignVaultError) Is(target error) bool { return target == ErrForeignVault }

package domain

import "errors"

// ErrKeyLost is matched when the key of a person's data is in the log's events
// and not in the vault, and was never destroyed there: the vault is older than
// the log, or belongs to another copy of the service.
var ErrKeyLost = errors.New("the key of this person's data is lost")

// Personal is the part of an event that is about a person. Where the event is
// stored it is sealed as a whole under that person's key; once the key is
// destroyed it reads back with Erased set and a zero Value, for ever.
type Personal[T any] struct {
	Value  T
	Erased bool
	// Lost says that it cannot be opened because the vault lacks the key. It
	// folds like an erased part, so Erased is set, too.
	Lost bool
}

// PersonalOf wraps v as the personal part of an event.
func PersonalOf[T any](v T) Personal[T] { return Personal[T]{Value: v} }

// Content returns a pointer to the value, for the codec to seal or to fill.
func (p *Personal[T]) Content() any { return &p.Value }

// Erase marks the part as erased and drops whatever it held.
func (p *Personal[T]) Erase() { *p = Personal[T]{Erased: true} }

// Lose marks the part as lost and drops its content.
func (p *Personal[T]) Lose() { *p = Personal[T]{Erased: true, Lost: true} }

// IsErased reports whether the part cannot be opened: the person's key was
// destroyed or is lost.
func (p *Personal[T]) IsErased() bool { return p.Erased }

// IsLost reports whether the vault lacks the person's key.
func (p *Personal[T]) IsLost() bool { return p.Lost }

// PersonalPart is a Personal of any type, as the codec sees it.
type PersonalPart interface {
	Content() any
	Erase()
	Lose()
	IsErased() bool
	IsLost() bool
}

package domain

// Personal is the part of an event that is about a person. Where the event is
// stored it is sealed as a whole under that person's key; once the key is
// destroyed it reads back with Erased set and a zero Value, for ever.
type Personal[T any] struct {
	Value  T
	Erased bool
}

// PersonalOf wraps v as the personal part of an event.
func PersonalOf[T any](v T) Personal[T] { return Personal[T]{Value: v} }

// Content returns a pointer to the value, for the codec to seal or to fill.
func (p *Personal[T]) Content() any { return &p.Value }

// Erase marks the part as erased and drops whatever it held.
func (p *Personal[T]) Erase() { *p = Personal[T]{Erased: true} }

// IsErased reports whether the person's key has been destroyed.
func (p *Personal[T]) IsErased() bool { return p.Erased }

// PersonalPart is a Personal of any type, as the codec sees it.
type PersonalPart interface {
	Content() any
	Erase()
	IsErased() bool
}

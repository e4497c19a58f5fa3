package domain

import "slices"

// Kind is a kind of permit.
type Kind string

// The kinds of permit.
const (
	KindResident          Kind = "resident"
	KindDisabledResident  Kind = "disabled-resident"
	KindMotorcycle        Kind = "motorcycle"
	KindTemporaryResident Kind = "temporary-resident"
	KindStudent           Kind = "student"
)

// Kinds lists the kinds of permit.
func Kinds() []Kind {
	return []Kind{KindResident, KindDisabledResident, KindMotorcycle, KindTemporaryResident, KindStudent}
}

// Valid reports whether k is a kind of permit that exists.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

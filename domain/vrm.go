package domain

import (
	"regexp"
	"strings"
)

// VRM is a normalised vehicle registration mark: upper case, without spaces,
// hyphens and dots. Two permits are the same vehicle's only when their marks
// are equal; the folded form is for looking up and never for merging.
type VRM string

// Vehicle is a vehicle mark as it was typed and as it is compared.
type Vehicle struct {
	AsTyped string `json:"asTyped"`
	Mark    VRM    `json:"mark"`
}

// Shape is the series that a mark looks like. No mark is refused for its
// shape.
type Shape string

// The shapes of a mark.
const (
	ShapeCurrent       Shape = "current"        // AB12CDE, since 2001
	ShapePrefix        Shape = "prefix"         // A123BCD, 1983 to 2001
	ShapeSuffix        Shape = "suffix"         // ABC123D, 1963 to 1982
	ShapeDateless      Shape = "dateless"       // ABC123 or 123ABC
	ShapeNorthernIrish Shape = "northern-irish" // AIA1234: letters with an I or a Z
	ShapeDiplomatic    Shape = "diplomatic"     // 101D234
	ShapeQPlate        Shape = "q-plate"        // Q123ABC: of unknown age
	ShapeUnusual       Shape = "unusual"        // foreign, or mistyped
)

// Unusual reports whether the reader should look twice: a foreign mark, or
// one mistyped.
func (s Shape) Unusual() bool { return s == ShapeUnusual }

// shapes are tried in order: a Q-plate looks like a prefix mark and a Northern
// Irish one like a dateless one.
var shapes = []struct {
	shape Shape
	like  *regexp.Regexp
}{
	{ShapeQPlate, regexp.MustCompile(`^Q[0-9]{1,3}[A-Z]{3}$`)},
	{ShapeCurrent, regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z]{3}$`)},
	{ShapePrefix, regexp.MustCompile(`^[A-Z][0-9]{1,3}[A-Z]{3}$`)},
	{ShapeSuffix, regexp.MustCompile(`^[A-Z]{3}[0-9]{1,3}[A-Z]$`)},
	{ShapeDiplomatic, regexp.MustCompile(`^[0-9]{3}[DX][0-9]{3}$`)},
	{ShapeNorthernIrish, regexp.MustCompile(`^[A-Z]?(?:[IZ][A-Z]|[A-Z][IZ])[0-9]{1,4}$`)},
	{ShapeDateless, regexp.MustCompile(`^(?:[A-Z]{1,3}[0-9]{1,3}|[A-Z]{1,2}[0-9]{4}|[0-9]{1,3}[A-Z]{1,3}|[0-9]{4}[A-Z]{1,2})$`)},
}

// maxMark is the most characters that a normalised mark may have, maxTyped
// what may be typed around them.
const (
	maxMark  = 10
	maxTyped = 40
)

// ParseVehicle reads a mark as people type it. The error is a *Refusal with
// RuleVehicle; a mark of an unusual shape is not refused, its shape says so.
func ParseVehicle(typed string) (Vehicle, Shape, error) {
	var mark strings.Builder
	for i := range len(typed) { // bytes: whatever is not ASCII is refused
		switch c := typed[i]; {
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			mark.WriteByte(c)
		case c >= 'a' && c <= 'z':
			mark.WriteByte(c - 'a' + 'A')
		case c == ' ', c == '-', c == '.':
		default:
			return Vehicle{}, "", refuseVehicle("Enter the vehicle's registration mark with letters A to Z and digits only.")
		}
	}
	switch {
	case mark.Len() == 0:
		return Vehicle{}, "", refuseVehicle("Enter the vehicle's registration mark, such as AB12 CDE.")
	case mark.Len() > maxMark || len(typed) > maxTyped:
		return Vehicle{}, "", refuseVehicle("Enter one registration mark of at most 10 letters and digits.")
	}
	v := Vehicle{AsTyped: strings.Trim(typed, " "), Mark: VRM(mark.String())}
	return v, v.Mark.Shape(), nil
}

func refuseVehicle(detail string) error { return Refuse(RuleVehicle, "vehicle", detail) }

// Fold gives the mark with what people misread made alike: O read as zero and
// I as one.
func (v VRM) Fold() VRM { return VRM(misread.Replace(string(v))) }

var misread = strings.NewReplacer("O", "0", "I", "1")

// Shape says which series the mark looks like.
func (v VRM) Shape() Shape {
	for _, s := range shapes {
		if s.like.MatchString(string(v)) {
			return s.shape
		}
	}
	return ShapeUnusual
}

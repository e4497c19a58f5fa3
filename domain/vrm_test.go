package domain

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseVehicle(t *testing.T) {
	for _, c := range []struct {
		typed string
		mark  VRM
		shape Shape
	}{
		{"AB12CDE", "AB12CDE", ShapeCurrent},
		{" ab12 cde ", "AB12CDE", ShapeCurrent},
		{"A.B-12 C.DE", "AB12CDE", ShapeCurrent},
		{"A123BCD", "A123BCD", ShapePrefix},
		{"a1 bcd", "A1BCD", ShapePrefix},
		{"ABC123D", "ABC123D", ShapeSuffix},
		{"ABC 1D", "ABC1D", ShapeSuffix},
		{"ABC123", "ABC123", ShapeDateless},
		{"1 A", "1A", ShapeDateless},
		{"1234 AB", "1234AB", ShapeDateless},
		{"AIA1234", "AIA1234", ShapeNorthernIrish},
		{"ABZ 1", "ABZ1", ShapeNorthernIrish},
		{"JZ 9999", "JZ9999", ShapeNorthernIrish},
		{"101D234", "101D234", ShapeDiplomatic},
		{"101 X 234", "101X234", ShapeDiplomatic},
		{"Q123ABC", "Q123ABC", ShapeQPlate},
		{"q1 abc", "Q1ABC", ShapeQPlate},
		{"M-AB 1234", "MAB1234", ShapeUnusual},
		{"1-ABC-234", "1ABC234", ShapeUnusual},
		{"ABCDEFGHIJ", "ABCDEFGHIJ", ShapeUnusual},
	} {
		v, shape, err := ParseVehicle(c.typed)
		if err != nil || v.Mark != c.mark || shape != c.shape || v.AsTyped != strings.TrimSpace(c.typed) {
			t.Errorf("ParseVehicle(%q) = %+v, %s, %v; want %s, %s", c.typed, v, shape, err, c.mark, c.shape)
		}
		if shape.Unusual() != (c.shape == ShapeUnusual) {
			t.Errorf("%q: unusual = %v", c.typed, shape.Unusual())
		}
	}
}

func TestParseVehicleRefuses(t *testing.T) {
	for _, typed := range []string{"", "   ", " -.- ", "ABCDEFGHIJK", "AB12\tCDE", "AB12_CDE", "ÄB12CDE", "AB12CDE\n",
		"\u212AB12CDE", "AB١٢CDE", "A" + strings.Repeat(" ", 60) + "1", "AB12 CDE\x00"} {
		_, _, err := ParseVehicle(typed)
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Rule != RuleVehicle || refusal.Field != "vehicle" || refusal.Detail == "" {
			t.Errorf("ParseVehicle(%q): %v", typed, err)
		}
	}
}

func TestFold(t *testing.T) {
	for mark, want := range map[VRM]VRM{"AB12CDE": "AB12CDE", "OO10IOI": "0010101", "LO12CDI": "L012CD1"} {
		if got := mark.Fold(); got != want {
			t.Errorf("%s folds to %s, want %s", mark, got, want)
		}
	}
}

func TestMarksSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, shape, err := ParseVehicle(rapid.StringMatching(`[A-Za-z0-9 .\-]{0,14}`).Draw(t, "typed"))
		if err != nil {
			return
		}
		again, shapeAgain, err := ParseVehicle(string(v.Mark))
		if err != nil || again.Mark != v.Mark || shapeAgain != shape {
			t.Fatalf("%q reads back as %q: %v", v.Mark, again.Mark, err)
		}
		if v.Mark.Fold().Fold() != v.Mark.Fold() {
			t.Fatalf("%q folds twice", v.Mark)
		}
	})
}

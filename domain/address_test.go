package domain

import "testing"

func TestParsePostcode(t *testing.T) {
	for typed, want := range map[string]string{
		"LE11 1AA": "LE11 1AA", "EC1A 1BB": "EC1A 1BB", "W1A 0AX": "W1A 0AX", "M1 1AE": "M1 1AE",
		"le111aa": "LE11 1AA", " m11ae ": "M1 1AE", "B33  8TH": "B33 8TH", "CR2 6XH": "CR2 6XH", "DN55 1PT": "DN55 1PT",
		"gir0aa": "GIR 0AA",
	} {
		if got, err := ParsePostcode(typed); err != nil || got != want {
			t.Errorf("ParsePostcode(%q) = %q, %v; want %q", typed, got, err, want)
		}
	}
	for _, typed := range []string{"Q1A 9AA", "LI10 3QP", "A1 9A", "", " ", "LE11", "1AA", "LE11 1AAA", "XLE11 1AA", "LE11 1AA x",
		"LE111 1AA", "L E11 1AA", "LE11-1AA", "LE11 1\nAA", "LE11 1AC", "V1 1AE", "AJ1 1AE", "EC1C 1BB", "W1I 0AX",
		"\u017f1 1AE", "E11 1A\u212a", "LE11\u00a01AA"} {
		if got, err := ParsePostcode(typed); err == nil {
			t.Errorf("ParsePostcode(%q) = %q, want an error", typed, got)
		}
	}
}

func TestParseUPRN(t *testing.T) {
	for _, s := range []string{"1", "200000000017", "000000000001"} {
		if got, err := ParseUPRN(s); err != nil || string(got) != s {
			t.Errorf("ParseUPRN(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "1234567890123", "12a", " 1", "-1", "1.0", "١٢"} {
		if _, err := ParseUPRN(s); err == nil {
			t.Errorf("ParseUPRN(%q) is read", s)
		}
	}
}

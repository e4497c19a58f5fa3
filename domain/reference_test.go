package domain

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func anyReference() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		id := fmt.Sprintf("%08x-0000-5000-8000-%012x", rapid.Uint32().Draw(t, "a"), rapid.Uint32().Draw(t, "b"))
		if rapid.Bool().Draw(t, "dispute") {
			return DisputeID(id).Reference()
		}
		return PermitID(id).Reference()
	})
}

func TestReferenceNeverChanges(t *testing.T) {
	// References are printed on letters: a change here breaks what people hold.
	for id, want := range map[PermitID]string{
		"00000000-0000-5000-8000-000000000000": "P-TXCW-P5SW-4B",
		"4b9a3f1e-8d0c-5a7e-9f3b-2c6d1e0f4a5b": "P-HSN7-V02K-V0",
	} {
		if got := id.Reference(); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func TestReferenceInTheDocumentationIsValid(t *testing.T) {
	for _, typed := range []string{"P-7K4M-9QXD-3F", "p7k4m9qxd3f", " P 7K4M 9QXD 3F ", "P-7k4m9-QXD3F"} {
		if got, err := ParseReference(typed); err != nil || got != "P-7K4M-9QXD-3F" {
			t.Errorf("ParseReference(%q) = %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"", "P", "7K4M-9QXD-3F", "X-7K4M-9QXD-3F", "P-7K4M-9QXD-3", "P-7K4M-9QXD-3FF",
		"P-7K4M-9QXD-3U", "P-7K4M-9QXD-3G", "P-7K4M-9QDX-3F", "P-7K4M-9QXD-3\xff", strings.Repeat("P", 5000)} {
		if got, err := ParseReference(typed); err == nil {
			t.Errorf("ParseReference(%q) = %q", typed, got)
		}
	}
}

func TestReferenceIsReadAsPeopleTypeIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := anyReference().Draw(t, "reference")
		typed := []byte(ref)
		for i, c := range typed[1:] { // the prefix is a letter that people do not confuse
			switch {
			case c == '0' && rapid.Bool().Draw(t, "as O"):
				typed[i+1] = 'O'
			case c == '1' && rapid.Bool().Draw(t, "as I"):
				typed[i+1] = rapid.SampledFrom([]byte("IL")).Draw(t, "one")
			case c == '-' && rapid.Bool().Draw(t, "as space"):
				typed[i+1] = ' '
			}
		}
		text := string(typed)
		if rapid.Bool().Draw(t, "lower") {
			text = strings.ToLower(text)
		}
		if got, err := ParseReference(text); err != nil || got != ref {
			t.Fatalf("%q reads as %q, %v; want %q", text, got, err, ref)
		}
	})
}

// Every single wrong sign and every two different signs that changed places
// are found.
func TestReferenceFindsSlips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := anyReference().Draw(t, "reference")
		signs := []int{2, 3, 4, 5, 7, 8, 9, 10, 12, 13}
		for i, at := range signs {
			for _, wrong := range []byte(crockford) {
				typed := []byte(ref)
				typed[at] = wrong
				if _, err := ParseReference(string(typed)); (err == nil) != (wrong == ref[at]) {
					t.Fatalf("%s for %s: %v", typed, ref, err)
				}
			}
			for _, other := range signs[i+1:] {
				typed := []byte(ref)
				typed[at], typed[other] = typed[other], typed[at]
				if _, err := ParseReference(string(typed)); (err == nil) != (ref[at] == ref[other]) {
					t.Fatalf("%s for %s: %v", typed, ref, err)
				}
			}
		}
	})
}

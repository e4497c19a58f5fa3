package domain

import "testing"

func TestPenceInPounds(t *testing.T) {
	for p, want := range map[Pence]string{
		5500: "£55.00", 0: "£0.00", 5: "£0.05", 1375: "£13.75", -1291: "-£12.91", 123456789: "£1234567.89",
		-9223372036854775808: "-£92233720368547758.08",
	} {
		if got := p.String(); got != want {
			t.Errorf("%d: %s, want %s", int64(p), got, want)
		}
	}
}

func TestClosedSets(t *testing.T) {
	for _, k := range Kinds() {
		if !k.Valid() {
			t.Error(k)
		}
	}
	for _, k := range EvidenceKinds() {
		if !k.Valid() || k.noun() == "document" {
			t.Error(k)
		}
	}
	for _, c := range ReasonCodes() {
		if !c.Valid() {
			t.Error(c)
		}
	}
	if Kind("trader").Valid() || EvidenceKind("").Valid() || ReasonCode("because").Valid() || Basis("").Valid() {
		t.Error("something unknown is valid")
	}
	if len(ReasonCodes()) != 16 {
		t.Errorf("%d reason codes", len(ReasonCodes()))
	}
}

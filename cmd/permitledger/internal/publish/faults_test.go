package publish_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"permitledger/cmd/permitledger/internal/publish"
)

// Every fault names its file and line, what is wrong and what to do.
func TestFaults(t *testing.T) {
	const csv = "gazetteer.csv"
	row := func(text string) string { return header + "17,1,A Street,LE11 1AA,LB2,,\n" + text }
	for _, test := range []struct {
		name, file, old, with string
		want                  string // how the only fault begins
	}{
		{"no name", "council.json", `"A council"`, `" "`, "council.json:1: name is empty: "},
		{"no phone", "council.json", `"0116 496 0000"`, `""`, "council.json:2: phone is empty: "},
		{"no hours", "council.json", `"always"`, ``, "council.json:3: openingHours is empty: "},
		{"not JSON", "council.json", `"contact"`, `contact`, "council.json:2: this is not JSON: "},
		{"wrong type", "council.json", `"A council"`, `7`, "council.json:1: name cannot be a JSON number: "},
		{"unknown field", "council.json", `"openingHours"`, `"closingHours"`, "council.json:3: unknown field \"closingHours\": "},
		{"two objects", "council.json", `"always"]}`, "\"always\"]}\n{}", "council.json:4: something follows "},

		{"unknown kind", "policy.json", `"student"`, `"studnet"`, `policy.json:9: unknown kind of permit "studnet": write one of [resident`},
		{"uncounted kind", "policy.json", `"motorcycle"`, `"moped"`, `policy.json:2: unknown kind of permit "moped": `},
		{"months", "policy.json", `"months":3`, `"months":0`, "policy.json:9: a permit cannot be sold for 0 months: "},
		{"price", "policy.json", `2750`, `-1`, "policy.json:9: a price cannot be -1 pence: "},
		{"pounds", "policy.json", `2750`, `27.50`, "policy.json:9: tariffs.prices.pricePence cannot be a JSON number 27.50: "},
		{"price twice", "policy.json", `"student","months":3`, `"resident","months":12`, "policy.json:9: resident for 12 months has two prices: "},
		{"no prices", "policy.json", `[{"kind":"resident","months":12,"pricePence":5000}]`, `[]`, "policy.json:10: a tariff has no prices: "},
		{"bad day", "policy.json", `2025-04-01`, `2025-02-30`, `policy.json:7: effectiveFrom: "2025-02-30" is not a day`},
		{"overlap", "policy.json", `2025-04-01`, `2024-04-01`, `policy.json:10: versions "t2" and "t1" are both in force from 2024-04-01: their effective dates overlap: give each`},
		{"version twice", "policy.json", `"t1"`, `"t2"`, `policy.json:10: version "t2" is given twice: `},
		{"no version", "policy.json", `"t1"`, `""`, `policy.json:10: a version needs a name`},
		{"missing figure", "policy.json", `"proofMonths":3,`, `"proofMonths":3,"proofMonth":3,`, `policy.json:3: unknown rule "proofMonth": write one of [autoRenewalDays`},
		{"figure of a wrong type", "policy.json", `"vehicleChangeNeedsV5C":false`, `"vehicleChangeNeedsV5C":"no"`, `policy.json:4: vehicleChangeNeedsV5C: cannot be a JSON string: `},
		{"figure out of range", "policy.json", `"permitsPerProperty":2`, `"permitsPerProperty":0`, `policy.json:2: permitsPerProperty cannot be 0: give 1 to 100`},
		{"refund", "policy.json", `"kind":"none"`, `"kind":"half"`, `policy.json:5: unknown kind of refund "half": `},
		{"fee", "policy.json", `"adminFeePence":0`, `"adminFeePence":-5`, `policy.json:5: a fee cannot be -5 pence: `},

		{"terms without a day", "terms/2024-04-01.md", "", "", "terms/2024-04-01.md:1: the file is empty: "},
		{"long terms", "terms/2024-04-01.md", "", strings.Repeat("x", 48<<10+1), "terms/2024-04-01.md: the file has 49153 bytes"},

		{"header", csv, "", "house,uprn\n", "gazetteer.csv:1: the columns are not those of a gazetteer: begin the file with the line uprn,"},
		{"empty", csv, "", "", "gazetteer.csv:1: the columns"},
		{"no rows", csv, "", header, "gazetteer.csv: the gazetteer has no rows: "},
		{"columns", csv, "", row("18,1,A Street,LE11 1AA\n"), "gazetteer.csv:3: the line has 4 columns and not 7: "},
		{"quotes", csv, "", row("18,\"1\" A,A Street,LE11 1AA,LB2,,\n"), "gazetteer.csv:3: this is not a line of CSV: "},
		{"UPRN", csv, "", row("2E+11,1,A Street,LE11 1AA,LB2,,\n"), `gazetteer.csv:3: bad UPRN "2E+11": `},
		{"long UPRN", csv, "", row("1234567890123,1,A Street,LE11 1AA,LB2,,\n"), `gazetteer.csv:3: bad UPRN "1234567890123": `},
		{"postcode", csv, "", row("18,1,A Street,LI10 3QP,LB2,,\n"), `gazetteer.csv:3: bad postcode "LI10 3QP": `},
		{"house", csv, "", row("18, ,A Street,LE11 1AA,LB2,,\n"), `gazetteer.csv:3: the house is empty`},
		{"zone", csv, "", row("18,1,A Street,LE11 1AA,zone 1,,\n"), `gazetteer.csv:3: bad zone "zone 1": `},
		{"day", csv, "", row("18,1,A Street,LE11 1AA,LB2,01/04/2025,\n"), `gazetteer.csv:3: bad day in "from": "01/04/2025" is not a date`},
		{"ends first", csv, "", row("18,1,A Street,LE11 1AA,LB2,2025-04-02,2025-04-01\n"), `gazetteer.csv:3: the row ends on 2025-04-01, before it begins on 2025-04-02: `},
		{"twice", csv, "", row("17,2,A Street,LE11 1AA,LB2,2025-04-02,\n"), `gazetteer.csv:3: UPRN 17 is also on line 2 for the same days: `},
		{"touching days", csv, "", header + "17,1,A,LE11 1AA,LB2,,2025-04-01\n17,1,A,LE11 1AA,LB2,2025-04-01,\n", `gazetteer.csv:3: UPRN 17 is also on line 2`},
		{"line in a quoted field", csv, "", row("18,\"1\n2\",A Street,LE11 1AA,LB2,,\n19,1,,LE11 1AA,LB2,,\n"), `gazetteer.csv:5: the street is empty`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := publish.Read(change(t, test.file, test.old, test.with))
			faults, ok := errors.AsType[publish.Faults](err)
			if !ok || len(faults) != 1 {
				t.Fatalf("got %v", err)
			}
			if got := faults[0].Error(); !strings.HasPrefix(got, test.want) || faults[0].Do == "" {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestPropertyMayChangeItsZone(t *testing.T) {
	folder := change(t, "gazetteer.csv", "", header+"17,1,A,LE11 1AA,,,2025-03-31\n17,1,A,LE11 1AA,LB2,2025-04-01,2025-12-31\n17,1,A,LE11 1AA,LB3,2026-01-01,\n")
	if got := read(t, folder); len(got.Rows) != 3 {
		t.Errorf("got %+v", got.Rows)
	}
}

func TestTermsAreNamedByTheirDay(t *testing.T) {
	folder := small()
	folder["terms/new.md"] = file("1.1")
	folder["terms/notes.txt"] = file("?")
	folder["terms/2024-04-01-a.md"] = file("1.1")
	_, err := publish.Read(folder)
	for _, want := range []string{
		`terms/new.md: "new" is not a date`,
		"terms/notes.txt: this is not a version of the terms: move it elsewhere",
		`terms/2024-04-01.md: versions "2024-04-01-a" and "2024-04-01" are both in force from 2024-04-01`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

// All faults are found at once, and a hopeless file does not drown the first.
func TestFaultsAreToldTogether(t *testing.T) {
	var rows strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rows, "%d,1,A,nowhere,LB2,,\n", i)
	}
	folder := change(t, "gazetteer.csv", "", header+rows.String())
	folder["council.json"] = file("[]")
	_, err := publish.Read(folder)
	faults, ok := errors.AsType[publish.Faults](err)
	if !ok || len(faults) != 101 {
		t.Fatalf("got %d faults: %v", len(faults), err)
	}
	text := err.Error()
	if lines := strings.Count(text, "\n"); lines != 21 || !strings.Contains(text, "council.json:1: ") || !strings.HasSuffix(text, "and 81 more") {
		t.Errorf("%d lines:\n%s", lines, text)
	}
}

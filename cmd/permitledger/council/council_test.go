package council_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/publish"
	"permitledger/domain"
)

// towns are the postcode districts of the sample, by the letters with which
// their zones begin.
var towns = map[string]string{"AN": "LE7", "AS": "LE65", "LB": "LE11", "MM": "LE13", "MH": "LE16", "NA": "LE19", "OA": "LE2", "WI": "LE18"}

func TestGazetteerLiesInTheTowns(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(readFile(t, "gazetteer.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[1:]
	if len(rows) < 1500 || len(rows) > 2500 {
		t.Errorf("%d rows", len(rows))
	}
	zones, houses, ended := map[string]int{}, map[string]int{}, 0
	for _, r := range rows {
		postcode, err := domain.ParsePostcode(r[3])
		if err != nil || postcode != r[3] {
			t.Errorf("postcode %q: %v", r[3], err)
		}
		zone, district := r[4], strings.Fields(postcode)[0]
		if zone != "" && towns[zone[:2]] != district {
			t.Errorf("zone %s has %s", zone, postcode)
		}
		zones[zone]++
		houses[postcode]++
		if r[5] != "" || r[6] != "" {
			ended++
		}
		if r[0] == "200000000017" && (r[1] != "17" || zone != "LB2" || r[5] != "" || r[6] != "") {
			t.Errorf("the address of the examples is %v", r)
		}
	}
	if len(zones) != 19 || zones[""] == 0 || ended == 0 {
		t.Errorf("zones %v, %d rows with days", zones, ended)
	}
	if len(houses)*5 > len(rows) {
		t.Errorf("%d postcodes for %d rows: a postcode is for several houses", len(houses), len(rows))
	}
}

// The largest town is read like any council's folder, and its houses are apart
// from the sample's.
func TestTown(t *testing.T) {
	town, err := council.Town(council.MaxHouses)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := publish.Read(town)
	if err != nil {
		t.Fatal(err)
	}
	own, err := publish.Read(council.Sample())
	if err != nil {
		t.Fatal(err)
	}
	if len(folder.Rows) != len(own.Rows)+council.MaxHouses {
		t.Errorf("%d rows", len(folder.Rows))
	}
	postcodes, zones, addresses := map[string]domain.Zone{}, map[domain.Zone]int{}, map[string]bool{}
	for i, r := range folder.Rows {
		if i < len(own.Rows) {
			if r != own.Rows[i] {
				t.Fatalf("row %d of the sample became %v", i, r)
			}
			postcodes[r.Postcode] = "the sample's"
			continue
		}
		if zone, taken := postcodes[r.Postcode]; taken && zone != r.Zone {
			t.Fatalf("%s is in %s and %s", r.Postcode, zone, r.Zone)
		}
		address := r.House + " " + r.Street + " " + string(r.Zone)
		if addresses[address] || towns[string(r.Zone[:2])] != strings.Fields(r.Postcode)[0] {
			t.Fatalf("%v is there twice or in the wrong town", r)
		}
		addresses[address], postcodes[r.Postcode] = true, r.Zone
		zones[r.Zone]++
	}
	if len(zones) != 18 {
		t.Errorf("zones %v", zones)
	}
	for _, wrong := range []int{-1, council.MaxHouses + 1} {
		if _, err := council.Town(wrong); err == nil {
			t.Errorf("a town of %d houses", wrong)
		}
	}
}

func TestSampleSaysThatItIsMadeUp(t *testing.T) {
	var c struct{ Notice string }
	if err := json.Unmarshal(readFile(t, "council.json"), &c); err != nil || !strings.Contains(c.Notice, "made up") {
		t.Errorf("notice %q, %v", c.Notice, err)
	}
}

// Reasons cite clauses, so the clauses are numbered without gaps.
func TestClausesAreNumbered(t *testing.T) {
	clause := regexp.MustCompile(`(?m)^(?:## (\d+)\. |(\d+)\.(\d+) )`)
	for _, version := range []string{"2024-04-01", "2025-04-01"} {
		section, number := 0, 0
		for _, m := range clause.FindAllStringSubmatch(string(readFile(t, "terms/"+version+".md")), -1) {
			if m[1] != "" {
				section, number = section+1, 0
				if m[1] != strconv.Itoa(section) {
					t.Errorf("%s: section %s stands where %d should", version, m[1], section)
				}
				continue
			}
			number++
			if m[2] != strconv.Itoa(section) || m[3] != strconv.Itoa(number) {
				t.Errorf("%s: clause %s.%s stands where %d.%d should", version, m[2], m[3], section, number)
			}
		}
		if section < 5 {
			t.Errorf("%s has %d sections", version, section)
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(council.Sample(), name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

package publish_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/publish"
	"permitledger/domain"
	"permitledger/domain/policy"
)

const rules = `{"permitsPerProperty":2,"uncountedKinds":["motorcycle"],"startAheadDays":30,
  "renewalWindowDays":30,"autoRenewalDays":7,"proofMonths":3,"temporaryTenancyMonths":12,
  "unpaidHours":2,"lapsedDays":14,"holdMarginMinutes":15,"vehicleChangeNeedsV5C":false,
  "vehicleChangesPerTerm":0,"refund":{"kind":"none","adminFeePence":0}}`

// small is a council folder in order. Each line of policy.json is one that
// tests change or count to.
func small() fstest.MapFS {
	return fstest.MapFS{
		"council.json": file(`{"name":"A council",
 "contact":{"email":"a@b.example","phone":"0116 496 0000","address":"1 Street"},
 "openingHours":["always"]}`),
		"policy.json": file(`{"policies":[
 {"version":"p1","effectiveFrom":"2024-04-01","rules":` + rules + `}],
"tariffs":[
 {"version":"t2","effectiveFrom":"2025-04-01","prices":[
  {"kind":"resident","months":12,"pricePence":5500},
  {"kind":"student","months":3,"pricePence":2750}]},
 {"version":"t1","effectiveFrom":"2024-04-01","prices":[{"kind":"resident","months":12,"pricePence":5000}]}]}`),
		"terms/2024-04-01.md":   file("1.1 First."),
		"terms/2025-04-01-b.md": file("1.1 Second."),
		"gazetteer.csv":         file(header + "17,1,A Street,le111aa,LB2,,\n18,\"Flat 2, 3\",A Street,LE11 1AA,,,\n"),
	}
}

const header = "uprn,house,street,postcode,zone,from,to\n"

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// change gives the small folder with text replaced in one file; an empty old
// text replaces the whole file.
func change(t *testing.T, name, old, with string) fstest.MapFS {
	t.Helper()
	folder := small()
	text := string(folder[name].Data)
	if old == "" {
		old = text
	}
	if !strings.Contains(text, old) {
		t.Fatalf("%s has no %q", name, old)
	}
	folder[name] = file(strings.Replace(text, old, with, 1))
	return folder
}

func read(t *testing.T, fsys fs.FS) publish.Folder {
	t.Helper()
	folder, err := publish.Read(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// pending gives all that is pending in one list.
func pending(t *testing.T, f publish.Folder, b policy.Book) []policy.Event {
	t.Helper()
	tariffs, policies, terms, gazetteer, err := f.Pending(b)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(append(tariffs, policies...), terms...), gazetteer...)
}

func fold(b policy.Book, events []policy.Event) policy.Book {
	for _, e := range events {
		b = policy.Evolve(b, e, domain.Meta{})
	}
	return b
}

func TestSampleIsPublishedOnce(t *testing.T) {
	folder := read(t, council.Sample())
	events := pending(t, folder, policy.Book{})
	count := map[string]int{}
	for _, e := range events {
		count[e.EventType()]++
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if limit := 57 << 10; len(data) > limit { // 56 KiB of rows, and what names the part
			t.Errorf("%s has %d bytes, more than %d", e.EventType(), len(data), limit)
		}
	}
	if count["TariffPublished"] != 2 || count["PolicyPublished"] != 1 || count["TermsPublished"] != 2 || count["GazetteerImported"] < 4 {
		t.Errorf("published %v", count)
	}
	book := fold(policy.Book{}, events)
	if again := pending(t, folder, book); len(again) != 0 {
		t.Errorf("published again: %d events", len(again))
	}
	if book.Gazetteer() != folder.GazetteerVersion || len(folder.GazetteerVersion) != 12 || !strings.HasPrefix(folder.GazetteerSHA256, folder.GazetteerVersion) {
		t.Errorf("gazetteer %q of %q", folder.GazetteerVersion, folder.GazetteerSHA256)
	}
	day := domain.NewDate(2026, 12, 1)
	if got := book.VersionsOn(day); got.Tariff != "2025-04-01" || got.Policy != "2024-04-01" || got.Terms != "2025-04-01" {
		t.Errorf("in force on %s: %+v", day, got)
	}
	if quote, err := book.Quote(domain.KindResident, 12, day); err != nil || quote.Price != 5500 {
		t.Errorf("a resident pays %v, %v", quote, err)
	}
}

func TestReadSortsAndNormalises(t *testing.T) {
	folder := read(t, small())
	want := []policy.Row{
		{UPRN: "17", House: "1", Street: "A Street", Postcode: "LE11 1AA", Zone: "LB2"},
		{UPRN: "18", House: "Flat 2, 3", Street: "A Street", Postcode: "LE11 1AA"},
	}
	if diff := cmp.Diff(want, folder.Rows); diff != "" {
		t.Error(diff)
	}
	if folder.Tariffs[0].Version != "t1" || folder.Tariffs[1].Version != "t2" {
		t.Errorf("tariffs are not in the order of their days: %+v", folder.Tariffs)
	}
	if got := folder.Terms[1]; got.Version != "2025-04-01-b" || got.EffectiveFrom != domain.NewDate(2025, 4, 1) || got.Text != "1.1 Second." {
		t.Errorf("terms: %+v", got)
	}
}

func TestFormOfFilesDoesNotMatter(t *testing.T) {
	book := fold(policy.Book{}, pending(t, read(t, small()), policy.Book{}))
	folder := change(t, "policy.json", `"tariffs":[`, "\n\n\"tariffs\": [")
	if again := pending(t, read(t, folder), book); len(again) != 0 {
		t.Errorf("white space was published: %+v", again)
	}
	// What a spreadsheet makes of a gazetteer is another file with the same rows.
	folder = change(t, "gazetteer.csv", "", "\ufeff"+strings.ReplaceAll(string(small()["gazetteer.csv"].Data), "\n", "\r\n"))
	if diff := cmp.Diff(read(t, small()).Rows, read(t, folder).Rows); diff != "" {
		t.Error(diff)
	}
}

func TestNewVersionsAreAdded(t *testing.T) {
	book := fold(policy.Book{}, pending(t, read(t, small()), policy.Book{}))
	folder := change(t, "policy.json", `"tariffs":[`, `"tariffs":[{"version":"t3","effectiveFrom":"2026-04-01","prices":[{"kind":"resident","months":12,"pricePence":6000}]},`)
	folder["terms/2026-04-01.md"] = file("1.1 Third.")
	delete(folder, "terms/2024-04-01.md") // what was published stays published
	var names []string
	for _, e := range pending(t, read(t, folder), book) {
		names = append(names, e.EventType())
	}
	if diff := cmp.Diff([]string{"TariffPublished", "TermsPublished"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestPublishedVersionsCannotChange(t *testing.T) {
	book := fold(policy.Book{}, pending(t, read(t, small()), policy.Book{}))
	for _, test := range []struct{ file, old, with, want string }{
		{"policy.json", `"months":3`, `"months":6`, `policy.json:7: version "t2"`},
		{"policy.json", `"version":"t2","effectiveFrom":"2025-04-01"`, `"version":"t2","effectiveFrom":"2025-04-02"`, `policy.json:7: version "t2"`},
		{"policy.json", `"lapsedDays":14`, `"lapsedDays":13`, `policy.json:2: version "p1"`},
		{"terms/2024-04-01.md", "First", "Other", `terms/2024-04-01.md: version "2024-04-01"`},
		{"council.json", "0116 496 0000", "0116 496 0001", `policy.json:2: version "p1" (council.json counts`},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, _, _, _, err := read(t, change(t, test.file, test.old, test.with)).Pending(book)
			if !errors.Is(err, policy.ErrVersionTaken) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A new telephone number comes with a new policy, and leaves the old policy
// with the number that was told at the time.
func TestContactBelongsToTheLatestPolicy(t *testing.T) {
	book := fold(policy.Book{}, pending(t, read(t, small()), policy.Book{}))
	folder := change(t, "policy.json", `{"policies":[`, `{"policies":[{"version":"p2","effectiveFrom":"2026-01-01","rules":`+rules+`},`)
	folder["council.json"] = file(strings.Replace(string(folder["council.json"].Data), "0116 496 0000", "0116 496 0001", 1))
	events := pending(t, read(t, folder), book)
	if len(events) != 1 {
		t.Fatalf("published %+v", events)
	}
	book = fold(book, events)
	before, _ := book.PolicyOn(domain.NewDate(2025, 12, 31))
	after, _ := book.PolicyOn(domain.NewDate(2026, 1, 1))
	if before.Council.Contact.Phone != "0116 496 0000" || after.Council.Contact.Phone != "0116 496 0001" {
		t.Errorf("before %+v, after %+v", before.Council, after.Council)
	}
}

// However far an import got, importing again completes it, once.
func TestInterruptedImportIsCompleted(t *testing.T) {
	folder := read(t, council.Sample())
	_, _, _, parts, err := folder.Pending(policy.Book{})
	if err != nil {
		t.Fatal(err)
	}
	for done := range parts {
		book := fold(policy.Book{}, parts[:done])
		if book.Gazetteer() != "" {
			t.Fatalf("a gazetteer of %d parts of %d is in use", done, len(parts))
		}
		_, _, _, rest, err := folder.Pending(book)
		if err != nil {
			t.Fatal(err)
		}
		book = fold(book, rest)
		if row, ok := book.ByUPRN("200000000017", domain.NewDate(2026, 12, 1)); !ok || row.Zone != "LB2" {
			t.Errorf("after %d parts and an import: %+v", done, row)
		}
		if again := pending(t, folder, fold(book, pending(t, folder, book))); len(again) != 0 {
			t.Errorf("after %d parts: imported again", done)
		}
	}
}

func TestMissingFileSaysHowToGetOne(t *testing.T) {
	for name := range maps.Keys(small()) {
		if strings.HasPrefix(name, "terms/") {
			continue
		}
		folder := small()
		delete(folder, name)
		_, err := publish.Read(folder)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "council init") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

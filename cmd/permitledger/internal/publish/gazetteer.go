package publish

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"permitledger/domain"
	"permitledger/domain/policy"
)

// gazetteerHeader is the first line of a gazetteer.
var gazetteerHeader = []string{"uprn", "house", "street", "postcode", "zone", "from", "to"}

// zoneShape is what a zone's name may look like.
var zoneShape = regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]{0,11}$`)

// readGazetteer reads the gazetteer and checks every row.
func readGazetteer(fsys fs.FS, f *Folder, faults *Faults) error {
	data, err := fs.ReadFile(fsys, GazetteerFile)
	if err != nil {
		return err
	}
	f.GazetteerSHA256 = hash(data)
	f.GazetteerVersion = f.GazetteerSHA256[:12]
	// Spreadsheets put a byte order mark before the header.
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	reader.FieldsPerRecord = -1
	reader.ReuseRecord = true
	const asHeader = "begin the file with the line uprn,house,street,postcode,zone,from,to"
	header, err := reader.Read()
	if err != nil || !slices.Equal(header, gazetteerHeader) {
		faults.add(GazetteerFile, 1, asHeader, "the columns are not those of a gazetteer")
		return nil
	}
	g := rowReader{faults: faults, held: map[domain.UPRN][]heldRow{}}
	for {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line := 0
			if e, ok := errors.AsType[*csv.ParseError](err); ok {
				line, err = e.Line, e.Err
			}
			faults.add(GazetteerFile, line, `put text with a comma or a quote in it into double quotes, and write " as ""`, "this is not a line of CSV: %v", err)
			return nil
		}
		line, _ := reader.FieldPos(0)
		if row, ok := g.row(line, fields); ok {
			f.Rows = append(f.Rows, row)
		}
	}
	if len(f.Rows) == 0 && len(*faults) == 0 {
		faults.add(GazetteerFile, 0, "give at least one property", "the gazetteer has no rows")
	}
	return nil
}

// rowReader checks rows, each by itself and against those before it.
type rowReader struct {
	faults *Faults
	held   map[domain.UPRN][]heldRow
}

// heldRow is a row that was read, and its line.
type heldRow struct {
	line     int
	from, to domain.Date
}

// row reads one line.
func (g rowReader) row(line int, fields []string) (policy.Row, bool) {
	before := len(*g.faults)
	if len(fields) != len(gazetteerHeader) {
		g.faults.add(GazetteerFile, line, "give uprn,house,street,postcode,zone,from,to and leave empty what there is not",
			"the line has %d columns and not %d", len(fields), len(gazetteerHeader))
		return policy.Row{}, false
	}
	fault := func(do, problem string, args ...any) { g.faults.add(GazetteerFile, line, do, problem, args...) }
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	row := policy.Row{House: fields[1], Street: fields[2], Zone: domain.Zone(fields[4])}
	var err error
	if row.UPRN, err = domain.ParseUPRN(fields[0]); err != nil {
		fault("write the property's reference with 1 to 12 digits; a spreadsheet may have turned it into a number such as 2E+11", "bad UPRN %q", fields[0])
	}
	if row.Postcode, err = domain.ParsePostcode(fields[3]); err != nil {
		fault("write a whole postcode such as LE11 1AA", "bad postcode %q", fields[3])
	}
	for i, name := range []string{"house", "street"} {
		if text := fields[1+i]; text == "" || len(text) > 200 {
			fault("write at most 200 characters", "the %s is empty or too long", name)
		}
	}
	if row.Zone != "" && !zoneShape.MatchString(string(row.Zone)) {
		fault("write up to 12 capital letters and digits such as LB2, or nothing where no permits are sold", "bad zone %q", row.Zone)
	}
	row.From, row.To = g.day(line, "from", fields[5]), g.day(line, "to", fields[6])
	if !row.To.IsZero() && row.To.Before(row.From) {
		fault("give the first and the last day on which the row holds", "the row ends on %s, before it begins on %s", row.To, row.From)
	}
	if len(*g.faults) > before {
		return policy.Row{}, false
	}
	return row, g.hold(line, row)
}

// day reads a date that may be left out.
func (g rowReader) day(line int, column, text string) domain.Date {
	if text == "" {
		return domain.Date{}
	}
	day, err := domain.ParseDate(text)
	if err != nil {
		g.faults.add(GazetteerFile, line, "leave it empty when there is no such day", "bad day in %q: %v", column, err)
	}
	return day
}

// hold notes a row, unless another one is about the same property on the same
// day: then nobody could say in which zone it lies.
func (g rowReader) hold(line int, row policy.Row) bool {
	for _, other := range g.held[row.UPRN] {
		apart := !row.To.IsZero() && row.To.Before(other.from) || !other.to.IsZero() && other.to.Before(row.From)
		if !apart {
			g.faults.add(GazetteerFile, line, `keep one of them, or end the earlier one with "to"`,
				"UPRN %s is also on line %d for the same days", row.UPRN, other.line)
			return false
		}
	}
	g.held[row.UPRN] = append(g.held[row.UPRN], heldRow{line, row.From, row.To})
	return true
}

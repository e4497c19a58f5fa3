package policy

import (
	"cmp"
	"slices"
	"strings"

	"permitledger/domain"
)

// gazetteer is a complete gazetteer with its indexes. It is never changed once
// it is made, so that books may share it.
type gazetteer struct {
	key        importKey
	rows       []Row
	byUPRN     map[domain.UPRN][]int32 // a property may have several rows, one after the other in time
	byPostcode map[string][]int32
}

// importKey tells imports apart: two runs that publish the same version from
// different files must not be mixed into one.
type importKey struct {
	version, sha256 string
	parts           int
}

// parted is an import of which some parts have come.
type parted struct {
	rows map[int][]Row
}

// collect adds a part. The gazetteer changes only when the last missing part
// has come: nobody must ever find half a town.
func (b Book) collect(e GazetteerImported) Book {
	key := importKey{e.Version, e.SHA256, e.Parts}
	if e.Part < 1 || e.Part > e.Parts || b.gazetteer != nil && b.gazetteer.key == key {
		return b
	}
	if b.importing == nil {
		b.importing = map[importKey]*parted{}
	}
	p := b.importing[key]
	if p == nil {
		p = &parted{rows: map[int][]Row{}}
		b.importing[key] = p
	}
	p.rows[e.Part] = e.Rows
	if len(p.rows) < e.Parts {
		return b
	}
	delete(b.importing, key)
	b.gazetteer = p.complete(key)
	return b
}

func (p *parted) complete(key importKey) *gazetteer {
	count := 0
	for _, rows := range p.rows {
		count += len(rows)
	}
	g := &gazetteer{
		key:        key,
		rows:       make([]Row, 0, count),
		byUPRN:     make(map[domain.UPRN][]int32, count),
		byPostcode: map[string][]int32{},
	}
	for part := 1; part <= key.parts; part++ {
		for _, r := range p.rows[part] {
			i := int32(len(g.rows))
			g.rows = append(g.rows, r)
			g.byUPRN[r.UPRN] = append(g.byUPRN[r.UPRN], i)
			postcode := postcodeKey(r.Postcode)
			g.byPostcode[postcode] = append(g.byPostcode[postcode], i)
		}
	}
	return g
}

// Gazetteer names the version of the latest complete gazetteer; empty when
// there is none.
func (b Book) Gazetteer() string {
	if b.gazetteer == nil {
		return ""
	}
	return b.gazetteer.key.version
}

// GazetteerSHA256 gives the hash of the file that the latest complete
// gazetteer came from; empty when there is none.
func (b Book) GazetteerSHA256() string {
	if b.gazetteer == nil {
		return ""
	}
	return b.gazetteer.key.sha256
}

// Rows are the rows of the gazetteer in the order of its file. They must not
// be changed.
func (b Book) Rows() []Row {
	if b.gazetteer == nil {
		return nil
	}
	return b.gazetteer.rows
}

// ByUPRN gives the row that holds for a property on a day.
func (b Book) ByUPRN(uprn domain.UPRN, day domain.Date) (Row, bool) {
	if b.gazetteer == nil {
		return Row{}, false
	}
	i, ok := b.gazetteer.rowOn(uprn, day)
	if !ok {
		return Row{}, false
	}
	return b.gazetteer.rows[i], true
}

// Find gives the rows that hold on a day for a postcode and a house, in the
// order in which the houses stand: 2, 10, 10A, then those with a name. An empty
// house means all. Upper and lower case are alike.
func (b Book) Find(postcode, house string, day domain.Date) []Row {
	if b.gazetteer == nil {
		return nil
	}
	g, house := b.gazetteer, strings.TrimSpace(house)
	var found []Row
	for _, i := range g.byPostcode[postcodeKey(postcode)] {
		r := g.rows[i]
		if house != "" && !strings.EqualFold(house, strings.TrimSpace(r.House)) {
			continue
		}
		if holding, ok := g.rowOn(r.UPRN, day); ok && holding == i {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y Row) int {
		return cmp.Or(compareHouses(x.House, y.House), cmp.Compare(x.Street, y.Street), cmp.Compare(x.UPRN, y.UPRN))
	})
	return found
}

// rowOn gives the place of the row that holds for a property on a day. Where
// two overlap, the one that began later holds, and of two alike the later line.
func (g *gazetteer) rowOn(uprn domain.UPRN, day domain.Date) (int32, bool) {
	best, ok := int32(0), false
	for _, i := range g.byUPRN[uprn] {
		r := g.rows[i]
		if r.From.After(day) || !r.To.IsZero() && r.To.Before(day) {
			continue
		}
		if !ok || !r.From.Before(g.rows[best].From) {
			best, ok = i, true
		}
	}
	return best, ok
}

// postcodeKey makes postcodes comparable however their spaces were written.
func postcodeKey(s string) string { return strings.ToUpper(strings.ReplaceAll(s, " ", "")) }

// compareHouses orders house numbers by their number and names by the
// alphabet, numbers first.
func compareHouses(x, y string) int {
	x, y = strings.ToUpper(strings.TrimSpace(x)), strings.ToUpper(strings.TrimSpace(y))
	for x != "" && y != "" {
		nx, ny := digitsAhead(x), digitsAhead(y)
		if nx == 0 || ny == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0]) // digits come before letters
			}
			x, y = x[1:], y[1:]
			continue
		}
		if c := compareNumbers(x[:nx], y[:ny]); c != 0 {
			return c
		}
		x, y = x[nx:], y[ny:]
	}
	return cmp.Compare(len(x), len(y))
}

func digitsAhead(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// compareNumbers compares digits of any length by their value.
func compareNumbers(x, y string) int {
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
}

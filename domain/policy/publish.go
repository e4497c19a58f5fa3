package policy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// ErrVersionTaken is returned when something is published under the name of a
// version that already says something else. What was published is never
// edited, because decisions name it by its version.
var ErrVersionTaken = errors.New("this version is already published with other content: give the new content a new version")

// Publish decides on a tariff, a policy or a version of the terms that the
// council hands in. What is in the book already with the same content is not
// published again, whatever file it came in.
func Publish(b Book, e Event) ([]Event, error) {
	old := b.sameVersion(e)
	switch {
	case old == nil:
		return []Event{e}, nil
	case !reflect.DeepEqual(withoutFile(old), withoutFile(e)):
		return nil, fmt.Errorf("%s: %w", e.EventType(), ErrVersionTaken)
	}
	return nil, nil
}

// sameVersion gives what was published under the same name and version; nil
// when nothing was.
func (b Book) sameVersion(e Event) Event {
	switch e := e.(type) {
	case TariffPublished:
		for _, t := range b.tariffs {
			if t.Version == e.Version {
				return TariffPublished(t)
			}
		}
	case PolicyPublished:
		for _, p := range b.policies {
			if p.Version == e.Version {
				return PolicyPublished(p)
			}
		}
	case TermsPublished:
		for _, t := range b.terms {
			if t.Version == e.Version {
				return TermsPublished(t)
			}
		}
	}
	return nil
}

// withoutFile leaves out the hash of the file, and the difference between an
// empty list and none, which a file cannot show.
func withoutFile(e Event) Event {
	switch e := e.(type) {
	case TariffPublished:
		e.SHA256, e.Prices = "", slices.Concat(e.Prices)
		return e
	case PolicyPublished:
		e.SHA256 = ""
		e.Rules.UncountedKinds = slices.Concat(e.Rules.UncountedKinds)
		e.Council.OpeningHours = slices.Concat(e.Council.OpeningHours)
		return e
	case TermsPublished:
		e.SHA256 = ""
		return e
	}
	return e
}

// maxPartBytes bounds what the rows of one part take up when they are stored,
// so that RowsPerPart long addresses do not outgrow the largest event.
const maxPartBytes = 56 << 10

// Import divides a gazetteer into the events that carry it. The book is asked
// first whether it has the very same one: then there is nothing to import.
func Import(b Book, version, sha256 string, rows []Row) []Event {
	if b.gazetteer != nil && b.GazetteerSHA256() == sha256 && b.Gazetteer() == version {
		return nil
	}
	var parts [][]Row
	start, bytes := 0, 0
	for i, r := range rows {
		size := storedSize(r)
		if i > start && (i-start == RowsPerPart || bytes+size > maxPartBytes) {
			parts = append(parts, rows[start:i])
			start, bytes = i, 0
		}
		bytes += size
	}
	parts = append(parts, rows[start:])
	events := make([]Event, len(parts))
	for i, part := range parts {
		events[i] = GazetteerImported{Version: version, Part: i + 1, Parts: len(parts), Rows: part, SHA256: sha256}
	}
	return events
}

// storedSize is at least the number of bytes that a row takes up as JSON.
func storedSize(r Row) int {
	size := len(`{"uprn":"","house":"","street":"","postcode":"","zone":"","from":"2006-01-02","to":"2006-01-02"},`)
	for _, s := range []string{string(r.UPRN), r.House, r.Street, r.Postcode, string(r.Zone)} {
		for i := range len(s) {
			if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= 0x7f {
				size += len(`\u0000`)
			} else {
				size++
			}
		}
	}
	return size
}

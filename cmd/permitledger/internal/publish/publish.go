// Package publish reads a council folder — council.json, policy.json,
// gazetteer.csv and the terms — and says which of it the ledger does not hold
// yet, as events of domain/policy. It appends nothing itself. What is wrong in
// a folder is told by file and line with what to do about it, all at once.
// Begin reading at Folder.
package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"permitledger/domain/policy"
)

// The files of a council folder.
const (
	CouncilFile   = "council.json"
	PolicyFile    = "policy.json"
	GazetteerFile = "gazetteer.csv"
	TermsFolder   = "terms"
)

// Folder is a council folder that was read and found to be in order. Each list
// is in the order of the first days on which its members are in force.
type Folder struct {
	Council          policy.Council
	Tariffs          []policy.TariffPublished
	Policies         []policy.PolicyPublished
	Terms            []policy.TermsPublished
	GazetteerVersion string // the first 12 digits of GazetteerSHA256
	GazetteerSHA256  string
	Rows             []policy.Row

	places map[string]string // where a version stands, by its stored type and version
}

// Read reads a council folder. The error is a Faults when the folder can be
// opened and what stands in it is not right.
func Read(fsys fs.FS) (Folder, error) {
	f := Folder{places: map[string]string{}}
	var faults Faults
	for _, read := range []func(fs.FS, *Folder, *Faults) error{readCouncil, readPolicy, readTerms, readGazetteer} {
		if err := read(fsys, &f, &faults); err != nil {
			return Folder{}, fmt.Errorf("council folder: %w; `permitledger council init DIR` writes a complete one to start from", err)
		}
	}
	if len(faults) > 0 {
		return Folder{}, faults
	}
	return f, nil
}

// Pending gives what of the folder the book does not hold, as events for
// policy.TariffStream, policy.PolicyStream (policies and terms) and
// policy.GazetteerStream. The same folder again gives nothing. The error wraps
// policy.ErrVersionTaken when a version was published with other content.
//
// The parts of a gazetteer may be appended one by one: the book goes by the
// old gazetteer until the last one is there. After an interruption in between,
// policy.Import says which parts are given; one that comes again is still one
// part, so giving all of them is as good.
func (f Folder) Pending(b policy.Book) (tariffs, policies, terms, gazetteer []policy.Event, err error) {
	for _, t := range f.Tariffs {
		if tariffs, err = f.add(tariffs, b, t, t.Version); err != nil {
			return nil, nil, nil, nil, err
		}
	}
	for i, p := range f.Policies {
		p.Council = f.councilOf(i, b)
		if policies, err = f.add(policies, b, p, p.Version); err != nil {
			return nil, nil, nil, nil, err
		}
	}
	for _, t := range f.Terms {
		if terms, err = f.add(terms, b, t, t.Version); err != nil {
			return nil, nil, nil, nil, err
		}
	}
	return tariffs, policies, terms, policy.Import(b, f.GazetteerVersion, f.GazetteerSHA256, f.Rows), nil
}

// add appends what is to be published of e.
func (f Folder) add(list []policy.Event, b policy.Book, e policy.Event, version string) ([]policy.Event, error) {
	events, err := policy.Publish(b, e)
	if err != nil {
		hint := ""
		if e.EventType() == policy.TypePolicyPublished {
			hint = " (" + CouncilFile + " counts as content of the latest policy)"
		}
		return nil, fmt.Errorf("%s: version %q%s: %w", f.places[place(e.EventType(), version)], version, hint, err)
	}
	return append(list, events...), nil
}

// councilOf gives the contact that belongs to a policy. The folder has one
// contact, that of its latest policy; earlier policies keep the one that they
// were published with, or a new telephone number would rewrite them.
func (f Folder) councilOf(i int, b policy.Book) policy.Council {
	p := f.Policies[i]
	if i < len(f.Policies)-1 {
		if old, ok := b.PolicyOn(p.EffectiveFrom); ok && old.Version == p.Version {
			return old.Council
		}
	}
	return p.Council
}

// place is the key of a version in Folder.places.
func place(eventType, version string) string { return eventType + " " + version }

// hash gives the SHA-256 of a file in hex.
func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

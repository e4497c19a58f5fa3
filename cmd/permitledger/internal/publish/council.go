package publish

import (
	"io/fs"
	"strings"

	"permitledger/domain/policy"
)

// readCouncil reads who the council is and how to reach it. Every rejection
// shows the contact, so none of it may be missing.
func readCouncil(fsys fs.FS, f *Folder, faults *Faults) error {
	file, ok, err := openJSON(fsys, CouncilFile, faults, &f.Council)
	if err != nil || !ok {
		return err
	}
	for _, field := range []struct {
		value string
		path  []any
	}{
		{f.Council.Name, []any{"name"}},
		{f.Council.Contact.Email, []any{"contact", "email"}},
		{f.Council.Contact.Phone, []any{"contact", "phone"}},
		{f.Council.Contact.Address, []any{"contact", "address"}},
	} {
		if strings.TrimSpace(field.value) == "" {
			last := field.path[len(field.path)-1].(string)
			file.add("fill it in: residents are shown it", last+" is empty", field.path...)
		}
	}
	if len(f.Council.OpeningHours) == 0 {
		file.add(`give at least one line, such as "Monday to Friday 9am to 5pm"`, "openingHours is empty", "openingHours")
	}
	return nil
}

// readTerms reads the terms and conditions: one file for each version, named
// like the version, which begins with the first day on which it is in force.
func readTerms(fsys fs.FS, f *Folder, faults *Faults) error {
	entries, err := fs.ReadDir(fsys, TermsFolder)
	if err != nil {
		return err
	}
	days := firstDays{}
	for _, entry := range entries { // in the order of their names, so of their days
		name := TermsFolder + "/" + entry.Name()
		version, isTerms := strings.CutSuffix(entry.Name(), ".md")
		if !isTerms || entry.IsDir() {
			faults.add(name, 0, "move it elsewhere, or name it like 2025-04-01.md", "this is not a version of the terms")
			continue
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		day, problem := days.dayOfVersion(version)
		if problem != "" {
			faults.add(name, 0, "name the file like the first day of the version, such as 2025-04-01.md", "%s", problem)
			continue
		}
		if strings.TrimSpace(string(data)) == "" {
			faults.add(name, 1, "write the terms and conditions into it", "the file is empty")
			continue
		}
		if len(data) > maxTermsBytes {
			faults.add(name, 0, "shorten it, or move annexes elsewhere", "the file has %d bytes, more than the %d that one event can carry", len(data), maxTermsBytes)
			continue
		}
		f.places[place(policy.TypeTermsPublished, version)] = name
		f.Terms = append(f.Terms, policy.TermsPublished{Version: version, EffectiveFrom: day, Text: string(data), SHA256: hash(data)})
	}
	if len(entries) == 0 {
		faults.add(TermsFolder, 0, "write a file such as 2025-04-01.md", "there are no terms and conditions")
	}
	return nil
}

// maxTermsBytes keeps an event below 64 KiB with its other fields and what
// JSON adds to the text.
const maxTermsBytes = 48 << 10

package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
)

// jsonFile is a JSON file whose faults are told by line.
type jsonFile struct {
	name   string
	data   []byte
	faults *Faults
}

// openJSON reads a JSON file into v. It reports whether v was filled; if not,
// the fault is noted. A field that is not known is a fault: it would be a rule
// that somebody believes to be in force.
func openJSON(fsys fs.FS, name string, faults *Faults, v any) (jsonFile, bool, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return jsonFile{}, false, err
	}
	f := jsonFile{name: name, data: data, faults: faults}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		f.noteDecode(err)
		return f, false, nil
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		faults.add(name, lineAt(data, decoder.InputOffset()), "keep one JSON object in the file", "something follows the end of the object")
		return f, false, nil
	}
	return f, true, nil
}

// noteDecode notes why the file could not be decoded.
func (f jsonFile) noteDecode(err error) {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		f.faults.add(f.name, lineAt(f.data, e.Offset), "mend the JSON there", "this is not JSON: %v", e)
		return
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		f.faults.add(f.name, lineAt(f.data, e.Offset), "write a value of the right type", "%s cannot be a JSON %s", e.Field, e.Value)
		return
	}
	line := 0
	// The decoder does not say where the unknown field stands; its first
	// mention is it, or very near.
	if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
		if i := bytes.Index(f.data, []byte(field)); i >= 0 {
			line = lineAt(f.data, int64(i))
		}
	}
	f.faults.add(f.name, line, "compare it with the sample council's file", "%v", strings.TrimPrefix(err.Error(), "json: "))
}

// add notes a fault of the value at a path of keys and indexes.
func (f jsonFile) add(do, problem string, path ...any) {
	f.faults.add(f.name, f.line(path...), do, "%s", problem)
}

// line gives the line on which the value at a path begins: the nearest value
// around it when the path does not exist.
func (f jsonFile) line(path ...any) int {
	decoder := json.NewDecoder(bytes.NewReader(f.data))
	offset := int64(0)
	for _, step := range path {
		if !enter(decoder, step) {
			break
		}
		offset = decoder.InputOffset()
	}
	// What lies between the last token and the value is a colon or a comma and space.
	rest := f.data[offset:]
	offset += int64(len(rest) - len(bytes.TrimLeft(rest, " \t\r\n:,")))
	return lineAt(f.data, offset)
}

// enter moves a decoder that stands before a value to just before the part of
// it that a key or an index names.
func enter(decoder *json.Decoder, step any) bool {
	if _, err := decoder.Token(); err != nil {
		return false
	}
	for i := 0; decoder.More(); i++ {
		switch want := step.(type) {
		case int:
			if i == want {
				return true
			}
		case string:
			key, err := decoder.Token()
			if err != nil {
				return false
			}
			if key == want {
				return true
			}
		}
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return false
		}
	}
	return false
}

// lineAt gives the line of an offset.
func lineAt(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n"))
}

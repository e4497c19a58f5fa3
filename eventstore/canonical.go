package eventstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// CanonicalJSON writes a JSON value in one form, whatever the order of its
// members, the spaces between them and the spelling of its strings and
// numbers, so that a request that is repeated by another program has the same
// hash. It follows RFC 8785 but for integers, which keep all their digits. A
// member named twice is refused: readers differ in which of the two counts.
func CanonicalJSON(raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out bytes.Buffer
	if err := canonicalValue(d, &out); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("data after the JSON value")
	}
	return out.Bytes(), nil
}

func canonicalValue(d *json.Decoder, out *bytes.Buffer) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return canonicalObject(d, out)
		}
		return canonicalArray(d, out)
	case json.Number:
		return canonicalNumber(t, out)
	case string:
		return canonicalString(t, out)
	default: // true, false, null
		fmt.Fprint(out, literal(t))
		return nil
	}
}

func literal(v any) string {
	switch v {
	case true:
		return "true"
	case false:
		return "false"
	}
	return "null"
}

func canonicalObject(d *json.Decoder, out *bytes.Buffer) error {
	members := map[string][]byte{}
	var names []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name := token.(string) // the decoder allows nothing else
		if _, twice := members[name]; twice {
			return fmt.Errorf("member %q twice", name)
		}
		var value bytes.Buffer
		if err := canonicalValue(d, &value); err != nil {
			return err
		}
		members[name] = value.Bytes()
		names = append(names, name)
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	slices.Sort(names)
	out.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := canonicalString(name, out); err != nil {
			return err
		}
		out.WriteByte(':')
		out.Write(members[name])
	}
	out.WriteByte('}')
	return nil
}

func canonicalArray(d *json.Decoder, out *bytes.Buffer) error {
	out.WriteByte('[')
	for i := 0; d.More(); i++ {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := canonicalValue(d, out); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	_, err := d.Token()
	return err
}

func canonicalString(s string, out *bytes.Buffer) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder's newline
	return nil
}

func canonicalNumber(n json.Number, out *bytes.Buffer) error {
	text := n.String()
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			text = "0"
		}
		out.WriteString(text)
		return nil
	}
	f, err := n.Float64()
	if err != nil {
		return err
	}
	if f == 0 {
		f = 0 // not the negative one
	}
	encoded, err := json.Marshal(f)
	if err != nil {
		return err
	}
	out.Write(encoded)
	return nil
}

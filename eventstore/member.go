package eventstore

import "errors"

// personalMember is the name under which a sealed personal part is stored
// beside the members of the event struct.
const personalMember = "personal"

// addMember adds a member at the end of a compact JSON object.
func addMember(object []byte, name string, value []byte) []byte {
	out := make([]byte, 0, len(object)+len(name)+len(value)+4)
	out = append(out, object[:len(object)-1]...)
	if len(object) > len("{}") {
		out = append(out, ',')
	}
	out = append(out, '"')
	out = append(out, name...)
	out = append(out, `":`...)
	out = append(out, value...)
	return append(out, '}')
}

var errNotObject = errors.New("not a JSON object")

// cutMember takes one top-level member out of a JSON object and returns the
// object without it and the member's value, nil when there is none. It looks
// only at strings, brackets and commas: what it leaves is checked by the
// decoder that comes after it. Decoding twice, to find one member and then the
// rest without it, would cost as much again as all the rest.
func cutMember(object []byte, name string) (rest, value []byte, err error) {
	depth := 0
	start := -1 // of the present top-level member, at its name
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '"':
			end := stringEnd(object, i)
			if end < 0 {
				return nil, nil, errNotObject
			}
			if depth == 1 && start < 0 {
				start = i
			}
			i = end
		case '{', '[':
			depth++
		case ',', '}', ']':
			last := object[i] != ','
			if depth == 1 && start >= 0 {
				if v, ok := memberValue(object[start:i], name); ok {
					return without(object, start, i, last), v, nil
				}
				start = -1
			}
			if last {
				depth--
			}
		}
	}
	if depth != 0 || len(object) == 0 {
		return nil, nil, errNotObject
	}
	return object, nil, nil
}

// stringEnd is the index of the quote that closes the string beginning at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// memberValue is the value of `"name": value`, if the name is the one given.
func memberValue(member []byte, name string) ([]byte, bool) {
	n := len(name) + 2
	if len(member) < n || string(member[1:n-1]) != name || member[n-1] != '"' {
		return nil, false
	}
	for i := n; i < len(member); i++ {
		if member[i] == ':' {
			return member[i+1:], true
		}
	}
	return nil, false
}

// without is object less the member in [start, end). With it goes the comma
// after it, or, when it is the last one, the comma before it.
func without(object []byte, start, end int, last bool) []byte {
	if !last {
		end++
	} else {
		for i := start - 1; i > 0; i-- {
			if object[i] == ',' {
				start = i
				break
			}
			if object[i] == '{' {
				break
			}
		}
	}
	rest := make([]byte, 0, len(object)-(end-start))
	return append(append(rest, object[:start]...), object[end:]...)
}

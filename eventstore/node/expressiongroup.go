package node

import (
	"errors"
	"unicode"
)

// refusedGroups are the beginnings of groups that cannot be served.
var refusedGroups = []struct{ begins, name string }{
	{"(?=", "look-ahead (?="}, {"(?!", "look-ahead (?!"},
	{"(?<=", "look-behind (?<="}, {"(?<!", "look-behind (?<!"},
	{"(?>", "an atomic group (?>"}, {"(?(", "a condition (?("}, {"(?P", "a group (?P"},
}

// group translates a group, a comment or inline options. It reports whether
// that can be repeated. Options that stand alone count up to the end of the
// group that they are in.
func (t *translator) group(o *options, depth int) (atom bool, err error) {
	for _, refused := range refusedGroups {
		if t.sees(refused.begins) {
			return false, &unsupportedError{refused.name}
		}
	}
	inner := *o
	switch {
	case t.skip("(?#"):
		for t.peek() != ')' {
			if t.next() < 0 {
				return false, errors.New("a comment is not closed")
			}
		}
		t.next()
		return false, nil
	case t.skip("(?:"):
	case t.skip("(?<"):
		err = t.groupName('>')
	case t.skip("(?'"):
		err = t.groupName('\'')
	case t.skip("(?"):
		var alone bool
		if alone, err = t.inlineOptions(&inner); alone {
			*o = inner
			return false, err
		}
	default:
		t.next()
	}
	if err != nil {
		return false, err
	}
	t.out.WriteString("(?:")
	if err := t.alternatives(inner, depth+1); err != nil {
		return false, err
	}
	t.next() // the closing one
	t.out.WriteByte(')')
	return true, nil
}

// groupName goes past the name of a group, which matters to no test.
func (t *translator) groupName(end rune) error {
	length := 0
	for ; t.peek() != end; length++ {
		switch r := t.next(); {
		case r < 0:
			return errors.New("the name of a group is not closed")
		case r == '-':
			return &unsupportedError{"a balancing group (?<a-b>"}
		case r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r):
			return errors.New("the name of a group has a character that is neither letter nor digit")
		}
	}
	if length == 0 {
		return errors.New("a group has an empty name")
	}
	t.next()
	return nil
}

// inlineOptions reads (?i-m) and (?i-m:, of which the former stand alone.
func (t *translator) inlineOptions(o *options) (alone bool, err error) {
	on := true
	for {
		switch r := t.next(); r {
		case '-':
			on = false
		case '+':
			on = true
		case 'i':
			o.ignoreCase = on
		case 'm':
			o.multiline = on
		case 's':
			o.dotAll = on
		case 'n': // names of groups matter to no test
		case ':':
			return false, nil
		case ')':
			return true, nil
		case -1:
			return false, errors.New("a group is not closed")
		default:
			if unicode.IsLetter(r) {
				return false, &unsupportedError{"the option (?" + string(r) + ")"}
			}
			return false, errors.New("a group begins with (?" + string(r))
		}
	}
}

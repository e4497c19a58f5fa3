package node

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// runeSet is a class that is being translated.
type runeSet struct {
	items   strings.Builder // as they stand between [ and ]
	negated bool
}

func (s *runeSet) String() string {
	if s.negated {
		return "[^" + s.items.String() + "]"
	}
	return "[" + s.items.String() + "]"
}

func (s *runeSet) span(lo, hi rune) {
	if lo <= hi {
		fmt.Fprintf(&s.items, `\x{%X}-\x{%X}`, lo, hi)
	}
}

// add puts in the characters from one to another, each of which is a unit of
// UTF-16. Of letters beyond ASCII it is not certain which .NET takes for the
// same in another case.
func (s *runeSet) add(lo, hi rune, ignoreCase bool) error {
	s.span(lo, min(hi, 0xD7FF))
	s.span(unitOf(max(lo, 0xD800)), unitOf(min(hi, 0xDFFF)))
	s.span(max(lo, 0xE000), hi)
	if lo <= '\n' && '\n' <= hi {
		s.span(innerNewline, innerNewline)
	}
	for r := lo; ignoreCase && r <= hi; r++ {
		switch other := r ^ 0x20; {
		case r > unicode.MaxASCII && unicode.SimpleFold(r) != r:
			return &unsupportedError{"(?i) with letters beyond ASCII"}
		case r > unicode.MaxASCII || !unicode.IsLetter(r):
		default:
			s.span(other, other)
			if r == 'k' || r == 'K' {
				s.span('\u212A', '\u212A') // the sign of the kelvin
			}
		}
	}
	return nil
}

// addItems puts in a class, or all that is not in it.
func (s *runeSet) addItems(items string, inverted bool) error {
	if !inverted {
		s.items.WriteString(items)
		return nil
	}
	rest, err := syntax.Parse("[^"+items+"]", syntax.Perl)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(rest.Rune); i += 2 {
		s.span(rest.Rune[i], rest.Rune[i+1])
	}
	return nil
}

// class translates what stands between [ and ].
func (t *translator) class(o options) error {
	set := &runeSet{negated: t.skip("^")}
	for first := true; ; first = false {
		r := t.next()
		switch {
		case r < 0:
			return errors.New("a class is not closed")
		case r == ']' && !first:
			t.out.WriteString(set.String())
			return nil
		case r == '-' && !first && t.peek() == '[':
			return &unsupportedError{"class subtraction -["}
		case r == '[' && t.peek() == ':':
			return &unsupportedError{"a POSIX class [:"}
		}
		isClass, lo, err := t.member(r, o, set)
		if err != nil {
			return err
		}
		hi := lo
		if t.peek() == '-' && len(t.rest) > 1 && t.rest[1] != ']' && t.rest[1] != '[' {
			if isClass {
				return &unsupportedError{"a - after a class within a class"}
			}
			t.next()
			if isClass, hi, err = t.member(t.next(), o, set); err != nil {
				return err
			}
			if isClass || hi < lo {
				return errors.New("a range ends with a class, or before it begins")
			}
		}
		if isClass {
			continue
		}
		if err := set.add(lo, hi, o.ignoreCase); err != nil {
			return err
		}
	}
}

// member reads one character of a class. A class in it is put into set.
func (t *translator) member(r rune, o options, set *runeSet) (isClass bool, char rune, err error) {
	switch {
	case r == '\\' && t.skip("b"):
		return false, '\b', nil
	case r == '\\':
		return t.classEscape(o, set)
	case r > 0xFFFF:
		return false, 0, &unsupportedError{"a character beyond U+FFFF in a class"}
	}
	return false, r, nil
}

// charEscapes are those of single characters.
var charEscapes = map[rune]rune{'t': '\t', 'n': '\n', 'r': '\r', 'f': '\f', 'v': '\v', 'a': '\a', 'e': 0x1B}

// classEscape reads what follows a backslash within a class, and nearly all
// that may follow one elsewhere.
func (t *translator) classEscape(o options, set *runeSet) (isClass bool, char rune, err error) {
	r := t.next()
	if char, ok := charEscapes[r]; ok {
		return false, char, nil
	}
	switch {
	case r < 0:
		return false, 0, errors.New("it ends with a backslash")
	case r == 'd' || r == 'D':
		return true, 0, set.addItems(digitSet, r == 'D')
	case r == 'w' || r == 'W':
		return true, 0, set.addItems(wordSet, r == 'W')
	case r == 's' || r == 'S':
		return true, 0, set.addItems(spaceSet, r == 'S')
	case r == 'p' || r == 'P':
		return true, 0, t.property(o, set, r == 'P')
	case r == 'x':
		char, err = t.hex(2)
	case r == 'u':
		char, err = t.hex(4)
	case r == 'c':
		if char = unicode.ToUpper(t.next()); char < '@' || char > '_' {
			err = errors.New(`\c is followed by no control character`)
		}
		char -= '@'
	case r >= '0' && r <= '9':
		err = &unsupportedError{`the octal escape \` + string(r)}
	case r == 'Q' || r == 'E':
		err = &unsupportedError{`\` + string(r)}
	case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
		err = fmt.Errorf(`there is no escape \%c`, r)
	default:
		char = r
	}
	return false, char, err
}

func (t *translator) hex(digits int) (rune, error) {
	if len(t.rest) >= digits {
		n, err := strconv.ParseUint(string(t.rest[:digits]), 16, 32)
		if err == nil {
			t.rest = t.rest[digits:]
			return rune(n), nil
		}
	}
	return 0, fmt.Errorf("an escape lacks its %d hexadecimal digits", digits)
}

// categories are those that mean the same here and in .NET.
var categories = strings.Fields("L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Cf")

// property reads the name of a category in braces.
func (t *translator) property(o options, set *runeSet, inverted bool) error {
	end := slices.Index(t.rest, '}')
	if t.peek() != '{' || end < 0 {
		return errors.New(`\p is not followed by a name in braces`)
	}
	name := string(t.rest[1:end])
	t.rest = t.rest[end+1:]
	switch {
	case o.ignoreCase && (name == "Lu" || name == "Ll" || name == "Lt"):
		return &unsupportedError{`(?i) with \p{` + name + `}`}
	case name == "Cc":
		return set.addItems(fmt.Sprintf(`\p{Cc}\x{%X}`, innerNewline), inverted)
	case name == "Cs":
		return set.addItems(fmt.Sprintf(`\x{%X}-\x{%X}`, unitOf(0xD800), unitOf(0xDFFF)), inverted)
	case name == "Co":
		return set.addItems(`\x{E000}-\x{F8FF}`, inverted)
	case slices.Contains(categories, name):
		return set.addItems(`\p{`+name+`}`, inverted)
	}
	return &unsupportedError{`\p{` + name + `}`}
}

package node

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Regular expressions come in the language of .NET, which is that of the
// original server. They are translated into the one of the package regexp.
// Constructs that it lacks, or to which it gives another meaning, are refused
// by their name: none silently becomes another expression.
//
// .NET sees a name as UTF-16. So a character beyond the first 65,536 is two
// there, of which . takes one. In a name to be matched each of the two halves
// is replaced by a character of its own, see unitBase.

const (
	// The sets of .NET's classes, which know all scripts.
	digitSet = `\p{Nd}`
	wordSet  = `\p{L}\p{Mn}\p{Nd}\p{Pc}`
	spaceSet = `\t\n\v\f\r\x{85}\p{Z}\x{10FFFD}` // with innerNewline

	// unitBase and the ones after it stand for the units of UTF-16 that are half
	// a character. They are characters of private use, which no name has then.
	unitBase = 0xF0000

	// innerNewline stands for each newline of a name but a last one, where the
	// expression has a $ that is not of (?m).
	innerNewline = 0x10FFFD
)

// unsupportedError names a construct that cannot be served.
type unsupportedError struct{ construct string }

func (e *unsupportedError) Error() string { return e.construct + " is not supported by this node" }

// compileExpression gives the test for a name that an expression is, found
// anywhere in the name.
func compileExpression(source string) (func(string) bool, error) {
	if !utf8.ValidString(source) {
		return nil, errors.New("it is not UTF-8")
	}
	t := &translator{rest: []rune(source)}
	if err := t.alternatives(options{}, 0); err != nil {
		return nil, err
	}
	if t.atEnd && t.multiline {
		return nil, &unsupportedError{"$ beside ^ or $ under (?m)"}
	}
	re, err := regexp.Compile(t.out.String())
	if err != nil {
		return nil, err
	}
	return func(name string) bool { return re.MatchString(t.prepare(name)) }, nil
}

// prepare gives a name in the form that the translated expression expects. That
// is the name itself but for very few.
func (t *translator) prepare(name string) string {
	for i := range len(name) {
		if name[i] >= 0xF0 { // which begins a character beyond the first 65,536
			name = inUnits(name)
			break
		}
	}
	if inner := strings.TrimSuffix(name, "\n"); t.atEnd && strings.Contains(inner, "\n") {
		name = strings.ReplaceAll(inner, "\n", string(rune(innerNewline))) + name[len(inner):]
	}
	return name
}

// inUnits replaces each character that is two units of UTF-16.
func inUnits(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r > 0xFFFF {
			high, low := units(r)
			b.WriteRune(high)
			b.WriteRune(low)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// units gives the stand-ins for the two halves of a character.
func units(r rune) (high, low rune) {
	r -= 0x10000
	return unitOf(0xD800 + r>>10), unitOf(0xDC00 + r&0x3FF)
}

// unitOf is the stand-in for half a character.
func unitOf(unit rune) rune { return unitBase + unit - 0xD800 }

// options are the inline options that change what is matched.
type options struct {
	ignoreCase bool // i
	multiline  bool // m
	dotAll     bool // s
}

// translator reads an expression and writes its translation.
type translator struct {
	rest []rune
	out  strings.Builder

	atEnd     bool // there is a $ that is not of (?m)
	multiline bool // there is a ^ or a $ of (?m)
}

func (t *translator) peek() rune {
	if len(t.rest) == 0 {
		return -1
	}
	return t.rest[0]
}

func (t *translator) next() rune {
	r := t.peek()
	if r >= 0 {
		t.rest = t.rest[1:]
	}
	return r
}

// skip goes past a text if it comes next.
func (t *translator) skip(text string) bool {
	if !t.sees(text) {
		return false
	}
	t.rest = t.rest[len([]rune(text)):]
	return true
}

func (t *translator) sees(text string) bool {
	want := []rune(text)
	return len(t.rest) >= len(want) && string(t.rest[:len(want)]) == text
}

// maxDepth is how deep groups may be nested.
const maxDepth = 200

// alternatives translates up to the end of a group, or of the expression.
func (t *translator) alternatives(o options, depth int) error {
	if depth > maxDepth {
		return errors.New("its groups are nested too deep")
	}
	quantifiable := false // the last thing can be repeated
	for {
		switch r := t.peek(); {
		case r < 0 && depth > 0:
			return errors.New("a group is not closed")
		case r < 0:
			return nil
		case r == ')' && depth == 0:
			return errors.New("there is a ) too many")
		case r == ')':
			return nil
		case r == '|':
			t.next()
			t.out.WriteByte('|')
			quantifiable = false
		case t.seesQuantifier():
			if !quantifiable {
				return errors.New("a quantifier follows nothing that can be repeated")
			}
			t.quantifier()
			quantifiable = false
		case r == '(':
			atom, err := t.group(&o, depth)
			if err != nil {
				return err
			}
			quantifiable = atom
		default:
			if err := t.atom(o); err != nil {
				return err
			}
			quantifiable = true
		}
	}
}

// seesQuantifier reports whether one comes next. A { that begins none is a
// character like any other.
func (t *translator) seesQuantifier() bool {
	switch t.peek() {
	case '*', '+', '?':
		return true
	case '{':
		return quantifierEnd(t.rest) > 0
	}
	return false
}

// quantifierEnd is the length of {n}, {n,} or {n,m}; 0 if that is not there.
func quantifierEnd(rest []rune) int {
	i := 1
	digits := func() bool {
		start := i
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		return i > start
	}
	if !digits() || i == len(rest) {
		return 0
	}
	if rest[i] == ',' {
		i++
		digits()
	}
	if i < len(rest) && rest[i] == '}' {
		return i + 1
	}
	return 0
}

// quantifier copies one. Whether it is lazy changes nothing for a test.
func (t *translator) quantifier() {
	n := 1
	if t.peek() == '{' {
		n = quantifierEnd(t.rest)
	}
	t.out.WriteString(string(t.rest[:n]))
	t.rest = t.rest[n:]
	if t.skip("?") {
		t.out.WriteByte('?')
	}
}

// atom translates one character, class or assertion.
func (t *translator) atom(o options) error {
	switch r := t.next(); r {
	case '.':
		switch {
		case o.dotAll:
			t.out.WriteString(`(?s:.)`)
		default:
			fmt.Fprintf(&t.out, `[^\n\x{%X}]`, innerNewline)
		}
	case '^':
		t.out.WriteString(map[bool]string{true: `(?m:^)`, false: `\A`}[o.multiline])
		t.multiline = t.multiline || o.multiline
	case '$':
		t.out.WriteString(`(?m:$)`)
		t.multiline, t.atEnd = t.multiline || o.multiline, t.atEnd || !o.multiline
	case '[':
		return t.class(o)
	case '\\':
		return t.escape(o)
	default:
		return t.literal(r, o)
	}
	return nil
}

// literal writes a character that stands for itself.
func (t *translator) literal(r rune, o options) error {
	if r > 0xFFFF {
		high, low := units(r)
		fmt.Fprintf(&t.out, `\x{%X}\x{%X}`, high, low)
		return nil
	}
	set := &runeSet{}
	if err := set.add(r, r, o.ignoreCase); err != nil {
		return err
	}
	t.out.WriteString(set.String())
	return nil
}

// escape translates what follows a backslash outside of a class.
func (t *translator) escape(o options) error {
	switch r := t.peek(); r {
	case 'A', 'z':
		t.next()
		t.out.WriteString(`\` + string(r))
		return nil
	case 'Z', 'b', 'B', 'G':
		return &unsupportedError{`\` + string(r)}
	case 'k', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return &unsupportedError{`the back-reference \` + string(r)}
	}
	set := &runeSet{}
	isClass, r, err := t.classEscape(o, set)
	if err != nil || !isClass {
		if err == nil {
			err = t.literal(r, o)
		}
		return err
	}
	t.out.WriteString(set.String())
	return nil
}

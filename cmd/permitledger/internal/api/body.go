package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"permitledger/domain"
)

// object is a JSON object of a request. A handler takes its members by name
// and type, and then calls done: a member that nobody took is unknown, and
// refused. The first fault is kept and everything after it is passed over, so
// a handler asks once, at the end.
//
// It is not decoded into structs by encoding/json, which reads a member's name
// in any case, takes null for anything, keeps the last of two members of one
// name and cannot say where in a list a fault is.
type object struct {
	path    string // of this object in the body, with a dot at its end; empty for the body
	members map[string]any
	taken   []string
	first   *error // fault found first; shared by all objects of a body
}

// The bounds of a body. The deepest that a command takes has three levels, and
// the longest list 50 entries.
const (
	maxDepth      = 8   // levels of nesting
	maxMembers    = 100 // of one object
	maxItems      = 500 // of one array
	maxMemberName = 64  // bytes of a member's name
)

// readObject reads a body. The work is in proportion to the body's size, and
// ends with the context.
func readObject(ctx context.Context, raw []byte) (*object, error) {
	if !utf8.Valid(raw) {
		return nil, bad("", "The body is not UTF-8.")
	}
	if !json.Valid(raw) {
		return nil, bad("", "The body is not one JSON value.")
	}
	if hasHalfPair(raw) {
		return nil, bad("", "The body has half of a surrogate pair, which is no character.")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	value, err := bodyReader{ctx, d}.value(nil)
	if err != nil {
		return nil, err
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil, bad("", "The body is not a JSON object.")
	}
	return &object{members: members, first: new(error)}, nil
}

// hasHalfPair looks in well-formed JSON for an escape such as \ud800 that is no
// character by itself. The decoder would put the same sign in the place of
// each, and different bodies would pass for one.
func hasHalfPair(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		first := escaped(raw[i:])
		i++ // whatever is escaped, it begins nothing
		if !utf16.IsSurrogate(first) {
			continue
		}
		if utf16.DecodeRune(first, escaped(raw[i+5:])) == utf8.RuneError {
			return true
		}
		i += len(`uXXXX\uXXXX`) - 1
	}
	return false
}

// escaped reads the escape \u and its four digits at the beginning of raw; 0 for any other text.
func escaped(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0
	}
	n, _ := strconv.ParseUint(string(raw[2:6]), 16, 16)
	return rune(n)
}

// bodyReader reads a body that is known to be well formed.
type bodyReader struct {
	ctx context.Context // of the one request that the reader lives for
	d   *json.Decoder
}

// place is where in a body a value is. Its text is made only for a fault.
type place struct {
	within *place // nil: the body itself
	depth  int
	name   string // of a member
	index  int    // of an entry of a list; -1: it is a member
}

func (p *place) member(name string) *place {
	return &place{within: p, depth: p.level() + 1, name: name, index: -1}
}
func (p *place) entry(i int) *place { return &place{within: p, depth: p.level() + 1, index: i} }

func (p *place) level() int {
	if p == nil {
		return 0
	}
	return p.depth
}

// String is the place as a fault names it, such as evidence[0].kind.
func (p *place) String() string {
	switch {
	case p == nil:
		return ""
	case p.index >= 0:
		return indexed(p.within.String(), p.index)
	case p.within == nil:
		return p.name
	}
	return p.within.String() + "." + p.name
}

func (p *place) fault(format string, args ...any) error {
	return bad(fieldName(p.String()), format, args...)
}

func (b bodyReader) value(at *place) (any, error) {
	token, err := b.d.Token()
	if err != nil {
		return nil, at.fault("The body is not one JSON value.")
	}
	opened, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if at.level() >= maxDepth {
		return nil, at.fault("The body is nested too deeply: it may have %d levels.", maxDepth)
	}
	if err := context.Cause(b.ctx); err != nil {
		return nil, err
	}
	if opened == '{' {
		return b.members(at)
	}
	return b.items(at)
}

func (b bodyReader) members(at *place) (map[string]any, error) {
	members := map[string]any{}
	for b.d.More() {
		token, err := b.d.Token()
		if err != nil {
			return nil, at.fault("The body is not one JSON value.")
		}
		name := token.(string) // the decoder allows nothing else
		_, twice := members[name]
		switch {
		case len(name) > maxMemberName:
			return nil, at.fault("The name of a member may have at most %d bytes.", maxMemberName)
		case twice:
			return nil, at.member(name).fault("A member occurs twice.")
		case len(members) == maxMembers:
			return nil, at.fault("An object may have at most %d members.", maxMembers)
		}
		if members[name], err = b.value(at.member(name)); err != nil {
			return nil, err
		}
	}
	_, err := b.d.Token()
	return members, err
}

func (b bodyReader) items(at *place) ([]any, error) {
	items := []any{}
	for b.d.More() {
		if len(items) == maxItems {
			return nil, at.fault("A list may have at most %d entries.", maxItems)
		}
		item, err := b.value(at.entry(len(items)))
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := b.d.Token()
	return items, err
}

// fieldName keeps a member that somebody made up from filling the answer.
func fieldName(s string) string {
	if utf8.RuneCountInString(s) > 100 {
		return string([]rune(s)[:100]) + "…"
	}
	return s
}

// fail keeps the first fault.
func (o *object) fail(name, format string, args ...any) {
	if *o.first == nil {
		*o.first = bad(fieldName(o.path+name), format, args...)
	}
}

// take gives a member; false when it is not there.
func (o *object) take(name string) (any, bool) {
	o.taken = append(o.taken, name)
	value, there := o.members[name]
	return value, there
}

// has reports whether a member is there, without taking it.
func (o *object) has(name string) bool {
	_, there := o.members[name]
	return there
}

// need finds fault with a member that is not there.
func (o *object) need(name string) {
	if !o.has(name) {
		o.fail(name, "%s is missing.", name)
	}
}

// done gives the first fault: of what was taken, or a member nobody took.
func (o *object) done() error {
	if *o.first != nil {
		return *o.first
	}
	for name := range o.members {
		if !slices.Contains(o.taken, name) {
			return bad(fieldName(o.path+name), "There is no such member here.")
		}
	}
	return nil
}

// text takes a string of at most so many characters; nil when it is not there.
func (o *object) text(name string, most int) *string {
	value, there := o.take(name)
	if !there {
		return nil
	}
	s, ok := value.(string)
	switch {
	case !ok:
		o.fail(name, "%s is not a string.", name)
	case utf8.RuneCountInString(s) > most:
		o.fail(name, "%s may have at most %d characters.", name, most)
	case !plainText(s):
		o.fail(name, "%s has control characters.", name)
	}
	return &s
}

// words takes a string that may be left out.
func (o *object) words(name string, most int) string {
	if s := o.text(name, most); s != nil {
		return *s
	}
	return ""
}

// needWords takes a string that must say something.
func (o *object) needWords(name string, most int) string {
	o.need(name)
	s := o.words(name, most)
	if strings.TrimSpace(s) == "" {
		o.fail(name, "%s says nothing.", name)
	}
	return s
}

// plainText reports whether there are no control characters but the ones that
// part lines and columns.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7F
	})
}

// flag takes a boolean; nil when it is not there.
func (o *object) flag(name string) *bool {
	value, there := o.take(name)
	if !there {
		return nil
	}
	b, ok := value.(bool)
	if !ok {
		o.fail(name, "%s is neither true nor false.", name)
	}
	return &b
}

// count takes a whole number from 1 on; 0 when it is not there. One that is
// too large for us is still a number: it becomes the largest, and what is
// sold decides about it.
func (o *object) count(name string) int {
	value, there := o.take(name)
	if !there {
		return 0
	}
	number, ok := value.(json.Number)
	n, err := strconv.ParseInt(string(number), 10, 32)
	if !ok || n < 1 || err != nil && !errors.Is(err, strconv.ErrRange) {
		o.fail(name, "%s is not a whole number from 1 on.", name)
	}
	return int(n)
}

// date takes a day; zero when it is not there.
func (o *object) date(name string) domain.Date {
	s := o.text(name, maxName)
	if s == nil {
		return domain.Date{}
	}
	day, err := domain.ParseDate(*s)
	if err != nil {
		o.fail(name, "%s is not a day of the calendar written YYYY-MM-DD.", name)
	}
	return day
}

func (o *object) needDate(name string) domain.Date {
	o.need(name)
	return o.date(name)
}

func (o *object) id(name string) string {
	s := o.words(name, maxName)
	if o.has(name) && !isUUID(s) {
		o.fail(name, "%s is not a UUID in lower case.", name)
	}
	return s
}

var shaShape = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (o *object) sha(name string) string {
	s := o.words(name, maxName)
	if o.has(name) && !shaShape.MatchString(s) {
		o.fail(name, "%s is not a SHA-256 in lower-case hexadecimal.", name)
	}
	return s
}

func (o *object) uprn(name string) domain.UPRN {
	o.need(name)
	uprn, err := domain.ParseUPRN(o.words(name, maxName))
	if err != nil {
		o.fail(name, "A UPRN has 1 to 12 digits, as a string.")
	}
	return uprn
}

// email takes an address, or the empty string.
func (o *object) email(name string) *string {
	s := o.text(name, maxName)
	if s == nil || *s == "" {
		return s
	}
	if a, err := mail.ParseAddress(*s); err != nil || a.Address != *s {
		o.fail(name, "%s is not an e-mail address.", name)
	}
	return s
}

// list takes an array; nil when it is not there.
func (o *object) list(name string) []any {
	value, there := o.take(name)
	if !there {
		return nil
	}
	items, ok := value.([]any)
	switch {
	case !ok:
		o.fail(name, "%s is not an array.", name)
	case len(items) > maxList:
		o.fail(name, "%s may have at most %d entries.", name, maxList)
		return nil
	}
	return items
}

// texts takes an array of strings.
func (o *object) texts(name string, most int) []string {
	var all []string
	for i, item := range o.list(name) {
		at := indexed(name, i)
		one := object{path: o.path, members: map[string]any{at: item}, first: o.first}
		all = append(all, one.words(at, most))
	}
	return all
}

// objects takes an array of objects and gives each to read, which need not
// call done.
func (o *object) objects(name string, read func(*object)) {
	for i, item := range o.list(name) {
		o.inner(indexed(name, i), item, read)
	}
}

// object takes an object that may be left out or null.
func (o *object) object(name string, read func(*object)) {
	if value, there := o.take(name); there && value != nil {
		o.inner(name, value, read)
	}
}

func (o *object) inner(name string, value any, read func(*object)) {
	members, ok := value.(map[string]any)
	if !ok {
		o.fail(name, "%s is not an object.", name)
		return
	}
	inner := &object{path: o.path + name + ".", members: members, first: o.first}
	read(inner)
	if err := inner.done(); err != nil && *o.first == nil {
		*o.first = err
	}
}

// indexed names an entry of a list.
func indexed(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i) }

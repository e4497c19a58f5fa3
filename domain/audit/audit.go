// Package audit checks a recorded history: whether what the ledger holds could
// have been written by the rules.
//
// It shares no code with the decisions that it checks, apart from the calendar,
// so that a fault in those does not hide itself. It decides nothing, reads no
// log and opens nothing that is sealed: it is given events in the order of the
// log and says of each what is wrong with it.
//
// What can be told from one stream is in Streams, of which there may be several
// that share the streams between them; what needs several streams, in the order
// of the log, is in Whole. Both keep a short summary of each permit and nothing
// of each event, so that memory does not grow with the length of the history.
//
// What cannot be decided is passed over and never guessed: rules about a person
// who was erased, and rules about a permit of which an event cannot be read,
// from that event on. Begin reading at Streams.Check and Whole.Check.
package audit

import (
	"fmt"
	"time"

	"permitledger/domain"
)

// Entry is one event of the ledger as the checks see it.
type Entry struct {
	Ledger   uint64 // its place in the ledger, from 1
	Stream   string
	Type     string
	Meta     domain.Meta
	Versions domain.Versions
	Body     domain.Event // nil: it cannot be read
	Fault    string       // why it cannot be read
}

// Violation is one thing that is wrong with one event.
type Violation struct {
	Ledger   uint64         `json:"ledger"`
	Stream   string         `json:"stream"`
	Revision uint64         `json:"revision"`
	EventID  domain.EventID `json:"eventId"`
	Type     string         `json:"type"`
	Rule     Rule           `json:"rule"`
	Wrong    string         `json:"wrong"` // in words, with nothing personal
}

// Rule names what was violated.
type Rule string

// The rules of one stream.
const (
	RuleUnreadable Rule = "unreadable"      // the event cannot be decoded
	RuleStreamName Rule = "stream-name"     // no stream of the ledger has such a name
	RuleEventType  Rule = "event-type"      // this type has no place in this stream
	RuleRevision   Rule = "revision"        // revisions count from 0 without a gap
	RuleInstant    Rule = "instant"         // the recorded instant went backwards
	RuleEnvelope   Rule = "envelope"        // who, by which command, under which versions
	RuleLifeCycle  Rule = "life-cycle"      // Applied first and once, one decision, nothing after the end
	RuleTerms      Rule = "terms"           // terms touch and end by the anchor rule
	RuleDecision   Rule = "decision"        // the record of a decision is complete
	RuleOwnCase    Rule = "own-application" // nobody decides about their own application
	RuleMoney      Rule = "money"           // attempts, captures and refunds add up
	RuleAccount    Rule = "account"         // opened first and once, nothing after the erasure
	RuleContent    Rule = "content"         // the body does not fit its stream or itself
)

// The rules between streams, and that of event ids.
const (
	RuleEventID   Rule = "event-id"       // an event id is used once
	RuleReference Rule = "reference"      // what is named was there before
	RuleDocument  Rule = "document"       // a document named was uploaded to that account
	RulePublished Rule = "published"      // the versions named were published and in force
	RulePrice     Rule = "price"          // the price is that of the tariff
	RuleWindow    Rule = "renewal-window" // renewed inside the window of the policy
	RuleCapture   Rule = "capture"        // no first term is taken without an approval
	RulePaid      Rule = "renewal-paid"   // a renewal's payment was taken before
	RuleSlots     Rule = "property-limit" // never more permits at a property than allowed
)

// finder collects what is wrong with one event.
type finder struct {
	Entry
	found []Violation
}

func (f *finder) wrong(rule Rule, format string, args ...any) {
	f.found = append(f.found, Found(f.Entry, rule, fmt.Sprintf(format, args...)))
}

// expect notes a violation unless a condition holds.
func (f *finder) expect(holds bool, rule Rule, format string, args ...any) {
	if !holds {
		f.wrong(rule, format, args...)
	}
}

// Found makes the violation of a rule by an event.
func Found(e Entry, rule Rule, wrong string) Violation {
	return Violation{Ledger: e.Ledger, Stream: e.Stream, Revision: e.Meta.Revision, EventID: e.Meta.ID,
		Type: e.Type, Rule: rule, Wrong: wrong}
}

// day is a civil date in four bytes.
type day int32

var epoch = domain.NewDate(2000, time.January, 1)

func dayOf(d domain.Date) day {
	if d.IsZero() {
		return 0
	}
	return day(epoch.DaysUntil(d)) + 1
}

// date gives the day back; 0 is the zero Date.
func (d day) date() domain.Date {
	if d == 0 {
		return domain.Date{}
	}
	return epoch.AddDays(int(d) - 1)
}

// over is the first instant after the day.
func (d day) over() time.Time { return d.date().AddDays(1).Midnight() }

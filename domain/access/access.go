// Package access records who looked: reads of a named person's record by
// staff, kept in a stream of its own for each account, and searches, each in a
// stream of its own that names the accounts it brought up.
package access

import "permitledger/domain"

// Stream names the stream that holds the reads of one account's record.
func Stream(id domain.AccountID) string { return "access-" + string(id) }

// Event is a fact about a read.
type Event interface {
	domain.Event
	access()
}

// RecordRead says that a person's record was opened.
type RecordRead struct {
	Account domain.AccountID `json:"account"`
	Permit  domain.PermitID  `json:"permit,omitempty"`
	What    string           `json:"what"`             // code: one of those below
	SHA256  string           `json:"sha256,omitempty"` // of the document read

	Personal domain.Personal[ReadPersonal] `json:"-"`
}

// ReadPersonal is the personal part of RecordRead.
type ReadPersonal struct {
	Reason string `json:"reason,omitempty"`
}

// What was read of a record. A search is no RecordRead: see PeopleSearched.
const (
	ReadAccount        = "account"         // the account with the person's details
	ReadAccountPermits = "account-permits" // the account view
	ReadPermit         = "permit"
	ReadHistory        = "history"        // of a permit
	ReadHistoryOpened  = "history-opened" // with what was sealed, for a reason
	ReadDocument       = "document"
	ReadSearch         = "search"
)

// SearchStream names the stream of one use of the search.
func SearchStream(use string) string { return "access-search-" + use }

// PeopleSearched says that staff looked for people and whom they were shown.
// The words of the search are not in it: they may name somebody else.
type PeopleSearched struct {
	By    []string           `json:"by,omitempty"`    // codes: what matched, such as "name" or "mark-exact"
	Shown []domain.AccountID `json:"shown,omitempty"` // whose record was among the results; empty: nobody's
}

// The stored names of the access events.
const (
	TypeRecordRead     = "RecordRead"
	TypePeopleSearched = "PeopleSearched"
)

// Types lists the stored names of all access events.
func Types() []string { return []string{TypeRecordRead, TypePeopleSearched} }

// EventType gives the stored name.
func (RecordRead) EventType() string     { return TypeRecordRead }
func (PeopleSearched) EventType() string { return TypePeopleSearched }

func (RecordRead) access()     {}
func (PeopleSearched) access() {}

// PersonalPart gives the codec the part that is sealed.
func (e *RecordRead) PersonalPart() domain.PersonalPart { return &e.Personal }

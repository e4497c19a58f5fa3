// Package access records who looked: reads of a named person's record by
// staff, kept in a stream of its own for each account.
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
	What    string           `json:"what"`             // code: "document", "history-opened"
	SHA256  string           `json:"sha256,omitempty"` // of the document read

	Personal domain.Personal[ReadPersonal] `json:"-"`
}

// ReadPersonal is the personal part of RecordRead.
type ReadPersonal struct {
	Reason string `json:"reason,omitempty"`
}

// TypeRecordRead is the stored name of RecordRead.
const TypeRecordRead = "RecordRead"

// Types lists the stored names of all access events.
func Types() []string { return []string{TypeRecordRead} }

// EventType gives the stored name.
func (RecordRead) EventType() string { return TypeRecordRead }

func (RecordRead) access() {}

// PersonalPart gives the codec the part that is sealed.
func (e *RecordRead) PersonalPart() domain.PersonalPart { return &e.Personal }

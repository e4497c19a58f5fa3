package account

import (
	"time"

	"permitledger/domain"
)

// Event is a fact about a resident's account.
type Event interface {
	domain.Event
	account()
}

// AccountOpened begins an account.
type AccountOpened struct {
	Personal domain.Personal[OpenedPersonal] `json:"-"`
}

// OpenedPersonal is the personal part of AccountOpened.
type OpenedPersonal struct {
	Name    string `json:"name"`
	Email   string `json:"email,omitempty"`
	Phone   string `json:"phone,omitempty"`
	Subject string `json:"subject,omitempty"` // sign-in subject of the owner; empty when an operator opened it
}

// AccountInvited says that a single-use invitation to claim the account was
// sent to the e-mail address that stood in it then. It takes the place of any
// earlier one.
type AccountInvited struct {
	TokenHash string    `json:"tokenHash"` // keyed hash of what the invitation holds, never that itself
	ExpiresAt time.Time `json:"expiresAt"`
}

// AccountClaimed gives an unowned account to the subject that followed its
// invitation.
type AccountClaimed struct {
	Personal domain.Personal[ClaimedPersonal] `json:"-"`
}

// ClaimedPersonal is the personal part of AccountClaimed.
type ClaimedPersonal struct {
	Subject string `json:"subject"`
}

// AccountDetailsChanged replaces the details of a person as a whole.
type AccountDetailsChanged struct {
	Personal domain.Personal[DetailsPersonal] `json:"-"`
}

// DetailsPersonal is the personal part of AccountDetailsChanged: all details
// as they are from now on.
type DetailsPersonal struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
}

// DocumentUploaded says that a document was received for this account. The
// document itself is sealed outside the log.
type DocumentUploaded struct {
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"mediaType"`
}

// DocumentDropped says that a document which no application named was removed.
type DocumentDropped struct {
	SHA256 string `json:"sha256"`
}

// AccountErased says that the person's key was destroyed.
type AccountErased struct {
	Ground string `json:"ground"` // code: why it was erased
}

// The stored names of the account's events.
const (
	TypeAccountOpened         = "AccountOpened"
	TypeAccountInvited        = "AccountInvited"
	TypeAccountClaimed        = "AccountClaimed"
	TypeAccountDetailsChanged = "AccountDetailsChanged"
	TypeDocumentUploaded      = "DocumentUploaded"
	TypeDocumentDropped       = "DocumentDropped"
	TypeAccountErased         = "AccountErased"
)

// Types lists the stored names of all account events.
func Types() []string {
	return []string{TypeAccountOpened, TypeAccountInvited, TypeAccountClaimed, TypeAccountDetailsChanged,
		TypeDocumentUploaded, TypeDocumentDropped, TypeAccountErased}
}

// EventType gives the stored name.
func (AccountOpened) EventType() string         { return TypeAccountOpened }
func (AccountInvited) EventType() string        { return TypeAccountInvited }
func (AccountClaimed) EventType() string        { return TypeAccountClaimed }
func (AccountDetailsChanged) EventType() string { return TypeAccountDetailsChanged }
func (DocumentUploaded) EventType() string      { return TypeDocumentUploaded }
func (DocumentDropped) EventType() string       { return TypeDocumentDropped }
func (AccountErased) EventType() string         { return TypeAccountErased }

func (AccountOpened) account()         {}
func (AccountInvited) account()        {}
func (AccountClaimed) account()        {}
func (AccountDetailsChanged) account() {}
func (DocumentUploaded) account()      {}
func (DocumentDropped) account()       {}
func (AccountErased) account()         {}

// PersonalPart gives the codec the part that is sealed.
func (e *AccountOpened) PersonalPart() domain.PersonalPart         { return &e.Personal }
func (e *AccountClaimed) PersonalPart() domain.PersonalPart        { return &e.Personal }
func (e *AccountDetailsChanged) PersonalPart() domain.PersonalPart { return &e.Personal }

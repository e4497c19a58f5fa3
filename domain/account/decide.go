package account

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"permitledger/domain"
)

// What one account may hold, and for how long.
const (
	// DocumentsPerDay is how many different documents may come on one London
	// day. It keeps a stranger from filling the disk and is no policy of a
	// council.
	DocumentsPerDay = 20
	// KeepUnnamed is how long a document is kept that no application names.
	KeepUnnamed = 7 * 24 * time.Hour
	// InvitationLasts is how long an invitation may be followed.
	InvitationLasts = 7 * 24 * time.Hour
)

// Why a decision about an account is refused.
var (
	// ErrNotOpen is returned when the account was never opened.
	ErrNotOpen = errors.New("account: there is no such account: open one first")
	// ErrAlreadyOpen is returned when an account is opened again.
	ErrAlreadyOpen = errors.New("account: this account is open already: change its details instead")
	// ErrErased is returned when the person behind the account was erased.
	ErrErased = errors.New("account: this account was erased: open a new one")
	// ErrOwned is returned when somebody is invited to claim an account that
	// belongs to somebody.
	ErrOwned = errors.New("account: this account belongs to somebody already: its owner signs in")
	// ErrNoEmail is returned when an invitation has no address to go to.
	ErrNoEmail = errors.New("account: there is no e-mail address to send an invitation to: change the details first")
	// ErrNoInvitation is returned when an account is claimed without an
	// invitation that holds.
	ErrNoInvitation = errors.New("account: this invitation is not known, was used or has expired: ask for a new one")
	// ErrNoName is returned when an account would be without a name.
	ErrNoName = errors.New("account: an account needs a name: give the resident's")
	// ErrNoSubject is returned when an account is claimed by nobody.
	ErrNoSubject = errors.New("account: sign in before following the invitation")
	// ErrTooManyDocuments is matched by every *TooManyDocumentsError.
	ErrTooManyDocuments = errors.New("account: too many documents today")
)

// TooManyDocumentsError is returned when no more documents may come today.
type TooManyDocumentsError struct {
	RetryAt time.Time // the next London midnight
}

// Error says when to try again.
func (e *TooManyDocumentsError) Error() string {
	return fmt.Sprintf("account: at most %d documents may be uploaded in a day: upload the others from %s on",
		DocumentsPerDay, domain.DateOf(e.RetryAt))
}

// Is makes the error match ErrTooManyDocuments.
func (e *TooManyDocumentsError) Is(target error) bool { return target == ErrTooManyDocuments }

// Open begins an account. The subject is that of the resident who opens it,
// and empty when an operator does.
func Open(s State, p OpenedPersonal) ([]Event, error) {
	switch {
	case s.Opened:
		return nil, ErrAlreadyOpen
	case strings.TrimSpace(p.Name) == "":
		return nil, ErrNoName
	}
	return []Event{AccountOpened{Personal: domain.PersonalOf(p)}}, nil
}

// Invite lets whoever gets the message that is sent with it claim the account.
// The hash is a keyed one of what the message holds. A later invitation takes
// the place of an earlier one.
func Invite(s State, tokenHash string, at time.Time) ([]Event, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	switch {
	case s.Subject != "":
		return nil, ErrOwned
	case s.Email == "":
		return nil, ErrNoEmail
	}
	return []Event{AccountInvited{TokenHash: tokenHash, ExpiresAt: at.Add(InvitationLasts)}}, nil
}

// Claim gives an account that nobody owns to whoever followed its invitation.
// A wrong, an expired and a used invitation are refused in the same way, so
// that trying tells nothing.
func Claim(s State, subject, tokenHash string, at time.Time) ([]Event, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	switch invited := s.Invitation; {
	case subject == "":
		return nil, ErrNoSubject
	case s.Owns(subject):
		return nil, nil
	case s.Subject != "", invited == nil, invited.TokenHash != tokenHash, !at.Before(invited.ExpiresAt):
		return nil, ErrNoInvitation
	}
	return []Event{AccountClaimed{Personal: domain.PersonalOf(ClaimedPersonal{Subject: subject})}}, nil
}

// Change is a wish to change details; what is nil stays as it is.
type Change struct {
	Name  *string
	Email *string
	Phone *string
}

// ChangeDetails gives the details as a whole, because an event must be
// understood alone. It appends also when they stay the same, so that the
// command is in the stream and a repeat of it is known.
func ChangeDetails(s State, c Change) ([]Event, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	p := DetailsPersonal{Name: s.Name, Email: s.Email, Phone: s.Phone}
	if c.Name != nil {
		p.Name = *c.Name
	}
	if c.Email != nil {
		p.Email = *c.Email
	}
	if c.Phone != nil {
		p.Phone = *c.Phone
	}
	if strings.TrimSpace(p.Name) == "" {
		return nil, ErrNoName
	}
	return []Event{AccountDetailsChanged{Personal: domain.PersonalOf(p)}}, nil
}

// Upload records a document. The same bytes again count once, but are recorded
// again, so that the command is in the stream.
func Upload(s State, d DocumentUploaded, at time.Time) ([]Event, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if today := domain.DateOf(at); !s.Has(d.SHA256) && s.countedOn(today) >= DocumentsPerDay {
		return nil, &TooManyDocumentsError{RetryAt: today.AddDays(1).Midnight()}
	}
	return []Event{d}, nil
}

// Drop removes a document that no application names; nothing when it is gone
// already.
func Drop(s State, sha string) ([]Event, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if !s.Has(sha) {
		return nil, nil
	}
	return []Event{DocumentDropped{SHA256: sha}}, nil
}

// Erase records that the person's key was destroyed; nothing when that is
// recorded already.
func Erase(s State, ground string) ([]Event, error) {
	switch {
	case !s.Opened:
		return nil, ErrNotOpen
	case s.Erased:
		return nil, nil
	}
	return []Event{AccountErased{Ground: ground}}, nil
}

// usable says why nothing may be added to the account any more, or yet.
func (s State) usable() error {
	switch {
	case !s.Opened:
		return ErrNotOpen
	case s.Erased || s.KeyGone:
		return ErrErased
	case s.KeyLost:
		return domain.ErrKeyLost
	}
	return nil
}

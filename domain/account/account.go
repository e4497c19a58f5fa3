// Package account is a resident's account: who they are, who may sign in to it
// and which documents were uploaded to it.
//
// An account opened by a resident belongs to the subject that opened it; one
// opened by an operator belongs to nobody until it is claimed. An e-mail
// address that somebody typed binds nothing. The documents themselves, and the
// keys that seal what is personal here, are kept outside the domain.
//
// Begin reading at State.
package account

import (
	"maps"
	"slices"
	"time"

	"permitledger/domain"
)

// Stream names the stream of an account.
func Stream(id domain.AccountID) string { return "account-" + string(id) }

// State is an account as its events made it. The zero State is an account that
// was never opened. Evolve never changes what an earlier State refers to.
type State struct {
	Opened   bool      `json:"opened"`
	OpenedAt time.Time `json:"openedAt,omitzero"`
	Name     string    `json:"name,omitempty"`
	Email    string    `json:"email,omitempty"`
	Phone    string    `json:"phone,omitempty"`
	Subject  string    `json:"subject,omitempty"` // the owner's sign-in; empty: nobody owns it

	// Invitation is the one that may still be followed; nil when there is none.
	Invitation *Invitation `json:"invitation,omitempty"`

	// KeyGone says that some of it could not be read because the person's key
	// is destroyed; Erased that this is recorded. A crash may lie in between.
	// KeyLost says that the vault lacks the key, though nobody destroyed it.
	KeyGone bool `json:"keyGone,omitempty"`
	KeyLost bool `json:"keyLost,omitempty"`
	Erased  bool `json:"erased,omitempty"`

	Documents map[string]Document `json:"documents,omitempty"` // by SHA-256
	Revision  uint64              `json:"revision"`            // of the last event folded
}

// Invitation lets whoever holds its token claim the account, once.
type Invitation struct {
	TokenHash string    `json:"tokenHash"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Document is an uploaded document.
type Document struct {
	Bytes      int64     `json:"bytes"`
	MediaType  string    `json:"mediaType"`
	CountedAt  time.Time `json:"countedAt"`  // when it came first, or came again after it was dropped
	UploadedAt time.Time `json:"uploadedAt"` // when it came last
	Dropped    bool      `json:"dropped,omitempty"`
}

// Evolve folds one event.
func Evolve(s State, e Event, m domain.Meta) State {
	s.Revision = m.Revision
	switch e := e.(type) {
	case AccountOpened:
		p := e.Personal.Value
		s.Opened, s.OpenedAt = true, m.At
		s.Name, s.Email, s.Phone, s.Subject = p.Name, p.Email, p.Phone, p.Subject
		s = s.opened(&e.Personal)
	case AccountInvited:
		s.Invitation = &Invitation{TokenHash: e.TokenHash, ExpiresAt: e.ExpiresAt}
	case AccountClaimed:
		s.Subject, s.Invitation = e.Personal.Value.Subject, nil
		s = s.opened(&e.Personal)
	case AccountDetailsChanged:
		p := e.Personal.Value
		if p.Email != s.Email {
			s.Invitation = nil // it went to an address that is no longer this person's
		}
		s.Name, s.Email, s.Phone = p.Name, p.Email, p.Phone
		s = s.opened(&e.Personal)
	case DocumentUploaded:
		d := Document{Bytes: e.Bytes, MediaType: e.MediaType, CountedAt: m.At, UploadedAt: m.At}
		if old, known := s.Documents[e.SHA256]; known && !old.Dropped {
			d.CountedAt = old.CountedAt
		}
		s.Documents = s.withDocument(e.SHA256, d)
	case DocumentDropped:
		if d, known := s.Documents[e.SHA256]; known {
			d.Dropped = true
			s.Documents = s.withDocument(e.SHA256, d)
		}
	case AccountErased:
		s = s.Erase()
	}
	return s
}

// opened notes whether a personal part could be opened.
func (s State) opened(part domain.PersonalPart) State {
	s.KeyGone, s.KeyLost = s.KeyGone || part.IsErased() && !part.IsLost(), s.KeyLost || part.IsLost()
	return s
}

func (s State) withDocument(sha string, d Document) map[string]Document {
	documents := maps.Clone(s.Documents)
	if documents == nil {
		documents = map[string]Document{}
	}
	documents[sha] = d
	return documents
}

// Erase gives the state as it is once the person's key is destroyed: the same,
// whether the events before were folded with the key or without it.
func (s State) Erase() State {
	return State{Opened: s.Opened, OpenedAt: s.OpenedAt, Erased: true, Revision: s.Revision}
}

// Owns reports whether the account belongs to a sign-in subject.
func (s State) Owns(subject string) bool { return subject != "" && s.Subject == subject }

// Has reports whether a document is in this account now.
func (s State) Has(sha string) bool {
	d, known := s.Documents[sha]
	return known && !d.Dropped
}

// DueToDrop lists the documents that have waited long enough for an
// application to name them, in the order of their hashes. Whether one does is
// for the caller to find out.
func (s State) DueToDrop(now time.Time) []string {
	var due []string
	for sha, d := range s.Documents {
		if !d.Dropped && !now.Before(d.UploadedAt.Add(KeepUnnamed)) {
			due = append(due, sha)
		}
	}
	slices.Sort(due)
	return due
}

// countedOn counts the different documents that came on a London day.
func (s State) countedOn(day domain.Date) int {
	count := 0
	for _, d := range s.Documents {
		if domain.DateOf(d.CountedAt) == day {
			count++
		}
	}
	return count
}

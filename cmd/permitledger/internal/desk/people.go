package desk

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"permitledger/cmd/permitledger/internal/outbox"
	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/eventstore"
)

// Mailer takes messages over. When Send returns nil the message is kept
// durably; the same message again, by its id, is no second one. It is safe
// for concurrent use.
type Mailer interface {
	Send(ctx context.Context, m outbox.Message) error
}

// Invite sends the person behind an account that nobody owns an invitation to
// claim it, to the e-mail address that stands in it.
//
// The token follows from the command and the secret of the keyed hashes, so
// that a repetition after a crash sends the same message; nobody without that
// secret can tell it. The ledger keeps a keyed hash. A message is sent only
// while its invitation still holds.
func (d *Desk) Invite(ctx context.Context, c Call, id domain.AccountID) (Account, error) {
	c = d.dated(c)
	rules, err := d.rulesOn(domain.DateOf(c.At))
	if err != nil {
		return Account{}, err
	}
	token := d.invitationToken(c.ID)
	hash := d.invitationHash(token)
	invited, err := d.changeAccount(ctx, c, id, true, func(s account.State, at time.Time) ([]account.Event, error) {
		return account.Invite(s, hash, at)
	})
	if err != nil {
		return Account{}, err
	}
	now, err := d.Account(ctx, id)
	if err != nil {
		return Account{}, err
	}
	if open := now.State.Invitation; open != nil && open.TokenHash == hash {
		m := outbox.Message{ID: eventstore.DerivedID(c.ID, "invitation"), From: rules.Council.Contact.Email, To: now.State.Email,
			Subject: "Your parking permit account", At: open.ExpiresAt.Add(-account.InvitationLasts),
			Text: invitation(rules.Council.Name, now, token, open.ExpiresAt)}
		if err := d.Mailer.Send(ctx, m); err != nil {
			return Account{}, fmt.Errorf("send the invitation: %w", err)
		}
	}
	return invited, nil
}

// invitation is the letter to somebody who may claim an account.
func invitation(council string, a Account, token string, ends time.Time) string {
	return fmt.Sprintf(`Dear %s,

%s keeps a parking permit account for you. To look after it yourself, sign in
and claim it with these two:

  Account:    %s
  Invitation: %s

The invitation can be used once, until %s. Whoever has it can take over the
account: do not pass it on. If you did not ask for it, you need do nothing.

%s
`, a.State.Name, council, a.ID, token, ends.In(domain.London()).Format("15:04 on 2 January 2006"), council)
}

// ClaimAccount gives an account that nobody owns to the caller, who has its
// invitation. To somebody who has not, an erased account is like any other.
func (d *Desk) ClaimAccount(ctx context.Context, c Call, id domain.AccountID, token string) (Account, error) {
	hash := d.invitationHash(token)
	claimed, err := d.changeAccount(ctx, c, id, true, func(s account.State, at time.Time) ([]account.Event, error) {
		return account.Claim(s, c.Subject, hash, at)
	})
	if errors.Is(err, account.ErrErased) {
		err = account.ErrNoInvitation
	}
	return claimed, err
}

// invitationToken is what an invitation holds: 256 bits that cannot be told
// without the pepper.
func (d *Desk) invitationToken(id domain.CommandID) string {
	mac := hmac.New(sha256.New, d.Pepper)
	mac.Write([]byte("invitation token\n" + string(id)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (d *Desk) invitationHash(token string) string {
	return keyedHash(d.Pepper, "invitation", token)
}

// Looked records that staff looked at a person's record, or at one permit of
// theirs: once for each of the staff, in each role, for each thing and London
// day, however often they look. What cannot be recorded must not be shown.
func (d *Desk) Looked(ctx context.Context, c Call, id domain.AccountID, permit domain.PermitID, what string) error {
	day := domain.DateOf(d.Now())
	c.ID = eventstore.CommandID(d.Pepper, c.Subject, "READ", strings.Join([]string{string(c.Role), what, string(id), string(permit)}, "/"), day.String())
	if d.looked.has(day, c.ID) {
		return nil
	}
	if err := d.recordRead(ctx, c, access.RecordRead{Account: id, Permit: permit, What: what}); err != nil {
		return err
	}
	d.looked.add(day, c.ID)
	return nil
}

// Searched records one use of the search: by what people were found, and whose
// records were shown. What was looked for is not kept.
func (d *Desk) Searched(ctx context.Context, c Call, by []string, shown []domain.AccountID) error {
	_, err := eventstore.Handle(ctx, d.Ledger, access.SearchStream(string(c.ID)), reads, d.command(c, ""),
		func(struct{}, time.Time) ([]access.Event, error) {
			return []access.Event{access.PeopleSearched{By: by, Shown: shown}}, nil
		})
	if err != nil {
		return fmt.Errorf("record the search: %w", err)
	}
	return nil
}

// mostLooked bounds what is remembered of a day.
const mostLooked = 20_000

// lookedToday remembers which reads of a day are in the ledger already, so
// that looking again does not read the person's stream. It may forget.
type lookedToday struct {
	mu   sync.Mutex // guards what follows
	day  domain.Date
	done map[domain.CommandID]bool
}

func (l *lookedToday) has(day domain.Date, id domain.CommandID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.day == day && l.done[id]
}

func (l *lookedToday) add(day domain.Date, id domain.CommandID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.day != day || len(l.done) >= mostLooked {
		l.day, l.done = day, make(map[domain.CommandID]bool)
	}
	l.done[id] = true
}

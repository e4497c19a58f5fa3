package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/domain/account"
	"permitledger/eventstore"
)

// OpenAccount opens an account. A resident's own belongs to them; one that an
// operator opens belongs to nobody until it is claimed.
func (d *Desk) OpenAccount(ctx context.Context, c Call, details Details) (Account, error) {
	id := domain.AccountID(eventstore.DerivedID(c.ID, "account"))
	subject := ""
	if c.Role == domain.RoleResident {
		subject = c.Subject
	}
	return d.changeAccount(ctx, c, id, false, func(s account.State, at time.Time) ([]account.Event, error) {
		return account.Open(s, account.OpenedPersonal{Name: text(details.Name), Email: text(details.Email),
			Phone: text(details.Phone), Subject: subject})
	})
}

// ChangeDetails changes what is given and leaves the rest.
func (d *Desk) ChangeDetails(ctx context.Context, c Call, id domain.AccountID, details Details) (Account, error) {
	return d.changeAccount(ctx, c, id, true, func(s account.State, at time.Time) ([]account.Event, error) {
		return account.ChangeDetails(s, account.Change{Name: details.Name, Email: details.Email, Phone: details.Phone})
	})
}

// Upload takes a document for an account: sealed and on disk first, then in
// the ledger.
func (d *Desk) Upload(ctx context.Context, c Call, id domain.AccountID, mediaType string, body []byte) (Upload, error) {
	var up Upload
	out, err := d.changeAccount(ctx, c, id, true, func(s account.State, at time.Time) ([]account.Event, error) {
		events, err := account.Upload(s, account.DocumentUploaded{SHA256: documents.Sum(body), Bytes: int64(len(body)), MediaType: mediaType}, at)
		if err != nil {
			return nil, err
		}
		if _, err := d.Documents.Put(id, body); err != nil {
			return nil, err
		}
		return events, nil
	})
	if err != nil {
		return up, err
	}
	return Upload{SHA256: documents.Sum(body), Bytes: int64(len(body)), MediaType: mediaType,
		Revision: out.Revision, Position: out.Position}, nil
}

// Document gives a document as it was received, and records who read it.
func (d *Desk) Document(ctx context.Context, c Call, id domain.AccountID, sum string) (Document, error) {
	acc, err := d.Account(ctx, id)
	if err != nil {
		return Document{}, err
	}
	if !acc.State.Has(sum) {
		return Document{}, ErrNotFound
	}
	body, err := d.Documents.Get(id, sum)
	if errors.Is(err, documents.ErrNotFound) {
		return Document{}, d.gone(ctx, id, sum)
	}
	if err != nil {
		return Document{}, err
	}
	read := access.RecordRead{Account: id, What: access.ReadDocument, SHA256: sum}
	if err := d.recordRead(ctx, c, read); err != nil {
		return Document{}, err
	}
	return Document{MediaType: acc.State.Documents[sum].MediaType, Body: body}, nil
}

// gone says why the file of a document that the account had is not here: it was
// dropped or erased meanwhile, or it is lost.
func (d *Desk) gone(ctx context.Context, id domain.AccountID, sum string) error {
	acc, err := d.Account(ctx, id)
	switch {
	case err != nil:
		return err
	case acc.State.Has(sum) && !acc.State.KeyGone:
		return ErrDocumentLost
	}
	return ErrNotFound
}

// recordRead writes down that a person's record was read. What cannot be
// recorded is not shown.
func (d *Desk) recordRead(ctx context.Context, c Call, read access.RecordRead) error {
	_, err := eventstore.Handle(ctx, d.Ledger, access.Stream(read.Account), reads, d.command(c, read.Account),
		func(struct{}, time.Time) ([]access.Event, error) { return []access.Event{read}, nil })
	if err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	return nil
}

// Account folds an account, or answers ErrNotFound.
func (d *Desk) Account(ctx context.Context, id domain.AccountID) (Account, error) {
	l, err := eventstore.Load(ctx, d.Ledger, account.Stream(id), accounts)
	if err != nil {
		return Account{}, err
	}
	if l.Revision < 0 {
		return Account{}, ErrNotFound
	}
	return Account{ID: id, State: l.State, Revision: uint64(l.Revision)}, nil
}

func (d *Desk) changeAccount(ctx context.Context, c Call, id domain.AccountID, exists bool,
	decide func(account.State, time.Time) ([]account.Event, error)) (Account, error) {
	cmd := d.command(c, id)
	cmd.MustExist = exists
	out, err := eventstore.Handle(ctx, d.Ledger, account.Stream(id), accounts, cmd, decide)
	if err != nil {
		return Account{}, asNotFound(err)
	}
	return Account{ID: id, State: out.State, Revision: uint64(out.Revision), Position: out.Position}, nil
}

// DropDocument removes a document that no application named in time. The
// bytes go first: a crash in between leaves a document that is named as held
// and is not there, which the next attempt mends.
//
// The timer only says when to look: a document that came again since it was
// set has its time from then on, and is left alone.
func (d *Desk) DropDocument(ctx context.Context, c Call, id domain.AccountID, sum string) (eventstore.Position, error) {
	c = d.dated(c)
	acc, err := d.Account(ctx, id)
	if err != nil {
		return 0, err
	}
	if acc.State.Has(sum) && !slices.Contains(acc.State.DueToDrop(c.At), sum) {
		return 0, nil
	}
	if d.Documents.Kept(id, sum) {
		return 0, nil // an event that the log has lost named it, perhaps
	}
	if err := d.Documents.Drop(id, sum); err != nil {
		return 0, err
	}
	out, err := d.changeAccount(ctx, c, id, true, func(s account.State, _ time.Time) ([]account.Event, error) {
		return account.Drop(s, sum)
	})
	return out.Position, err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

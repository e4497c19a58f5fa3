package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore/bare"
	"permitledger/eventstore/vault"
)

// until is where the seeded history ends.
var until = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// ledgerSide is a whole ledger with a seeded history, as the program runs it.
type ledgerSide struct {
	*service.Service
	dir     string
	town    fs.FS // the council's folder, with houses enough
	permits int
	events  int
	owners  []owner
	client  *bare.Client // the official client, to the ledger's node
	keys    *vault.Vault // what the ledger's personal parts are sealed with
}

// owner is a resident with a token.
type owner struct {
	account domain.AccountID
	subject string
	token   string
}

// seeded gives the ledger to measure, which is made on first use.
func (b *bench) seeded(ctx context.Context) (*ledgerSide, error) {
	if b.ledger != nil {
		return b.ledger, nil
	}
	dir, err := b.folder("ledger")
	if err != nil {
		return nil, err
	}
	l := &ledgerSide{dir: dir, permits: b.Permits}
	if l.town, err = council.Town(demo.HousesFor(b.Permits)); err != nil {
		return nil, err
	}
	if err := b.seed(ctx, l); err != nil {
		return nil, err
	}
	// It is opened again: the owners have tokens now, and what is measured is
	// a service at rest, not one that has just written all this.
	grants := make([]api.Grant, len(l.owners))
	for i, o := range l.owners {
		grants[i] = api.Grant{Token: o.token, Subject: o.subject, Role: domain.RoleResident}
	}
	tokens, err := api.NewTokens(grants...)
	if err != nil {
		return nil, err
	}
	if err := b.open(ctx, l, until, tokens, false); err != nil {
		return nil, err
	}
	b.onClose(l.Close)
	if err := l.CatchUp(ctx); err != nil {
		return nil, err
	}
	if l.client, err = bare.Connect("", service.Socket(dir)); err != nil {
		return nil, err
	}
	b.onClose(l.client.Close)
	if l.keys, err = vault.OpenReadOnly(filepath.Join(dir, folder.Keep)); err != nil {
		return nil, err
	}
	b.onClose(l.keys.Close)
	b.ledger = l
	return l, nil
}

func (b *bench) open(ctx context.Context, l *ledgerSide, clock time.Time, tokens api.Tokens, seeding bool) (err error) {
	l.Service, err = service.Open(ctx, service.Config{Data: l.dir, Listen: "127.0.0.1:0", Tokens: tokens,
		Council: l.town, DemoClock: clock, HoldTimers: true, HoldModels: seeding})
	return err
}

// seed tells a history through the desk, and notes who it is about.
func (b *bench) seed(ctx context.Context, l *ledgerSide) (err error) {
	if err := b.open(ctx, l, demo.Start(until), api.Tokens{}, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	told := time.Now()
	_, err = demo.Seed(ctx, demo.Config{Desk: l.Desk, Permits: b.Permits, Seed: 1, Until: until,
		Walk: func(ctx context.Context, to time.Time) error {
			_, err := l.Timekeeper.Walk(ctx, to)
			return err
		},
		Instruct: l.InstructProvider,
		Progress: func(done, total int) {
			if time.Since(told) > time.Second {
				told = time.Now()
				b.Progress(fmt.Sprintf("seeding a ledger of %d permits: %d of %d steps", b.Permits, done, total))
			}
		},
	})
	if err != nil {
		return fmt.Errorf("seed a ledger: %w", err)
	}
	return l.meet(ctx)
}

// meet finds the accounts that belong to somebody.
func (l *ledgerSide) meet(ctx context.Context) error {
	for r, err := range l.Ledger.Store().ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		l.events++
		if r.Type != account.TypeAccountOpened {
			continue
		}
		e, err := l.Ledger.Codec().Decode(r)
		if err != nil {
			return err
		}
		if opened, ok := e.Body.(account.AccountOpened); ok && opened.Personal.Value.Subject != "" {
			l.owners = append(l.owners, owner{domain.AccountID(r.Stream[len("account-"):]),
				opened.Personal.Value.Subject, "bench-" + strconv.Itoa(len(l.owners))})
		}
	}
	return nil
}

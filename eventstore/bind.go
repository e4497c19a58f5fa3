package eventstore

import (
	"context"
	"time"

	"permitledger/domain"
	"permitledger/domain/ledger"
)

// vaultBinding folds the vault's stream to the id of the vault that the log
// belongs to.
var vaultBinding = Aggregate[string, ledger.Event]{
	Evolve: func(vault string, e ledger.Event, _ Envelope) string {
		if bound, ok := e.(ledger.VaultBound); ok {
			return bound.Vault
		}
		return vault
	},
}

// CheckVault reads which vault the log names, and writes nothing. A log that
// names none is no error: bound is false then. A *ForeignVaultError says that
// this log and this vault do not belong together.
func CheckVault(ctx context.Context, l *Ledger, vaultID string) (bound bool, err error) {
	loaded, err := Load(ctx, l, ledger.VaultStream, vaultBinding)
	switch {
	case err != nil:
		return false, err
	case loaded.State == "":
		return false, nil
	case loaded.State != vaultID:
		return false, &ForeignVaultError{Log: loaded.State, Here: vaultID}
	}
	return true, nil
}

// BindVault ties the log to the vault whose keys seal its personal parts, at
// the first start, and from then on only checks it. A *ForeignVaultError says
// that this log and this vault do not go together: after a wrong restore, or
// because another primary was first. Of two that start at once on an empty
// log the expected revision lets one win.
func BindVault(ctx context.Context, l *Ledger, vaultID string, now time.Time) error {
	cmd := Command{
		ID:    domain.CommandID(DerivedID("", "bind vault "+vaultID)),
		Actor: domain.System(),
		Now:   now,
	}
	out, err := Handle(ctx, l, ledger.VaultStream, vaultBinding, cmd, func(bound string, _ time.Time) ([]ledger.Event, error) {
		if bound != "" {
			return nil, nil
		}
		return []ledger.Event{ledger.VaultBound{Vault: vaultID}}, nil
	})
	if err != nil {
		return err
	}
	if out.State != vaultID {
		return &ForeignVaultError{Log: out.State, Here: vaultID}
	}
	return nil
}

// RecordSetBack writes down, once for each event known, that the log lacks it
// and what came after the number at which both were the same.
func RecordSetBack(ctx context.Context, l *Ledger, known Place, agreed uint64, now time.Time) error {
	cmd := Command{ID: domain.CommandID(DerivedID("", "log set back "+known.ID)), Actor: domain.System(), Now: now}
	fact := ledger.LogSetBack{Known: known.Ledger, KnownID: domain.EventID(known.ID), Agreed: agreed}
	_, err := Handle(ctx, l, ledger.VaultStream, vaultBinding, cmd, func(string, time.Time) ([]ledger.Event, error) {
		return []ledger.Event{fact}, nil
	})
	return err
}

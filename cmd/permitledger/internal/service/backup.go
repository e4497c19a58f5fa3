package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"permitledger/cmd/permitledger/internal/backup"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/vault"
	"permitledger/projections/audit"
)

// backupWait is how long a backup waits for the ledger number of the head
// before it does without.
const backupWait = 10 * time.Second

// errEmptyLog is returned for a folder with keys of a ledger whose log lies
// elsewhere, and with a log in which nothing was ever written.
var errEmptyLog = errors.New("its log is empty, but the keys belong to a ledger with a history; " +
	"if the ledger has an event store of its own, remove the empty folder log and back up again: the keys are then copied alone")

// Backup copies the data folder into an empty folder while the service goes
// on. Every command that was acknowledged before it was called is in the copy.
func (s *Service) Backup(ctx context.Context, dir string) (backup.Manifest, error) {
	src := backup.Source{Data: s.cfg.Data, Vault: s.vault.ID(), Head: s.head, Keys: s.vault.Snapshot, Provider: s.provider.Snapshot}
	if s.node != nil {
		src.Log = s.node.Checkpoint
	}
	began := time.Now()
	m, err := backup.Take(ctx, dir, src, began)
	if err != nil {
		return m, err
	}
	s.cfg.Logger.Info("backup taken", "files", len(m.Files), "bytes", m.Bytes(), "ledger", m.Head.Number, "took", time.Since(began))
	return m, nil
}

// head is a place in history that has been reached. The audit model counts the
// events; when it is stopped the position alone has to do.
func (s *Service) head(ctx context.Context) (backup.Head, error) {
	position, err := s.Ledger.Store().Head(ctx)
	if err != nil {
		return backup.Head{}, fmt.Errorf("find the end of the log: %w", err)
	}
	index := s.Runner.Projection(audit.Name)
	wait, cancel := context.WithTimeout(ctx, backupWait)
	defer cancel()
	if index.WaitFor(wait, position) != nil {
		return backup.Head{Position: position.String()}, ctx.Err()
	}
	reached := index.Status()
	return backup.Head{Position: reached.Position.String(), Number: reached.Ledger}, nil
}

// BackupStopped copies a data folder on which no service runs, and keeps one
// from starting meanwhile. It reads the whole log, so that the copy is known
// to be readable.
func BackupStopped(ctx context.Context, data, dir string, logger *slog.Logger) (m backup.Manifest, err error) {
	if err := folder.Check(data); err != nil {
		return m, err
	}
	keys, err := vault.Open(filepath.Join(data, folder.Keep))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	src := backup.Source{Data: data, Vault: keys.ID(), Keys: keys.Snapshot,
		Head: func(context.Context) (backup.Head, error) { return backup.Head{}, nil }}
	if there(filepath.Join(data, folder.Log)) {
		n, err := node.Open(ctx, node.Options{Dir: filepath.Join(data, folder.Log), Socket: Socket(data),
			Protect: eventstore.IsLedgerStream, Logger: logger})
		if err != nil {
			return m, fmt.Errorf("start the embedded node: %w", err)
		}
		defer func() { err = errors.Join(err, n.Close()) }()
		src.Log = n.Checkpoint
		src.Head = func(ctx context.Context) (backup.Head, error) { return countLedger(ctx, n.Socket(), data) }
	}
	if path := filepath.Join(data, folder.Provider); there(path) {
		provider, err := payments.Open(path)
		if err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, provider.Close()) }()
		src.Provider = provider.Snapshot
	}
	return backup.Take(ctx, dir, src, time.Now())
}

// BackupLog copies the log of a node that runs by itself, while it goes on.
// Every event that was acknowledged before it was called is in the copy.
func BackupLog(ctx context.Context, n *node.Node, dir, to string, logger *slog.Logger) (backup.Manifest, error) {
	began := time.Now()
	m, err := backup.Take(ctx, to, backup.Source{Data: dir, Log: n.Checkpoint, Head: func(ctx context.Context) (head backup.Head, err error) {
		store, err := eventstore.Connect(eventstore.Config{Socket: n.Socket()})
		if err != nil {
			return head, err
		}
		defer store.Close()
		end, err := store.Verbatim().Head(ctx)
		return backup.Head{Position: end.String()}, err
	}}, began)
	if err == nil {
		logger.Info("backup taken", "files", len(m.Files), "bytes", m.Bytes(), "position", m.Head.Position, "took", time.Since(began))
	}
	return m, err
}

// BackupLogStopped copies a log on which no node runs, and keeps one from
// starting meanwhile. It reads the whole log.
func BackupLogStopped(ctx context.Context, dir, to string, logger *slog.Logger) (m backup.Manifest, err error) {
	if err := folder.CheckLog(dir); err != nil {
		return m, err
	}
	n, err := node.Open(ctx, node.Options{Dir: dir, Socket: Socket(dir), Logger: logger})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	return backup.Take(ctx, to, backup.Source{Data: dir, Log: n.Checkpoint,
		Head: func(ctx context.Context) (backup.Head, error) { return count(ctx, n.Socket()) }}, time.Now())
}

// countLedger reads the log of a data folder to its end, and refuses one in
// which nothing lies of the ledger that the keys belong to: the backup would
// say that it has the log.
func countLedger(ctx context.Context, socket, data string) (backup.Head, error) {
	head, err := count(ctx, socket)
	if err != nil || head.Number > 0 {
		return head, err
	}
	known, err := hasHistory(data)
	if err == nil && known {
		err = errEmptyLog
	}
	return head, err
}

// count reads the log to its end.
func count(ctx context.Context, socket string) (head backup.Head, err error) {
	store, err := eventstore.Connect(eventstore.Config{Socket: socket})
	if err != nil {
		return head, err
	}
	defer store.Close()
	head.Position = eventstore.Position(0).String()
	for r, err := range store.Verbatim().ReadAll(ctx, 0) {
		if err != nil {
			return head, fmt.Errorf("read the log: %w", err)
		}
		head.Position = r.Position.String()
		if eventstore.IsLedgerStream(r.Stream) {
			head.Number++
		}
	}
	return head, nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"permitledger/cmd/permitledger/internal/admin"
	"permitledger/cmd/permitledger/internal/backup"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
)

// What is left of a backup and of a restore that were interrupted.
const (
	noBackup     = "there is no backup; take it again"
	halfRestored = "empty the folder and restore again"
)

type backupCommand struct {
	Dir  string `arg:"" help:"Folder for the backup; it must be empty or not there yet, and is best on another disk." type:"path"`
	Data string `help:"Data folder of the ledger. A service that runs there makes the copy itself and goes on meanwhile." default:"./data" type:"path"`
}

// Run takes a backup through the running service, or of the folder itself.
func (c backupCommand) Run(p *program) error {
	if !folder.HasLedger(c.Data) {
		return fmt.Errorf("%s: %w", c.Data, errNoLedger)
	}
	return p.takeBackup(c.Data, c.Dir, service.BackupStopped)
}

// takeBackup has the process that runs on a folder make a backup of it, or
// makes it itself where none runs.
func (p *program) takeBackup(data, dir string, stopped func(ctx context.Context, data, dir string, logger *slog.Logger) (backup.Manifest, error)) error {
	began := time.Now()
	var m backup.Manifest
	err := admin.Ask(p.ctx, data, backup.Route, backup.Request{Dir: dir}, &m)
	if errors.Is(err, admin.ErrNotRunning) {
		m, err = stopped(p.ctx, data, dir, p.logger)
	}
	if err != nil {
		return p.unfinished(err, noBackup)
	}
	if !m.Log {
		fmt.Fprintln(p.stderr, "The log is on a server of its own and is NOT in this backup: it needs one there, taken before this one.")
	}
	fmt.Fprintf(p.stderr, "Backed up in %.1f s into %s:\n", time.Since(began).Seconds(), dir)
	describe(p, m)
	return nil
}

type restoreCommand struct {
	Backup string `arg:"" help:"Folder that holds the backup." type:"path"`
	Data   string `help:"Data folder to make; it must be empty or not there yet." required:"" type:"path"`
}

// Run brings a backup back.
func (c restoreCommand) Run(p *program) error {
	m, err := backup.Restore(p.ctx, c.Backup, c.Data)
	if err != nil {
		return p.unfinished(err, halfRestored)
	}
	fmt.Fprintf(p.stderr, "Restored into %s, every file checked:\n", c.Data)
	describe(p, m)
	fmt.Fprintf(p.stderr, "Start `permitledger serve --data %s`: it makes the read models again, and does again what was erased.\n", c.Data)
	return nil
}

// describe prints what a backup holds for people and, as its last event's
// number, for programs; of a log alone as that event's position.
func describe(p *program, m backup.Manifest) {
	fmt.Fprintf(p.stderr, "  taken   %s\n", m.Taken.Format(time.RFC3339))
	if m.Vault != "" {
		fmt.Fprintf(p.stderr, "  vault   %s\n", m.Vault)
	}
	fmt.Fprintf(p.stderr, "  files   %d with %.1f MB\n", len(m.Files), float64(m.Bytes())/1e6)
	switch {
	case m.Vault == "":
		fmt.Fprintf(p.stderr, "  log     every event up to position %s\n", m.Head.Position)
		fmt.Fprintln(p.stdout, m.Head.Position)
	case m.Log:
		fmt.Fprintf(p.stderr, "  ledger  every event up to number %d (position %s)\n", m.Head.Number, m.Head.Position)
		fmt.Fprintln(p.stdout, m.Head.Number)
	}
}

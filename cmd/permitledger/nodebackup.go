package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"permitledger/cmd/permitledger/internal/backup"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore/node"
)

// errNoLog is returned for a folder in which no node has ever kept a log.
var errNoLog = errors.New("there is no log here; name the folder of one with --data")

type nodeBackupCommand struct {
	Dir  string `arg:"" help:"Folder for the backup; it must be empty or not there yet, and is best on another disk." type:"path"`
	Data string `help:"Folder of the log. A node that runs there makes the copy itself and goes on meanwhile." default:"./data/log" type:"path"`
}

// Help is what --help says beside the flags.
func (nodeBackupCommand) Help() string {
	return "It is for a node that runs by itself: the log of a ledger is in permitledger backup, together with its keys. " +
		"On stdout it prints the position up to which everything is certainly in the copy."
}

// Run takes a backup through the running node, or of the folder itself.
func (c nodeBackupCommand) Run(p *program) error {
	if folder.HasLedger(c.Data) {
		return fmt.Errorf("%s is the data folder of a ledger; permitledger backup --data %[1]s copies its log together with its keys", c.Data)
	}
	there, err := node.Exists(c.Data)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%s: %w", c.Data, errNoLog)
	}
	if err := folder.CheckSockets(c.Data); err != nil {
		return err
	}
	if parent := filepath.Dir(c.Data); filepath.Base(c.Data) == folder.Log && answers(filepath.Join(parent, folder.AdminSocket)) {
		return fmt.Errorf("this is the log of the ledger in %s, on which a service runs; permitledger backup --data %[1]s copies it with its keys", parent)
	}
	return p.takeBackup(c.Data, c.Dir, service.BackupLogStopped)
}

type nodeRestoreCommand struct {
	Backup string `arg:"" help:"Folder that holds the backup, made with permitledger node backup." type:"path"`
	Data   string `help:"Folder of the log to make; it must be empty or not there yet." required:"" type:"path"`
}

// Run brings a backup back.
func (c nodeRestoreCommand) Run(p *program) error {
	m, err := backup.RestoreLog(p.ctx, c.Backup, c.Data)
	if err != nil {
		return p.unfinished(err, halfRestored)
	}
	fmt.Fprintf(p.stderr, "Restored into %s, every file checked:\n", c.Data)
	describe(p, m)
	fmt.Fprintf(p.stderr, "Start permitledger node --data %s.\n", c.Data)
	return nil
}

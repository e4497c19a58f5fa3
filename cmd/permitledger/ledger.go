package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/vault"
)

// ledgerFlags say which ledger a sub-command reads.
type ledgerFlags struct {
	Data        string `help:"Folder of the ledger. A service that runs there is asked; otherwise the folder is opened." default:"./data" type:"path"`
	EventStore  string `name:"eventstore" help:"Connection string of the event store when it is not the embedded one; the keys are still under --data."`
	Credentials string `name:"eventstore-credentials-file" help:"File with one line user:password for --eventstore, readable by its owner only, so that they need not stand in the connection string." type:"path"`
}

// openedLedger is a ledger opened for reading.
type openedLedger struct {
	ledger  *eventstore.Ledger
	closers []func() error
}

func (l *openedLedger) close() {
	for i := len(l.closers) - 1; i >= 0; i-- {
		_ = l.closers[i]() // only read from: nothing can be lost
	}
}

// connection is the connection string with the credentials in it.
func (f ledgerFlags) connection() (string, error) {
	return eventstore.WithCredentials(f.EventStore, f.Credentials)
}

// connect reaches the event store that is named, and needs no keys.
func (f ledgerFlags) connect(p *program) (*eventstore.Store, error) {
	connection, err := f.connection()
	if err != nil {
		return nil, err
	}
	return eventstore.Connect(eventstore.Config{ConnectionString: connection, Logger: p.logger})
}

// open reaches the ledger through the service that runs on the folder, or
// opens the folder itself when none does.
func (f ledgerFlags) open(p *program) (_ *openedLedger, err error) {
	if _, err := os.Stat(filepath.Join(f.Data, folder.Keep)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Data, errNoLedger)
	}
	if err := folder.Check(f.Data); err != nil {
		return nil, err
	}
	connection, err := f.connection()
	if err != nil {
		return nil, err
	}
	l := &openedLedger{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	keys, err := vault.OpenReadOnly(filepath.Join(f.Data, folder.Keep))
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, keys.Close)
	if connection == "" {
		if err := service.CheckLogKept(f.Data); err != nil {
			return nil, err
		}
	}
	store, err := l.connect(p, eventstore.Config{ConnectionString: connection}, f.Data, filepath.Join(f.Data, folder.Log))
	if err != nil {
		return nil, err
	}
	if err := service.CheckLogThere(p.ctx, store, f.Data); err != nil {
		return nil, err
	}
	l.ledger = eventstore.NewLedger(store, eventstore.NewCodec(keys))
	return l, nil
}

// connect reaches a log: where the connection string says, or else through the
// node that runs on a folder, or by opening the log in dir when none does.
func (l *openedLedger) connect(p *program, cfg eventstore.Config, data, dir string) (*eventstore.Store, error) {
	cfg.Logger = p.logger
	if cfg.ConnectionString == "" {
		cfg.Socket = service.Socket(data)
		if !answers(cfg.Socket) {
			n, err := node.Open(p.ctx, node.Options{Dir: dir, Socket: cfg.Socket, Protect: eventstore.IsLedgerStream, Logger: p.logger})
			if err != nil {
				return nil, err
			}
			l.closers = append(l.closers, n.Close)
		}
	}
	store, err := eventstore.Connect(cfg)
	if err == nil {
		l.closers = append(l.closers, store.Close)
	}
	return store, err
}

// answers reports whether a service listens on the socket.
func answers(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

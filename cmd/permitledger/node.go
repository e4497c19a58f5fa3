package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"

	"permitledger/cmd/permitledger/internal/admin"
	"permitledger/cmd/permitledger/internal/backup"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore/node"
)

// nodeCommand is the embedded node by itself. Without a sub-command it serves.
type nodeCommand struct {
	Serve   nodeServeCommand   `cmd:"" default:"withargs" help:"Run only the embedded EventStoreDB-compatible node, for other programs and tests. The same without the word serve: permitledger node [--listen ADDR] [--data DIR]."`
	Backup  nodeBackupCommand  `cmd:"" help:"Copy the log of a node, also while the node runs and goes on."`
	Restore nodeRestoreCommand `cmd:"" help:"Bring the backup of a log back into an empty folder."`
	Copy    nodeCopyCommand    `cmd:"" help:"Copy a whole log into another event store that is empty, and verify that both are the same."`

	Check nodeCheckCommand `cmd:"" help:"Hold a server to every rule that the ledger leans on, before it goes live."`
	User  nodeUserCommand  `cmd:"" help:"Make a line of the users file, for a user who may call the node, or disable and enable a user there. The password comes on stdin and is kept as a hash. A node that runs reads the file again at SIGHUP."`
}

type nodeServeCommand struct {
	Listen string `help:"TCP address to listen on. One that other machines reach needs --tls-cert, --tls-key and --users." default:"127.0.0.1:2113"`
	Data   string `help:"Folder of the log." default:"./data/log" type:"path"`
	nodeAccess
}

// Run serves the node until the program is told to stop.
func (c nodeServeCommand) Run(p *program) error {
	if err := folder.CheckLog(c.Data); err != nil {
		return err
	}
	if folder.HasLedger(c.Data) {
		return fmt.Errorf("%s is the data folder of a ledger; its log, if it has one of its own, is %s: name that with --data", c.Data, filepath.Join(c.Data, folder.Log))
	}
	if answers(filepath.Join(c.Data, folder.AdminSocket)) {
		return fmt.Errorf("a node runs on %s already; stop that one first, or give another --data", c.Data)
	}
	if err := folder.CheckRoom(c.Data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o := c.secure(node.Options{Dir: c.Data, Listen: c.Listen, Logger: p.logger})
	tooLong := folder.CheckSockets(c.Data)
	if tooLong == nil {
		o.Socket = service.Socket(c.Data)
	}
	n, err := node.Open(p.ctx, o)
	if err != nil {
		return err
	}
	stop := func() error { return nil }
	if tooLong == nil {
		stop, err = admin.Serve(c.Data, c.adminRoutes(p, n), p.logger)
	} else {
		p.logger.Warn("other commands cannot reach this node through its folder, so there is no backup while it runs", "because", tooLong)
	}
	if err != nil {
		return errors.Join(err, n.Close())
	}
	deaf := onHangup(func() { reloadUsers(p, n) })
	fmt.Fprintln(p.stdout, n.ConnectionString())
	<-p.ctx.Done()
	deaf()
	return errors.Join(stop(), n.Close())
}

// reloadUsers has a node read its users file again.
func reloadUsers(p *program, n *node.Node) {
	if err := n.ReloadUsers(); err != nil {
		p.logger.Error("the users file cannot be read", "error", err)
	}
}

// adminRoutes is what the running node does for other commands.
func (c nodeServeCommand) adminRoutes(p *program, n *node.Node) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+backup.Route, admin.Handle(func(ctx context.Context, in backup.Request) (any, error) {
		return service.BackupLog(ctx, n, c.Data, in.Dir, p.logger)
	}))
	return mux
}

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

type serveCommand struct{ serveFlags }

// serveFlags are what serve goes by; config check looks at the same.
type serveFlags struct {
	Data       string    `help:"Folder that holds everything: the log, the keys, the read models." default:"./data" type:"path"`
	Listen     string    `help:"Address of the HTTP server." default:"127.0.0.1:8080"`
	EventStore string    `name:"eventstore" help:"Connection string of an EventStoreDB server or cluster (esdb://…) to use instead of the embedded node. One service at a time claims it: a start waits up to 25 s for the answer of another one, and is refused while that one lives."`
	NodeListen string    `help:"TCP address on which the embedded node listens beside its socket. One that other machines reach needs --node-tls-cert, --node-tls-key and --node-users."`
	Tokens     string    `help:"JSON file with a list of {\"token\",\"subject\",\"role\"}; a token may be given as sha256:…. Without it one admin token is made." type:"path"`
	Council    string    `help:"Folder with the council's council.json, policy.json, gazetteer.csv and terms. Default: the built-in sample." type:"existingdir"`
	DemoClock  time.Time `help:"Start a simulated clock at this instant (RFC 3339) or at the last recorded one, if that is later." format:"2006-01-02T15:04:05Z07:00"`

	StoreWait   time.Duration `name:"eventstore-wait" help:"How long to wait for --eventstore at the start." default:"30s"`
	Credentials string        `name:"eventstore-credentials-file" help:"File with one line user:password for --eventstore, readable by its owner only, so that they need not stand in the connection string." type:"path"`

	AcceptLostKeys int           `name:"accept-lost-keys" placeholder:"N" help:"Start although the keep folder lacks N keys and documents that the log uses, N as the refusal names it. They are noted as lost; the data of these persons stays unreadable."`
	AcceptShorter  *uint64       `name:"accept-shorter-log" placeholder:"N" help:"Go on with a log that lacks events which this folder has seen. N is the newest ledger number at which both are the same; the refusal names it."`
	LookAgain      time.Duration `hidden:"" help:"How much later a missing event is looked for again before the log counts as set back."`

	NodeAccess nodeAccess `embed:"" prefix:"node-"`
}

// Run serves until the program is told to stop.
func (c serveCommand) Run(p *program) error {
	hangups := make(chan struct{}, 1)
	deaf := onHangup(func() { // before anything else: SIGHUP must not end a start either
		select {
		case hangups <- struct{}{}:
		default: // a reload is already pending
		}
	})
	defer deaf()
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	s, err := service.Open(p.ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "permitledger serves http://%s/api/v1\n", s.Addr())
	return untilStopped(p.ctx, s, hangups)
}

// untilStopped waits for the end of ctx, or for the service to fail by itself.
// At each hangup the service reloads.
func untilStopped(ctx context.Context, s *service.Service, hangups <-chan struct{}) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Wait() }()
	for {
		select {
		case <-ctx.Done():
			return s.Close()
		case <-failed:
			return s.Close() // with the reason
		case <-hangups:
			s.Reload(ctx)
		}
	}
}

// checkData refuses the folder of a node's log, in which the ledger's files
// would lie among those of the store. It makes nothing.
func (c serveFlags) checkData() error {
	if err := folder.Check(c.Data); err != nil || folder.HasLedger(c.Data) {
		return err
	}
	there, err := node.Exists(c.Data)
	if err == nil && there {
		err = fmt.Errorf("%s is the folder of a node's log and not that of a ledger; give another --data, and --eventstore for a ledger whose log is in that node", c.Data)
	}
	return err
}

func (c serveCommand) config(p *program) (service.Config, error) {
	if err := c.checkData(); err != nil {
		return service.Config{}, err
	}
	if err := folder.Prepare(c.Data); err != nil {
		return service.Config{}, err
	}
	if _, err := eventstore.WithCredentials(c.EventStore, c.Credentials); err != nil {
		return service.Config{}, err
	}
	cfg := service.Config{Data: c.Data, Listen: c.Listen, EventStore: c.EventStore, Credentials: c.Credentials, StoreWait: c.StoreWait, Version: release, Node: c.node(p),
		Council: councilFolder(c.Council), AcceptLostKeys: c.AcceptLostKeys, AcceptShorter: c.AcceptShorter, LookAgain: c.LookAgain, DemoClock: c.DemoClock, Logger: p.logger}
	var err error
	if cfg.ClaimScale, err = claimScale(); err != nil {
		return service.Config{}, err
	}
	if c.Tokens == "" {
		cfg.MakeTokens = func() (api.Tokens, error) { return c.adminToken(p) }
		return cfg, nil
	}
	cfg.Tokens, err = api.ReadTokens(c.Tokens)
	return cfg, err
}

// node is what the embedded node is reached by, beside its socket.
func (c serveFlags) node(p *program) node.Options {
	return c.NodeAccess.secure(node.Options{Listen: c.NodeListen, Logger: p.logger})
}

func councilFolder(dir string) fs.FS {
	if dir == "" {
		return council.Sample()
	}
	return os.DirFS(dir)
}

// adminToken makes an admin token once, shows it once, and keeps it as a hash.
func (c serveCommand) adminToken(p *program) (api.Tokens, error) {
	path := filepath.Join(c.Data, folder.Tokens)
	if _, err := os.Stat(path); err == nil {
		return api.ReadTokens(path)
	}
	token := rand.Text()
	content := api.TokensFile(api.Grant{Token: api.HashToken(token), Subject: "admin", Role: domain.RoleAdmin})
	if err := folder.WriteDurably(path, content); err != nil {
		return api.Tokens{}, fmt.Errorf("keep the admin token's hash: %w", err)
	}
	fmt.Fprintf(p.stderr, "No --tokens given. This admin token is shown once and kept only as a hash in %s:\n%s\n", path, token)
	return api.ReadTokens(path)
}

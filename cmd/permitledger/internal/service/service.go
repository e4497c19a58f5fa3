// Package service builds the whole program out of its parts: the embedded
// node or a connection to a server, the vault, the desk, the read models, the
// timekeeper and the HTTP server. Commands and tests build the same struct.
//
// Begin reading at Open; the order in which things are opened there is the
// order in which they need each other, and Close goes back the same way.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"permitledger/cmd/permitledger/internal/admin"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/cmd/permitledger/internal/outbox"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
	"permitledger/eventstore/vault"
	"permitledger/projections"
	"permitledger/projections/access"
	"permitledger/projections/accounts"
	"permitledger/projections/audit"
	"permitledger/projections/due"
	"permitledger/projections/reviews"
	"permitledger/projections/search"
	"permitledger/projections/streams"
)

// Config is what an operator chooses.
type Config struct {
	// Data is the folder that holds everything: the log of the embedded node
	// (log), what cannot be rebuilt (keep) and the read models (projections).
	Data string
	// EventStore is the connection string of an EventStoreDB server or
	// cluster. Empty starts the embedded node on a unix socket under Data.
	EventStore string
	// Credentials is a file with one line user:password for EventStore. It is
	// read again by Reload, and once the server refuses what it held.
	Credentials string
	// StoreWait is how long a start waits for that server. Zero is 30 s.
	StoreWait time.Duration
	// AcceptLostKeys is how many lost keys and documents a start may note and go
	// on without. Zero accepts none.
	AcceptLostKeys int
	// Version is the version of the program, by which a claim on EventStore is
	// described to operators.
	Version string
	// ClaimScale shortens the times of that claim, for tests. Zero is full length.
	ClaimScale float64
	// Node says how the embedded node is reached by TCP beside its socket, and
	// by whom. Without an address in Listen it is not.
	Node node.Options
	// Listen is the address of the HTTP server; port 0 takes any free one.
	Listen string
	// Tokens says who may call.
	Tokens api.Tokens
	// MakeTokens gives the tokens instead, when the data folder is this
	// process's alone and all else has started. Nil: Tokens are there already.
	MakeTokens func() (api.Tokens, error)
	// Council is the folder with the council's policy, tariff, terms and
	// gazetteer. What is new in it is published when the service starts.
	Council fs.FS
	// DemoClock is the instant at which a simulated clock starts. Zero is the
	// machine's clock. It cannot go with EventStore: a shared log has one time.
	DemoClock time.Time
	// HoldTimers leaves it to StartTimers when what falls due is done by
	// itself, and what has to be done at once. Until then only walks of the
	// simulated clock do it: for a seeding that shall give the same history
	// every time.
	HoldTimers bool
	// HoldModels leaves it to FollowModels when the read models are brought up
	// to date, but for that of what falls due. Until then they show what they
	// showed at the start, and /readyz says so: for a seeding, too.
	HoldModels bool
	// AcceptShorter accepts a log that lacks events which this folder has seen,
	// where the number is the newest at which both are the same. Nil accepts none.
	AcceptShorter *uint64
	// LookAgain is how much later a missing event is looked for once more before
	// the log counts as set back. Zero is known.LookAgain; tests scale it.
	LookAgain time.Duration
	// Logger gets what an operator should know, never personal data.
	Logger *slog.Logger
}

// Service is the running program.
type Service struct {
	Desk       *desk.Desk
	Runner     *projections.Runner
	Timekeeper *reactors.Timekeeper
	Ledger     *eventstore.Ledger
	Registry   *prometheus.Registry
	// StartTimers is to be called once, and only with Config.HoldTimers.
	StartTimers func()
	// FollowModels is to be called once, and only with Config.HoldModels.
	FollowModels func()

	cfg        Config
	clock      desk.Clock
	simulated  *clock.Simulated // nil with the machine's clock
	vault      *vault.Vault
	seen       *seen
	whole      *known.Watch
	papers     *documents.Store
	losses     lossReport
	node       *node.Node // nil with a server of its own
	provider   *payments.Simulator
	reactor    *reactors.Settlements
	listener   net.Listener
	http       *http.Server
	closers    []func() error // undone last to first
	stop       context.CancelFunc
	running    *errgroup.Group
	runCtx     context.Context   // done when the service stops, or a part of it has failed
	claim      *eventstore.Claim // nil with the embedded node
	unanswered bool              // requests were still at work when the service closed
}

// Open starts everything and returns when requests are served. Read models
// may still be catching up then; /readyz tells. The context bounds the start
// only.
func Open(ctx context.Context, cfg Config) (_ *Service, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if !cfg.DemoClock.IsZero() && cfg.EventStore != "" {
		return nil, errors.New("a simulated clock cannot be used on a shared event store; leave out --demo-clock or --eventstore")
	}
	s := &Service{cfg: cfg, Registry: newRegistry()}
	runCtx, stop := context.WithCancel(context.Background())
	s.running, runCtx = errgroup.WithContext(runCtx)
	s.stop, s.runCtx = stop, runCtx
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return folder.Prepare(cfg.Data) },
		s.openKeep, s.openLog, s.claimStore,
		func(ctx context.Context) error { return s.checkWhole(ctx, runCtx) },
		s.compareKeep, s.bindVault, s.openModels,
		func(ctx context.Context) error { return s.startClock(ctx, runCtx) },
		s.openDesk, s.openAdmin, s.serve,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if s.claim != nil {
		s.running.Go(s.watchClaim)
	}
	s.StartTimers = func() {
		s.running.Go(func() error { return s.reactor.Run(runCtx) })
		s.running.Go(func() error { return s.Timekeeper.Run(runCtx) })
	}
	if !cfg.HoldTimers {
		s.StartTimers()
	}
	return s, nil
}

// Addr is the address on which HTTP is served.
func (s *Service) Addr() string { return s.listener.Addr().String() }

// Wait returns when the service was closed, or a part of it has failed, with
// the reason. Close stops the other parts.
func (s *Service) Wait() error {
	<-s.runCtx.Done()
	return ignoreCancelled(context.Cause(s.runCtx))
}

// Reload reads again what may change while the service runs: the users of the
// embedded node, or the credentials and certificates of a server of its own.
func (s *Service) Reload(ctx context.Context) {
	if s.node != nil {
		if err := s.node.ReloadUsers(); err != nil {
			s.cfg.Logger.Error("the users file cannot be read", "error", err)
		}
	}
	s.Ledger.Store().Reload(ctx)
}

// Close stops taking requests, lets those under way finish, and closes the
// parts in the opposite order of their opening.
func (s *Service) Close() error {
	var errs []error
	if s.http != nil {
		answered, err := admin.Stop(s.http, s.stopWait(), s.cfg.Logger)
		s.unanswered = !answered
		errs = append(errs, err)
	}
	s.stop()
	errs = append(errs, ignoreCancelled(s.running.Wait()))
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Service) onClose(f func() error) { s.closers = append(s.closers, f) }

// openKeep takes the lock on what cannot be rebuilt: from here on this
// process is the primary.
func (s *Service) openKeep(context.Context) (err error) {
	keep := filepath.Join(s.cfg.Data, folder.Keep)
	if s.vault, err = vault.Open(keep); err != nil {
		return err
	}
	s.onClose(s.vault.Close)
	s.papers, err = documents.Open(filepath.Join(keep, "documents"), s.vault)
	return err
}

// openLog starts the node where one is wanted, connects, reads the log, and
// checks that it and the vault belong together. It writes nothing.
func (s *Service) openLog(ctx context.Context) error {
	conn := eventstore.Config{ConnectionString: s.cfg.EventStore, CredentialsFile: s.cfg.Credentials, Logger: s.cfg.Logger, Registerer: s.Registry}
	if s.cfg.EventStore == "" {
		if err := CheckLogKept(s.cfg.Data); err != nil {
			return err
		}
		o := s.cfg.Node
		o.Dir, o.Socket, o.Protect = filepath.Join(s.cfg.Data, folder.Log), Socket(s.cfg.Data), eventstore.IsLedgerStream
		o.Logger, o.Registerer = s.cfg.Logger, s.Registry
		n, err := node.Open(ctx, o)
		if err != nil {
			return fmt.Errorf("start the embedded node: %w", err)
		}
		s.onClose(n.Close)
		s.node = n
		conn.ConnectionString, conn.Socket = n.ConnectionString(), n.Socket()
	}
	store, err := eventstore.Connect(conn)
	if err != nil {
		return err
	}
	s.onClose(store.Close)
	if s.cfg.EventStore != "" {
		if err := s.awaitStore(ctx, store); err != nil {
			return err
		}
	}
	s.Ledger = eventstore.NewLedger(store, eventstore.NewCodec(s.vault))
	head, err := store.Head(ctx) // a user who may not read $all must not write
	if err == nil && head == 0 {
		err = CheckLogThere(ctx, store, s.cfg.Data)
	}
	if err == nil {
		_, err = eventstore.CheckVault(ctx, s.Ledger, s.vault.ID())
	}
	return err
}

// bindVault ties a new log to this vault. It is the first write of a start to
// the ledger's streams.
func (s *Service) bindVault(ctx context.Context) error {
	bound, err := eventstore.CheckVault(ctx, s.Ledger, s.vault.ID())
	if err != nil || bound {
		return err
	}
	if err := eventstore.BindVault(ctx, s.Ledger, s.vault.ID(), s.firstInstant()); err != nil {
		return err
	}
	return s.compareKeep(ctx) // from now on the folder shows that its keys belong to a log
}

// firstInstant is the instant of the first event in an empty log.
func (s *Service) firstInstant() time.Time {
	if !s.cfg.DemoClock.IsZero() {
		return s.cfg.DemoClock
	}
	return time.Now()
}

func (s *Service) openModels(ctx context.Context) (err error) {
	if err := s.seen.dropLost(ctx, s.whole, s.cfg.Logger); err != nil {
		return err
	}
	s.Runner, err = projections.Open(ctx, projections.Config{
		Dir: filepath.Join(s.cfg.Data, folder.Projections), Ledger: s.Ledger, Logger: s.cfg.Logger, Registerer: s.Registry,
		Gate: s.whole,
	}, models(s.owner, s.cfg.EventStore)...)
	if err != nil {
		return err
	}
	s.onClose(s.Runner.Close)
	s.seen.models.Store(s.Runner)
	if p := s.Runner.Projection(streams.Name); p != nil {
		s.Ledger.UseCopy(copyWhileWhole{streams.NewReader(p), s.whole})
	}
	return nil
}

// models is every read model. owner is the name under which they keep whose
// account it is. Beside a server of its own there is a copy of the streams; the
// embedded node is away only when this process is.
func models(owner func(subject string) string, eventStore string) []projections.Model {
	all := []projections.Model{accounts.New(owner), reviews.New(), due.New(), search.New(), access.New(), audit.New()}
	if eventStore != "" {
		all = append(all, streams.New())
	}
	return all
}

// Models is every read model of this ledger, to be folded elsewhere.
func (s *Service) Models() []projections.Model { return models(s.owner, s.cfg.EventStore) }

// owner is the name under which read models keep whose account it is.
func (s *Service) owner(subject string) string { return desk.OwnerKey(s.vault.Pepper(), subject) }

// openDesk opens the counter: payments, published rules.
func (s *Service) openDesk(ctx context.Context) (err error) {
	if s.provider, err = payments.Open(filepath.Join(s.cfg.Data, folder.Provider)); err != nil {
		return err
	}
	s.onClose(s.provider.Close)
	mail, err := outbox.Open(filepath.Join(s.cfg.Data, "outbox"))
	if err != nil {
		return err
	}
	gateway, mailer, provider := s.claimed(s.provider, mail, s.provider)
	s.Desk = desk.New(desk.Config{Ledger: s.Ledger, Gateway: gateway, Documents: s.papers, Mailer: mailer, Clock: s.clock,
		Pepper: s.vault.Pepper(), Logger: s.cfg.Logger})
	if err := s.publish(ctx); err != nil {
		return err
	}
	if s.reactor, err = reactors.NewSettlements(s.Desk, s.simulated != nil, s.cfg.Logger, s.Registry); err != nil {
		return err
	}
	s.reactor.Whole = s.whole
	s.Timekeeper = reactors.New(reactors.Config{Desk: s.Desk, Due: due.NewReader(s.Runner.Projection(due.Name)),
		Provider: provider, Clock: s.clock, Simulated: s.simulated, Settlements: s.reactor, Whole: s.whole, Logger: s.cfg.Logger})
	return nil
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Socket is where the embedded node of a data folder listens.
func Socket(data string) string { return filepath.Join(data, folder.NodeSocket) }

package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/publish"
	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections/due"
)

// newRegistry makes the program's own metrics registry, with the runtime's.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// storeWait is how long a start waits for an event store of its own, by default.
const storeWait = 30 * time.Second

// awaitStore waits for the event store, so that a service which is started
// together with its store, or a moment before it, need not be started twice.
func (s *Service) awaitStore(ctx context.Context, store *eventstore.Store) error {
	wait := cmp.Or(s.cfg.StoreWait, storeWait)
	where := eventstore.Redacted(s.cfg.EventStore)
	s.cfg.Logger.Info("waiting for the event store", "at", where, "atMost", wait)
	waiting, stop := context.WithTimeout(ctx, wait)
	defer stop()
	if err := store.Await(waiting); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("waited %s for %s: %w", wait, where, err)
	}
	return nil
}

// because tells readers of /readyz what does not work beside the read models.
func (s *Service) because() []string {
	reasons := append(s.reactor.Because(), s.losses.reasons(s.papers)...)
	if err := s.whole.Because(); err != nil {
		reasons = append(reasons, err.Error())
	}
	store := s.Ledger.Store()
	everywhere := false
	for _, refused := range store.Refused() {
		reasons = append(reasons, refused.String())
		everywhere = everywhere || refused.Stream == ""
	}
	c := store.Connection()
	if c.Up || everywhere && c.Reason == "" {
		if s.claim != nil {
			if err := s.claim.Because(); err != nil {
				reasons = append(reasons, err.Error())
			}
		}
		return reasons
	}
	return append(reasons, fmt.Sprintf("the event store is away since %s: %s", c.Since.UTC().Format(time.RFC3339), c.Reason))
}

// startClock sets the read models going and the clock with them: a simulated
// clock must not begin before anything that the log has recorded. Every read
// model knows the latest instant; that of what falls due is never held.
func (s *Service) startClock(ctx, runCtx context.Context) error {
	if s.cfg.HoldModels {
		s.FollowModels = s.Runner.Hold(due.Name)
	}
	s.running.Go(func() error { return s.Runner.Run(runCtx) })
	s.clock = clock.System{}
	if s.cfg.DemoClock.IsZero() {
		return nil
	}
	head, err := s.Ledger.Store().Head(ctx)
	if err != nil {
		return err
	}
	known := s.Runner.Projection(due.Name)
	if err := known.WaitFor(ctx, head); err != nil {
		return fmt.Errorf("find the last recorded instant, from which a simulated clock goes on: %w", err)
	}
	start := s.cfg.DemoClock
	if last := known.Status().Clock; last.After(start) {
		start = last
	}
	s.simulated = clock.NewSimulated(start)
	s.clock = s.simulated
	return nil
}

// CatchUp waits until every read model has come to the end of the log as it is.
func (s *Service) CatchUp(ctx context.Context) error {
	head, err := s.Ledger.Store().Head(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.Runner.Projections() {
		if err := p.WaitFor(ctx, head); err != nil {
			return fmt.Errorf("bring read model %s up to date: %w", p.Name(), err)
		}
	}
	return nil
}

// publish brings what is new in the council's folder into the log, and checks
// that there are rules for today.
func (s *Service) publish(ctx context.Context) error {
	if err := s.Desk.LoadRules(ctx); err != nil {
		return err
	}
	if s.cfg.Council != nil {
		folder, err := publish.Read(s.cfg.Council)
		if err != nil {
			return err
		}
		if err := s.Desk.Publish(ctx, folder); err != nil {
			return err
		}
	}
	today := domain.DateOf(s.clock.Now())
	if _, ok := s.Desk.Book().TariffOn(today); !ok {
		return fmt.Errorf("no tariff is in force on %s; publish one whose effective date is not later, or start the simulated clock later", today)
	}
	return nil
}

// serve opens the HTTP listener.
func (s *Service) serve(context.Context) (err error) {
	if s.cfg.MakeTokens != nil {
		if s.cfg.Tokens, err = s.cfg.MakeTokens(); err != nil {
			return err
		}
	}
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	s.http = api.NewServer(s.handler())
	s.running.Go(func() error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	return nil
}

// InstructProvider tells the simulated provider what to do next for an
// account, without a record of it: for the seeding of a demonstration.
func (s *Service) InstructProvider(ctx context.Context, account domain.AccountID, next []string) error {
	return s.provider.Instruct(ctx, uuid.NewString(), account, next)
}

// handler makes the HTTP interface over the parts.
func (s *Service) handler() http.Handler {
	cfg := api.Config{Desk: s.Desk, Runner: s.Runner, Tokens: s.cfg.Tokens, Registry: s.Registry, Logger: s.cfg.Logger,
		Because: s.because, Whole: s.whole}
	if s.simulated != nil {
		cfg.Demo = s.Timekeeper
	}
	if s.simulated == nil || !loopback(s.cfg.Listen) {
		cfg.Limits = api.DefaultLimits
	}
	return api.New(cfg)
}

// loopback reports whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
	"permitledger/projections/due"
)

// settlementsGroup is the persistent subscription that nudges the settlements:
// whatever may leave money where it does not belong.
var settlementsGroup = eventstore.Group{
	Name: "permitledger-settlements",
	Types: []string{
		permit.TypeApproved, permit.TypeRejected, permit.TypeCancelled, permit.TypeRenewed,
		payment.TypePaymentAuthorised, payment.TypePaymentCaptured, payment.TypePaymentLapsed,
	},
}

// Groups is every persistent subscription of the program.
func Groups() []eventstore.Group { return []eventstore.Group{settlementsGroup} }

const (
	// joinAgain is how long a reactor that the event store does not let in
	// waits before it asks again: an admin may have helped meanwhile.
	joinAgain = 30 * time.Second
	// lookEvery is how often it is seen whether anything was parked.
	lookEvery = 30 * time.Second
)

// Settlements is the reactor that moves money as soon as it is clear where it
// belongs. An event only nudges it: it decides from the permit's streams, so
// neither order nor repetition matters. What it cannot do is given to it again
// and in the end parked, and meanwhile the timekeeper has taken it up.
type Settlements struct {
	// Whole says when the log may be acted on. Nil: always. It is set before Run.
	Whole Whole

	desk      *desk.Desk
	simulated bool
	logger    *slog.Logger
	group     eventstore.Group
	again     time.Duration // see joinAgain
	acted     *prometheus.CounterVec
	parked    prometheus.Gauge

	mu    sync.Mutex
	state reactorState
}

// reactorState is how the reactor is, guarded by Settlements.mu.
type reactorState struct {
	atWork bool  // the group gives its events to it
	err    error // why it is not
	parked int64
}

// NewSettlements makes the reactor; Run makes it work. simulated says that the
// desk's clock is a simulated one: then what an event led to happens at its own
// instant, however far the clock was put forward meanwhile.
func NewSettlements(d *desk.Desk, simulated bool, logger *slog.Logger, reg prometheus.Registerer) (*Settlements, error) {
	s := &Settlements{desk: d, simulated: simulated, logger: logger, group: settlementsGroup, again: joinAgain,
		acted: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "permitledger", Name: "reactor_events_total",
			Help: "Events that a reactor was given, by reactor and outcome."}, []string{"reactor", "outcome"}),
		parked: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "permitledger", Name: "reactor_parked_events",
			Help: "Events that a reactor could not act on and that wait for an operator.", ConstLabels: prometheus.Labels{"reactor": settlementsGroup.Name}}),
	}
	if reg == nil {
		return s, nil
	}
	if err := errors.Join(reg.Register(s.acted), reg.Register(s.parked)); err != nil {
		return nil, fmt.Errorf("metrics of a reactor: %w", err)
	}
	return s, nil
}

// atWork reports whether the reactor is nudged.
func (s *Settlements) atWork() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.atWork
}

// Because lists what keeps the reactor from its work.
func (s *Settlements) Because() (reasons []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.err != nil {
		reasons = append(reasons, fmt.Sprintf("reactor %s: %v; the timekeeper settles payments meanwhile", s.group.Name, s.state.err))
	}
	if n := s.state.parked; n > 0 {
		reasons = append(reasons, fmt.Sprintf("reactor %s: %d events are parked; see permitledger reactors", s.group.Name, n))
	}
	return reasons
}

// Run takes part in the group until the context ends or the store is closed, and
// makes it where it is not there and the event store lets this user.
func (s *Settlements) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	looking.Go(func() { s.watch(ctx) })
	for {
		err := s.joinWhole(ctx)
		if ctx.Err() != nil || errors.Is(err, eventstore.ErrClosed) {
			return nil
		}
		if errors.Is(err, eventstore.ErrReplaced) {
			s.unheard()
			continue
		}
		if errors.Is(err, eventstore.ErrUnavailable) { // which is told elsewhere
			s.unheard()
			_ = s.desk.Ledger.Store().Await(ctx) // it fails when ctx ends, or the store is closed: join tells
			continue
		}
		s.stopped(err)
		again := time.NewTimer(s.again)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil
		}
	}
}

// joinWhole takes part in the group on one session, once the log is known to be
// whole on it. It returns ErrReplaced when there is another session.
func (s *Settlements) joinWhole(ctx context.Context) error {
	if s.Whole == nil {
		return s.join(ctx)
	}
	on, err := s.Whole.Pass(ctx)
	if err != nil {
		return err
	}
	during, stop := s.Whole.During(ctx, on)
	defer stop()
	if err = s.join(during); during.Err() != nil && !errors.Is(err, eventstore.ErrClosed) {
		err = eventstore.ErrReplaced
	}
	return err
}

// join takes part in the group for as long as it is let.
func (s *Settlements) join(ctx context.Context) error {
	store := s.desk.Ledger.Store()
	err := store.Consume(ctx, s.group, s)
	if !errors.Is(err, eventstore.ErrNoGroup) {
		return err
	}
	switch _, err = store.MakeGroup(ctx, s.group); {
	case errors.Is(err, eventstore.ErrDenied):
		return fmt.Errorf("%w, and this user may not make it: run permitledger setup as an admin of the event store", eventstore.ErrNoGroup)
	case err != nil:
		return err
	}
	return store.Consume(ctx, s.group, s)
}

// stopped notes why the reactor is not nudged, and says it once.
func (s *Settlements) stopped(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.err == nil || s.state.err.Error() != err.Error() {
		s.logger.Warn("reactor is not at work and tries again", "reactor", s.group.Name, "error", err)
	}
	s.state.atWork, s.state.err = false, err
}

// unheard notes that the reactor is not nudged while the event store is away.
func (s *Settlements) unheard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.atWork, s.state.err = false, nil
}

// Listening notes that the group gives its events.
func (s *Settlements) Listening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.atWork, s.state.err = true, nil
}

// watch sees now and then whether anything was parked.
func (s *Settlements) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if s.atWork() {
			s.look(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look counts what is parked. Where that cannot be seen now the last count
// stands: an event store that is away is told elsewhere.
func (s *Settlements) look(ctx context.Context) {
	status, err := s.desk.Ledger.Store().GroupStatus(ctx, s.group.Name)
	if err != nil {
		s.logger.Debug("how many events are parked could not be seen", "reactor", s.group.Name, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if status.Parked > s.state.parked {
		s.logger.Error("events were parked, which the reactor could not act on", "reactor", s.group.Name, "parked", status.Parked)
	}
	s.state.parked = status.Parked
	s.parked.Set(float64(status.Parked))
}

// Consume settles what the event has left to be settled.
func (s *Settlements) Consume(ctx context.Context, e eventstore.Recorded) error {
	err := s.settle(ctx, e)
	outcome := "done"
	if err != nil {
		outcome = "failed"
		level := slog.LevelWarn
		if errors.Is(err, eventstore.ErrUnavailable) || errors.Is(ctx.Err(), context.Canceled) {
			level = slog.LevelDebug // logged where it is known first, or it has left the group
		}
		s.logger.Log(ctx, level, "a reactor could not act on an event and will try again", "reactor", s.group.Name, "event", e.ID, "type", e.Type, "error", err)
	}
	s.acted.WithLabelValues(s.group.Name, outcome).Inc()
	return err
}

func (s *Settlements) settle(ctx context.Context, e eventstore.Recorded) error {
	id, ok := permitOf(e.Stream)
	if !ok {
		return nil
	}
	at, err := eventstore.RecordedAt(e)
	if err != nil {
		return err
	}
	if s.Whole != nil {
		if err := s.Whole.Ready(ctx); err != nil {
			return err
		}
	}
	// What later events have made due they nudge themselves, at their instants.
	state, money, err := s.desk.Money(ctx, id, e.Position)
	if err != nil {
		return err
	}
	var errs []error
	for _, it := range due.Unsettled(state, money, at) {
		if it.DueAt.After(at) {
			continue // the timekeeper's: somebody else is about to finish it
		}
		item := due.Item{Kind: it.Kind, Permit: id, Account: state.Account, Term: it.Term, DueAt: it.DueAt, EventID: domain.EventID(e.ID.String())}
		call := callFor(item, time.Time{})
		if s.simulated {
			call.At = at
		}
		_, err := s.desk.Settle(ctx, call, id, it.Term)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// permitOf is the permit that an event is about, by its stream.
func permitOf(stream string) (domain.PermitID, bool) {
	if id, _, ok := payment.ParseStream(stream); ok {
		return id, true
	}
	id, ok := strings.CutPrefix(stream, permit.Stream(""))
	return domain.PermitID(id), ok
}

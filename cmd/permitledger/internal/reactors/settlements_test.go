package reactors

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/clock"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/desk/desktest"
	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/due"
)

// provider is the simulated one, out of reach when it is told to be.
type provider struct {
	desk.Gateway
	away  atomic.Bool
	tries chan struct{} // one for each capture that was asked for
}

func (p *provider) Capture(ctx context.Context, id string, at time.Time) ([]payments.Message, error) {
	p.tries <- struct{}{}
	if p.away.Load() {
		return nil, errors.New("no route to the provider")
	}
	return p.Gateway.Capture(ctx, id, at)
}

// office is a desk with a reactor that has not begun to work.
type office struct {
	*desktest.Office
	t           *testing.T
	provider    *provider
	reactor     *Settlements
	autoRenewal bool // of what is applied for
}

func newOffice(t *testing.T) *office {
	t.Helper()
	opened := desktest.Open(t, clock.NewSimulated(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)))
	o := &office{Office: opened, t: t, provider: &provider{Gateway: opened.Gateway, tries: make(chan struct{}, 100)}}
	opened.Gateway = o.provider
	var err error
	if o.reactor, err = NewSettlements(opened.Desk, true, slog.New(slog.DiscardHandler), nil); err != nil {
		t.Fatal(err)
	}
	o.reactor.group.Pause, o.reactor.again = time.Millisecond, time.Millisecond
	return o
}

// keeper is a timekeeper beside the reactor, with a read model of its own.
func (o *office) keeper(simulated *clock.Simulated, provider Provider, model projections.Model) *Timekeeper {
	o.t.Helper()
	runner, err := projections.Open(o.t.Context(), projections.Config{Ledger: o.Ledger}, model)
	must(o.t, err)
	o.t.Cleanup(func() { must(o.t, runner.Close()) })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	o.t.Cleanup(func() { stop(); must(o.t, <-ended) })
	return New(Config{Desk: o.Desk, Due: due.NewReader(runner.Projection(due.Name)), Provider: provider,
		Clock: simulated, Simulated: simulated, Settlements: o.reactor})
}

// work has the reactor work until the test ends.
func (o *office) work() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.reactor.Run(ctx) }()
	o.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			o.t.Errorf("the reactor ended with %v", err)
		}
	})
}

func by(subject string, role domain.Role) desk.Call {
	return desk.Call{ID: domain.CommandID(uuid.NewString()), Subject: subject, Role: role, Channel: domain.ChannelAPI}
}

// approved takes an application to a permit.
func (o *office) approved() desk.Case {
	o.t.Helper()
	ctx, name := o.t.Context(), "alex"
	acc, err := o.OpenAccount(ctx, by(name, domain.RoleResident), desk.Details{Name: &name})
	must(o.t, err)
	application := desk.Application{Kind: domain.KindResident, Months: 12, UPRN: "200000000017", Vehicle: "AB12 CDE", AutoRenewal: o.autoRenewal}
	decision := domain.Decision{Basis: domain.BasisPolicy, Told: "Approved."}
	for _, kind := range []domain.EvidenceKind{domain.EvidenceUtilityBill, domain.EvidenceV5C} {
		up, err := o.Upload(ctx, by(name, domain.RoleResident), acc.ID, "application/pdf", []byte("%PDF-1.7 "+string(kind)))
		must(o.t, err)
		item := domain.Evidence{Kind: kind, SHA256: up.SHA256}
		if kind == domain.EvidenceUtilityBill {
			item.IssuedOn = domain.DateOf(o.Now()).AddDays(-10)
		}
		application.Evidence = append(application.Evidence, item)
		decision.Considered = append(decision.Considered, domain.Considered{Evidence: up.SHA256, Result: "good"})
	}
	cs, err := o.Apply(ctx, by(name, domain.RoleResident), acc.ID, application)
	must(o.t, err)
	cs, err = o.Approve(ctx, by("rita", domain.RoleReviewer), cs.ID, decision)
	must(o.t, err)
	return cs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until is a subscription that ends with an event of a type.
type until struct{ eventType string }

var errSeen = errors.New("seen")

func (u until) Event(r eventstore.Recorded) error {
	if r.Type == u.eventType {
		return errSeen
	}
	return nil
}
func (until) CaughtUp() error                    { return nil }
func (until) Progress(eventstore.Position) error { return nil }

// captured waits until money was taken, and gives the payment's events.
func (o *office) captured(id domain.PermitID) []eventstore.Event {
	o.t.Helper()
	if err := o.Ledger.Store().Subscribe(o.t.Context(), 0, until{payment.TypePaymentCaptured}); !errors.Is(err, errSeen) {
		o.t.Fatal(err)
	}
	events, err := o.Ledger.History(o.t.Context(), payment.Stream(id, 1))
	must(o.t, err)
	return events
}

// The money of an approved application is taken because of the approval: the
// reactor makes its group, and what happened while it was away is given to it.
func TestAnApprovalIsSettled(t *testing.T) {
	o := newOffice(t)
	if _, err := o.Ledger.Store().MakeGroup(t.Context(), o.reactor.group); err != nil {
		t.Fatal(err)
	}
	cs := o.approved()
	o.work()
	events := o.captured(cs.ID)
	last := events[len(events)-1]
	approval, err := o.Ledger.History(t.Context(), "permit-"+string(cs.ID))
	must(t, err)
	if last.Type != payment.TypePaymentCaptured || last.Actor != domain.System() || last.Causation != approval[1].ID.String() || !last.RecordedAt.Equal(approval[1].RecordedAt) {
		t.Errorf("the payment ends with %s by %+v because of %s at %s", last.Type, last.Actor, last.Causation, last.RecordedAt)
	}
	if why := o.reactor.Because(); !o.reactor.atWork() || len(why) > 0 {
		t.Errorf("the reactor is at work: %v, and complains of %q", o.reactor.atWork(), why)
	}
}

// A provider that stays away leaves the event parked, which is told; replayed,
// it is settled, once.
func TestWhatCannotBeSettledIsParked(t *testing.T) {
	o := newOffice(t)
	o.provider.away.Store(true)
	store := o.Ledger.Store()
	_, err := store.MakeGroup(t.Context(), o.reactor.group)
	must(t, err)
	o.work()
	cs := o.approved()
	for range 11 { // the group's retries
		<-o.provider.tries
	}
	// The group goes on once the event is parked, and not before.
	for o.reactor.look(t.Context()); len(o.reactor.Because()) == 0; o.reactor.look(t.Context()) {
		if t.Context().Err() != nil {
			t.Fatal("nothing was parked")
		}
	}
	if why := o.reactor.Because(); !strings.Contains(why[0], "1 events are parked") {
		t.Errorf("it is told as %q", why)
	}
	o.provider.away.Store(false)
	must(t, store.ReplayParked(t.Context(), o.reactor.group.Name))
	var types []string
	for _, e := range o.captured(cs.ID) {
		types = append(types, e.Type)
	}
	if want := []string{payment.TypePaymentRequested, payment.TypePaymentAuthorised, payment.TypePaymentCaptured}; !slices.Equal(types, want) {
		t.Errorf("the payment's events are %q, want %q", types, want)
	}
}

// The timekeeper leaves a settlement to the reactor for a while, and takes it
// up when it was not made by then, when no reactor is at work, or when somebody
// walks the clock and waits for all effects.
func TestTheTimekeeperIsPatient(t *testing.T) {
	o := newOffice(t)
	cs := o.approved()
	simulated := clock.NewSimulated(o.Now().Add(time.Second))
	keeper := o.keeper(simulated, o.Provider, due.New())
	must(t, keeper.Due.Projection().WaitFor(t.Context(), cs.Position))
	approved := cs.Permit.Decided.At
	for _, c := range []struct {
		name            string
		atWork, walking bool
		want            time.Time
	}{
		{"a reactor at work", true, false, approved.Add(time.Minute)},
		{"none at work", false, false, approved},
		{"a reactor at work, and a walk", true, true, approved},
	} {
		if o.reactor.state.atWork = c.atWork; !c.atWork {
			o.reactor.stopped(errors.New("no such group"))
		}
		tasks, err := keeper.tasks(t.Context(), simulated.Now(), simulated.Now().Add(time.Hour), c.walking)
		must(t, err)
		if i := slices.IndexFunc(tasks, func(k task) bool { return strings.HasPrefix(k.occasion, string(due.Settle)) }); i < 0 || !tasks[i].at.Equal(c.want) || !tasks[i].due.Equal(approved) {
			t.Errorf("%s: the tasks are %+v, want a settlement at %s due %s", c.name, tasks, c.want, approved)
		}
	}
}

// last is the newest event of a stream, as it is stored.
func (o *office) last(stream string) (last eventstore.Recorded) {
	o.t.Helper()
	for r, err := range o.Ledger.Store().Read(o.t.Context(), stream, 0) {
		must(o.t, err)
		last = r
	}
	return last
}

// overtaken is a provider that has something done between the timekeeper's look
// at what falls due and its work on it.
type overtaken struct {
	Provider
	first func()
	asked chan<- struct{}
}

func (o overtaken) NextDue(ctx context.Context) (time.Time, bool, error) {
	select {
	case o.asked <- struct{}{}:
	default:
	}
	o.first()
	return o.Provider.NextDue(ctx)
}

// behind is the read model of what falls due, which has a renewal only once the
// timekeeper has looked again, unless it waits for it.
type behind struct {
	due.Model
	asked <-chan struct{}
}

func (m behind) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	if e.Type == permit.TypeRenewed {
		select {
		case <-m.asked:
		case <-time.After(100 * time.Millisecond):
		}
	}
	return m.Model.Apply(ctx, tx, e)
}

// A walk goes on from what the reactor wrote on the way, too: a renewal that the
// reactor was quicker to write has the next one fall due, a year later.
func TestAWalkSeesWhatTheReactorDid(t *testing.T) {
	o := newOffice(t)
	o.autoRenewal = true
	simulated := o.Clock.(*clock.Simulated)
	cs := o.approved()
	must(t, o.Provider.Instruct(t.Context(), "1", cs.Permit.Account, []string{"late"}))
	// The reactor, told of the money that came late.
	renews := func() {
		if last := o.last(payment.Stream(cs.ID, 2)); last.Type == payment.TypePaymentCaptured {
			must(t, o.reactor.Consume(t.Context(), last))
		}
	}
	asked := make(chan struct{})
	keeper := o.keeper(simulated, overtaken{o.Provider, renews, asked}, behind{due.New(), asked})
	_, err := keeper.Walk(t.Context(), time.Date(2028, 6, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	cs, err = o.Case(t.Context(), cs.ID)
	must(t, err)
	if n := len(cs.Permit.Terms); n != 3 {
		t.Errorf("the permit has %d terms and ends on %s", n, cs.Permit.LastDay())
	}
}

// It ends with the store, too.
func TestTheReactorEndsWithTheStore(t *testing.T) {
	o := newOffice(t)
	ended := make(chan error, 1)
	go func() { ended <- o.reactor.Run(context.Background()) }()
	must(t, o.Ledger.Store().Close())
	must(t, <-ended)
}

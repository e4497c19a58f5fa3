package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// permits is how the store folds a permit.
var permits = eventstore.Aggregate[permit.State, permit.Event]{
	Evolve: func(s permit.State, e permit.Event, env eventstore.Envelope) permit.State {
		return permit.Evolve(s, e, env.Meta())
	},
}

// handle runs commands against permits, each permit's eight one after the
// other, beside the bare client that reads the same streams and appends the
// same bytes to them; once as commands come that read what the ledger has just
// read or written, and once as if it had never seen the streams.
func handle(ctx context.Context, b *bench) ([]pair, error) {
	l, err := b.logs(ctx)
	if err != nil {
		return nil, err
	}
	h := &handled{log: l, person: domain.AccountID(uuid.NewString()), now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	stream := l.stream(permitPrefix)
	for n := range perStream {
		if err := h.seen(ctx, stream, n); err != nil {
			return nil, err
		}
	}
	for r, err := range l.ledger.Store().Read(ctx, stream, 0) {
		if err != nil {
			return nil, err
		}
		h.stored = append(h.stored, eventstore.Proposed{Type: r.Type, Data: r.Data, Metadata: r.Metadata})
	}
	var pairs []pair
	for _, v := range []struct {
		writers int
		name    string
	}{{1, "1 writer"}, {16, "16 writers"}} {
		over := func(op func(ctx context.Context, stream string, n int) error) side {
			return func(ctx context.Context) (run, error) {
				streams := make([]string, v.writers)
				return busily(ctx, v.writers, b.Duration, func(ctx context.Context, w, n int) error {
					if n%perStream == 0 {
						streams[w] = l.stream(permitPrefix)
					}
					return op(ctx, streams[w], n%perStream)
				})
			}
		}
		pairs = append(pairs,
			pair{variant: v.name, counts: "commands", aim: aim{ratio: 0.9}, ours: over(h.seen), beside: over(h.bare)},
			pair{variant: v.name + ", unseen streams", counts: "commands", ours: over(h.unseen), beside: over(h.bare)})
	}
	return pairs, nil
}

// handled is the life of a permit, as commands and as it lies in the log.
type handled struct {
	log    *logSide
	person domain.AccountID
	now    time.Time
	stored []eventstore.Proposed // of one permit
}

// seen runs a command by the ledger that ran those before it.
func (h *handled) seen(ctx context.Context, stream string, n int) error {
	return h.command(ctx, h.log.ledger, stream, n)
}

// unseen runs a command by a ledger that remembers nothing.
func (h *handled) unseen(ctx context.Context, stream string, n int) error {
	return h.command(ctx, eventstore.NewLedger(h.log.ledger.Store(), h.log.ledger.Codec()), stream, n)
}

// command runs the n-th command of a permit's life.
func (h *handled) command(ctx context.Context, l *eventstore.Ledger, stream string, n int) error {
	cmd := eventstore.Command{ID: domain.CommandID(uuid.NewString()), BodyHash: "c2FtZQ",
		Actor: domain.Actor{ID: string(h.person), Role: domain.RoleResident, Channel: domain.ChannelWeb},
		Now:   h.now.Add(time.Duration(n) * time.Hour), Person: h.person,
		Versions: domain.Versions{Policy: "2024-04-01", Tariff: "2025-04-01", Terms: "2024-04-01", Gazetteer: "1"}}
	_, err := eventstore.Handle(ctx, l, stream, permits, cmd, func(s permit.State, at time.Time) ([]permit.Event, error) {
		return []permit.Event{h.event(s, n, at)}, nil
	})
	return err
}

// event is the n-th event of a permit's life. The rules are not what is
// measured, so none is asked.
func (h *handled) event(s permit.State, n int, at time.Time) permit.Event {
	today := domain.DateOf(at)
	switch n {
	case 0:
		return permit.Applied{Account: h.person, Kind: domain.KindResident, Zone: "LB2", Months: 12, RequestedFirstDay: today,
			SubmittedOn: today, Price: 5500, TariffVersion: "2025-04-01", TermsVersion: "2024-04-01", AutoRenewal: true,
			CountsTowardLimit: true, Personal: domain.PersonalOf(permit.AppliedPersonal{
				Property: domain.Property{UPRN: "200000000017", House: "17", Street: "Tallowmere Road", Postcode: "LE11 1AA"},
				Vehicle:  domain.Vehicle{AsTyped: "AB12 CDE", Mark: "AB12CDE"}, EnteredBy: "measured"})}
	case 1:
		return permit.Approved{FirstDay: today, LastDay: domain.LastDay(today, 12),
			Decision: domain.DecisionRecord{Basis: domain.BasisPolicy},
			Personal: domain.PersonalOf(domain.DecisionWords{Told: "Your permit was approved."})}
	}
	mark := fmt.Sprintf("AB%02dCDE", n)
	return permit.VehicleChanged{EffectiveAt: at, Personal: domain.PersonalOf(permit.VehicleChangedPersonal{
		From: s.Vehicle, To: domain.Vehicle{AsTyped: mark, Mark: domain.VRM(mark)}})}
}

// bare does with the client alone what the command's store has to do.
func (h *handled) bare(ctx context.Context, stream string, n int) error {
	if _, err := h.log.server.ReadStream(ctx, stream); err != nil {
		return err
	}
	e := h.stored[n]
	e.ID = uuid.New()
	_, err := h.log.server.Append(ctx, stream, int64(n)-1, e) // before the first event that is bare.NoStream
	return err
}

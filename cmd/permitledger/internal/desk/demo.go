package desk

import (
	"context"
	"time"

	"permitledger/domain/ledger"
	"permitledger/eventstore"
)

// DemoFact finds what a command of the demonstration has already led to, so
// that its repetition moves no clock twice; nil when it is new.
func (d *Desk) DemoFact(ctx context.Context, c Call) (ledger.Event, eventstore.Position, error) {
	events, err := d.Ledger.History(ctx, ledger.DemoStream)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range events {
		if e.Command != c.ID {
			continue
		}
		if e.BodyHash != c.BodyHash {
			return nil, 0, eventstore.ErrKeyReused
		}
		if fact, ok := e.Body.(ledger.Event); ok {
			return fact, e.Position, nil
		}
	}
	return nil, 0, nil
}

// RecordDemo writes down that the demonstration's clock or provider was moved.
func (d *Desk) RecordDemo(ctx context.Context, c Call, fact ledger.Event) (eventstore.Position, error) {
	cmd := d.command(c, "")
	cmd.IfRevision = nil
	out, err := eventstore.Handle(ctx, d.Ledger, ledger.DemoStream, demos, cmd,
		func(struct{}, time.Time) ([]ledger.Event, error) { return []ledger.Event{fact}, nil })
	return out.Position, err
}

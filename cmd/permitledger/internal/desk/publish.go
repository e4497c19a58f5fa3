package desk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"permitledger/domain/policy"
	"permitledger/eventstore"
)

// Folder is what a council wants published.
type Folder interface {
	// Pending gives the events that the folder adds to what is published
	// already.
	Pending(b policy.Book) (tariffs, policies, terms, gazetteer []policy.Event, err error)
}

// partsPerBatch keeps a batch of published events well within what a server
// takes in one append.
const partsPerBatch = 12

// LoadRules folds what was published so far.
func (d *Desk) LoadRules(ctx context.Context) error {
	var book policy.Book
	for _, stream := range []string{policy.TariffStream, policy.PolicyStream, policy.GazetteerStream} {
		events, err := d.Ledger.History(ctx, stream)
		if err != nil {
			return fmt.Errorf("load the published rules: %w", err)
		}
		for _, e := range events {
			if body, ok := e.Body.(policy.Event); ok {
				book = published.Evolve(book, body, e.Envelope)
			}
		}
	}
	d.book.Store(&book)
	return nil
}

// Publish appends what is new in a council's folder. It is interrupted and
// repeated without harm: what is in the log already is not written again.
func (d *Desk) Publish(ctx context.Context, f Folder) error {
	tariffs, policies, terms, gazetteer, err := f.Pending(*d.Book())
	if err != nil {
		return err
	}
	for _, p := range []struct {
		stream string
		events []policy.Event
	}{
		{policy.TariffStream, tariffs}, {policy.PolicyStream, policies},
		{policy.PolicyStream, terms}, {policy.GazetteerStream, gazetteer},
	} {
		for batch := range slices.Chunk(p.events, partsPerBatch) {
			if err := d.publishBatch(ctx, p.stream, batch); err != nil {
				return fmt.Errorf("publish to %s: %w", p.stream, err)
			}
		}
	}
	return d.LoadRules(ctx)
}

// publishBatch appends events at the revision that the stream has. The
// command is named after the place in the stream: only the primary publishes.
func (d *Desk) publishBatch(ctx context.Context, stream string, batch []policy.Event) error {
	loaded, err := eventstore.Load(ctx, d.Ledger, stream, published)
	if err != nil {
		return err
	}
	c := SystemCall(fmt.Sprintf("publish %s after %d", stream, loaded.Revision), "", time.Time{})
	_, err = eventstore.Handle(ctx, d.Ledger, stream, published, d.command(c, ""),
		func(policy.Book, time.Time) ([]policy.Event, error) { return batch, nil })
	return err
}

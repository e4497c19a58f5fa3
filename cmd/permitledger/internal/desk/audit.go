package desk

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"golang.org/x/sync/errgroup"

	"permitledger/domain"
	"permitledger/domain/access"
	"permitledger/eventstore"
)

// Place is where an event lies, and whom it concerns, as the index of the whole
// ledger knows it.
type Place struct {
	Ledger   uint64 // ledger number
	Stream   string
	Revision uint64
	Permit   domain.PermitID  // whose history it belongs to; empty: to none
	Account  domain.AccountID // whose personal part it has; empty: it has none
}

// readers is how many streams are read at a time for one page of the ledger.
const readers = 8

// Audit gives the events at places of the ledger, in their order. One that
// belongs to a permit's history comes with the permit as it stood after it,
// the others without. Nothing of this is kept beside the log: it is folded from
// the streams of the permits on the page.
//
// When sealed parts are to be opened, it is recorded first, with the reason, for
// each person of whom something will be seen.
func (d *Desk) Audit(ctx context.Context, c Call, places []Place, open string) ([]Chronicle, error) {
	page := make([]Chronicle, len(places))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for s, at := range together(places) {
		group.Go(func() error { return d.fill(reading, s, places, at, page) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if open != "" {
		if err := d.recordOpened(ctx, c, places, page, open); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// source is what is read for one or more events: a permit's whole story, or a
// run of one stream.
type source struct {
	permit domain.PermitID
	stream string
	from   uint64 // first revision of the run
}

// together gathers the places, by their index, that are read at one go. Events
// one behind the other in a stream are; what lies between others might be the
// most of a long stream.
func together(places []Place) map[source][]int {
	order := make([]int, len(places))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if places[a].Ledger < places[b].Ledger {
			return -1
		}
		return 1
	})
	all := make(map[source][]int)
	runs := make(map[string]source)
	for _, i := range order {
		p := places[i]
		if p.Permit != "" {
			s := source{permit: p.Permit}
			all[s] = append(all[s], i)
			continue
		}
		run, begun := runs[p.Stream]
		if !begun || places[last(all[run])].Revision+1 != p.Revision {
			run = source{stream: p.Stream, from: p.Revision}
			runs[p.Stream] = run
		}
		all[run] = append(all[run], i)
	}
	return all
}

func last(s []int) int { return s[len(s)-1] }

// fill reads a source and puts its events where they belong. Each place is
// filled by one source, so that they may be filled at the same time.
func (d *Desk) fill(ctx context.Context, s source, places []Place, at []int, page []Chronicle) error {
	var story []eventstore.Event
	var err error
	if s.permit != "" {
		story, err = Story(ctx, d.Ledger, s.permit)
	} else {
		story, err = d.run(ctx, s.stream, s.from, len(at))
	}
	if err != nil {
		return err
	}
	for _, i := range at {
		p := places[i]
		n := slices.IndexFunc(story, func(e eventstore.Event) bool { return e.Stream == p.Stream && e.Revision == p.Revision })
		if n < 0 {
			return fmt.Errorf("event %d of stream %s, ledger number %d, is not in the log", p.Revision, p.Stream, p.Ledger)
		}
		page[i] = Chronicle{Event: story[n], Ledger: p.Ledger}
		if s.permit != "" {
			page[i].After = d.withRules(After(s.permit, story[:n+1]))
		}
	}
	return nil
}

// run reads a number of events of a stream from a revision on.
func (d *Desk) run(ctx context.Context, stream string, from uint64, n int) ([]eventstore.Event, error) {
	var events []eventstore.Event
	for r, err := range d.Ledger.Store().Read(ctx, stream, from) {
		if err != nil {
			return nil, err
		}
		e, err := d.Ledger.Codec().Decode(r)
		if err != nil {
			return nil, err
		}
		if events = append(events, e); len(events) == n {
			break
		}
	}
	return events, nil
}

// recordOpened writes down that sealed parts are opened: once for each person,
// naming the permit when it is all about one. Of somebody who was erased
// nothing can be seen, and nothing is recorded.
func (d *Desk) recordOpened(ctx context.Context, c Call, places []Place, page []Chronicle, reason string) error {
	permits := make(map[domain.AccountID]domain.PermitID)
	var persons []domain.AccountID
	for i, item := range page {
		if !reveals(item) {
			continue
		}
		id := places[i].Account
		if id == "" {
			return fmt.Errorf("it is not known whose the sealed part of ledger number %d is", item.Ledger)
		}
		if about, met := permits[id]; !met {
			persons = append(persons, id)
			permits[id] = places[i].Permit
		} else if about != places[i].Permit {
			permits[id] = ""
		}
	}
	for _, id := range persons {
		read := access.RecordRead{Account: id, Permit: permits[id], What: access.ReadHistoryOpened,
			Personal: domain.PersonalOf(access.ReadPersonal{Reason: reason})}
		if err := d.recordRead(ctx, c.step("opened "+string(id)), read); err != nil {
			return err
		}
	}
	return nil
}

// reveals reports whether something personal is seen in an item that is open:
// in the event, or in the permit's state after it.
func reveals(item Chronicle) bool {
	if item.After.ID != "" && !item.After.Permit.Erased {
		return true
	}
	part, ok := PersonalPart(item.Event.Body)
	return ok && !part.IsErased() && !reflect.ValueOf(part.Content()).Elem().IsZero()
}

// PersonalPart gives the personal part of an event that has one. Only a
// pointer to an event has the method, because the codec fills the part in.
func PersonalPart(body domain.Event) (domain.PersonalPart, bool) {
	copied := reflect.New(reflect.TypeOf(body))
	copied.Elem().Set(reflect.ValueOf(body))
	personal, ok := copied.Interface().(interface{ PersonalPart() domain.PersonalPart })
	if !ok {
		return nil, false
	}
	return personal.PersonalPart(), true
}

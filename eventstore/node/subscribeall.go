package node

import (
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// subscribeAll sends the events after a position of the log, for ever.
func (r *readRequest) subscribeAll() error {
	if err := r.confirm(); err != nil {
		return err
	}
	defer r.metrics.subscribed()()
	limit, _ := r.tail.get()
	feed, err := r.feedFrom(limit)
	if errors.Is(err, errNoRecord) {
		return failInvalid(r.out.Context(), err.Error())
	}
	if err != nil {
		return r.failInside(r.out.Context(), err)
	}
	caughtUp := false
	return r.follow(func(limit uint64) (int, error) {
		sent, err := feed.pump(limit)
		if err == nil && (!caughtUp || sent > liveBuffer) {
			caughtUp = true
			err = feed.caughtUp()
		}
		return sent, err
	})
}

// allFeed is the state of one subscription to $all.
type allFeed struct {
	*readRequest
	cursor allCursor
	marks  *checkpoints // nil without a filter
}

// feedFrom begins a subscription after the position that the request names.
func (r *readRequest) feedFrom(limit uint64) (*allFeed, error) {
	feed := &allFeed{readRequest: r}
	if r.filter != nil {
		feed.marks = &checkpoints{filter: r.filter, live: r.end}
	}
	switch {
	case r.end:
		feed.cursor = allCursor{next: limit, exact: true}
		return feed, nil
	case r.from == 0:
		feed.cursor = allCursor{next: firstPosition, exact: true}
		return feed, nil
	}
	view, err := r.engine.read(limit)
	if err != nil {
		return nil, err
	}
	defer view.close()
	ahead, last, err := view.locate(r.from)
	if err != nil {
		return nil, err
	}
	after := position{r.from, r.prepare}
	feed.cursor = allCursor{next: r.from, exact: !ahead}
	told := r.from == r.prepare // the event there is known already
	if told {
		feed.cursor = allCursor{next: r.from + 1}
	}
	if feed.marks != nil {
		feed.marks.begin(after, ahead || last && told)
	}
	return feed, nil
}

// pump sends the events between the cursor and the limit, with checkpoints for
// filtered subscriptions.
func (f *allFeed) pump(limit uint64) (sent int, err error) {
	for {
		page, err := f.page(limit)
		if err != nil {
			return sent, f.failInside(f.out.Context(), err)
		}
		if len(page) == 0 {
			return sent, nil
		}
		for _, e := range page {
			wanted := f.wants(e.original())
			if wanted {
				if err := f.send(e); err != nil {
					return sent, err
				}
				sent++
			}
			if f.marks != nil {
				if at, due := f.marks.search(e.original(), wanted); due {
					if err := f.checkpoint(at); err != nil {
						return sent, err
					}
				}
			}
		}
		if err := f.interrupted(); err != nil {
			return sent, err
		}
	}
}

func (f *allFeed) page(limit uint64) ([]resolved, error) {
	view, err := f.engine.read(limit)
	if err != nil {
		return nil, err
	}
	defer view.close()
	page, err := f.cursor.forwards(view, pageRecords)
	if err != nil {
		return nil, err
	}
	return f.resolveAll(view, page)
}

// caughtUp sends the checkpoint that comes before the message of that name.
func (f *allFeed) caughtUp() error {
	if f.marks == nil {
		return nil
	}
	if at, due := f.marks.caughtUp(); due {
		return f.checkpoint(at)
	}
	return nil
}

func (f *allFeed) checkpoint(at position) error {
	return f.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{Checkpoint: &streams.ReadResp_Checkpoint{
		CommitPosition: at.commit, PreparePosition: at.prepare,
	}}})
}

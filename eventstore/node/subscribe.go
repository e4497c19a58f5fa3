package node

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

// liveBuffer is how many events may come at once without the subscription
// counting as fallen behind, and then as caught up once more.
const liveBuffer = 32

// A subscription is a cursor and nothing else: it reads what is there, says
// that it caught up, waits for the log to grow and reads on from where it was.
// Nothing is queued for it, so a slow consumer costs the node no memory and
// holds nobody up, and there is no seam between history and present at which
// an event could be lost or doubled.
func (r *readRequest) follow(pump func(limit uint64) (sent int, err error)) error {
	ctx := r.out.Context()
	behind := true
	for {
		limit, bell := r.tail.get()
		if err := r.mayGoOn(ctx); err != nil {
			return err
		}
		sent, err := pump(limit)
		if err != nil {
			return err
		}
		if behind || sent > liveBuffer {
			behind = false
			if err := r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}); err != nil {
				return err
			}
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return r.failInside(ctx, errAbandoned)
		case <-r.closing:
			return r.failInside(ctx, errStopped)
		}
	}
}

// confirm must be the first message, unless a refusal comes instead: the client
// waits for it.
func (r *readRequest) confirm() error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}})
}

// interrupted ends a long catch-up when the node closes, or when the right to
// read is taken away.
func (r *readRequest) interrupted() error {
	select {
	case <-r.closing:
		return r.failInside(r.out.Context(), errStopped)
	default:
		return r.mayGoOn(r.out.Context())
	}
}

// subscribeStream sends the events after a revision of a stream, for ever.
func (r *readRequest) subscribeStream() error {
	ctx := r.out.Context()
	limit, _ := r.tail.get()
	view, err := r.engine.read(limit)
	if err != nil {
		return r.failInside(ctx, err)
	}
	h, err := view.head(r.stream)
	view.close()
	if err != nil {
		return r.failInside(ctx, err)
	}
	if h.tombstoned {
		return failDeleted(ctx, r.stream)
	}
	if err := r.confirm(); err != nil {
		return err
	}
	defer r.metrics.subscribed()()
	cursor := streamCursor{stream: r.stream}
	switch {
	case r.end:
		cursor.next = uint64(h.last + 1)
	case !r.start:
		cursor.next = r.from + 1
	}
	// What the metadata hides is passed over in history only: what comes from
	// now on is delivered whatever becomes of it later.
	cursor.next = h.goOn(cursor.next)
	history := uint64(h.last + 1)
	return r.follow(func(limit uint64) (int, error) {
		return r.pumpStream(&cursor, limit, func(rec *record) bool {
			return rec.revision >= history || !h.expired(rec, r.now())
		})
	})
}

// pumpStream sends what of a stream lies between the cursor and the limit.
func (r *readRequest) pumpStream(cursor *streamCursor, limit uint64, wanted func(*record) bool) (sent int, err error) {
	ctx := r.out.Context()
	for {
		page, events, err := r.streamPage(cursor, limit, wanted)
		if err != nil {
			return sent, r.failInside(ctx, err)
		}
		if len(page) == 0 {
			return sent, nil
		}
		if err := r.send(events...); err != nil {
			return sent, err
		}
		sent += len(events)
		if page[len(page)-1].revision == tombstoneRevision {
			return sent, failDeleted(ctx, r.stream)
		}
		if err := r.interrupted(); err != nil {
			return sent, err
		}
	}
}

func (r *readRequest) streamPage(cursor *streamCursor, limit uint64, wanted func(*record) bool) ([]record, []resolved, error) {
	view, err := r.engine.read(limit)
	if err != nil {
		return nil, nil, err
	}
	defer view.close()
	page, err := cursor.page(view, pageRecords)
	if err != nil {
		return nil, nil, err
	}
	kept := page[:0:0]
	for i := range page {
		if wanted(&page[i]) {
			kept = append(kept, page[i])
		}
	}
	events, err := r.resolveAll(view, kept)
	return page, events, err
}

package node

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

// readRequest is a checked Read. The one call serves reads and subscriptions
// of streams and of $all.
type readRequest struct {
	*Node
	out streams.Streams_ReadServer

	stream    string // "" for $all
	from      uint64 // revision or commit position, where neither start nor end
	prepare   uint64 // with a commit position
	start     bool
	end       bool
	backwards bool
	subscribe bool
	count     uint64
	resolve   bool
	stringIDs bool
	edges     bool    // newer clients are told where a stream begins and ends
	filter    *filter // nil for none
}

// Read sends the events of a stream or of $all: those that are there, or for a
// subscription also those to come.
func (s streamService) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	r, err := s.parseRead(out.Context(), req.GetOptions())
	if err != nil {
		return err
	}
	r.out = out
	switch {
	case r.subscribe && r.stream != "":
		err = r.subscribeStream()
	case r.subscribe:
		err = r.subscribeAll()
	case r.stream != "":
		err = r.readStream()
	default:
		err = r.readAll()
	}
	return err
}

func (s streamService) parseRead(ctx context.Context, o *streams.ReadReq_Options) (*readRequest, error) {
	r := &readRequest{
		Node:      s.Node,
		backwards: o.GetReadDirection() == streams.ReadReq_Options_Backwards,
		resolve:   o.GetResolveLinks(),
		edges:     o.GetControlOption().GetCompatibility() >= 1,
	}
	if err := checkEnum(ctx, o.GetReadDirection()); err != nil {
		return nil, err
	}
	if o.GetUuidOption() == nil {
		return nil, failInvalid(ctx, "The form of ids is not set.")
	}
	_, r.stringIDs = o.GetUuidOption().GetContent().(*streams.ReadReq_Options_UUIDOption_String_)
	if err := r.parseCount(ctx, o); err != nil {
		return nil, err
	}
	var err error
	switch v := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		err = r.parseStream(ctx, v.Stream)
	case *streams.ReadReq_Options_All:
		err = r.parseAll(ctx, v.All)
	default:
		err = failInvalid(ctx, "The request names neither a stream nor $all.")
	}
	if err != nil {
		return nil, err
	}
	switch v := o.GetFilterOption().(type) {
	case *streams.ReadReq_Options_NoFilter:
	case *streams.ReadReq_Options_Filter:
		if r.stream != "" {
			return nil, failInvalid(ctx, "Only $all can be filtered.")
		}
		r.filter, err = parseFilter(ctx, v.Filter, r.subscribe)
	default:
		err = failInvalid(ctx, "The request neither has a filter nor says that it has none.")
	}
	return r, err
}

func (r *readRequest) parseCount(ctx context.Context, o *streams.ReadReq_Options) error {
	switch v := o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		r.count = v.Count
	case *streams.ReadReq_Options_Subscription:
		r.subscribe = true
		if r.backwards {
			return failInvalid(ctx, "A subscription cannot go backwards.")
		}
	default:
		return failInvalid(ctx, "The request is neither a read nor a subscription.")
	}
	return nil
}

func (r *readRequest) parseStream(ctx context.Context, o *streams.ReadReq_Options_StreamOptions) error {
	r.stream = string(o.GetStreamIdentifier().GetStreamName())
	if r.stream == "" {
		return failHandler(ctx, "The stream's name is empty.")
	}
	if !r.subscribe && r.count == 0 {
		return fail(ctx, codes.Unknown, "Unexpected ReadStreamResult: Error")
	}
	switch v := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Start:
		r.start = true
	case *streams.ReadReq_Options_StreamOptions_End:
		r.end = true
	case *streams.ReadReq_Options_StreamOptions_Revision:
		r.from = v.Revision
	default:
		return failInvalid(ctx, "The revision to read from is not set.")
	}
	if err := r.checkFrom(ctx); err != nil {
		return err
	}
	if r.end && !r.backwards && !r.subscribe {
		return fail(ctx, codes.Unknown, "Unexpected ReadStreamResult: Error")
	}
	return nil
}

func (r *readRequest) parseAll(ctx context.Context, o *streams.ReadReq_Options_AllOptions) error {
	if !r.subscribe && r.count == 0 {
		return failInvalid(ctx, "The number of events to read must be positive.")
	}
	switch v := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
		r.start = true
	case *streams.ReadReq_Options_AllOptions_End:
		r.end = true
	case *streams.ReadReq_Options_AllOptions_Position:
		r.from, r.prepare = v.Position.GetCommitPosition(), v.Position.GetPreparePosition()
		if r.from < r.prepare {
			return failInvalid(ctx, fmt.Sprintf("The commit position %d is less than the prepare position %d.", r.from, r.prepare))
		}
	default:
		return failInvalid(ctx, "The position to read from is not set.")
	}
	return r.checkFrom(ctx)
}

// checkFrom reads the greatest number as the end, and refuses those that the
// original server, which counts with a sign, does not know.
func (r *readRequest) checkFrom(ctx context.Context) error {
	switch {
	case r.from == math.MaxUint64:
		r.end, r.from = true, 0
	case r.from > math.MaxInt64:
		return failInvalid(ctx, fmt.Sprintf("%d is out of range.", r.from))
	}
	return nil
}

// readStream sends what a stream holds now. What is written while it is being
// sent is not part of it.
func (r *readRequest) readStream() error {
	ctx := r.out.Context()
	limit, _ := r.tail.get()
	view, err := r.engine.read(limit)
	if err != nil {
		return r.failInside(ctx, err)
	}
	defer func() { view.close() }()
	h, err := view.head(r.stream)
	switch {
	case err != nil:
		return r.failInside(ctx, err)
	case h.tombstoned:
		return failDeleted(ctx, r.stream)
	case h.last < 0 || h.softDeleted():
		return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(r.stream)},
		}}})
	}
	from, first := r.from, h.first()
	if page := min(r.count, edgePage); r.edges && !r.backwards && from+page-1 < first {
		// The original server read a page, found nothing, and says so.
		from = first
		view.close()
		if err := r.sendFirst(first); err != nil {
			return err
		}
		again, err := r.engine.read(limit)
		if err != nil {
			return r.failInside(ctx, err)
		}
		view = again
	}
	sent, err := r.streamPages(view, limit, from, &h)
	if err != nil {
		return err
	}
	return r.sendEdges(sent > 0 || from == uint64(h.last+1), &h)
}

// streamPages sends a stream page by page, and closes view.
func (r *readRequest) streamPages(view *reader, limit, from uint64, h *head) (sent uint64, err error) {
	ctx, first := r.out.Context(), h.first()
	defer func() { view.close() }()
	cursor := streamCursor{stream: r.stream, next: max(from, first), backwards: r.backwards}
	if r.backwards {
		cursor.next = from
		if r.end || from > uint64(h.last) {
			cursor.next = uint64(h.last)
		}
	}
	for sent < r.count {
		page, err := cursor.page(view, int(min(r.count-sent, pageRecords)))
		if err != nil {
			return sent, r.failInside(ctx, err)
		}
		visible, below := r.visible(h, page, first)
		events, err := r.resolveAll(view, visible[:min(uint64(len(visible)), r.count-sent)])
		if err != nil {
			return sent, r.failInside(ctx, err)
		}
		view.close()
		if err := r.send(events...); err != nil {
			return sent, err
		}
		sent += uint64(len(events))
		if len(page) == 0 || below || cursor.ended || !r.backwards && cursor.next > uint64(h.last) {
			return sent, nil
		}
		next, err := r.engine.read(limit)
		if err != nil {
			return sent, r.failInside(ctx, err)
		}
		view = next
	}
	return sent, nil
}

// edgePage is how many events the original server reads at once.
const edgePage = 32

// sendEdges tells newer clients where the stream ends, and where it would go
// on if nothing of it was found.
func (r *readRequest) sendEdges(found bool, h *head) error {
	if !r.edges {
		return nil
	}
	if !found && !r.backwards {
		if err := r.sendFirst(uint64(h.last + 1)); err != nil {
			return err
		}
	}
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(h.last)}})
}

func (r *readRequest) sendFirst(revision uint64) error {
	return r.out.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: revision}})
}

// visible drops what the stream's metadata hides; below tells that everything
// further back is hidden too.
func (r *readRequest) visible(h *head, page []record, first uint64) (kept []record, below bool) {
	now := r.now()
	kept = page[:0:0]
	for i := range page {
		switch {
		case page[i].revision < first:
			below = true
		case !h.expired(&page[i], now):
			kept = append(kept, page[i])
		}
	}
	return kept, below
}

// readAll sends what the log holds now.
func (r *readRequest) readAll() error {
	ctx := r.out.Context()
	limit, _ := r.tail.get()
	cursor, err := r.allFrom(limit)
	if errors.Is(err, errNoRecord) {
		return fail(ctx, codes.Unknown, err.Error())
	}
	if err != nil {
		return r.failInside(ctx, err)
	}
	for left := r.count; left > 0; {
		page, events, err := r.allPage(&cursor, limit, left)
		if err != nil {
			return r.failInside(ctx, err)
		}
		if err := r.send(events...); err != nil {
			return err
		}
		left -= uint64(len(events))
		if page == 0 {
			return nil
		}
	}
	return nil
}

// allFrom is the cursor that a read of $all begins with.
func (r *readRequest) allFrom(limit uint64) (allCursor, error) {
	if r.end {
		return allCursor{next: limit, exact: true}, nil
	}
	view, err := r.engine.read(limit)
	if err != nil {
		return allCursor{}, err
	}
	defer view.close()
	return view.readFrom(r.from, r.backwards)
}

// allPage reads one page of $all and keeps at most left events of it.
func (r *readRequest) allPage(cursor *allCursor, limit, left uint64) (read int, events []resolved, err error) {
	view, err := r.engine.read(limit)
	if err != nil {
		return 0, nil, err
	}
	defer view.close()
	size := pageRecords
	if r.filter == nil {
		size = int(min(left, pageRecords))
	}
	next := cursor.forwards
	if r.backwards {
		next = cursor.backwards
	}
	page, err := next(view, size)
	if err != nil {
		return 0, nil, err
	}
	kept := page[:0:0]
	for i := range page {
		if r.wants(&page[i]) && uint64(len(kept)) < left {
			kept = append(kept, page[i])
		}
	}
	events, err = r.resolveAll(view, kept)
	return len(page), events, err
}

// wants tells whether an event of $all goes to this reader.
func (r *readRequest) wants(rec *record) bool {
	return !hiddenFromAll(rec) && (r.filter == nil || r.filter.match(rec))
}

func (r *readRequest) resolveAll(view *reader, page []record) ([]resolved, error) {
	events := make([]resolved, len(page))
	for i := range page {
		events[i].event = &page[i]
		if r.resolve {
			var err error
			if events[i], err = view.resolve(&page[i], r.now()); err != nil {
				return nil, err
			}
		}
	}
	if r.resolve && r.out != nil {
		return events, r.withhold(r.out.Context(), events)
	}
	return events, nil
}

// send sends events in the form that frame.go gives them.
func (r *readRequest) send(events ...resolved) error {
	for _, f := range frames(events, r.stringIDs) {
		if err := r.out.SendMsg(f); err != nil {
			return err
		}
	}
	return nil
}

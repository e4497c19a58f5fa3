package node

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Delete hides a stream's events; the stream may be written to again.
func (s streamService) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	position, err := s.remove(ctx, opSoftDelete, o.GetStreamIdentifier(), o.GetExpectedStreamRevision())
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{Position: &streams.DeleteResp_Position{
		CommitPosition: position, PreparePosition: position,
	}}}, nil
}

// Tombstone ends a stream for good.
func (s streamService) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	position, err := s.remove(ctx, opTombstone, o.GetStreamIdentifier(), o.GetExpectedStreamRevision())
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{Position: &streams.TombstoneResp_Position{
		CommitPosition: position, PreparePosition: position,
	}}}, nil
}

func (s streamService) remove(ctx context.Context, op operation, id *shared.StreamIdentifier, option any) (uint64, error) {
	want, err := parseExpected(ctx, option)
	if err != nil {
		return 0, err
	}
	stream := string(id.GetStreamName())
	if err := checkStreamName(ctx, stream); err != nil {
		return 0, err
	}
	out := s.sequencer.submit(&write{op: op, stream: stream, expected: want, done: ctx.Done()})
	switch {
	case out.err != nil:
		return 0, s.failInside(ctx, out.err)
	case out.verdict == verdictDeleted:
		return 0, failDeleted(ctx, stream)
	case out.verdict == verdictWrong:
		return 0, failWrongExpected(ctx, stream, want, out.last)
	}
	return out.position, nil
}

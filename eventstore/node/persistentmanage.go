package node

import (
	"context"
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// wireSettings is what Create and Update each declare for themselves.
type wireSettings interface {
	GetResolveLinks() bool
	GetRevision() uint64
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

// older is what requests of older clients say elsewhere than those of today.
type older interface {
	GetStreamIdentifier() *shared.StreamIdentifier
}

// fromOlder reads where an older client wants its group to begin.
func (e *groupEntry) fromOlder(ctx context.Context, o older, s wireSettings) error {
	return e.fromRevision(ctx, o.GetStreamIdentifier(), s.GetRevision())
}

// strategyOf is the strategy of a request that does not spell it out.
func strategyOf[S fmt.Stringer](s interface{ GetNamedConsumerStrategy() S }) string {
	return s.GetNamedConsumerStrategy().String()
}

// ticksPerMillisecond counts the protocol's ticks, of 100 ns each.
const ticksPerMillisecond = 10_000

func newEntry(group string, s wireSettings, strategy string) groupEntry {
	return groupEntry{
		Group:                 group,
		ResolveLinkTos:        s.GetResolveLinks(),
		ExtraStatistics:       s.GetExtraStatistics(),
		MessageTimeout:        int64(s.GetMessageTimeoutMs()) + s.GetMessageTimeoutTicks()/ticksPerMillisecond,
		LiveBufferSize:        s.GetLiveBufferSize(),
		HistoryBufferSize:     s.GetHistoryBufferSize(),
		MaxRetryCount:         s.GetMaxRetryCount(),
		ReadBatchSize:         s.GetReadBatchSize(),
		CheckPointAfter:       int64(s.GetCheckpointAfterMs()) + s.GetCheckpointAfterTicks()/ticksPerMillisecond,
		MinCheckPointCount:    s.GetMinCheckpointCount(),
		MaxCheckPointCount:    s.GetMaxCheckpointCount(),
		MaxSubscriberCount:    s.GetMaxSubscriberCount(),
		NamedConsumerStrategy: strategy,
	}
}

// checkSource refuses names under which there is no stream to have a group of.
func checkSource(stream string) error {
	switch stream {
	case "":
		return refusal("Bad stream name.")
	case streamAll:
		return refusal("Persistent subscriptions to $all are only supported over gRPC through gRPC clients")
	}
	return nil
}

// fromRevision makes the entry one of a stream. The greatest number means the
// end.
func (e *groupEntry) fromRevision(ctx context.Context, id *shared.StreamIdentifier, revision uint64) error {
	e.Stream = string(id.GetStreamName())
	if err := checkSource(e.Stream); err != nil {
		return err
	}
	switch {
	case revision == math.MaxUint64:
		e.StartPosition = "-1"
	case revision >= math.MaxInt64:
		return failInvalid(ctx, fmt.Sprintf("%d is out of range.", revision))
	default:
		e.StartPosition = fmt.Sprint(revision)
	}
	return nil
}

// fromPosition makes the entry one of $all.
func (e *groupEntry) fromPosition(ctx context.Context, commit, prepare uint64) error {
	e.Stream = streamAll
	switch {
	case commit == math.MaxUint64:
		e.StartPosition = "C:-1/P:-1"
	case commit >= math.MaxInt64:
		return failInvalid(ctx, fmt.Sprintf("%d is out of range.", commit))
	case prepare > commit:
		return refusal("Invalid Start From position: prepare position must be less than or equal to the commit position.")
	default:
		e.StartPosition = fmt.Sprintf("C:%d/P:%d", commit, prepare)
	}
	return nil
}

// Create makes a group.
func (s persistentService) Create(ctx context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	o := req.GetOptions()
	//lint:ignore SA1019 clients still send the strategy in this member
	if err := checkEnum(ctx, o.GetSettings().GetNamedConsumerStrategy()); err != nil {
		return nil, err
	}
	strategy := o.GetSettings().GetConsumerStrategy()
	if strategy == "" {
		strategy = strategyOf(o.GetSettings())
	}
	e := newEntry(o.GetGroupName(), o.GetSettings(), strategy)
	var err error
	switch v := o.GetStreamOption().(type) {
	case nil:
		err = e.fromOlder(ctx, o, o.GetSettings())
	case *persistent.CreateReq_Options_Stream:
		revision := uint64(0)
		switch from := v.Stream.GetRevisionOption().(type) {
		case *persistent.CreateReq_StreamOptions_Start:
		case *persistent.CreateReq_StreamOptions_End:
			revision = math.MaxUint64
		case *persistent.CreateReq_StreamOptions_Revision:
			revision = from.Revision
		default:
			return nil, failInvalid(ctx, "The revision to start from is not set.")
		}
		err = e.fromRevision(ctx, v.Stream.GetStreamIdentifier(), revision)
	case *persistent.CreateReq_Options_All:
		err = e.createAll(ctx, v.All)
	}
	if err == nil {
		err = s.groups.create(e)
	}
	if err != nil {
		return nil, s.failGroup(ctx, e.Stream, e.Group, err)
	}
	return &persistent.CreateResp{}, nil
}

func (e *groupEntry) createAll(ctx context.Context, o *persistent.CreateReq_AllOptions) error {
	commit, prepare := uint64(0), uint64(0)
	switch from := o.GetAllOption().(type) {
	case *persistent.CreateReq_AllOptions_Start:
	case *persistent.CreateReq_AllOptions_End:
		commit = math.MaxUint64
	case *persistent.CreateReq_AllOptions_Position:
		commit, prepare = from.Position.GetCommitPosition(), from.Position.GetPreparePosition()
	default:
		return failInvalid(ctx, "The position to start from is not set.")
	}
	if f, ok := o.GetFilterOption().(*persistent.CreateReq_AllOptions_Filter); ok {
		var x *persistent.CreateReq_AllOptions_FilterOptions_Expression
		context := filterStream
		switch v := f.Filter.GetFilter().(type) {
		case *persistent.CreateReq_AllOptions_FilterOptions_StreamIdentifier:
			x = v.StreamIdentifier
		case *persistent.CreateReq_AllOptions_FilterOptions_EventType:
			x, context = v.EventType, filterType
		default:
			return failInvalid(ctx, "The filter names neither streams nor event types.")
		}
		if _, err := matcher(x); err != nil {
			return failInvalid(ctx, printable(fmt.Sprintf("The filter's regular expression cannot be used: %v", err)))
		}
		e.Filter = newGroupFilter(context, x)
	}
	return e.fromPosition(ctx, commit, prepare)
}

// Update replaces a group's settings.
func (s persistentService) Update(ctx context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	o := req.GetOptions()
	if err := checkEnum(ctx, o.GetSettings().GetNamedConsumerStrategy()); err != nil {
		return nil, err
	}
	e := newEntry(o.GetGroupName(), o.GetSettings(), strategyOf(o.GetSettings()))
	var err error
	switch v := o.GetStreamOption().(type) {
	case nil:
		err = e.fromOlder(ctx, o, o.GetSettings())
	case *persistent.UpdateReq_Options_Stream:
		revision := uint64(0)
		switch from := v.Stream.GetRevisionOption().(type) {
		case *persistent.UpdateReq_StreamOptions_Start:
		case *persistent.UpdateReq_StreamOptions_End:
			revision = math.MaxUint64
		case *persistent.UpdateReq_StreamOptions_Revision:
			revision = from.Revision
		default:
			return nil, failInvalid(ctx, "The revision to start from is not set.")
		}
		err = e.fromRevision(ctx, v.Stream.GetStreamIdentifier(), revision)
	case *persistent.UpdateReq_Options_All:
		commit, prepare := uint64(0), uint64(0)
		switch from := v.All.GetAllOption().(type) {
		case *persistent.UpdateReq_AllOptions_Start:
		case *persistent.UpdateReq_AllOptions_End:
			commit = math.MaxUint64
		case *persistent.UpdateReq_AllOptions_Position:
			commit, prepare = from.Position.GetCommitPosition(), from.Position.GetPreparePosition()
		default:
			return nil, failInvalid(ctx, "The position to start from is not set.")
		}
		err = e.fromPosition(ctx, commit, prepare)
	}
	if err == nil {
		err = s.groups.update(e)
	}
	if err != nil {
		return nil, s.failGroup(ctx, e.Stream, e.Group, err)
	}
	return &persistent.UpdateResp{}, nil
}

// Delete removes a group and what it has written down.
func (s persistentService) Delete(ctx context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	o := req.GetOptions()
	stream, err := groupSource(ctx, o.GetStreamOption(), o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	if id := o.GetStreamIdentifier(); id != nil {
		err = checkSource(string(id.GetStreamName()))
	}
	if err == nil {
		err = s.groups.remove(stream, o.GetGroupName())
	}
	if err != nil {
		return nil, s.failGroup(ctx, stream, o.GetGroupName(), err)
	}
	return &persistent.DeleteResp{}, nil
}

// ReplayParked has parked events given out again. It answers before that is
// done.
func (s persistentService) ReplayParked(ctx context.Context, req *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	o := req.GetOptions()
	stream, err := groupSource(ctx, o.GetStreamOption(), o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	stop := uint64(math.MaxUint64)
	switch v := o.GetStopAtOption().(type) {
	case *persistent.ReplayParkedReq_Options_StopAt:
		stop = uint64(max(v.StopAt, 0))
		if v.StopAt < 0 {
			err = refusal("Cannot stop replaying parked message at a negative version.")
		}
	case *persistent.ReplayParkedReq_Options_NoLimit:
	default:
		return nil, failHandler(ctx, "The request neither has a limit nor says that it has none.")
	}
	if err == nil {
		var g *openGroup
		if g, err = s.groups.find(stream, o.GetGroupName()); err == nil {
			err = g.replayParked(stop)
		}
	}
	if err != nil {
		return nil, s.failGroup(ctx, stream, o.GetGroupName(), err)
	}
	return &persistent.ReplayParkedResp{}, nil
}

// RestartSubsystem drops all consumers and begins anew with what is written
// down.
func (s persistentService) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	if err := s.groups.restart(); err != nil {
		return nil, s.failInside(ctx, err)
	}
	return &shared.Empty{}, nil
}

package node

import (
	"context"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"permitledger/eventstore/node/internal/competing"
)

// measure is what the rates of a group are reckoned from: they are those since
// somebody last asked.
type measure struct {
	at    time.Time
	total uint64
}

// consumerStats is what is told about a connection beside its group's own
// figures.
type consumerStats struct {
	from, user, name string
	total            uint64 // when somebody last asked; the group's goroutine's
}

// GetInfo tells about one group.
func (s persistentService) GetInfo(ctx context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	o := req.GetOptions()
	stream, err := groupSource(ctx, o.GetStreamOption(), o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	g, err := s.groups.find(stream, o.GetGroupName())
	if err == nil {
		if info := g.info(); info != nil {
			return &persistent.GetInfoResp{SubscriptionInfo: info}, nil
		}
		err = errNoGroup // it was deleted meanwhile
	}
	return nil, s.failGroup(ctx, stream, o.GetGroupName(), err)
}

// List tells about all groups, or those of one source.
func (s persistentService) List(ctx context.Context, req *persistent.ListReq) (*persistent.ListResp, error) {
	stream := ""
	switch v := req.GetOptions().GetListOption().(type) {
	case *persistent.ListReq_Options_ListAllSubscriptions:
	case *persistent.ListReq_Options_ListForStream:
		var err error
		if stream, err = groupSource(ctx, v.ListForStream.GetStreamOption(), v.ListForStream.GetStream()); err != nil {
			return nil, err
		}
		if stream == "" {
			return nil, s.failGroup(ctx, "", "", errNoGroup)
		}
	default:
		return nil, failHandler(ctx, "The request does not say what to list.")
	}
	groups, err := s.groups.list(stream)
	if err != nil {
		return nil, s.failGroup(ctx, stream, "", err)
	}
	resp := &persistent.ListResp{}
	for _, g := range groups {
		if info := g.info(); info != nil {
			resp.Subscriptions = append(resp.Subscriptions, info)
		}
	}
	return resp, nil
}

// info is nil once the group has ended.
func (g *openGroup) info() *persistent.SubscriptionInfo {
	e := &g.entry
	info := &persistent.SubscriptionInfo{
		EventSource: e.Stream, GroupName: e.Group, Status: "NotReady",
		ResolveLinkTos: e.ResolveLinkTos, StartFrom: e.StartPosition, ExtraStatistics: e.ExtraStatistics,
		MessageTimeoutMilliseconds: int32(min(e.MessageTimeout, math.MaxInt32)), CheckPointAfterMilliseconds: int32(min(e.CheckPointAfter, math.MaxInt32)),
		MaxRetryCount: e.MaxRetryCount, LiveBufferSize: e.LiveBufferSize, BufferSize: e.HistoryBufferSize, ReadBatchSize: e.ReadBatchSize,
		MinCheckPointCount: e.MinCheckPointCount, MaxCheckPointCount: e.MaxCheckPointCount,
		NamedConsumerStrategy: e.NamedConsumerStrategy, MaxSubscriberCount: e.MaxSubscriberCount,
	}
	if !g.do(func() {
		if g.fault == nil {
			g.countParked()
			g.describe(info)
		}
	}) {
		return nil
	}
	return info
}

// countParked takes over what is parked already, although whoever wrote it has
// not said so yet: it counts once others can see it.
func (g *openGroup) countParked() {
	if first, end, err := g.parkedRange(g.entry.key()); err == nil {
		g.state.FoundParked(first, end)
	}
}

// describe adds what changes all the time.
func (g *openGroup) describe(info *persistent.SubscriptionInfo) {
	s := g.state.Stats()
	info.Status = groupStatus(g.supply.live, s.Replaying)
	info.LastCheckpointedEventPosition = g.saved
	if g.reach != competing.Nowhere {
		info.LastKnownEventPosition = g.entry.place(g.reach)
	}
	info.ReadBufferCount, info.RetryBufferCount = int32(s.Fresh), int32(s.Retrying)
	info.LiveBufferCount = int64(g.recent)
	info.OutstandingMessagesCount, info.TotalInFlightMessages = int32(s.Holding), int32(s.Holding)
	info.ParkedMessageCount = int64(s.Parked)

	now := g.wall()
	took := now.Sub(g.measured.at)
	info.TotalItems = int64(s.Total)
	info.CountSinceLastMeasurement = int64(s.Total - g.measured.total)
	info.AveragePerSecond = rate(s.Total-g.measured.total, took)
	g.measured = measure{at: now, total: s.Total}
	for _, c := range s.Consumers {
		own := g.consumers[c.ID]
		if own == nil {
			continue
		}
		since := c.Total - own.stats.total
		own.stats.total = c.Total
		info.Connections = append(info.Connections, &persistent.SubscriptionInfo_ConnectionInfo{
			From: own.stats.from, Username: own.stats.user, ConnectionName: own.stats.name,
			TotalItems: int64(c.Total), CountSinceLastMeasurement: int64(since), AverageItemsPerSecond: rate(since, took),
			AvailableSlots: int32(c.Slots - c.Held), InFlightMessages: int32(c.Held),
			ObservedMeasurements: measurements(c.Timings),
		})
	}
}

// countLive counts the events that came while the group listened. The original
// server keeps the last of them beside those that wait, and empties that live
// buffer when it has caught up. Here only their number is known.
func (g *openGroup) countLive(events int) {
	switch {
	case !g.behind:
		g.recent = min(g.recent+events, int(g.entry.LiveBufferSize))
	case g.supply.live:
		g.behind, g.recent = false, 0
	}
}

// groupStatus is in the words and the order of the original server.
func groupStatus(live, replaying bool) string {
	const behind, replay, latest = "Behind", "ReplayingParkedMessages", "Live"
	switch {
	case live && replaying:
		return replay + ", " + latest
	case live:
		return latest
	case replaying:
		return behind + ", " + replay
	}
	return behind
}

func rate(count uint64, took time.Duration) int32 {
	if took <= 0 {
		return 0
	}
	return int32(float64(count) / took.Seconds())
}

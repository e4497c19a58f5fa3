package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/storetest"
)

// groupFault is how a server is bad at persistent subscriptions.
type groupFault struct {
	create    func(*persistent.CreateReq_Options)
	again     bool                                            // accepts a group that exists already
	forgetful bool                                            // says that it changed a group, and does not
	noReplay  bool                                            // says that it replays, and does not
	keeps     bool                                            // says that it deleted a group, and does not
	unfilters bool                                            // makes a group of $all again, without its filter, to change it
	mute      bool                                            // gives no reason
	halfMade  bool                                            // refuses a group of the stream $all, and makes it all the same
	join      func(context.Context, *persistent.ReadReq) bool // of a consumer's messages; false loses one
	give      func(*persistent.ReadResp)
	inform    func(*persistent.SubscriptionInfo)
	replay    func() bool                               // false says that it replays, and does not
	refuse    func(*persistent.CreateReq_Options) error // in place of making a group, where it gives an error
}

// groupProxy is a server with such a fault in front of a good one.
type groupProxy struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	groupFault
	good persistent.PersistentSubscriptionsClient
}

// pass hands an answer on with its trailers.
func pass[Req, Resp any](p *groupProxy, ctx context.Context, req Req, call func(context.Context, Req, ...grpc.CallOption) (Resp, error)) (Resp, error) {
	var trailers metadata.MD
	resp, err := call(ctx, req, grpc.Trailer(&trailers))
	if !p.mute {
		_ = grpc.SetTrailer(ctx, trailers)
	}
	return resp, err
}

func (p *groupProxy) Create(ctx context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	if p.create != nil {
		p.create(req.GetOptions())
	}
	if o := req.GetOptions(); p.halfMade && string(o.GetStream().GetStreamIdentifier().GetStreamName()) == "$all" {
		o.StreamOption = &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
			AllOption: &persistent.CreateReq_AllOptions_Start{Start: &shared.Empty{}}, FilterOption: &persistent.CreateReq_AllOptions_NoFilter{NoFilter: &shared.Empty{}},
		}}
		_, err := p.good.Create(ctx, req)
		return nil, status.Error(codes.Unknown, fmt.Sprint("refused: ", err))
	}
	if p.refuse != nil {
		if err := p.refuse(req.GetOptions()); err != nil {
			return nil, err
		}
	}
	resp, err := pass(p, ctx, req, p.good.Create)
	if p.again && status.Code(err) == codes.AlreadyExists {
		return &persistent.CreateResp{}, nil
	}
	return resp, err
}

func (p *groupProxy) Update(ctx context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	if p.forgetful {
		return &persistent.UpdateResp{}, nil
	}
	if o := req.GetOptions(); p.unfilters && o.GetAll() != nil {
		return p.recreate(ctx, o)
	}
	return pass(p, ctx, req, p.good.Update)
}

func (p *groupProxy) recreate(ctx context.Context, o *persistent.UpdateReq_Options) (*persistent.UpdateResp, error) {
	_, err := p.good.Delete(ctx, &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{
		GroupName: o.GetGroupName(), StreamOption: &persistent.DeleteReq_Options_All{All: &shared.Empty{}},
	}})
	if err != nil {
		return nil, err
	}
	at, s := o.GetAll().GetPosition(), o.GetSettings()
	_, err = p.good.Create(ctx, &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		GroupName: o.GetGroupName(),
		StreamOption: &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
			AllOption: &persistent.CreateReq_AllOptions_Position{
				Position: &persistent.CreateReq_Position{CommitPosition: at.GetCommitPosition(), PreparePosition: at.GetPreparePosition()},
			},
		}},
		Settings: &persistent.CreateReq_Settings{
			MaxRetryCount: s.GetMaxRetryCount(), ReadBatchSize: s.GetReadBatchSize(), HistoryBufferSize: s.GetHistoryBufferSize(),
			MessageTimeout: &persistent.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: 30_000},
		},
	}})
	return &persistent.UpdateResp{}, err
}

func (p *groupProxy) Delete(ctx context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	if p.keeps {
		return &persistent.DeleteResp{}, nil
	}
	return pass(p, ctx, req, p.good.Delete)
}

func (p *groupProxy) GetInfo(ctx context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	resp, err := pass(p, ctx, req, p.good.GetInfo)
	if err == nil && p.inform != nil {
		p.inform(resp.GetSubscriptionInfo())
	}
	return resp, err
}

func (p *groupProxy) ReplayParked(ctx context.Context, req *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	if p.noReplay || p.replay != nil && !p.replay() {
		return &persistent.ReplayParkedResp{}, nil
	}
	return pass(p, ctx, req, p.good.ReplayParked)
}

func (p *groupProxy) List(ctx context.Context, req *persistent.ListReq) (*persistent.ListResp, error) {
	return pass(p, ctx, req, p.good.List)
}

func (p *groupProxy) Read(consumer persistent.PersistentSubscriptions_ReadServer) error {
	ctx, cancel := context.WithCancel(consumer.Context())
	defer cancel()
	var trailers metadata.MD
	call, err := p.good.Read(ctx, grpc.Trailer(&trailers))
	if err != nil {
		return err
	}
	go func() {
		for {
			req, err := consumer.Recv()
			if err != nil {
				_ = call.CloseSend()
				return
			}
			if (p.join == nil || p.join(ctx, req)) && call.Send(req) != nil {
				return
			}
		}
	}()
	for {
		m, err := call.Recv()
		if err != nil {
			consumer.SetTrailer(trailers)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if p.give != nil {
			p.give(m)
		}
		if err := consumer.Send(m); err != nil {
			return err
		}
	}
}

func settled(f func(*persistent.CreateReq_Settings)) groupFault {
	return groupFault{create: func(o *persistent.CreateReq_Options) { f(o.GetSettings()) }}
}

// badGroups are servers that break a rule of persistent subscriptions, and the
// cases that must notice.
var badGroups = []struct {
	how   string
	cases string
	fault groupFault
}{
	{"makes a group twice", "8.1", groupFault{again: true}},
	{"begins after the revision named", "8.2", groupFault{create: func(o *persistent.CreateReq_Options) {
		if at, ok := o.GetStream().GetRevisionOption().(*persistent.CreateReq_StreamOptions_Revision); ok {
			at.Revision++
		}
	}}},
	{"does not hear what is acknowledged", "8.3 8.11", groupFault{join: func(_ context.Context, req *persistent.ReadReq) bool { return req.GetAck() == nil }}},
	{"does not count", "8.3 8.4 8.5 8.6 8.13", groupFault{give: func(m *persistent.ReadResp) {
		if e := m.GetEvent(); e != nil {
			e.Count = &persistent.ReadResp_ReadEvent_NoRetryCount{NoRetryCount: &shared.Empty{}}
		}
	}}},
	{"passes over instead of parking", "8.4 8.7", groupFault{join: func(_ context.Context, req *persistent.ReadReq) bool {
		if n := req.GetNack(); n.GetAction() == persistent.ReadReq_Nack_Park {
			n.Action = persistent.ReadReq_Nack_Skip
		}
		return true
	}}},
	{"waits for ever", "8.5", settled(func(s *persistent.CreateReq_Settings) {
		s.MessageTimeout = &persistent.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: 3_600_000}
	})},
	{"tries for ever", "8.6", settled(func(s *persistent.CreateReq_Settings) { s.MaxRetryCount = 1000 })},
	{"replays nothing", "8.7", groupFault{noReplay: true}},
	{"takes any number", "8.8 8.14", settled(func(s *persistent.CreateReq_Settings) { s.MaxSubscriberCount = 0 })},
	{"knows one strategy", "8.9", settled(func(s *persistent.CreateReq_Settings) { s.ConsumerStrategy = "RoundRobin" })},
	{"gives without measure", "8.10", groupFault{join: func(_ context.Context, req *persistent.ReadReq) bool {
		if o := req.GetOptions(); o != nil {
			o.BufferSize = 10
		}
		return true
	}}},
	{"looks at no filter", "8.12", groupFault{create: func(o *persistent.CreateReq_Options) {
		if all := o.GetAll(); all != nil {
			all.FilterOption = &persistent.CreateReq_AllOptions_NoFilter{NoFilter: &shared.Empty{}}
		}
	}}},
	{"does not follow links", "8.13 8.14", settled(func(s *persistent.CreateReq_Settings) { s.ResolveLinks = false })},
	{"changes nothing", "8.15 8.17", groupFault{forgetful: true}},
	{"says nothing of why", "8.16", groupFault{mute: true}},
	{"makes a group of the stream $all that it refuses", "8.16", groupFault{halfMade: true}},
	{"begins an older client's group at the start", "8.17", settled(func(s *persistent.CreateReq_Settings) { s.Revision = 0 })}, //lint:ignore SA1019 older clients send it
	{"deletes nothing", "8.19", groupFault{keeps: true}},
	{"forgets a filter", "8.20", groupFault{unfilters: true}},
}

// Also each rule of persistent subscriptions is noticed when it is broken.
func TestBadGroupsAreNoticed(t *testing.T) {
	n := openNode(t)
	for _, b := range badGroups {
		t.Run(b.how, func(t *testing.T) {
			t.Parallel()
			mustNotice(t, connect(t, spoil(t, n.Addr(), fault{groups: b.fault})), b.cases)
		})
	}
	noticed := " "
	for _, b := range badGroups {
		noticed += b.cases + " "
	}
	for _, b := range bad {
		noticed += b.cases + " "
	}
	for _, c := range storetest.Cases() {
		if strings.HasPrefix(c.Number, "8.") && !strings.Contains(noticed, " "+c.Number+" ") {
			t.Errorf("no server breaks %s %s", c.Number, c.Name)
		}
	}
}

// What a server does not have is said to be missing, and does not pass.
func TestWhatIsNotOffered(t *testing.T) {
	for how, f := range map[string]fault{"says so": {hidden: true}, "does not say so": {broken: true}} {
		s := connect(t, spoil(t, openNode(t).Addr(), f))
		for _, c := range storetest.Cases() {
			if strings.HasPrefix(c.Number, "8.") {
				r := c.Run(t.Context(), s, storetest.Options{Timeout: 20 * time.Second, Patience: time.Second})
				if r.Outcome != storetest.NotOffered || len(r.Left) > 0 {
					t.Errorf("a server that lacks groups and %s: %s %s %s: %v", how, c.Number, c.Name, r.Outcome, r.Because)
				}
			}
		}
	}
}

// So is BatchAppend, which is not asked for but tried.
func TestBatchesAreNotOffered(t *testing.T) {
	s := connect(t, spoil(t, openNode(t).Addr(), fault{batchless: true}))
	tried := 0
	for _, c := range storetest.Cases() {
		if !strings.Contains(c.Rule, "BatchAppend") {
			continue
		}
		tried++
		r := c.Run(t.Context(), s, storetest.Options{Timeout: 20 * time.Second, Patience: time.Second})
		if r.Outcome != storetest.NotOffered || len(r.Left) > 0 {
			t.Errorf("%s %s %s: %v", c.Number, c.Name, r.Outcome, r.Because)
		}
	}
	if tried != 3 {
		t.Errorf("%d rules are about BatchAppend", tried)
	}
}

// A server that lacks a feature of a rule that the ledger needs fails it.
func TestMissingFeatureFailsRulesOfTheLedger(t *testing.T) {
	s := connect(t, spoil(t, openNode(t).Addr(), fault{refuse: func(context.Context, *streams.ReadReq_Options) error {
		return status.Error(codes.Unimplemented, "no reads")
	}}))
	for _, c := range storetest.Cases() {
		want, asked := map[string]storetest.Outcome{"6.1": storetest.Failed, "6.5": storetest.NotOffered}[c.Number]
		if !asked {
			continue
		}
		if r := c.Run(t.Context(), s, storetest.Options{}); r.Outcome != want {
			t.Errorf("%s %s: %s: %v", c.Number, c.Name, r.Outcome, r.Because)
		}
	}
}

// A user who may not write learns nothing of the rules, and is told so.
func TestWhatIsForbidden(t *testing.T) {
	s := connect(t, spoil(t, openNode(t).Addr(), fault{barred: true}))
	for _, c := range storetest.Cases() {
		if c.Number == "1.2" || c.Number == "2.1" || c.Number == "7.6" {
			if r := c.Run(t.Context(), s, storetest.Options{}); r.Outcome != storetest.Forbidden || len(r.Because) != 1 {
				t.Errorf("%s %s: %s: %v", c.Number, c.Name, r.Outcome, r.Because)
			}
		}
	}
}

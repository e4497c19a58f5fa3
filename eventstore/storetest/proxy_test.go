package storetest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// fault is how a server is bad: each function, where not nil, spoils one thing
// on its way to or from a good one.
type fault struct {
	version  string
	request  func(*streams.AppendReq_Options, []*proposed) []*proposed
	answer   func(*streams.AppendReq_Options, []*proposed, *streams.AppendResp)
	instead  func(*proxy, *streams.AppendReq_Options, []*proposed) *streams.AppendResp
	trailers func(metadata.MD)
	refuse   func(context.Context, *streams.ReadReq_Options) error // in place of reading, where it gives an error
	reading  func(*streams.ReadReq_Options)
	// message is made anew for each read; it gives what is sent for a message.
	message  func(call int, o *streams.ReadReq_Options) func(*streams.ReadResp) []*streams.ReadResp
	swap     bool // deletions for tombstones, and the other way round
	endless  bool // an error never ends a read
	confirms bool // every subscription is confirmed, also one that is refused
	endsAll  bool // a subscription that ends takes all others along
	split    bool // a batch is written event by event
	atMost   int  // messages of a subscription, after which it is dropped
	hidden   bool // says that it has no persistent subscriptions
	broken   bool // says that it has them, and has not
	barred   bool // lets nobody write
	unled    bool // refuses who asks for the leader
	groups   groupFault

	batch     func(*streams.BatchAppendReq)
	batched   func(*streams.BatchAppendResp)
	batchless bool // does not serve BatchAppend
}

type proposed = streams.AppendReq_ProposedMessage

// proxy is a server with a fault in front of a good one.
type proxy struct {
	streams.UnimplementedStreamsServer
	fault
	good streams.StreamsClient

	mu         sync.Mutex
	calls      int                  // guarded by mu; reads so far
	seen       map[string]bool      // guarded by mu; ids of events
	ends       []context.CancelFunc // guarded by mu; of subscriptions
	open       sync.WaitGroup       // of subscriptions
	subscribed bool                 // guarded by mu; a subscription that takes others along was begun
	ended      chan struct{}        // closed once all have ended
}

type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
	good    serverfeatures.ServerFeaturesClient
	version string
	hidden  bool
}

func (f features) GetSupportedMethods(ctx context.Context, in *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	out, err := f.good.GetSupportedMethods(ctx, in)
	if f.version != "" && err == nil {
		out.EventStoreServerVersion = f.version
	}
	if f.hidden && err == nil {
		out.Methods = slices.DeleteFunc(out.Methods, func(m *serverfeatures.SupportedMethod) bool {
			return strings.Contains(m.GetServiceName(), "persistent")
		})
	}
	return out, err
}

// spoil puts a fault in front of a server and gives where to reach it. Whatever
// the fault, nothing may be asked of it that kills a server.
func spoil(t *testing.T, address string, f fault) (connectionString string) {
	t.Helper()
	r := newRecorder()
	t.Cleanup(func() { r.harmless(t) })
	return spoilRecorded(t, address, f, r)
}

// spoilRecorded is spoil with a recorder of the caller's.
func spoilRecorded(t *testing.T, address string, f fault, r *recorder) (connectionString string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.StreamInterceptor(r.stream), grpc.UnaryInterceptor(r.unary))
	streams.RegisterStreamsServer(s, &proxy{fault: f, good: streams.NewStreamsClient(conn), seen: map[string]bool{}, ended: make(chan struct{})})
	serverfeatures.RegisterServerFeaturesServer(s, features{good: serverfeatures.NewServerFeaturesClient(conn), version: f.version, hidden: f.hidden})
	if !f.broken {
		persistent.RegisterPersistentSubscriptionsServer(s, &groupProxy{groupFault: f.groups, good: persistent.NewPersistentSubscriptionsClient(conn)})
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		s.Stop()
		serving.Wait()
		_ = conn.Close()
	})
	return "esdb://" + l.Addr().String() + "?tls=false"
}

// Append collects the batch, and writes it.
func (p *proxy) Append(in streams.Streams_AppendServer) error {
	if p.barred {
		// A sender that is refused while it is sending would see an end of file
		// in place of the reason.
		for {
			if _, err := in.Recv(); err != nil {
				return status.Error(codes.PermissionDenied, "not you")
			}
		}
	}
	if err := p.lead(in.Context()); err != nil {
		return err
	}
	var options *streams.AppendReq_Options
	var events []*proposed
	for {
		req, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch o := req.GetOptions(); {
		case o != nil:
			options = o
		case options == nil:
			return status.Error(codes.Unknown, "an event before the options")
		default:
			events = append(events, req.GetProposedMessage())
		}
	}
	if p.request != nil {
		events = p.request(options, events)
	}
	if p.instead != nil {
		if resp := p.instead(p, options, events); resp != nil {
			return in.SendAndClose(resp)
		}
	}
	p.mu.Lock()
	subscribed := p.subscribed
	p.mu.Unlock()
	if subscribed {
		<-p.ended
	}
	batches := [][]*proposed{events}
	if p.split {
		batches = batches[:0]
		for _, e := range events {
			batches = append(batches, []*proposed{e})
		}
	}
	var resp *streams.AppendResp
	for _, batch := range batches {
		var trailers metadata.MD
		var err error
		if resp, err = p.write(in.Context(), options, batch, &trailers); err != nil {
			if p.trailers != nil {
				p.trailers(trailers)
			}
			in.SetTrailer(trailers)
			return err
		}
	}
	if p.answer != nil {
		p.answer(options, events, resp)
	}
	return in.SendAndClose(resp)
}

// BatchAppend passes on requests and answers, spoilt.
func (p *proxy) BatchAppend(in streams.Streams_BatchAppendServer) error {
	if p.batchless {
		return p.UnimplementedStreamsServer.BatchAppend(in)
	}
	call, err := p.good.BatchAppend(in.Context())
	if err != nil {
		return err
	}
	go func() {
		for {
			req, err := in.Recv()
			if err != nil {
				_ = call.CloseSend()
				return
			}
			if p.batch != nil {
				p.batch(req)
			}
			if call.Send(req) != nil {
				return
			}
		}
	}()
	for {
		resp, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.batched != nil {
			p.batched(resp)
		}
		if err := in.Send(resp); err != nil {
			return err
		}
	}
}

// lead refuses those who ask for the leader, where there is none.
func (p *proxy) lead(ctx context.Context) error {
	if p.unled && len(metadata.ValueFromIncomingContext(ctx, "requires-leader")) > 0 {
		return status.Error(codes.NotFound, "no leader")
	}
	return nil
}

func (p *proxy) write(ctx context.Context, o *streams.AppendReq_Options, events []*proposed, trailers *metadata.MD) (*streams.AppendResp, error) {
	call, err := p.good.Append(ctx, grpc.Trailer(trailers))
	if err != nil {
		return nil, err
	}
	err = call.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}})
	for _, e := range events {
		if err == nil {
			err = call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: e}})
		}
	}
	return call.CloseAndRecv()
}

// Read passes on what the good server sends, spoilt.
func (p *proxy) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	if err := p.lead(ctx); err != nil {
		return err
	}
	o := req.GetOptions()
	p.mu.Lock()
	p.calls++
	number := p.calls
	if o.GetSubscription() != nil && p.endsAll {
		p.ends, p.subscribed = append(p.ends, cancel), true
		p.open.Add(1)
		defer p.open.Done()
	}
	p.mu.Unlock()
	if p.reading != nil {
		p.reading(o)
	}
	if p.refuse != nil {
		if err := p.refuse(ctx, o); err != nil {
			return err
		}
	}
	change := func(m *streams.ReadResp) []*streams.ReadResp { return []*streams.ReadResp{m} }
	if p.message != nil {
		change = p.message(number, o)
	}
	if p.confirms && o.GetSubscription() != nil {
		if err := out.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: "early"}}}); err != nil {
			return err
		}
	}
	var trailers metadata.MD
	call, err := p.good.Read(ctx, req, grpc.Trailer(&trailers))
	if err != nil {
		return err
	}
	for sent := 0; ; sent++ {
		m, err := call.Recv()
		if err != nil {
			return p.end(out, o, trailers, err)
		}
		for _, m := range change(m) {
			if err := out.Send(m); err != nil {
				return err
			}
		}
		if p.atMost > 0 && o.GetSubscription() != nil && sent >= p.atMost {
			return status.Error(codes.Aborted, "too slow")
		}
	}
}

func (p *proxy) end(out streams.Streams_ReadServer, o *streams.ReadReq_Options, trailers metadata.MD, err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if p.endsAll && o.GetSubscription() != nil {
		p.mu.Lock()
		for _, end := range p.ends {
			end()
		}
		if p.ends != nil {
			p.ends = nil
			// Not at once: one that has yet to notice would still pass on what
			// is written from now on.
			go func() {
				p.open.Wait()
				close(p.ended)
			}()
		}
		p.mu.Unlock()
	}
	if p.endless {
		<-out.Context().Done()
	}
	if p.trailers != nil {
		p.trailers(trailers)
	}
	out.SetTrailer(trailers)
	return err
}

func (p *proxy) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	var trailers metadata.MD
	if p.swap {
		o := req.GetOptions()
		req := &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
			StreamIdentifier: o.GetStreamIdentifier(), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}},
		}}
		resp, err := p.good.Tombstone(ctx, req, grpc.Trailer(&trailers))
		_ = grpc.SetTrailer(ctx, trailers)
		at := resp.GetPosition()
		return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{Position: &streams.DeleteResp_Position{
			CommitPosition: at.GetCommitPosition(), PreparePosition: at.GetPreparePosition(),
		}}}, err
	}
	resp, err := p.good.Delete(ctx, req, grpc.Trailer(&trailers))
	if p.trailers != nil {
		p.trailers(trailers)
	}
	_ = grpc.SetTrailer(ctx, trailers)
	return resp, err
}

func (p *proxy) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	var trailers metadata.MD
	if p.swap {
		resp, err := p.good.Delete(ctx, &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier: req.GetOptions().GetStreamIdentifier(), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}},
		}}, grpc.Trailer(&trailers))
		_ = grpc.SetTrailer(ctx, trailers)
		at := resp.GetPosition()
		return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{Position: &streams.TombstoneResp_Position{
			CommitPosition: at.GetCommitPosition(), PreparePosition: at.GetPreparePosition(),
		}}}, err
	}
	resp, err := p.good.Tombstone(ctx, req, grpc.Trailer(&trailers))
	_ = grpc.SetTrailer(ctx, trailers)
	return resp, err
}

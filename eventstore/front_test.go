package eventstore_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// front is a server that passes every call on to a node, but has a function of
// the test answer BatchAppend.
type front struct {
	t    *testing.T
	addr string
	node *grpc.ClientConn

	busy atomic.Int64 // batches that are not answered yet

	mu    sync.Mutex
	calls []metadata.MD // guarded by mu; the headers of each BatchAppend call
	ends  []error       // guarded by mu; how each ended for the server
}

// batches is one BatchAppend call, from the server's side.
type batches struct {
	grpc.ServerStream
	node  streams.Streams_BatchAppendClient // where a batch can be written
	front *front
}

// newFront answers each BatchAppend call with serve, whose result ends the
// call. Nil passes them on, too.
func newFront(t *testing.T, node string, serve func(batches) error) *front {
	t.Helper()
	conn, err := grpc.NewClient(node, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, addr: l.Addr().String(), node: conn}
	g := grpc.NewServer(grpc.UnknownServiceHandler(f.passOn), grpc.ForceServerCodecV2(rawCodec{encoding.GetCodecV2("proto")}),
		grpc.MaxRecvMsgSize(16<<20), grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	if serve != nil {
		g.RegisterService(&grpc.ServiceDesc{ServiceName: "event_store.client.streams.Streams", Streams: []grpc.StreamDesc{{
			StreamName: "BatchAppend", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, wire grpc.ServerStream) error { return f.batchAppend(wire, serve) },
		}}}, nil)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() {
		g.Stop()
		serving.Wait()
		_ = conn.Close()
	})
	return f
}

func (f *front) batchAppend(wire grpc.ServerStream, serve func(batches) error) error {
	node, err := streams.NewStreamsClient(f.node).BatchAppend(wire.Context())
	if err != nil {
		return err
	}
	headers, _ := metadata.FromIncomingContext(wire.Context())
	f.mu.Lock()
	f.calls = append(f.calls, headers)
	f.mu.Unlock()
	err = serve(batches{wire, node, f})
	f.busy.Store(0)
	f.mu.Lock()
	f.ends = append(f.ends, err)
	f.mu.Unlock()
	return err
}

// called is how many BatchAppend calls there were.
func (f *front) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

// halfClosed fails the test if a client has half-closed a call.
func (f *front) halfClosed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, err := range f.ends {
		if errors.Is(err, io.EOF) {
			f.t.Error("a call was half-closed, which makes a server lose answers")
		}
	}
}

func (b batches) next() (*streams.BatchAppendReq, error) {
	req := new(streams.BatchAppendReq)
	err := b.RecvMsg(req)
	if err == nil {
		b.front.busy.Add(1)
	}
	return req, err
}

// written has the node write a batch, and gives its answer.
func (b batches) written(req *streams.BatchAppendReq) (*streams.BatchAppendResp, error) {
	if err := b.node.Send(req); err != nil {
		return nil, err
	}
	return b.node.Recv()
}

// pass has the node write a batch and passes the answer on.
func (b batches) pass(req *streams.BatchAppendReq) error {
	resp, err := b.written(req)
	if err != nil {
		return err
	}
	return b.answer(resp)
}

func (b batches) answer(resp *streams.BatchAppendResp) error {
	b.front.busy.Add(-1)
	return b.SendMsg(resp)
}

// refuse answers a batch with an error.
func (b batches) refuse(req *streams.BatchAppendReq, code codes.Code, message string, details proto.Message) error {
	s := &rpcstatus.Status{Code: int32(code), Message: message}
	if details != nil {
		packed, err := anypb.New(details)
		if err != nil {
			return err
		}
		s.Details = append(s.Details, packed)
	}
	return b.answer(&streams.BatchAppendResp{CorrelationId: req.GetCorrelationId(), Result: &streams.BatchAppendResp_Error{Error: s}})
}

// faithful passes everything on, but for the batches for which other answers.
func faithful(other func(n int, b batches, req *streams.BatchAppendReq) (done bool, err error)) func(batches) error {
	var count atomic.Int64
	return func(b batches) error {
		for {
			req, err := b.next()
			if err != nil {
				return err
			}
			done, err := other(int(count.Add(1)), b, req)
			if err == nil && !done {
				err = b.pass(req)
			}
			if err != nil {
				return err
			}
		}
	}
}

// passOn passes a call on to the node, message by message.
func (f *front) passOn(_ any, wire grpc.ServerStream) error {
	ctx := wire.Context()
	method, _ := grpc.MethodFromServerStream(wire)
	headers, _ := metadata.FromIncomingContext(ctx)
	if n := f.busy.Load(); n > 0 && !strings.HasSuffix(method, "/Read") {
		f.t.Errorf("%s while %d batches are under way", method, n)
	}
	out, err := f.node.NewStream(metadata.NewOutgoingContext(ctx, headers), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		method, grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")}))
	if err != nil {
		return err
	}
	go func() {
		for {
			var m raw
			if wire.RecvMsg(&m) != nil {
				_ = out.CloseSend() // or the call is over, and its context with it
				return
			}
			_ = out.SendMsg(&m)
		}
	}()
	for {
		var m raw
		if err := out.RecvMsg(&m); err != nil {
			wire.SetTrailer(out.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := wire.SendMsg(&m); err != nil {
			return err
		}
	}
}

// raw is a message as it is on the wire.
type raw []byte

// rawCodec leaves messages that are raw as they are.
type rawCodec struct{ encoding.CodecV2 }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*raw); ok {
		return mem.BufferSlice{mem.SliceBuffer(*m)}, nil
	}
	return c.CodecV2.Marshal(v)
}

func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*raw); ok {
		*m = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

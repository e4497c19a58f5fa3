package node

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
)

// batchFront is a node as it would be if it advertised BatchAppend: a second
// server of its streams, in clear, that counts how often it is used.
type batchFront struct {
	streamService
	address string
	calls   atomic.Int64
}

func advertiseBatches(t *testing.T, n *Node) *batchFront {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &batchFront{streamService: streamService{Node: n}, address: l.Addr().String()}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.ForceServerCodecV2(newFrameCodec()), grpc.WaitForHandlers(true))
	streams.RegisterStreamsServer(s, f)
	serverfeatures.RegisterServerFeaturesServer(s, batchFeatures{})
	gossip.RegisterGossipServer(s, gossipService{Node: n})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		s.Stop()
		serving.Wait()
	})
	return f
}

func (f *batchFront) BatchAppend(wire streams.Streams_BatchAppendServer) error {
	f.calls.Add(1)
	return f.streamService.BatchAppend(wire)
}

// batchFeatures adds BatchAppend to what a node advertises.
type batchFeatures struct{ featureService }

func (f batchFeatures) GetSupportedMethods(ctx context.Context, in *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	out, err := f.featureService.GetSupportedMethods(ctx, in)
	if err != nil {
		return nil, err
	}
	out.Methods = append(slices.Clone(out.GetMethods()), &serverfeatures.SupportedMethod{
		ServiceName: "event_store.client.streams.streams", MethodName: "batchappend", Features: []string{"deadline_duration"},
	})
	return out, nil
}

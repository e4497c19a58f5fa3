package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// bare is what the node is measured against: the same gRPC service over a
// segment file that is synced for whoever waits, without checks, indexes or
// queries; and for reads, the same messages from memory.
type bare struct {
	streams.UnimplementedStreamsServer
	queue    chan bareWrite
	messages []*streams.ReadResp
}

type bareWrite struct {
	data []byte
	done chan uint64
}

func (b *bare) Append(stream streams.Streams_AppendServer) error {
	var data []byte
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if p := req.GetProposedMessage(); p != nil {
			rec, err := proposed(stream.Context(), p)
			if err != nil {
				return err
			}
			part := make([]byte, rec.encodedSize())
			rec.encode(part)
			data = append(data, part...)
		}
	}
	w := bareWrite{data, make(chan uint64, 1)}
	b.queue <- w
	return stream.SendAndClose(appended(outcome{last: 1, located: true, position: <-w.done}))
}

func (b *bare) Read(_ *streams.ReadReq, stream streams.Streams_ReadServer) error {
	for _, m := range b.messages {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) run(tb testing.TB, file *os.File) {
	out := bufio.NewWriterSize(file, 1<<20)
	position := uint64(0)
	for w := range b.queue {
		group := []bareWrite{w}
	gather:
		for {
			select {
			case w := <-b.queue:
				group = append(group, w)
			default:
				break gather
			}
		}
		for _, w := range group {
			_, _ = out.Write(w.data)
		}
		if err := errors.Join(out.Flush(), file.Sync()); err != nil {
			tb.Error(err)
		}
		for _, w := range group {
			position += uint64(len(w.data))
			w.done <- position
		}
	}
}

func serveBare(tb testing.TB, b *bare) streams.StreamsClient {
	file, err := os.Create(filepath.Join(tb.TempDir(), "segment"))
	if err != nil {
		tb.Fatal(err)
	}
	b.queue = make(chan bareWrite, 1024)
	var running sync.WaitGroup
	running.Go(func() { b.run(tb, file) })
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	streams.RegisterStreamsServer(server, b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	tb.Cleanup(func() {
		server.Stop()
		close(b.queue)
		running.Wait()
		_ = file.Close()
	})
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return streams.NewStreamsClient(conn)
}

var benchData = make([]byte, 400)

func benchEvent() *streams.AppendReq {
	return rawEvent(func(m *streams.AppendReq_ProposedMessage) { m.Data = benchData })
}

// BenchmarkAppend writes single events to many streams by so many writers at
// once, to the node and to the bare file.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 128} {
		b.Run("node/"+strconv.Itoa(writers), func(b *testing.B) {
			n := openNode(b, Options{Dir: b.TempDir()})
			benchAppend(b, stub(b, n), writers)
		})
		b.Run("bare/"+strconv.Itoa(writers), func(b *testing.B) { benchAppend(b, serveBare(b, &bare{}), writers) })
	}
}

func benchAppend(b *testing.B, s streams.StreamsClient, writers int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var busy sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		busy.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				call, err := s.Append(context.Background())
				if err == nil {
					_ = call.Send(appendOptions("stream-"+strconv.Itoa(w)+"-"+strconv.Itoa(i/8), expectAny))
					_ = call.Send(benchEvent())
					_, err = call.CloseAndRecv()
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkReadAll drains $all, from the node and as the same messages from
// memory.
func BenchmarkReadAll(b *testing.B) {
	const events = 50_000
	n := openNode(b, Options{Dir: b.TempDir()})
	s := stub(b, n)
	for i := range events / 100 {
		requests := []*streams.AppendReq{appendOptions("stream-"+strconv.Itoa(i), expectAny)}
		for range 100 {
			requests = append(requests, benchEvent())
		}
		call, err := s.Append(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range requests {
			_ = call.Send(r)
		}
		if _, err := call.CloseAndRecv(); err != nil {
			b.Fatal(err)
		}
	}
	var messages []*streams.ReadResp
	drainAll(b, s, func(m *streams.ReadResp) { messages = append(messages, proto.CloneOf(m)) })
	b.Run("node", func(b *testing.B) {
		for b.Loop() {
			drainAll(b, s, nil)
		}
		b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
	})
	reference := serveBare(b, &bare{messages: messages})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			drainAll(b, reference, nil)
		}
		b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
	})
}

func drainAll(b *testing.B, s streams.StreamsClient, each func(*streams.ReadResp)) {
	call, err := s.Read(context.Background(), readAllRequest())
	if err != nil {
		b.Fatal(err)
	}
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		if each != nil {
			each(m)
		}
	}
}

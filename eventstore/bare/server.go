package bare

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// Server is what the node is measured against: the same gRPC service over a
// segment file that is synced for whoever waits, without checks, indexes or
// queries; and for reads, the same messages from memory.
type Server struct {
	streams.UnimplementedStreamsServer
	socket  string
	grpc    *grpc.Server
	file    *os.File
	queue   chan write
	answer  atomic.Pointer[[]any] // what every read is answered with
	running sync.WaitGroup
	failed  error // of the file; written before running ends
}

// write is an append that waits for the disk.
type write struct {
	data []byte
	done chan reply // takes one
}

type reply struct {
	position uint64
	err      error
}

// Serve makes a segment file in a folder and serves it on a socket there.
func Serve(dir string) (*Server, error) {
	file, err := os.OpenFile(filepath.Join(dir, "segment"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	s := &Server{socket: filepath.Join(dir, "bare.sock"), file: file, queue: make(chan write, 1024)}
	s.answer.Store(new([]any))
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s.grpc = grpc.NewServer(grpc.WaitForHandlers(true), grpc.MaxRecvMsgSize(maxMessage),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}),
		// The client pings every ten seconds, and by its default gRPC takes that
		// for an attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	streams.RegisterStreamsServer(s.grpc, s)
	s.running.Go(s.write)
	s.running.Go(func() { _ = s.grpc.Serve(l) }) // ends with Close
	return s, nil
}

// Socket is where the server is reached.
func (s *Server) Socket() string { return s.socket }

// Answer sets what every read is answered with from now on: messages that gRPC
// encodes as it sends them, as a server written by the book would, or the bytes
// of the same messages.
func (s *Server) Answer(messages []Message, encoded bool) {
	answer := make([]any, len(messages))
	for i, m := range messages {
		answer[i] = m.decoded
		if encoded {
			answer[i] = m.encoded
		}
	}
	s.answer.Store(&answer)
}

// Close breaks off what is under way, and tells whether the file took it all.
func (s *Server) Close() error {
	s.grpc.Stop()
	close(s.queue)
	s.running.Wait()
	return errors.Join(s.failed, s.file.Close())
}

// Append implements the service: what comes goes to the end of the file.
func (s *Server) Append(stream streams.Streams_AppendServer) error {
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
			if data, err = (proto.MarshalOptions{}).MarshalAppend(data, p); err != nil {
				return err
			}
		}
	}
	w := write{data, make(chan reply, 1)}
	s.queue <- w
	r := <-w.done
	if r.err != nil {
		return r.err
	}
	return stream.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: r.position, PreparePosition: r.position}},
	}}})
}

// Read implements the service: every question has the same answer.
func (s *Server) Read(_ *streams.ReadReq, stream streams.Streams_ReadServer) error {
	for _, m := range *s.answer.Load() {
		if err := stream.SendMsg(m); err != nil {
			return err
		}
	}
	return nil
}

// write owns the file: it takes whatever waits, writes it and syncs once.
func (s *Server) write() {
	out := bufio.NewWriterSize(s.file, 1<<20)
	position := uint64(0)
	for w := range s.queue {
		group := []write{w}
	gather:
		for {
			select {
			case w, ok := <-s.queue:
				if !ok {
					break gather
				}
				group = append(group, w)
			default:
				break gather
			}
		}
		for _, w := range group {
			_, _ = out.Write(w.data) // an error stays until Flush
		}
		if err := errors.Join(out.Flush(), s.file.Sync()); err != nil {
			s.failed = err
		}
		for _, w := range group {
			position += uint64(len(w.data))
			w.done <- reply{position, s.failed}
		}
	}
}

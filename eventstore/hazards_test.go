package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"permitledger/eventstore"
)

// oddServer is a server that answers as a correct one never does.
type oddServer struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer

	mu       sync.Mutex
	requests [][]byte // of the appends, as they came
	tries    int
	append   func(try int) (*streams.AppendResp, error)
	read     func(streams.Streams_ReadServer) error
	methods  []*serverfeatures.SupportedMethod
}

func (s *oddServer) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "24.10.0", Methods: s.methods}, nil
}

func (s *oddServer) Append(in streams.Streams_AppendServer) error {
	var request bytes.Buffer
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return err
		}
		request.Write(b)
	}
	s.mu.Lock()
	s.requests = append(s.requests, request.Bytes())
	try := s.tries
	s.tries++
	s.mu.Unlock()
	answer, err := s.append(try)
	if err != nil {
		return err
	}
	return in.SendAndClose(answer)
}

func (s *oddServer) Read(_ *streams.ReadReq, out streams.Streams_ReadServer) error {
	if s.read == nil {
		return nil
	}
	return s.read(out)
}

func (s *oddServer) serve(t *testing.T, change ...func(*eventstore.Config)) *eventstore.Store {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	streams.RegisterStreamsServer(g, s)
	serverfeatures.RegisterServerFeaturesServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return connect(t, l.Addr().String(), change...)
}

func written(revision, position uint64) *streams.AppendResp {
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: revision},
		PositionOption: &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: position, PreparePosition: position}},
	}}}
}

// Whatever leaves open if the batch was written, the identical batch is sent
// again and the next answer counts.
func TestUnknownOutcomesAreSentAgainUnchanged(t *testing.T) {
	for name, first := range map[string]func() (*streams.AppendResp, error){
		"a reply that the client does not know": func() (*streams.AppendResp, error) { return &streams.AppendResp{}, nil },
		"success without a position": func() (*streams.AppendResp, error) {
			r := written(1, 0)
			r.GetSuccess().PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
			return r, nil
		},
		"too busy":  func() (*streams.AppendResp, error) { return nil, status.Error(codes.Unavailable, "too busy") },
		"timed out": func() (*streams.AppendResp, error) { return nil, status.Error(codes.Aborted, "Operation timed out") },
		"late":      func() (*streams.AppendResp, error) { return nil, status.Error(codes.DeadlineExceeded, "late") },
		"an exception": func() (*streams.AppendResp, error) {
			return nil, status.Error(codes.Unknown, "Exception was thrown by handler.")
		},
	} {
		t.Run(name, func(t *testing.T) {
			odd := &oddServer{append: func(try int) (*streams.AppendResp, error) {
				if try < 2 {
					return first()
				}
				return written(1, 77), nil
			}}
			s := odd.serve(t)
			done, err := s.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(2))
			if err != nil || done != (eventstore.Appended{Revision: 1, Position: 77}) {
				t.Errorf("%+v, %v", done, err)
			}
			if len(odd.requests) != 3 || !bytes.Equal(odd.requests[0], odd.requests[1]) || !bytes.Equal(odd.requests[0], odd.requests[2]) {
				t.Errorf("%d requests, not all the same", len(odd.requests))
			}
		})
	}
}

func TestARefusalIsNotSentAgain(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.FailedPrecondition} {
		odd := &oddServer{append: func(int) (*streams.AppendResp, error) { return nil, status.Error(code, "no") }}
		_, err := odd.serve(t).Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1))
		if err == nil || errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrConflict) || odd.tries != 1 {
			t.Errorf("%s: %v after %d tries", code, err, odd.tries)
		}
	}
}

// The client reads a trailer by an index that may not be there.
func TestAPanicOfTheClientIsAnError(t *testing.T) {
	deleted := metadata.Pairs("exception", "stream-deleted") // and no stream-name
	odd := &oddServer{read: func(out streams.Streams_ReadServer) error {
		out.SetTrailer(deleted)
		return status.Error(codes.FailedPrecondition, "deleted")
	}}
	s := odd.serve(t)
	for _, err := range s.Read(t.Context(), "permit-1", 0) {
		if err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("deleted without a name: %v", err)
		}
	}
	odd = &oddServer{read: func(out streams.Streams_ReadServer) error {
		return out.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: 1}})
	}}
	s = odd.serve(t)
	for name, seq := range map[string]sequence{
		"read": s.Read(t.Context(), "permit-1", 0), "read all": s.ReadAll(t.Context(), 0),
	} {
		seen := 0
		for _, err := range seq {
			if seen++; err == nil || errors.Is(err, eventstore.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if seen != 1 {
			t.Errorf("%s yielded %d times", name, seen)
		}
	}
}

func TestNotFoundIsNotAnEmptyStream(t *testing.T) {
	odd := &oddServer{read: func(streams.Streams_ReadServer) error { return status.Error(codes.NotFound, "no such service") }}
	s := odd.serve(t)
	seen := 0
	for _, err := range s.Read(t.Context(), "permit-1", 0) {
		if seen++; err == nil {
			t.Error("an event")
		}
	}
	if seen != 1 {
		t.Error("a failed request looked like an empty stream")
	}
}

// A server that is reached but does not answer must hold up neither a caller
// whose context ends nor the end of the store.
func TestASilentServerDuringDiscovery(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 100)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c // and never a byte
		}
	})
	s := connect(t, l.Addr().String(), func(c *eventstore.Config) { c.ConnectionString += "&gossipTimeout=1" })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Append(ctx, "permit-1", eventstore.NoStream(), proposed(1))
		ended <- err
	}()
	first := <-accepted // it is now searching
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, eventstore.ErrUnavailable) {
		t.Error(err)
	}
	begun := time.Now()
	if err := s.Close(); err != nil || time.Since(begun) > time.Second {
		t.Errorf("closing took %v, %v", time.Since(begun), err)
	}
	_ = first.Close()
	_ = l.Close()
	for c := range accepted {
		_ = c.Close()
	}
	accepting.Wait()
}

// What a server says of damage in its log is not tried again: it is told, and
// remembered.
func TestADamagedLogIsTold(t *testing.T) {
	lost := status.Error(codes.DataLoss, "the record at position 77 does not match its checksum")
	odd := &oddServer{
		append: func(int) (*streams.AppendResp, error) { return nil, lost },
		read:   func(streams.Streams_ReadServer) error { return lost },
	}
	s := odd.serve(t)
	if since, err := s.Damage(); err != nil || !since.IsZero() {
		t.Errorf("before anything was read: %v, %v", since, err)
	}
	_, appended := s.Append(t.Context(), "permit-1", eventstore.NoStream(), proposed(1))
	_, head := s.Head(t.Context())
	var read error
	for _, err := range s.Read(t.Context(), "permit-1", 0) {
		read = err
	}
	subscribed := s.Subscribe(t.Context(), 0, funcs{})
	_, setUp := s.SetUp(t.Context(), eventstore.Setup{User: "leo"})
	since, known := s.Damage()
	for what, err := range map[string]error{"set up": setUp, "append": appended, "head": head, "read": read, "subscribe": subscribed, "known": known} {
		if !errors.Is(err, eventstore.ErrDamaged) || errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "position 77") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if odd.tries != 1 || since.IsZero() {
		t.Errorf("%d tries to append, known since %v", odd.tries, since)
	}
}

// A server that does not offer to tell of groups by gRPC is asked by HTTP, and
// the client leaves the figures out unless they were ordered.
func TestAServerThatTellsNoFiguresOfAGroup(t *testing.T) {
	s := &oddServer{methods: []*serverfeatures.SupportedMethod{{
		ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: "create", Features: []string{"stream", "all"}}}}
	g := grpc.NewServer()
	streams.RegisterStreamsServer(g, s)
	serverfeatures.RegisterServerFeaturesServer(g, s)
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			g.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"groupName":"test-group","eventStreamId":"$all","config":{"startPosition":"C:0/P:0"}}`)
	}))
	old.Config.Protocols = new(http.Protocols)
	old.Config.Protocols.SetHTTP1(true)
	old.Config.Protocols.SetUnencryptedHTTP2(true)
	old.Start()
	t.Cleanup(old.Close)
	store := connect(t, old.Listener.Addr().String())
	t.Cleanup(func() { _ = store.Close() }) // before the server
	if status, err := store.GroupStatus(t.Context(), "test-group"); err == nil || !strings.Contains(err.Error(), "test-group") {
		t.Errorf("the group is %+v, %v", status, err)
	}
}

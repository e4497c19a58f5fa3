package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"permitledger/eventstore"
)

// moved is an event as another log holds it.
func moved(stream string, revision uint64) eventstore.Recorded {
	return eventstore.Recorded{ID: uuid.New(), Stream: stream, Revision: revision, Type: "Told", JSON: true, Data: []byte(`{}`)}
}

func pipeline(t *testing.T, s *eventstore.Store) *eventstore.Pipeline {
	t.Helper()
	p := s.Verbatim().Pipeline()
	t.Cleanup(p.Close)
	return p
}

// send sends batches of one event each.
func send(t *testing.T, p *eventstore.Pipeline, events ...eventstore.Recorded) {
	t.Helper()
	for _, e := range events {
		if err := p.Send(t.Context(), []eventstore.Recorded{e}); err != nil {
			t.Fatalf("send revision %d of %s: %v", e.Revision, e.Stream, err)
		}
	}
}

// wantWritten takes the answers to so many batches, which were written in their
// order.
func wantWritten(t *testing.T, p *eventstore.Pipeline, batches int) {
	t.Helper()
	var before eventstore.Position
	for n := range batches {
		done, err := p.Answer(t.Context())
		if err != nil || done.Position <= before {
			t.Fatalf("batch %d is at %s after %s, %v", n, done.Position, before, err)
		}
		before = done.Position
	}
}

func TestPipelineWritesInTheOrderSent(t *testing.T) {
	n, s := fresh(t)
	p := pipeline(t, s)
	var want []eventstore.Recorded
	for i := range 200 {
		e := moved(fmt.Sprintf("permit-%d", i%7), uint64(i/7))
		e.Metadata = []byte(`{"m":1}`)
		if i%2 == 0 {
			e.JSON, e.Data, e.Metadata = false, []byte{0, byte(i)}, nil
		}
		want = append(want, e)
	}
	send(t, p, want...)
	wantWritten(t, p, len(want))
	got := collect(t, connect(t, n.Addr()).ReadAll(t.Context(), 0))
	for i := range got {
		got[i].Position, got[i].Created = 0, time.Time{}
		if len(got[i].Metadata) == 0 {
			got[i].Metadata = nil
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log (-want +got):\n%.2000s", diff)
	}
}

// A conflict names the revision that was found, and does not hold up the batch
// that was sent behind it.
func TestPipelineReportsConflict(t *testing.T) {
	_, s := fresh(t)
	p := pipeline(t, s)
	send(t, p, moved("permit-1", 0), moved("permit-1", 5), moved("permit-2", 0))
	wantWritten(t, p, 1)
	_, err := p.Answer(t.Context())
	if conflict, ok := errors.AsType[*eventstore.ConflictError](err); !ok || *conflict != (eventstore.ConflictError{Stream: "permit-1", Expected: eventstore.At(4), Actual: 0}) {
		t.Errorf("got %v", err)
	}
	wantWritten(t, p, 1)
	if err := p.Send(t.Context(), []eventstore.Recorded{moved("permit-3", 0)}); err == nil {
		t.Error("a batch was sent behind one that had failed")
	}
	p.Close()
	send(t, p, moved("permit-3", 0))
	wantWritten(t, p, 1)
}

// Every error in an answer means that the batch was not written or may not have
// been, also one with the code of success.
func TestPipelineReadsErrorsInAnswers(t *testing.T) {
	n := start(t)
	answers := map[string]func(batches, *streams.BatchAppendReq) error{
		"not ready, with the code of success": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.OK, "Server Is Not Ready", &emptypb.Empty{})
		},
		"timeout": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
		},
		"without a reason": func(b batches, req *streams.BatchAppendReq) error { return b.refuse(req, codes.OK, "", nil) },
		"no result": func(b batches, req *streams.BatchAppendReq) error {
			return b.SendMsg(&streams.BatchAppendResp{CorrelationId: req.GetCorrelationId()})
		},
		"success without a position": func(b batches, req *streams.BatchAppendReq) error {
			return b.SendMsg(&streams.BatchAppendResp{CorrelationId: req.GetCorrelationId(), Result: &streams.BatchAppendResp_Success_{Success: &streams.BatchAppendResp_Success{
				PositionOption: &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}}}}})
		},
		"access denied": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.PermissionDenied, "no", &shared.AccessDenied{})
		},
		"too large": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.InvalidArgument, "no", &shared.MaximumAppendSizeExceeded{MaxAppendSize: 77})
		},
		"deleted": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.NotFound, "no", &shared.StreamDeleted{})
		},
		"malformed": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.InvalidArgument, "no", &shared.BadRequest{Message: "an empty type"})
		},
		"damaged": func(b batches, req *streams.BatchAppendReq) error {
			return b.refuse(req, codes.DataLoss, "bad block", &emptypb.Empty{})
		},
		"the call ends":           func(batches, *streams.BatchAppendReq) error { return status.Error(codes.Unavailable, "gone") },
		"the call ends well":      func(batches, *streams.BatchAppendReq) error { return errWell },
		"no such method":          func(batches, *streams.BatchAppendReq) error { return status.Error(codes.Unimplemented, "") },
		"credentials are refused": func(batches, *streams.BatchAppendReq) error { return status.Error(codes.Unauthenticated, "who?") },
	}
	want := map[string]struct {
		is    error
		words string
	}{
		"not ready, with the code of success": {eventstore.ErrUnavailable, "Server Is Not Ready"},
		"timeout":                             {eventstore.ErrUnavailable, "did not decide in time"},
		"without a reason":                    {eventstore.ErrUnavailable, "did not say why"},
		"no result":                           {eventstore.ErrUnavailable, "did not say why"},
		"success without a position":          {eventstore.ErrUnavailable, "no position"},
		"access denied":                       {eventstore.ErrDenied, "permit-1"},
		"too large":                           {nil, "77 bytes"},
		"deleted":                             {nil, "permit-1 is deleted"},
		"malformed":                           {nil, "an empty type"},
		"damaged":                             {eventstore.ErrDamaged, "bad block"},
		"the call ends":                       {eventstore.ErrUnavailable, "gone"},
		"the call ends well":                  {eventstore.ErrUnavailable, "ended the call"},
		"no such method":                      {eventstore.ErrNoPipeline, ""},
		"credentials are refused":             {eventstore.ErrCredentials, "who?"},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, n.Addr(), func(b batches) error {
				req, err := b.next()
				if err == nil {
					err = answer(b, req)
				}
				if err == nil {
					_, err = b.next() // until it is cancelled
				}
				if errors.Is(err, errWell) {
					return nil
				}
				return err
			})
			p := pipeline(t, connect(t, f.addr))
			send(t, p, moved("permit-1", 0))
			_, err := p.Answer(t.Context())
			if w := want[name]; err == nil || w.is != nil && !errors.Is(err, w.is) || w.is == nil && errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), w.words) {
				t.Errorf("got %v", err)
			}
			if err := p.Send(t.Context(), []eventstore.Recorded{moved("permit-2", 0)}); err == nil {
				t.Error("a batch was sent behind it")
			}
			p.Close()
			f.halfClosed()
		})
	}
}

// errWell ends a call without a status.
var errWell = errors.New("well")

// Answers belong to their batches by the correlation id, in whatever order and
// form they come, and the first of two counts.
func TestPipelineMatchesAnswersToBatches(t *testing.T) {
	n := start(t)
	f := newFront(t, n.Addr(), func(b batches) error {
		var all []*streams.BatchAppendResp
		for range 3 {
			req, err := b.next()
			if err != nil {
				return err
			}
			resp, err := b.written(req)
			if err != nil {
				return err
			}
			id, err := uuid.Parse(resp.GetCorrelationId().GetString_())
			if err != nil {
				return err
			}
			resp.CorrelationId = structured(id)
			all = append(all, resp)
		}
		slices.Reverse(all)
		for _, resp := range all {
			if err := b.SendMsg(resp); err != nil {
				return err
			}
		}
		twice := all[2]
		twice.Result = nil
		if err := b.SendMsg(twice); err != nil {
			return err
		}
		_, err := b.next()
		return err
	})
	p := pipeline(t, connect(t, f.addr))
	send(t, p, moved("permit-1", 0), moved("permit-2", 0), moved("permit-1", 1))
	wantWritten(t, p, 3)
}

func structured(id uuid.UUID) *shared.UUID {
	half := func(b []byte) (n int64) {
		for _, x := range b {
			n = n<<8 | int64(x)
		}
		return n
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits: half(id[:8]), LeastSignificantBits: half(id[8:])}}}
}

// A server that answers nothing is given up after Config.TryTimeout, whether it
// reads what is sent or not.
func TestPipelineGivesUpSilentServer(t *testing.T) {
	hasty := func(cfg *eventstore.Config) { cfg.TryTimeout = 200 * time.Millisecond }
	t.Run("that reads", func(t *testing.T) {
		f := newFront(t, start(t).Addr(), func(b batches) error {
			for {
				if _, err := b.next(); err != nil {
					return err
				}
			}
		})
		p := pipeline(t, connect(t, f.addr, hasty))
		err := p.Send(t.Context(), []eventstore.Recorded{moved("permit-1", 0)}) // a busy machine may not connect in time
		if err == nil {
			_, err = p.Answer(t.Context())
		}
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("that does not read", func(t *testing.T) {
		f := newFront(t, start(t).Addr(), func(b batches) error {
			<-b.Context().Done()
			return b.Context().Err()
		})
		p := pipeline(t, connect(t, f.addr, hasty))
		large := moved("permit-1", 0)
		large.JSON, large.Data = false, make([]byte, 1<<20)
		var err error
		for err == nil {
			err = p.Send(t.Context(), []eventstore.Recorded{large})
		}
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("that does not accept", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0") // the system does
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p := pipeline(t, connect(t, l.Addr().String(), hasty))
		if err := p.Send(t.Context(), []eventstore.Recorded{moved("permit-1", 0)}); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

// A caller that ends its context waits for nothing.
func TestPipelineEndsWithItsContext(t *testing.T) {
	f := newFront(t, start(t).Addr(), func(b batches) error {
		for {
			if _, err := b.next(); err != nil {
				return err
			}
		}
	})
	p := pipeline(t, connect(t, f.addr))
	ctx, stop := context.WithCancelCause(t.Context())
	if err := p.Send(ctx, []eventstore.Recorded{moved("permit-1", 0)}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	stop(enough)
	if _, err := p.Answer(ctx); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// The leader is asked for as such: by the gossip, and where that is wrong, by
// the member that names it.
func TestPipelineFindsLeader(t *testing.T) {
	n := start(t)
	leader := newFront(t, n.Addr(), faithful(func(int, batches, *streams.BatchAppendReq) (bool, error) { return false, nil }))
	host, port, err := net.SplitHostPort(leader.addr)
	if err != nil {
		t.Fatal(err)
	}
	follower := newFront(t, n.Addr(), func(b batches) error {
		if got := b.header("requires-leader"); got != "true" {
			t.Errorf("requires-leader is %q", got)
		}
		b.SetTrailer(metadata.Pairs("exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port))
		return status.Error(codes.NotFound, "Leader info available")
	})
	p := pipeline(t, connect(t, follower.addr))
	e := moved("permit-1", 0)
	err = p.Send(t.Context(), []eventstore.Recorded{e})
	if err == nil {
		_, err = p.Answer(t.Context())
	}
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("the follower: %v", err)
	}
	p.Close()
	send(t, p, e)
	wantWritten(t, p, 1)
	if leader.called() != 1 {
		t.Errorf("the leader was called %d times", leader.called())
	}

	c := newCluster(t)
	c.lead(1)
	p = pipeline(t, connect(t, "", c.seeds(0, 2)))
	send(t, p, moved("permit-2", 0))
	wantWritten(t, p, 1)
	c.wellLed(t)
}

func (b batches) header(name string) string {
	return strings.Join(metadata.ValueFromIncomingContext(b.Context(), name), ",")
}

// BatchAppend of a member writes nothing unless it leads.
func (m *member) BatchAppend(wire streams.Streams_BatchAppendServer) error {
	if err := m.leads(wire); err != nil {
		return err
	}
	out, err := m.cluster.log.BatchAppend(wire.Context())
	if err != nil {
		return err
	}
	for {
		req, err := wire.Recv()
		if err == nil {
			err = out.Send(req)
		}
		var resp *streams.BatchAppendResp
		if err == nil {
			resp, err = out.Recv()
		}
		if err == nil {
			err = wire.Send(resp)
		}
		if err != nil {
			return err
		}
	}
}

// Over TLS the credentials go along, and the server's certificate is checked.
func TestPipelineSendsCredentials(t *testing.T) {
	n, ca := secured(t)
	for credentials, want := range map[string]error{
		"leo:" + secret + "leo":   nil,
		"leo:wrong":               eventstore.ErrCredentials,
		"rita:" + secret + "rita": eventstore.ErrDenied,
		"":                        eventstore.ErrUnavailable, // the certificate is not trusted
	} {
		connection := n.ConnectionString()
		if credentials != "" {
			var err error
			connection, err = eventstore.WithCredentials(connection+"&tlsCaFile="+url.QueryEscape(ca), file(t, "credentials", []byte(credentials)))
			if err != nil {
				t.Fatal(err)
			}
		}
		p := pipeline(t, connect(t, "", func(cfg *eventstore.Config) { cfg.ConnectionString = connection }))
		err := p.Send(t.Context(), []eventstore.Recorded{moved("permit-1", 0)})
		if err == nil {
			_, err = p.Answer(t.Context())
		}
		if !errors.Is(err, want) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%.5s: %v", credentials, err)
		}
	}
}

package eventstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"permitledger/eventstore/direct"
)

// ErrNoPipeline is returned for an event store that has no BatchAppend. It has
// written nothing of what was sent.
var ErrNoPipeline = errors.New("the event store has no BatchAppend")

// errCallEnded is returned when the server ended a call that it has not
// answered in full.
var errCallEnded = errors.New("the event store ended the call")

// Pipeline appends batches of events without waiting for the answer to one
// before it sends the next. The server writes them in the order in which they
// were sent, as long as it writes all of them: a batch that it refuses does not
// hold up those behind it.
//
// It uses one BatchAppend call over a connection of its own, to the leader. The
// official client has no such call. Nothing is sent twice: after a failure the
// log shows which batches were written, and the next Send opens another call.
// A Pipeline belongs to one goroutine. Close it before its Store.
type Pipeline struct {
	s      *Store
	leader string // the address that a member has named, for the next call only
	call   *batchCall
	sent   []*sentBatch // their outcome was not returned by Answer yet; oldest first
}

// Pipeline prepares a pipeline and connects to nothing.
func (v Verbatim) Pipeline() *Pipeline { return &Pipeline{s: v.s} }

// sentBatch is one append under way.
type sentBatch struct {
	stream   string
	expected Expected
	outcome  chan batchOutcome // has room for one
}

type batchOutcome struct {
	done Appended
	err  error
}

// Send sends a batch, which is one that Verbatim.Append accepts. When a batch
// before it has failed, or the call has ended, it fails: Answer then returns
// the outcome of each batch that was sent before. Whether the server has
// written the batch of a failed Send is unknown. The caller bounds how many
// batches are under way. The call ends with the context of the Send that opened
// it.
func (p *Pipeline) Send(ctx context.Context, batch []Recorded) error {
	if len(batch) == 0 {
		return errEmptyBatch
	}
	if p.call == nil {
		call, err := p.open(ctx)
		if err != nil {
			return p.failed(ctx, err)
		}
		p.call = call
	}
	b := &sentBatch{stream: batch[0].Stream, expected: After(int64(batch[0].Revision) - 1), outcome: make(chan batchOutcome, 1)}
	if err := p.call.send(b, batch, p.s.cfg.TryTimeout); err != nil {
		return p.failed(ctx, err)
	}
	p.sent = append(p.sent, b)
	return nil
}

// Answer waits for the outcome of the oldest batch that was sent and not
// answered yet. A *ConflictError, ErrDenied and a refusal without a sentinel
// are the server's; ErrUnavailable leaves it open whether the batch was written.
func (p *Pipeline) Answer(ctx context.Context) (Appended, error) {
	b := p.sent[0]
	p.sent = p.sent[1:]
	silence := time.NewTimer(p.s.cfg.TryTimeout)
	defer silence.Stop()
	var o batchOutcome
	select {
	case o = <-b.outcome:
	case <-p.call.ended:
		select {
		case o = <-b.outcome: // it came just before the end
		default:
			o.err = p.call.err
		}
	case <-silence.C:
		o.err = errSilent
	case <-ctx.Done():
		o.err = context.Cause(ctx)
	}
	if o.err != nil {
		return Appended{}, p.failed(ctx, o.err)
	}
	p.s.metrics.appended(outcomeDone)
	return o.done, nil
}

// failed counts a failure and says it in the words of Append.
func (p *Pipeline) failed(ctx context.Context, err error) error {
	outcome := outcomeFailed
	defer func() { p.s.metrics.appended(outcome) }()
	switch damaged := p.s.damaged(err); {
	case errors.Is(err, ErrConflict):
		outcome = outcomeConflict
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("append: %w: %w", ErrUnavailable, context.Cause(ctx))
	case status.Code(rootStatus(err)) == codes.Unimplemented:
		return ErrNoPipeline
	case damaged != nil:
		return fmt.Errorf("append refused: %w", damaged)
	case errors.Is(err, errRefused):
		return err
	}
	if denied := accessError(err, "write to the event store"); denied != nil {
		return fmt.Errorf("append refused: %w", denied)
	}
	return fmt.Errorf("append: %w: %v", ErrUnavailable, err)
}

// Settle waits until the server has decided everything that was sent, so that
// none of it is written later, and forgets it. It gives up when the call or ctx
// ends, or after Config.TryTimeout.
func (p *Pipeline) Settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.s.cfg.TryTimeout)
	defer cancel()
	for _, b := range p.sent {
		select {
		case <-b.outcome:
		case <-p.call.ended:
		case <-ctx.Done():
		}
	}
	p.sent = nil
}

// Close ends the call and its connection. Batches that were not answered may
// still be written.
func (p *Pipeline) Close() {
	p.sent = nil
	if p.call != nil {
		p.leader = p.call.close()
		p.call = nil
	}
}

// open connects to the leader and begins a call.
func (p *Pipeline) open(ctx context.Context) (*batchCall, error) {
	conf := p.s.conn.conf
	address := p.leader
	p.leader = ""
	if address == "" {
		var err error
		if address, err = direct.Leader(ctx, &conf); err != nil {
			return nil, err
		}
	}
	conn, err := direct.Dial(&conf, address, pings(conf)...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(fromLeader(ctx))
	defer time.AfterFunc(p.s.cfg.TryTimeout, func() { cancel(errSilent) }).Stop()
	wire, err := streams.NewStreamsClient(conn).BatchAppend(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		cancel(nil)
		return nil, errors.Join(err, conn.Close())
	}
	c := &batchCall{conn: conn, wire: wire, cancel: cancel, waiting: map[uuid.UUID]*sentBatch{}, ended: make(chan struct{}), refused: make(chan struct{})}
	go c.receive(ctx)
	return c, nil
}

// pings has gRPC find out about a connection that is dead, as the client does.
func pings(conf esdb.Configuration) []grpc.DialOption {
	if conf.KeepAliveInterval < 0 {
		return nil
	}
	return []grpc.DialOption{grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: conf.KeepAliveInterval, Timeout: conf.KeepAliveTimeout, PermitWithoutStream: true})}
}

// leaderIn is the address of the leader that a member names which does not
// lead, "" when it names none.
func leaderIn(trailer map[string][]string) string {
	host, port := trailer["leader-endpoint-host"], trailer["leader-endpoint-port"]
	if !slices.Contains(trailer["exception"], "not-leader") || len(host) == 0 || len(port) == 0 {
		return ""
	}
	return net.JoinHostPort(host[0], port[0])
}

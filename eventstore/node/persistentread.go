package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"permitledger/eventstore/node/internal/competing"
)

// maxSend bounds how many events are taken for a consumer at once. Only until
// then can they be withdrawn.
const maxSend = 16

// persistentReader is one consumer's connection to a group.
type persistentReader struct {
	*Node
	wire      persistent.PersistentSubscriptions_ReadServer
	group     *openGroup
	consumer  *consumer
	id        competing.ConsumerID
	stringIDs bool
}

// Read connects a consumer to a group: events go out, answers come in.
func (s persistentService) Read(wire persistent.PersistentSubscriptions_ReadServer) error {
	ctx := wire.Context()
	first, err := wire.Recv()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil // nothing was asked for
		}
		return err
	}
	o := first.GetOptions()
	if o == nil {
		return failHandler(ctx, "The first message must be the options.")
	}
	stream, err := groupSource(ctx, o.GetStreamOption(), o.GetStreamIdentifier())
	if err != nil {
		return err
	}
	if o.GetBufferSize() <= 0 {
		return failHandler(ctx, "The buffer size must be positive.")
	}
	r := &persistentReader{Node: s.Node, wire: wire, consumer: newConsumer()}
	_, r.stringIDs = o.GetUuidOption().GetContent().(*persistent.ReadReq_Options_UUIDOption_String_)
	r.consumer.stats = consumerStats{from: peerOf(ctx), user: userOf(ctx), name: connectionName(ctx)}
	if r.group, err = s.groups.find(stream, o.GetGroupName()); err == nil {
		r.id, err = r.group.join(r.consumer, int(o.GetBufferSize()))
	}
	if err != nil {
		return s.failGroup(ctx, stream, o.GetGroupName(), err)
	}
	defer r.group.leave(r.id)
	return r.serve()
}

// groupSource names what a request is about; any other value than those of a
// request's oneof means that it was left out.
func groupSource(ctx context.Context, option any, id *shared.StreamIdentifier) (string, error) {
	switch {
	case option == nil:
		return "", failHandler(ctx, "The request names neither a stream nor $all.")
	case id == nil:
		return streamAll, nil
	}
	return string(id.GetStreamName()), nil
}

func connectionName(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if names := md.Get("connection-name"); len(names) > 0 {
		return names[0]
	}
	return "<unknown>"
}

func userOf(ctx context.Context) string {
	if s, guarded := ctx.Value(callerKey{}).(*guardedStream); guarded && s.who != nil {
		return s.who.name
	}
	return "system" // whom the original server lets everybody be where it has no users
}

func peerOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return p.Addr.String()
}

// serve sends events until the connection or the group ends.
func (r *persistentReader) serve() error {
	ctx := r.wire.Context()
	err := r.wire.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: r.group.entry.key()},
	}})
	if err != nil {
		return err
	}
	refused := make(chan error, 1)
	go func() {
		if err := r.listen(); err != nil {
			refused <- err
		}
	}()
	for {
		select {
		case <-r.consumer.bell:
			if err := r.send(); err != nil {
				return err
			}
		case <-r.consumer.dropped:
			return r.gone()
		case err := <-refused:
			return err
		case <-ctx.Done():
			return r.failInside(ctx, errAbandoned)
		}
	}
}

func (r *persistentReader) gone() error {
	e := &r.group.entry
	return r.failGroup(r.wire.Context(), e.Stream, e.Group, r.consumer.reason())
}

// send sends what there is for the consumer.
func (r *persistentReader) send() error {
	for {
		if r.consumer.reason() != nil {
			return r.gone()
		}
		batch := r.consumer.take(maxSend)
		if len(batch) == 0 {
			return nil
		}
		for len(batch) > 0 {
			frames, err := r.page(batch)
			if err != nil {
				return r.failInside(r.wire.Context(), err)
			}
			for _, f := range frames {
				if err := r.wire.SendMsg(f); err != nil {
					return err
				}
			}
			batch = batch[len(frames):]
		}
	}
}

// page reads the first events of a batch. Only now are they in memory as a
// whole, and the engine's iterator is closed before any of them is sent.
func (r *persistentReader) page(batch []competing.Deliver) ([]frame, error) {
	limit, _ := r.tail.get()
	view, err := r.engine.read(limit)
	if err != nil {
		return nil, err
	}
	defer view.close()
	var frames []frame
	bytes := 0
	for _, d := range batch {
		e := make([]resolved, 1)
		if e[0], err = r.group.lookUp(view, d.Position, d.Replayed); err != nil {
			return nil, err
		}
		if err := r.withhold(r.wire.Context(), e); err != nil {
			return nil, err
		}
		f := persistentFrame(e[0], d.Retries, r.stringIDs)
		frames = append(frames, f)
		if bytes += len(f); bytes >= pageBytes {
			break
		}
	}
	return frames, nil
}

// listen passes the consumer's answers on until it has no more to say. Only
// what it may not say is an error; a broken connection ends the call anyway.
func (r *persistentReader) listen() error {
	ctx := r.wire.Context()
	for {
		req, err := r.wire.Recv()
		if err != nil {
			return nil
		}
		switch v := req.GetContent().(type) {
		case *persistent.ReadReq_Ack_:
			ids, err := parseIDs(v.Ack.GetIds())
			if err != nil {
				return failInvalid(ctx, err.Error())
			}
			r.answer(func(now time.Time, state *competing.Group) { state.Ack(now, r.id, ids) })
		case *persistent.ReadReq_Nack_:
			ids, err := parseIDs(v.Nack.GetIds())
			if err != nil {
				return failInvalid(ctx, err.Error())
			}
			action, ok := nackActions[v.Nack.GetAction()]
			if !ok {
				return failInvalid(ctx, fmt.Sprintf("There is no action %d.", v.Nack.GetAction()))
			}
			reason := v.Nack.GetReason()
			r.answer(func(now time.Time, state *competing.Group) { state.Nack(now, r.id, ids, action, reason) })
		default:
			return failInvalid(ctx, "Only acknowledgements may follow the options.")
		}
	}
}

func (r *persistentReader) answer(f func(time.Time, *competing.Group)) {
	g := r.group
	g.do(func() {
		if g.fault == nil {
			f(g.wall(), g.state)
		}
	})
}

// nackActions says what the actions come to. Stop does not stop anything on
// the original server either.
var nackActions = map[persistent.ReadReq_Nack_Action]competing.Action{
	persistent.ReadReq_Nack_Unknown: competing.Retry,
	persistent.ReadReq_Nack_Retry:   competing.Retry,
	persistent.ReadReq_Nack_Park:    competing.ParkIt,
	persistent.ReadReq_Nack_Skip:    competing.Skip,
	persistent.ReadReq_Nack_Stop:    competing.Skip,
}

func parseIDs(wire []*shared.UUID) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(wire))
	for i, w := range wire {
		id, err := parseID(w)
		if err != nil {
			return nil, fmt.Errorf("an id cannot be read: %s", strings.ToValidUTF8(err.Error(), ""))
		}
		ids[i] = id
	}
	return ids, nil
}

// fieldRetries is the number of the field in persistent.proto; the others are
// those of a plain read.
const fieldRetries = 5

// persistentFrame encodes an event for a consumer. Both ends of a link carry
// the link's position here, which in plain reads they do not.
func persistentFrame(e resolved, retries int, stringIDs bool) frame {
	position := e.original().position
	for _, part := range []**record{&e.event, &e.link} {
		if *part != nil {
			moved := **part
			moved.position = position
			*part = &moved
		}
	}
	w := backwriter{b: make([]byte, e.bound()+16)}
	w.at = len(w.b)
	w.number(fieldRetries, uint64(retries))
	w.resolved(e, stringIDs)
	w.open(fieldRespEvent, len(w.b))
	return frame(w.b[w.at:])
}

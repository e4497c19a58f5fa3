package node

import (
	"context"
	"errors"

	"google.golang.org/grpc"
)

const (
	settingsStream = "$settings"
	keyACL         = "$acl"
	keyUserACL     = "$userStreamAcl"
	keySystemACL   = "$systemStreamAcl"
)

// guard stands before every method of a node that has users. It is the one
// place where a call is let in or not.
type guard struct{ *Node }

func (g *guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	who, err := g.callers.identify(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.check(ctx, who, methodRights[info.FullMethod], streamOf(request)); err != nil {
		return nil, err
	}
	return next(ctx, request)
}

func (g *guard) stream(service any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	need := methodRights[info.FullMethod]
	who, err := g.callers.identify(s.Context())
	if err == nil && aclKeys[need] == "" {
		err = g.check(s.Context(), who, need, "")
	}
	if err != nil {
		if need == rightWrite {
			drain(s)
		}
		return err
	}
	return next(service, &guardedStream{ServerStream: s, guard: g, who: who, need: need})
}

// check answers a call that is not allowed.
func (g *guard) check(ctx context.Context, who *user, need right, stream string) error {
	err := authorize(who, need, stream, loggedLists{g.Node})
	if refused, ok := errors.AsType[*denial](err); ok {
		return failDenied(ctx, printable(refused.Error()))
	}
	if err != nil {
		return g.failInside(ctx, err)
	}
	return nil
}

// guardedStream is a call whose stream is known only from its first message.
type guardedStream struct {
	grpc.ServerStream
	guard *guard
	who   *user
	need  right

	open    bool   // the first message was let through
	stream  string // that it names
	checked uint64 // the access lists were read as the log had them up to here, or later
}

// RecvMsg lets the first message through if the caller has the right to what
// it asks for, and the others with it.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil || s.open {
		return err
	}
	s.stream = streamOf(m)
	s.checked, _ = s.guard.tail.get()
	if err := s.guard.check(s.Context(), s.who, s.need, s.stream); err != nil {
		if s.need == rightWrite {
			drain(s.ServerStream)
		}
		return err
	}
	s.open = true
	return nil
}

// Context carries who calls, for links to what they may not read.
func (s *guardedStream) Context() context.Context {
	return context.WithValue(s.ServerStream.Context(), callerKey{}, s)
}

type callerKey struct{}

// mayGoOn checks the right of a subscription again if an access list may have
// changed since it was last checked. The subscription that asks before each page
// gets no event from behind the change, and ends at once where it waits: writing
// the list wakes it.
func (n *Node) mayGoOn(ctx context.Context) error {
	s, guarded := ctx.Value(callerKey{}).(*guardedStream)
	if !guarded || n.tail.listed.Load() <= s.checked {
		return nil
	}
	s.checked, _ = n.tail.get()
	return s.guard.check(ctx, s.who, s.need, s.stream)
}

// mayWrite asks for the right to write to a stream that the guard did not see:
// one of many in a call.
func (n *Node) mayWrite(ctx context.Context, stream string) error {
	s, guarded := ctx.Value(callerKey{}).(*guardedStream)
	if !guarded {
		return nil
	}
	return s.guard.check(ctx, s.who, rightWrite, stream)
}

// withhold takes away from resolved links the events of streams that the
// caller may not read: what is left is a link whose event is gone.
func (n *Node) withhold(ctx context.Context, events []resolved) error {
	s, guarded := ctx.Value(callerKey{}).(*guardedStream)
	if !guarded {
		return nil
	}
	for i := range events {
		if events[i].link == nil || events[i].event == nil {
			continue
		}
		err := authorize(s.who, rightRead, events[i].event.stream, loggedLists{n})
		if _, refused := errors.AsType[*denial](err); refused {
			events[i].event = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// loggedLists reads access lists where they are kept: in the log.
type loggedLists struct{ *Node }

func (l loggedLists) own(stream string) (acl, error) {
	return l.list(metastreamOf(stream), keyACL)
}

func (l loggedLists) defaults(system bool) (acl, error) {
	if system {
		return l.list(settingsStream, keySystemACL)
	}
	return l.list(settingsStream, keyUserACL)
}

// list reads an access list from the last event of a stream.
func (l loggedLists) list(stream, key string) (acl, error) {
	limit, _ := l.tail.get()
	view, err := l.engine.read(limit)
	if err != nil {
		return nil, err
	}
	defer view.close()
	last, ok, err := view.last(stream)
	if err != nil || !ok || last.revision == tombstoneRevision {
		return nil, err
	}
	rec, err := view.record(stream, last)
	if err != nil {
		return nil, err
	}
	return parseACL(rec.data, key), nil
}

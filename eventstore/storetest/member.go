package storetest

import (
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// persistently makes a group of a stream, with settings that let a case see
// what happens without long waits.
func (r *room) persistently(stream, name string, from esdb.StreamPosition, change ...func(*esdb.PersistentSubscriptionSettings)) (full string) {
	full = r.group(stream, name)
	err := r.client.CreatePersistentSubscription(r.ctx, stream, full, esdb.PersistentStreamSubscriptionOptions{
		StartFrom: from, Settings: quickSettings(change...),
	})
	r.must("create the group "+name, err)
	return full
}

// quickSettings write a checkpoint after every event.
func quickSettings(change ...func(*esdb.PersistentSubscriptionSettings)) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	s.CheckpointLowerBound, s.CheckpointUpperBound, s.CheckpointAfter = 1, 1, 100
	for _, f := range change {
		f(&s)
	}
	return &s
}

// member is one consumer of a group. Every wait on it is bounded.
type member struct {
	*room
	what string
	sub  *esdb.PersistentSubscription
}

// join connects to a group of a stream, or of $all for the stream "".
func (r *room) join(stream, group string, buffer uint32) *member {
	m, err := r.tryJoin(stream, group, buffer)
	r.must("join the group", err)
	return m
}

func (r *room) tryJoin(stream, group string, buffer uint32) (*member, error) {
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	var sub *esdb.PersistentSubscription
	var err error
	if stream == "" {
		sub, err = r.client.SubscribeToPersistentSubscriptionToAll(r.ctx, group, o)
	} else {
		sub, err = r.client.SubscribeToPersistentSubscription(r.ctx, stream, group, o)
	}
	return &member{room: r, what: "consumer", sub: sub}, err
}

// next receives one event and its name, with a stroke for each time that it
// was given before; nil when there is none.
func (m *member) next() (*esdb.ResolvedEvent, string) {
	late := time.AfterFunc(m.patience, func() { _ = m.sub.Close() })
	e := m.sub.Recv()
	switch stopped := late.Stop(); {
	case e.EventAppeared != nil:
		return e.EventAppeared.Event, namesOf(e.EventAppeared.Event) + strings.Repeat("'", e.EventAppeared.RetryCount)
	case !stopped && m.ctx.Err() == nil:
		return nil, "(nothing for " + m.patience.String() + ")"
	case e.SubscriptionDropped != nil:
		return nil, "(dropped: " + statusOf(e.SubscriptionDropped.Error) + ")"
	}
	return nil, "(something else)"
}

// take receives so many events as are expected, and ends the case when they
// are others.
func (m *member) take(what, want string) (events []*esdb.ResolvedEvent) {
	var names []string
	for range strings.Fields(want) {
		e, name := m.next()
		names = append(names, name)
		if e == nil {
			break
		}
		events = append(events, e)
	}
	if got := strings.Join(names, " "); got != want {
		m.stop("%s: expected %s, seen %s", what, quoted(want), quoted(got))
	}
	return events
}

// accept receives events and acknowledges them.
func (m *member) accept(what, want string) {
	m.must(what+": acknowledge", m.sub.Ack(m.take(what, want)...))
}

// refuse receives events and says what is to become of them.
func (m *member) refuse(what, want string, action esdb.NackAction) {
	m.must(what+": refuse", m.sub.Nack("storetest", action, m.take(what, want)...))
}

// leave ends the connection.
func (m *member) leave() { _ = m.sub.Close() }

// info asks the server about a group.
func (r *room) info(stream, group string) *esdb.PersistentSubscriptionInfo {
	o := esdb.GetPersistentSubscriptionOptions{}
	var info *esdb.PersistentSubscriptionInfo
	var err error
	if stream == "" {
		info, err = r.client.GetPersistentSubscriptionInfoToAll(r.ctx, group, o)
	} else {
		info, err = r.client.GetPersistentSubscriptionInfo(r.ctx, stream, group, o)
	}
	r.must("ask about the group", err)
	return info
}

// kept names a stream that the server writes for a group of a stream, or of
// $all under that name: "checkpoint" or "parked".
func kept(stream, group, what string) string {
	return "$persistentsubscription-" + stream + "::" + group + "-" + what
}

// checkpoint is the newest checkpoint of a stream's group in the group's own
// stream, empty where there is none. The group's information may change before the
// event is written.
func (r *room) checkpoint(stream, group string) string {
	events, err := r.readWith(kept(stream, group, "checkpoint"), esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if codeOf(err) == "not found" {
		return ""
	}
	r.must("read the checkpoint", err)
	if len(events) == 0 {
		return ""
	}
	e := events[0].Event
	// Its type was renamed in 24.6.
	if e.EventType != "SubscriptionCheckpoint" && e.EventType != "$SubscriptionCheckpoint" {
		r.stop("expected a checkpoint in %s, seen a %s", e.StreamID, e.EventType)
	}
	revision, err := strconv.Unquote(string(e.Data))
	r.must("understand the checkpoint", err)
	return revision
}

// checkpointed waits until the group has written this checkpoint. None that is
// greater may come before it.
func (r *room) checkpointed(stream, group, want string) {
	r.until("no checkpoint at revision "+want, func() bool {
		at := r.checkpoint(stream, group)
		if at > want {
			r.stop("expected no checkpoint past %s before a later event was answered, seen %s", want, at)
		}
		return at == want
	})
}

// parked waits until so many events of a group are parked.
func (r *room) parked(stream, group string, n int64) {
	r.until("not as many parked as there should be", func() bool {
		return r.info(stream, group).Stats.ParkedMessagesCount == n
	})
}

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// beatInterval is how often the groups of persistent subscriptions look at
// what has become late.
const beatInterval = time.Second

// persistentService serves
// event_store.client.persistent_subscriptions.PersistentSubscriptions.
//
// What a group decides is in the package competing. Here persistentgroup.go runs
// one group, persistentsupply.go reads for it, persistentread.go serves its
// consumers, and persistentprogress.go writes what must survive the node:
// checkpoints and parked events, as events like any other.
type persistentService struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	*Node
}

// groupSet is all persistent subscriptions of a node.
type groupSet struct {
	*Node
	beats <-chan time.Time
	wall  func() time.Time
	stop  chan struct{} // closed by shutdown
	ended sync.WaitGroup

	mu      sync.Mutex            // guards the rest
	entries []groupEntry          // as the configuration holds them
	open    map[string]*openGroup // by key
	sources map[string]bool       // what there ever was a group of
	broken  error                 // why the configuration could not be read
	closed  bool
}

// startGroups opens the groups that were made before.
func (n *Node) startGroups(o Options) {
	s := &groupSet{Node: n, beats: o.beats, wall: o.wall, stop: make(chan struct{})}
	n.groups = s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load()
	s.ended.Go(s.beat)
}

// load opens every group of the configuration. A group that cannot be served
// stays in it.
func (s *groupSet) load() {
	s.open, s.sources = make(map[string]*openGroup), make(map[string]bool)
	s.entries, s.broken = s.readConfig()
	if s.broken != nil {
		s.log.Error("persistent subscriptions cannot be served", "error", s.broken)
		return
	}
	for i := range s.entries {
		e := &s.entries[i]
		if err := e.check(); err != nil {
			s.log.Error("persistent subscription left out", "subscription", e.key(), "error", err)
			continue
		}
		s.launch(*e)
	}
}

func (s *groupSet) launch(e groupEntry) {
	s.open[e.key()] = s.openGroup(e)
	s.sources[e.Stream] = true
}

// beat tells every group once a second that time goes on.
func (s *groupSet) beat() {
	beats := s.beats
	if beats == nil {
		ticker := time.NewTicker(beatInterval)
		defer ticker.Stop()
		beats = ticker.C
	}
	for {
		select {
		case <-beats:
		case <-s.stop:
			return
		}
		s.mu.Lock()
		groups := make([]*openGroup, 0, len(s.open))
		for _, g := range s.open {
			groups = append(groups, g)
		}
		s.mu.Unlock()
		for _, g := range groups {
			g.do(g.tick)
		}
	}
}

// shutdown drops all consumers. What the groups are writing is finished.
func (s *groupSet) shutdown() {
	close(s.stop)
	s.ended.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.closeAll()
}

func (s *groupSet) closeAll() {
	for _, g := range s.open {
		g.halt()
	}
	for _, g := range s.open {
		<-g.ended
	}
}

// restart drops all consumers and begins anew with what is written down.
func (s *groupSet) restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStopped
	}
	s.closeAll()
	s.load()
	return s.broken
}

// errNoGroup and errGroupExists are returned for a group that is not there,
// and for one that is there already.
var (
	errNoGroup     = errors.New("there is no such group")
	errGroupExists = errors.New("the group exists")
)

// refusal is why a group cannot be made as asked for, in the words of the
// original server where it has any.
type refusal string

func (r refusal) Error() string { return string(r) }

// ready tells why nothing can be done with groups now. The caller holds mu.
func (s *groupSet) ready() error {
	if s.closed {
		return errStopped
	}
	return s.broken
}

// find gives an open group.
func (s *groupSet) find(stream, name string) (*openGroup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	if g := s.open[groupKey(stream, name)]; g != nil {
		return g, nil
	}
	return nil, errNoGroup
}

// list gives the groups of one stream, or all of them for "".
func (s *groupSet) list(stream string) ([]*openGroup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	if stream != "" && !s.sources[stream] {
		return nil, errNoGroup
	}
	var groups []*openGroup
	for i := range s.entries {
		e := &s.entries[i]
		if g := s.open[e.key()]; g != nil && (stream == "" || e.Stream == stream) {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// create makes a group. It exists once it is in the configuration.
func (s *groupSet) create(e groupEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if err := e.checkStart(); err != nil {
		return err
	}
	if slices.ContainsFunc(s.entries, func(old groupEntry) bool { return old.key() == e.key() }) {
		return errGroupExists
	}
	if err := e.check(); err != nil {
		return err
	}
	if err := s.locate(&e); err != nil {
		return err
	}
	// A deletion that was cut short may have left them.
	if err := s.removeProgress(e.key()); err != nil {
		return err
	}
	entries := append(slices.Clone(s.entries), e)
	if err := s.writeConfig(entries); err != nil {
		return err
	}
	s.entries = entries
	s.launch(e)
	return nil
}

// update replaces a group's settings. Its filter stays, and so does what it
// has written down; its consumers have to come again.
func (s *groupSet) update(e groupEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	at := s.index(e.key())
	if at < 0 {
		return errNoGroup
	}
	if err := e.checkStart(); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	old := s.entries[at]
	e.Filter = old.Filter
	if err := s.locate(&e); err != nil {
		return err
	}
	if e.fromEnd() && old.ResumeFrom != nil {
		e.ResumeFrom = old.ResumeFrom // what was not confirmed is not skipped
	}
	entries := slices.Clone(s.entries)
	entries[at] = e
	if err := s.writeConfig(entries); err != nil {
		return err
	}
	s.entries = entries
	s.drop(e.key())
	s.launch(e)
	return nil
}

func (s *groupSet) index(key string) int {
	return slices.IndexFunc(s.entries, func(e groupEntry) bool { return e.key() == key })
}

// drop closes a group, and its consumers are told.
func (s *groupSet) drop(key string) {
	if g := s.open[key]; g != nil {
		g.halt()
		<-g.ended
		delete(s.open, key)
	}
}

// remove deletes a group and what it has written down.
func (s *groupSet) remove(stream, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	key := groupKey(stream, name)
	at := s.index(key)
	if at < 0 {
		return errNoGroup
	}
	entries := slices.Delete(slices.Clone(s.entries), at, at+1)
	if err := s.writeConfig(entries); err != nil {
		return err
	}
	s.entries = entries
	s.drop(key)
	return s.removeProgress(key)
}

// failGroup answers an error about a group in the protocol's words.
func (n *Node) failGroup(ctx context.Context, stream, name string, err error) error {
	answer := func(code codes.Code, kind, message string, more ...string) error {
		trailers := append([]string{trailerException, kind, trailerStream, stream, "group-name", name}, more...)
		return fail(ctx, code, printable(fmt.Sprintf(message, name, stream)), trailers...)
	}
	var refused refusal
	switch {
	case errors.Is(err, errNoGroup):
		return answer(codes.NotFound, "persistent-subscription-does-not-exist", "Subscription group %s on stream %s does not exist.")
	case errors.Is(err, errGroupExists):
		return answer(codes.AlreadyExists, "persistent-subscription-exists", "Subscription group %s on stream %s exists.")
	case errors.Is(err, errDropped):
		return answer(codes.Canceled, "persistent-subscription-dropped", "Subscription group %s on stream %s was dropped.")
	case errors.Is(err, errGroupFull):
		return answer(codes.FailedPrecondition, "maximum-subscribers-reached", "Maximum subscriptions reached for subscription group %s on stream %s.")
	case errors.As(err, &refused):
		return fail(ctx, codes.Internal, printable(fmt.Sprintf("Subscription group %s on stream %s failed: '%s'", name, stream, refused)),
			trailerException, "persistent-subscription-failed", trailerStream, stream, "group-name", name, "reason", string(refused))
	}
	if _, ok := status.FromError(err); ok {
		return err // an answer already
	}
	return n.failInside(ctx, err)
}

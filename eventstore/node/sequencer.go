package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

const (
	// A commit takes what waits, up to these bounds: beyond them a larger
	// group no longer saves a sync worth having and only delays the first.
	maxGroupWrites = 1024
	maxGroupBytes  = 8 << 20

	// headsBudget is how many streams' heads are kept in memory.
	headsBudget = 1 << 16
)

// errStopped is returned for a write that comes after Close.
var errStopped = errors.New("the node is shutting down")

// operation is what a write asks for.
type operation int

const (
	opAppend operation = iota
	opSoftDelete
	opTombstone
)

// write is one request on its way through the sequencer.
type write struct {
	op       operation
	stream   string
	expected expected
	events   []record // without revision, position and time
	size     int      // of the events, as maxAppendSize bounds it
	done     <-chan struct{}
	result   chan outcome // has room for one
}

// outcome is the answer to a write. It is given only when everything it rests
// on is on disk.
type outcome struct {
	verdict  verdict
	last     int64 // for appends: the batch's last revision; for refusals: the stream's
	position uint64
	located  bool // position is known
	err      error
}

// sequencer is the only writer of the log. One goroutine takes the writes that
// wait, checks each against all before it, gives out revisions and positions,
// and commits them together.
type sequencer struct {
	engine  *engine
	tail    *tail
	logger  *slog.Logger
	metrics *metrics
	now     func() time.Time
	protect func(stream string) bool

	queue chan *write
	stop  chan struct{} // closed by shutdown
	ended chan struct{} // closed when run returns

	// The rest belongs to the goroutine in run.
	next   uint64 // position of the next record
	clock  int64  // ticks of the last record; time never runs backwards in the log
	heads  heads
	recent *recentIDs
	group  group
	failed error // set once a commit failed; what is on disk is unknown since
}

// group is what will be committed together.
type group struct {
	batch   *batch
	staged  map[string]bool // streams with records in batch
	lists   bool            // a record in batch may change an access list
	waiting []answer
}

type answer struct {
	w   *write
	out outcome
}

// submit hands a write to the sequencer and waits for its outcome. When the
// write's done is closed first, whether it was written is unknown.
func (s *sequencer) submit(w *write) outcome {
	if err := s.enqueue(w); err != nil {
		return outcome{err: err}
	}
	return s.await(w)
}

// enqueue hands a write to the sequencer. Those that one goroutine hands over
// are decided in their order.
func (s *sequencer) enqueue(w *write) error {
	w.result = make(chan outcome, 1)
	select {
	case s.queue <- w:
		return nil
	case <-s.stop:
		return errStopped
	case <-w.done:
		return errAbandoned
	}
}

// await waits for the outcome of a write that was handed over.
func (s *sequencer) await(w *write) outcome {
	select {
	case out := <-w.result:
		return out
	case <-w.done:
		return outcome{err: errAbandoned}
	case <-s.ended:
		select {
		case out := <-w.result:
			return out
		default:
			return outcome{err: errStopped}
		}
	}
}

// errAbandoned is returned when the caller stopped waiting.
var errAbandoned = errors.New("the caller gave up waiting")

func (s *sequencer) shutdown() {
	close(s.stop)
	<-s.ended
}

func (s *sequencer) run() {
	defer close(s.ended)
	for {
		select {
		case w := <-s.queue:
			s.process(w)
		case <-s.stop:
			return
		}
	}
}

// process commits one group, beginning with w.
func (s *sequencer) process(w *write) {
	s.heads.rotate()
	s.take(w)
	for len(s.group.waiting) < maxGroupWrites && s.group.bytes() < maxGroupBytes {
		select {
		case w := <-s.queue:
			s.take(w)
			continue
		default:
		}
		break
	}
	s.flush()
}

func (g *group) bytes() int {
	if g.batch == nil {
		return 0
	}
	return g.batch.bytes
}

// take decides one write and stages what it writes.
func (s *sequencer) take(w *write) {
	select {
	case <-w.done:
		return
	default:
	}
	out := outcome{err: s.failed}
	if s.failed == nil {
		out = s.decide(w)
	}
	s.group.waiting = append(s.group.waiting, answer{w, out})
}

// flush puts the group on disk, lets readers see it and answers its writers.
// A refusal waits for the commit too: it may rest on a record in it.
func (s *sequencer) flush() {
	g := s.group
	s.group = group{}
	if g.batch != nil && s.failed == nil {
		begun := time.Now()
		if err := s.engine.commit(g.batch, s.next); err != nil {
			s.failed = fmt.Errorf("a commit failed and the store takes no more writes until it is restarted: %w", err)
			s.logger.Error("commit failed", "error", err)
		} else {
			s.metrics.committed(g.batch, time.Since(begun))
			if g.lists {
				s.tail.listed.Store(s.next)
			}
			s.tail.advance(s.next)
		}
	}
	for _, a := range g.waiting {
		if s.failed != nil {
			a.out = outcome{err: s.failed}
		}
		s.metrics.write(a.w.op, a.out)
		a.w.result <- a.out
	}
}

// errRevision is returned for a record with a revision that no reader of its
// stream would find.
var errRevision = errors.New("the revision is out of range")

// stage adds one record at the end of its stream and of the log.
func (s *sequencer) stage(rec *record) error {
	if rec.revision > tombstoneRevision || rec.revision == tombstoneRevision && rec.typ != typeTombstone {
		return fmt.Errorf("%w: %d of stream %q", errRevision, rec.revision, rec.stream)
	}
	if s.group.batch == nil {
		s.group.batch = s.engine.newBatch()
		s.group.staged = make(map[string]bool)
	}
	s.clock = max(s.clock, ticks(s.now()))
	rec.created, rec.position = s.clock, s.next
	if err := s.group.batch.add(rec); err != nil {
		return err
	}
	s.next += uint64(rec.encodedSize())
	s.group.staged[rec.stream] = true
	if isMetastream(rec.stream) || rec.stream == settingsStream {
		s.group.lists = true
	}
	s.recent.put(rec.stream, rec.id, stored{rec.revision, rec.position})
	return nil
}

// head finds a stream's head as of the writes decided so far.
func (s *sequencer) head(stream string) (*head, error) {
	if h := s.heads.get(stream); h != nil {
		return h, nil
	}
	// Whatever is staged has its heads in memory already, so that the store,
	// which lacks it, is right about every other stream.
	r, err := s.engine.read(everything)
	if err != nil {
		return nil, err
	}
	defer r.close()
	h, err := r.head(stream)
	if err != nil {
		return nil, err
	}
	s.heads.put(stream, &h)
	return &h, nil
}

// past lets the commit check see what was written before.
type past struct{ *sequencer }

func (p past) recent(stream string, id uuid.UUID) (stored, bool) {
	return p.sequencer.recent.get(stream, id)
}

// entries reads the store. Where the group holds records of the stream it is
// committed first: a repeat that close behind is too rare for a second way of
// looking things up.
func (p past) entries(stream string, from uint64, max int) ([]entry, error) {
	if p.group.staged[stream] {
		p.flush()
		if p.failed != nil {
			return nil, p.failed
		}
	}
	r, err := p.engine.read(everything)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.entries(stream, from, max, false)
}

// heads keeps the heads of the streams lately written to. What is staged must
// stay, so generations change only between groups.
type heads struct {
	young, old map[string]*head
}

func (c *heads) get(stream string) *head {
	if h := c.young[stream]; h != nil {
		return h
	}
	h := c.old[stream]
	if h != nil {
		c.young[stream] = h
	}
	return h
}

func (c *heads) put(stream string, h *head) { c.young[stream] = h }

func (c *heads) rotate() {
	if c.young == nil || len(c.young) > headsBudget/2 {
		c.old, c.young = c.young, make(map[string]*head)
	}
}

// Package replay reads a whole ledger once, in the order of the log, and checks
// every event of it by the rules of domain/audit.
//
// Decoding is what takes the time, so it is shared out: each worker decodes and
// folds the streams that fall to it, a batch of the log at a time, and one
// goroutine goes over the batches in the order of the log for what needs
// several streams. An event that cannot be read is a violation like any other
// and stops nothing.
//
// Begin reading at Run.
package replay

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"permitledger/domain"
	"permitledger/domain/audit"
	"permitledger/domain/ledger"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

// Options say how a ledger is replayed. The zero value is one worker, silent.
type Options struct {
	// Workers is how many goroutines decode and fold; at least 1.
	Workers int
	// TempDir is where the event ids are kept meanwhile, 24 bytes for each
	// event. Empty is the system's folder for such files.
	TempDir string
	// Progress is told now and then how many events are checked and up to
	// which position of the log.
	Progress func(events uint64, at eventstore.Position)
}

// MaxViolations is how many violations a Report lists; all are counted.
const MaxViolations = 10_000

// Report is what a replay found.
type Report struct {
	Events     uint64                `json:"events"`
	Seconds    float64               `json:"seconds"`
	PerSecond  float64               `json:"eventsPerSecond"`
	Clock      time.Time             `json:"knowledgeClock"` // the greatest recorded instant
	ByType     map[string]uint64     `json:"eventsByType"`
	BySort     map[string]uint64     `json:"eventsByStreamKind"`
	Streams    map[string]uint64     `json:"streamsByKind"`
	Permits    map[permit.Status]int `json:"permitsByState"` // at the knowledge clock
	Count      uint64                `json:"violationCount"`
	Violations []audit.Violation     `json:"violations"` // at most MaxViolations, in log order
	SetBacks   []SetBack             `json:"logSetBacks"`
}

// SetBack is a place at which an admin accepted that the log lacked events that
// were in it before. It is a fact and no violation.
type SetBack struct {
	Ledger     uint64         `json:"ledger"` // of the event that says so
	RecordedAt time.Time      `json:"recordedAt"`
	Known      uint64         `json:"known"`
	KnownID    domain.EventID `json:"knownId"`
	Agreed     uint64         `json:"agreed"`
}

// batchSize is how many events are handed to the workers together: enough that
// waiting for each other costs nothing, few enough to be forgotten.
const batchSize = 512

// batch is a piece of the log on its way through the workers.
type batch struct {
	first   uint64 // ledger number of its first event
	records []eventstore.Recorded
	shards  []uint32 // of each event's stream
	entries []audit.Entry
	found   [][]audit.Violation
	waiting sync.WaitGroup // workers that have not finished it
}

// Run replays a ledger up to its end as it is reached.
func Run(ctx context.Context, l *eventstore.Ledger, o Options) (Report, error) {
	o.Workers = max(1, o.Workers)
	ids, err := newIDs(o.TempDir)
	if err != nil {
		return Report{}, err
	}
	defer ids.close()
	began := time.Now()
	run := &run{ledger: l, ids: ids, seed: maphash.MakeSeed(), whole: audit.NewWhole(), progress: o.Progress,
		ordered: make(chan *batch, 4), report: Report{ByType: map[string]uint64{}, BySort: map[string]uint64{},
			Streams: map[string]uint64{}, Violations: []audit.Violation{}, SetBacks: []SetBack{}}}
	var workers sync.WaitGroup
	for range o.Workers {
		c := make(chan *batch, 4)
		shard := uint32(len(run.shards))
		run.shards = append(run.shards, c)
		workers.Go(func() { run.work(shard, c) })
	}
	failed := make(chan error, 1)
	go func() { failed <- run.read(ctx) }()
	err = run.conclude()
	workers.Wait()
	if rerr := <-failed; rerr != nil {
		return Report{}, rerr
	}
	if err != nil {
		return Report{}, err
	}
	if err := run.duplicates(ctx); err != nil {
		return Report{}, err
	}
	r := run.report
	r.Seconds = time.Since(began).Seconds()
	r.PerSecond = float64(r.Events) / r.Seconds
	r.Clock, r.Permits = run.whole.Clock(), run.whole.States(run.whole.Clock())
	return r, nil
}

// run is one replay.
type run struct {
	ledger   *eventstore.Ledger
	seed     maphash.Seed
	shards   []chan *batch // one for each worker; closed by read
	ordered  chan *batch   // the same batches in log order; closed by read
	progress func(uint64, eventstore.Position)

	// Owned by conclude.
	ids    *ids
	whole  *audit.Whole
	report Report
}

// read cuts the log into batches and gives each to all workers.
func (r *run) read(ctx context.Context) error {
	defer func() {
		for _, c := range r.shards {
			close(c)
		}
		close(r.ordered)
	}()
	b, n := &batch{first: 1}, uint64(0)
	for rec, err := range r.ledger.Store().ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		n++
		b.records = append(b.records, rec)
		b.shards = append(b.shards, uint32(maphash.String(r.seed, rec.Stream)%uint64(len(r.shards))))
		if len(b.records) == batchSize {
			r.hand(b)
			b = &batch{first: n + 1}
		}
	}
	r.hand(b)
	return nil
}

func (r *run) hand(b *batch) {
	b.entries = make([]audit.Entry, len(b.records))
	b.found = make([][]audit.Violation, len(b.records))
	b.waiting.Add(len(r.shards))
	for _, c := range r.shards {
		c <- b
	}
	r.ordered <- b
}

// work decodes and folds the streams of one shard.
func (r *run) work(shard uint32, batches <-chan *batch) {
	streams := audit.NewStreams()
	for b := range batches {
		for i, rec := range b.records {
			if b.shards[i] != shard {
				continue
			}
			b.entries[i] = entryOf(r.ledger.Codec(), rec, b.first+uint64(i))
			b.found[i] = streams.Check(b.entries[i])
		}
		b.waiting.Done()
	}
}

// entryOf decodes an event. Of one that cannot be decoded as much is kept as
// can be told.
func entryOf(c *eventstore.Codec, rec eventstore.Recorded, number uint64) audit.Entry {
	e := audit.Entry{Ledger: number, Stream: rec.Stream, Type: rec.Type}
	decoded, err := c.Decode(rec)
	if err == nil {
		e.Meta, e.Versions, e.Body = decoded.Envelope.Meta(), decoded.Versions, decoded.Body
		return e
	}
	e.Fault = err.Error()
	e.Meta = domain.Meta{ID: domain.EventID(rec.ID.String()), Revision: rec.Revision}
	if at, err := eventstore.RecordedAt(rec); err == nil {
		e.Meta.At = at
	}
	return e
}

// conclude goes over the batches in log order. It takes all of them, also
// after an error, so that nobody waits for ever.
func (r *run) conclude() (failed error) {
	for b := range r.ordered {
		b.waiting.Wait()
		for i, e := range b.entries {
			r.count(e)
			for _, v := range append(b.found[i], r.whole.Check(e)...) {
				r.violation(v)
			}
			if failed == nil {
				failed = r.ids.add(b.records[i].ID, e.Ledger)
			}
		}
		if n := len(b.records); n > 0 && r.progress != nil {
			r.progress(r.report.Events, b.records[n-1].Position)
		}
	}
	return failed
}

func (r *run) count(e audit.Entry) {
	kind := audit.Sort(e.Stream)
	r.report.Events++
	r.report.ByType[e.Type]++
	r.report.BySort[kind]++
	if e.Meta.Revision == 0 {
		r.report.Streams[kind]++
	}
	if b, ok := e.Body.(ledger.LogSetBack); ok {
		r.report.SetBacks = append(r.report.SetBacks, SetBack{e.Ledger, e.Meta.At, b.Known, b.KnownID, b.Agreed})
	}
}

func (r *run) violation(v audit.Violation) {
	r.report.Count++
	if len(r.report.Violations) < MaxViolations {
		r.report.Violations = append(r.report.Violations, v)
	}
}

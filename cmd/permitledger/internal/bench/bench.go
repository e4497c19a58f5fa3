// Package bench measures the program, each figure beside a reference of its
// own in the same run: the least that a program could do which gives the same
// result. What is reported is the ratio of the two, for a figure by itself
// tells more of the machine than of the program.
//
// It measures and judges nothing: a figure below its aim is shown as such and
// is no error. What each measure is, and why its reference is a fair one, is
// told in docs/performance.md.
//
// Begin reading at Run, then measures, the table of all that is measured.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Config says what is measured, and how long.
type Config struct {
	// Only are the names of the measures; none means all.
	Only []string
	// Rounds is how often each is measured, in turn with its reference.
	Rounds int
	// Duration is how long one side of a round takes at least.
	Duration time.Duration
	// Permits is how many permits the seeded history has that the measures of
	// a whole ledger use.
	Permits int
	// Appends is how many appends append-memory makes.
	Appends int
	// EventStore is the connection string of a server to measure in place of
	// the embedded node. No ledger may live there.
	EventStore string
	// MayWrite is asked before anything is written to EventStore; its error ends
	// the run. Nil: nobody is asked.
	MayWrite func(context.Context) error
	// TempDir is where the throw-away folder is made. Empty is the system's
	// place for such folders.
	TempDir string
	// Version is the program's, for the report.
	Version string
	// Progress is told what is being done, a line at a time. Nil is silence.
	Progress func(line string)
}

var (
	// ErrInterrupted is returned when the context ended before the measures.
	ErrInterrupted = errors.New("interrupted: there is nothing to report")
	// ErrUnknownMeasure is returned for a name that no measure has.
	ErrUnknownMeasure = errors.New("there is no such measure")
	// ErrLedgerThere is returned for a server on which a ledger lives.
	ErrLedgerThere = errors.New("a ledger lives on that event store, and what is written to measure would count as its events; name a server without one")
)

// Measures.
const (
	nameAppend  = "append"
	nameGrowth  = "append-memory"
	nameReadAll = "read-all"
	nameLive    = "live"
	nameCatchUp = "catch-up"
	nameHandle  = "handle"
	nameReplay  = "replay"
	nameMemory  = "replay-memory"
	nameRebuild = "rebuild"
	nameView    = "account-view"
)

// measure is one thing that is measured, in one or more variants.
type measure struct {
	name   string
	ledger bool // it needs a seeded ledger with everything around it
	within bool // it looks into the node's own process
	// total, when set, is the variant that sums all others, and the only one
	// that has an aim.
	total string
	aim   aim
	pairs func(context.Context, *bench) ([]pair, error)
}

// measures is all that can be measured, in the order in which it is done.
var measures = []measure{
	{name: nameAppend, pairs: appends},
	{name: nameGrowth, within: true, pairs: appendMemory},
	{name: nameReadAll, pairs: readAll},
	{name: nameCatchUp, pairs: catchUp},
	{name: nameLive, pairs: live},
	{name: nameHandle, pairs: handle},
	{name: nameReplay, ledger: true, pairs: replays},
	{name: nameMemory, ledger: true, pairs: replayMemory},
	{name: nameRebuild, ledger: true, total: "all", aim: aim{ratio: 0.8}, pairs: rebuilds},
	{name: nameView, ledger: true, pairs: accountView},
}

// Names lists the measures.
func Names() []string {
	names := make([]string, len(measures))
	for i, m := range measures {
		names[i] = m.name
	}
	return names
}

// bench is one run of measures.
type bench struct {
	Config
	dir     string
	log     *logSide    // made when a measure first wants it
	ledger  *ledgerSide // likewise
	closers []func() error
}

// Run measures and reports. Whatever it made on the way is gone when it
// returns, also when it was interrupted.
func Run(ctx context.Context, cfg Config) (report Report, err error) {
	chosen, left, err := choose(cfg)
	if err != nil {
		return Report{}, err
	}
	if cfg.MayWrite != nil {
		if err := cfg.MayWrite(ctx); err != nil {
			return Report{}, err
		}
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	b := &bench{Config: cfg}
	if b.dir, err = os.MkdirTemp(cfg.TempDir, "plbench-"); err != nil {
		return Report{}, err
	}
	defer func() {
		err = errors.Join(err, b.close())
		if ctx.Err() != nil {
			err = ErrInterrupted
		}
	}()
	report = newReport(cfg)
	report.LeftOut = left
	for _, m := range chosen {
		results, err := b.measure(ctx, m)
		if err != nil {
			return Report{}, fmt.Errorf("measure %s: %w", m.name, err)
		}
		report.Results = append(report.Results, results...)
	}
	if b.ledger != nil {
		report.Permits, report.Events = b.ledger.permits, b.ledger.events
	}
	return report, nil
}

// choose finds the measures that are asked for, and says of those that cannot
// be had why.
func choose(cfg Config) (chosen []measure, left []LeftOut, err error) {
	for _, name := range cfg.Only {
		if !slices.Contains(Names(), name) {
			return nil, nil, fmt.Errorf("%w: %q; there are %s", ErrUnknownMeasure, name, strings.Join(Names(), ", "))
		}
	}
	for _, m := range measures {
		switch {
		case len(cfg.Only) > 0 && !slices.Contains(cfg.Only, m.name):
		case m.ledger && cfg.EventStore != "":
			left = append(left, LeftOut{m.name, "it needs a ledger of its own, with its keys and read models, and the server is only lent"})
		case m.within && cfg.EventStore != "":
			left = append(left, LeftOut{m.name, "the server's memory is that of another process"})
		default:
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, nil, fmt.Errorf("nothing can be measured: %s: %s", left[0].Measure, left[0].Because)
	}
	return chosen, left, nil
}

// measure takes all variants of a measure.
func (b *bench) measure(ctx context.Context, m measure) ([]Result, error) {
	pairs, err := m.pairs(ctx, b)
	if err != nil {
		return nil, err
	}
	var results []Result
	var all []taken
	for _, p := range pairs {
		t, err := b.interleave(ctx, m.name, p)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		results = append(results, t.result(m.name))
	}
	if m.total != "" {
		results = append(results, sum(m.total, m.aim, all).result(m.name))
	}
	return results, nil
}

// interleave measures ours and the reference in turn, so that what else the
// machine does meanwhile meets both.
func (b *bench) interleave(ctx context.Context, name string, p pair) (taken, error) {
	t := taken{pair: p}
	for round := range b.Rounds {
		b.Progress(fmt.Sprintf("%s: round %d of %d", strings.TrimSpace(name+" "+p.variant), round+1, b.Rounds))
		for _, s := range []struct {
			side side
			runs *[]run
		}{{p.ours, &t.ours}, {p.beside, &t.beside}} {
			if s.side == nil {
				continue
			}
			runtime.GC() // so that neither side pays for the other's garbage
			r, err := s.side(ctx)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return t, err
			}
			*s.runs = append(*s.runs, r)
		}
	}
	return t, nil
}

// onClose has something undone at the end, last made first.
func (b *bench) onClose(f func() error) { b.closers = append(b.closers, f) }

func (b *bench) close() error {
	var errs []error
	for _, f := range slices.Backward(b.closers) {
		errs = append(errs, f())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// folder makes a folder under the throw-away one. Names are short: the path of
// a socket is.
func (b *bench) folder(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	return dir, os.Mkdir(dir, 0o700)
}

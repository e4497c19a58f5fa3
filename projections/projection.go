package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"permitledger/eventstore"
)

// Projection is one read model as it is kept by a Runner. It is safe for
// concurrent use.
type Projection struct {
	runner *Runner
	model  Model
	offers chan *offer     // to the goroutine that follows the log
	held   <-chan struct{} // closed when the log may be followed; nil: at once

	mu      sync.Mutex // guards what follows
	file    *file      // nil once closed
	number  int        // of the file
	last    int        // greatest number that a file was given
	rebuild *Rebuild   // the one under way, or the last one; nil: none yet
	mark    Mark       // of the last commit
	state   State
	poison  *Poison
	trouble string
	goal    *eventstore.Position // head of the log when it began to follow
	reached bool                 // the goal, once
	heard   time.Time            // when the log was last heard of
	applied uint64               // events applied by this process
	erasing bool                 // see Status.Erasing
	// verifying is how far the verification begun last has come; nil: none goes on.
	verifying *atomic.Uint64
	changed   chan struct{} // closed and replaced when anything above changes
}

// openProjection takes the newest file that fits the model, or makes one.
func openProjection(ctx context.Context, r *Runner, m Model) (*Projection, error) {
	p := &Projection{runner: r, model: m, state: CatchingUp, offers: make(chan *offer), changed: make(chan struct{})}
	numbers, err := fileNumbers(r.cfg.Dir, m.Name())
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		path := filePath(r.cfg.Dir, m.Name(), n)
		if p.file == nil {
			if p.file, err = p.usable(ctx, path); err != nil {
				return nil, err
			}
			if p.file != nil {
				p.number, p.mark, p.erasing = n, p.file.mark, p.file.erased != erasureDone
				continue
			}
		}
		if err := removeFile(path); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	if len(numbers) > 0 {
		p.last = numbers[0]
	}
	if p.file == nil {
		p.number = p.nextNumber()
		if p.file, err = createFile(ctx, filePath(r.cfg.Dir, m.Name(), p.number), m, following); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// fileNumbers lists the files of a model that are there, newest first.
func fileNumbers(dir, model string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), model+".")
		if !ok {
			continue
		}
		digits, ok := strings.CutSuffix(rest, ".db")
		if n, err := strconv.Atoi(digits); ok && err == nil && filePath(dir, model, n) == filepath.Join(dir, e.Name()) {
			numbers = append(numbers, n)
		}
	}
	sort.Sort(sort.Reverse(sort.IntSlice(numbers)))
	return numbers, nil
}

// nextNumber gives a number that no file of the model has.
func (p *Projection) nextNumber() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	return p.last
}

// usable opens a file if it can be gone on with. What cannot is no error: a
// read model can always be made again.
func (p *Projection) usable(ctx context.Context, path string) (*file, error) {
	log := p.runner.cfg.Logger.With("model", p.model.Name(), "file", filepath.Base(path))
	f, err := openFile(ctx, path, following)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		log.Warn("read model cannot be opened and is made again", "error", err)
		return nil, nil
	}
	name, version, live, err := f.load(ctx)
	want, _ := p.model.Schema()
	switch {
	case ctx.Err() != nil:
		return nil, errors.Join(ctx.Err(), f.shut())
	case err != nil:
		log.Warn("read model cannot be read and is made again", "error", err)
	case name != p.model.Name() || version != want:
		log.Info("read model has another schema and is made again", "has", version, "want", want)
	case !live:
		log.Info("read model was being made again when the process ended; what there is of it is dropped")
	default:
		return f, nil
	}
	return nil, f.shut()
}

// Name is the model's name.
func (p *Projection) Name() string { return p.model.Name() }

// DB is the pool of read-only connections to the file as it is now. It is
// asked for anew for every read: when the model is made again the file is
// replaced, and the old pool closes as soon as no View uses it. A read of
// several statements belongs into View.
func (p *Projection) DB() *sql.DB {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	return p.file.reader
}

// View runs fn over one state of the rows: whatever is applied meanwhile, all
// its statements see the same. The file is not replaced under it.
func (p *Projection) View(ctx context.Context, fn func(tx *sql.Tx) error) error {
	f, err := p.acquire()
	if err != nil {
		return err
	}
	defer func() { _ = f.release() }() // a failure to close what is thrown away harms nobody
	tx, err := f.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("reading %s: %w", p.Name(), err)
	}
	defer func() { _ = tx.Rollback() }()
	return fn(tx)
}

func (p *Projection) acquire() (*file, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil || !p.file.acquire() {
		return nil, ErrClosed
	}
	return p.file, nil
}

// Status tells how the projection is.
func (p *Projection) Status() Status {
	furthest := p.runner.furthest.Load()
	now := p.runner.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Name: p.Name(), Ledger: p.mark.Ledger, Position: p.mark.Position, Clock: p.mark.Clock,
		State: p.state, Error: p.poison, Trouble: p.trouble, Erasing: p.erasing, LastMessageAge: -1,
		Rebuild: p.rebuild,
	}
	if p.verifying != nil {
		s.Verifying, s.Verified = true, p.verifying.Load()
	}
	if furthest > s.Ledger {
		s.Behind = furthest - s.Ledger
	}
	if !p.heard.IsZero() {
		s.LastMessageAge = max(0, now.Sub(p.heard))
	}
	return s
}

// Mark is the last event that the rows have, and where it was in the log.
func (p *Projection) Mark() Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mark
}

// Changed gives a channel that is closed when the projection next advances,
// stops, starts or is closed. Many changes may close one channel: whoever is
// nudged takes a new one first and then looks, and so misses nothing.
func (p *Projection) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// WaitFor returns nil once the event at pos has been committed to the rows.
// It fails with ErrStopped when the projection is stopped before it, and with
// the context's error when that ends first.
func (p *Projection) WaitFor(ctx context.Context, pos eventstore.Position) error {
	for {
		p.mu.Lock()
		at, poison, closed, changed := p.mark.Position, p.poison, p.file == nil, p.changed
		p.mu.Unlock()
		switch {
		case at >= pos:
			return nil
		case closed:
			return ErrClosed
		case poison != nil:
			return fmt.Errorf("%w: %w", ErrStopped, poison)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Projection) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reached || p.poison != nil
}

// set changes the status under its lock and wakes who waits for that.
func (p *Projection) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.reached = p.reached || p.goal != nil && p.mark.Position >= *p.goal
	close(p.changed)
	p.changed = make(chan struct{})
}

// replace puts another file in the place of the present one, which is removed
// when its last reader is done.
func (p *Projection) replace(f *file, number int) error {
	var old *file
	p.set(func() {
		old = p.file
		p.file, p.number, p.mark, p.erasing = f, number, f.mark, f.erased != erasureDone
	})
	if old == nil {
		return nil
	}
	old.mu.Lock()
	old.gone = true
	old.mu.Unlock()
	return old.release()
}

func (p *Projection) close() error {
	var old *file
	p.set(func() { old, p.file = p.file, nil })
	if old == nil {
		return nil
	}
	if err := old.release(); err != nil {
		return fmt.Errorf("closing read model %s: %w", p.Name(), err)
	}
	<-old.closed
	return nil
}

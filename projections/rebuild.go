package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"permitledger/eventstore"
)

// Rebuild is a read model that is made again beside the live one and then put
// in its place. It is safe for concurrent use.
type Rebuild struct {
	Started time.Time

	at    atomic.Uint64 // ledger number of the last event in the new file
	done  chan struct{} // closed when it has ended
	ended time.Time     // set before done is closed, as the next
	err   error
}

// Ledger is the number of the last event that the new file has.
func (r *Rebuild) Ledger() uint64 { return r.at.Load() }

// Done gives a channel that is closed when the rebuild has ended.
func (r *Rebuild) Done() <-chan struct{} { return r.done }

// Outcome tells when the rebuild ended and what kept the new file from being
// put in place. It is false while it goes on.
func (r *Rebuild) Outcome() (ended time.Time, err error, over bool) {
	select {
	case <-r.done:
		return r.ended, r.err, true
	default:
		return time.Time{}, nil, false
	}
}

func (r *Rebuild) underWay() bool {
	if r == nil {
		return false
	}
	_, _, over := r.Outcome()
	return !over
}

// Rebuild begins to make the read model again, or joins a rebuild under way.
// The live file is read as ever until the new one has caught up with it and
// takes its place: no reader meets a gap, or anything older than was there
// before. A rebuild that fails, or that the end of Run cuts off, leaves the
// live file as it is.
func (p *Projection) Rebuild() (*Rebuild, error) {
	if err := p.runner.refusal(); err != nil {
		return nil, err
	}
	ctx, done, err := p.runner.during(context.Background())
	if err != nil {
		return nil, err
	}
	r := &Rebuild{Started: p.runner.cfg.Now(), done: make(chan struct{})}
	joined := r
	p.set(func() {
		if p.rebuild.underWay() {
			joined = p.rebuild
			return
		}
		p.rebuild = r
	})
	if joined != r {
		done()
		return joined, nil
	}
	go func() {
		defer done()
		p.log().Info("read model is made again beside the live one")
		r.err = p.rebuildBeside(ctx, &r.at)
		r.ended = p.runner.cfg.Now()
		if r.err != nil {
			p.log().Error("read model could not be made again; the live one goes on", "error", r.err)
		} else {
			p.log().Info("read model was made again", "ledger", r.Ledger(), "took", r.ended.Sub(r.Started))
		}
		p.set(func() { close(r.done) })
	}()
	return r, nil
}

func (p *Projection) rebuildBeside(ctx context.Context, at *atomic.Uint64) error {
	f, number, err := p.scratch(ctx)
	if err != nil {
		return err
	}
	if err = p.fill(ctx, f, theEnd, at); err == nil && f.erased != erasureDone {
		err = f.forget(ctx)
	}
	if err == nil {
		err = f.settle(ctx)
	}
	if err == nil {
		err = p.offer(ctx, f, number)
	}
	if err != nil {
		err = errors.Join(err, f.discard())
	}
	return err
}

// scratch makes an empty file beside the live one. One that is left behind by
// a crash is found at the next start, by its number and by not being live.
func (p *Projection) scratch(ctx context.Context) (*file, int, error) {
	number := p.nextNumber()
	f, err := createFile(ctx, filePath(p.runner.cfg.Dir, p.Name(), number), p.model, filling)
	if err != nil {
		return nil, 0, fmt.Errorf("making a file beside the live one: %w", err)
	}
	return f, number, nil
}

// discard closes a file and removes it.
func (f *file) discard() error {
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	return f.release()
}

// fill folds the log into a file that is not live, up to a bound. The first
// time, the indexes follow that were postponed.
func (p *Projection) fill(ctx context.Context, f *file, until bound, at *atomic.Uint64) error {
	if until.reachedBy(f.mark.Position) {
		return f.index(ctx)
	}
	w := follower{
		ledger: p.runner.cfg.Ledger, model: p.model, file: f, until: until,
		received: p.runner.Saw, heard: func() {}, advanced: func(m Mark, _ int) { at.Store(m.Ledger) }, forgot: func() {},
	}
	if f.mark.Ledger == 0 {
		if err := p.runner.refusal(); err != nil {
			return err
		}
	}
	pause := pauses()
	for {
		err := p.onSession(ctx, &w)
		if err == nil {
			err = w.follow(ctx)
		}
		switch {
		case errors.Is(err, errReached):
			return f.index(ctx)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, eventstore.ErrReplaced):
		case errors.Is(err, eventstore.ErrUnavailable): // what is filled in already is kept
			select {
			case <-time.After(pause.NextBackOff()):
			case <-ctx.Done():
			}
		default:
			return err
		}
	}
}

// errOtherLog is returned where the log no longer has what was filled in.
var errOtherLog = errors.New("the log no longer has what was read from it; begin again")

// onSession waits until the gate passes a session, for a follower that fills a
// file, and sees that the log still has what is in the file.
func (p *Projection) onSession(ctx context.Context, w *follower) (err error) {
	if w.on, err = p.runner.pass(ctx); err != nil || w.on == 0 {
		return err
	}
	same, err := p.sameLog(ctx, w.file.mark)
	if now, _ := p.runner.cfg.Ledger.Store().Session(); err == nil && now != w.on {
		return eventstore.ErrReplaced
	}
	if err == nil && !same {
		err = errOtherLog
	}
	return err
}

// offer is a file that is ready to take the place of the live one.
type offer struct {
	file   *file
	number int
	ended  chan error // takes what became of it; never blocks
}

// Error makes an offer what ends a follower.
func (*offer) Error() string { return "a file that was made anew is to be swapped in" }

// offer hands a file to the goroutine that follows the log and waits until it
// has been swapped in.
func (p *Projection) offer(ctx context.Context, f *file, number int) error {
	o := &offer{file: f, number: number, ended: make(chan error, 1)}
	select {
	case p.offers <- o:
		return <-o.ended
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// adopt puts an offered file in the place of the live one. It is called by the
// goroutine that follows the log, so nothing is applied to the live file
// meanwhile: brought to where that one is, the new one misses no event, and
// whatever comes next is applied to it alone.
func (p *Projection) adopt(ctx context.Context, o *offer) {
	o.ended <- func() error {
		if err := p.fill(ctx, o.file, upTo(p.file.mark.Position), new(atomic.Uint64)); err != nil {
			return err
		}
		if err := o.file.goLive(ctx); err != nil {
			return err
		}
		p.set(func() {
			if p.poison != nil {
				p.state, p.poison = CatchingUp, nil
			}
		})
		if err := p.replace(o.file, o.number); err != nil {
			// It is in place. What is left of the old one goes at the next start.
			p.log().Warn("the file that was replaced could not be removed", "error", err)
		}
		return nil
	}()
}

// settle makes a file that was filled like one that is followed: what is in it
// and its name are on the disk, and so is from now on whatever is added.
func (f *file) settle(ctx context.Context) error {
	if err := f.writer.Close(); err != nil {
		return err
	}
	for _, path := range []string{f.path, filepath.Dir(f.path)} {
		if err := syncPath(path); err != nil {
			return fmt.Errorf("bringing the new file to the disk: %w", err)
		}
	}
	writer, err := connect(f.path, following)
	if err != nil {
		return err
	}
	f.writer, f.known, f.filling = writer, newStatements(writer), false
	return f.writer.PingContext(ctx)
}

func syncPath(path string) error {
	h, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(h.Sync(), h.Close())
}

// goLive says in the file that it may be read, and brings all of it to the disk:
// the file that it replaces is removed next.
func (f *file) goLive(ctx context.Context) error {
	err := f.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE projection SET live = 1`)
		return err
	})
	if err == nil {
		_, err = f.writer.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	if err != nil {
		return fmt.Errorf("making the new file the live one: %w", err)
	}
	return nil
}

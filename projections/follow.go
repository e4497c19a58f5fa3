package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"permitledger/eventstore"
)

const (
	// batchSize is how many events one transaction takes at most: enough that
	// the commit costs little beside the folds, few enough that a batch that
	// is lost is soon done again.
	batchSize = 4000
	// idle is how long an unfinished batch waits for more while catching up,
	// when the log hands its events over slower than they are folded.
	idle = 50 * time.Millisecond
	// waiting is how many decoded events wait for the transaction before them.
	waiting = 1000
	// again is how long an erasure waits that a reader stood in the way of.
	again = time.Second
	// share is how many times as long as a commit took the next one keeps off,
	// while events come one after the other, and longest how long at most: then
	// more of them share a commit, and an event that comes alone has not to wait.
	share   = 3
	longest = 20 * time.Millisecond
	// damagePause is how long at most a damaged place in the log is not looked
	// at again: a disk may read again what it once could not.
	damagePause = time.Minute
)

// follower brings one file up to date. The live file and one that is made
// beside it are both filled by a follower; they differ in who is told.
type follower struct {
	ledger *eventstore.Ledger
	model  Model
	file   *file
	on     eventstore.SessionID // the session to follow the log on; 0: any

	until bound // where to stop
	// offered hands a file that was made beside this one to the goroutine that
	// follows the log, which is the only one that may swap it in. Nil: none is.
	offered <-chan *offer

	received func(ledger uint64)      // an event came in
	heard    func()                   // any other message came in
	advanced func(m Mark, events int) // a transaction was committed
	caughtUp func()                   // the end of the log was reached
	forgot   func()                   // an erasure has left the file

	next time.Time // before it nothing is committed while live, unless a batch is full
}

// bound is where a follower stops. The zero value is nowhere: it follows the log
// for ever.
type bound struct {
	end    bool                // at the end of the log
	placed bool                // at the event at a position
	at     eventstore.Position // that position; any may be one, also 0
}

// theEnd is the end of the log, as it is when a follower reaches it.
var theEnd = bound{end: true}

// upTo is the event at a position or, where the log ends before it, the end.
func upTo(position eventstore.Position) bound {
	return bound{end: true, placed: true, at: position}
}

// reachedBy reports whether nothing behind a position is wanted.
func (b bound) reachedBy(position eventstore.Position) bool { return b.placed && position >= b.at }

// excludes reports whether what is at a position is not wanted.
func (b bound) excludes(position eventstore.Position) bool { return b.placed && position > b.at }

// message is what the subscription hands to the goroutine that owns the file.
type message struct {
	kind  messageKind
	event eventstore.Event // only the place when err is set, and the instant when it is passed over
	// stored is the event itself, for a model that wants it so.
	stored *eventstore.Recorded
	pass   bool  // counted, and not given to the model
	err    error // it could not be decoded
}

// messageKind is a kind of message. The zero value is none.
type messageKind uint8

const (
	kindEvent messageKind = iota + 1
	kindCaughtUp
	kindProgress
)

// intake is the subscription's end of the channel. Events are decoded here,
// beside the goroutine that folds them.
type intake struct {
	ctx      context.Context // of the one subscription that this value lives for
	codec    *eventstore.Codec
	follows  []string // prefixes of the streams whose events are decoded
	stored   bool     // they are not decoded but handed on as they are
	messages chan<- message
}

// Event decodes and hands on. Of an event that is passed over only the place
// and the instant are read, which is all that is kept of it.
func (in intake) Event(r eventstore.Recorded) error {
	m := message{kind: kindEvent, event: eventstore.Event{Envelope: eventstore.Envelope{
		ID: r.ID, Stream: r.Stream, Revision: r.Revision, Position: r.Position, Type: r.Type}}}
	m.pass = !slices.ContainsFunc(in.follows, func(prefix string) bool { return strings.HasPrefix(r.Stream, prefix) })
	if m.pass || in.stored {
		m.event.RecordedAt, m.err = eventstore.RecordedAt(r)
		if !m.pass {
			m.stored = &r
		}
		return in.send(m)
	}
	e, err := in.codec.Decode(r)
	if m.err = err; err == nil {
		m.event = e
	}
	return in.send(m)
}

// CaughtUp hands on.
func (in intake) CaughtUp() error { return in.send(message{kind: kindCaughtUp}) }

// Progress hands on that the log was heard of. Its position is not used: it is
// where a page of the log began, and no mark of this file.
func (in intake) Progress(eventstore.Position) error {
	return in.send(message{kind: kindProgress})
}

func (in intake) send(m message) error {
	select {
	case in.messages <- m:
		return nil
	case <-in.ctx.Done():
		return in.ctx.Err()
	}
}

// follow subscribes after the file's mark and applies what comes until ctx
// ends or something fails. A *Poison is returned for an event that cannot be
// decoded or applied; all before it is in the file then.
func (w *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	messages := make(chan message, waiting)
	var ended error
	go func() {
		defer close(messages)
		ended = w.ledger.Store().SubscribeOn(ctx, w.on, w.file.mark.Position, intake{ctx, w.ledger.Codec(), w.model.Follows(), asStored(w.model), messages})
	}()
	err := w.consume(ctx, messages)
	cancel()
	for range messages { // until the subscription is over
	}
	if err != nil {
		return err
	}
	return ended
}

// errReached ends a follower that was to go no further.
var errReached = errors.New("it has got there")

// consume applies messages until the channel is closed, it has got where it was
// to stop (errReached) or a file is offered (the *offer is returned). While
// catching up it fills batches; afterwards it commits as soon as nothing more
// waits, and the last commit was long enough ago.
func (w *follower) consume(ctx context.Context, messages <-chan message) error {
	var batch []item
	live := false
	flush := func() error {
		err := w.commit(ctx, batch)
		batch = batch[:0]
		return err
	}
	for {
		var m message
		var ok bool
		select {
		case m, ok = <-messages:
		case o := <-w.offered:
			return o // what is in the batch comes again, to the file that is followed next
		default:
			if live && (len(batch) == 0 || !time.Now().Before(w.next)) {
				if err := errors.Join(flush(), w.forget(ctx)); err != nil {
					return err
				}
			}
			rest := w.rest(live, len(batch))
			select {
			case m, ok = <-messages:
			case o := <-w.offered:
				return o
			case <-rest:
				if err := flush(); err != nil {
					return err
				}
				continue
			}
		}
		if !ok {
			return flush()
		}
		if m.kind == kindEvent {
			it, poison := w.take(batch, m)
			if poison != nil {
				if err := flush(); err != nil {
					return err
				}
				return poison
			}
			if it != nil && !w.until.excludes(it.Position) {
				batch = append(batch, *it)
			}
			if w.until.reachedBy(m.event.Position) {
				if err := flush(); err != nil {
					return err
				}
				return errReached
			}
		} else {
			w.heard()
		}
		if len(batch) == batchSize || m.kind == kindCaughtUp {
			if err := flush(); err != nil {
				return err
			}
		}
		if m.kind == kindCaughtUp {
			if w.until.end {
				return errReached
			}
			live = true
			w.caughtUp()
		}
	}
}

// rest is how long at most to wait for the next message.
func (w *follower) rest(live bool, batch int) <-chan time.Time {
	switch {
	case batch > 0 && live:
		return time.After(time.Until(w.next))
	case batch > 0:
		return time.After(idle)
	case live && w.file.erased != erasureDone:
		return time.After(again)
	}
	return nil
}

// forget follows an erasure through the file, once no more events wait: a
// rebuild that meets a hundred of them rewrites its file once.
func (w *follower) forget(ctx context.Context) error {
	if w.file.erased == erasureDone {
		return nil
	}
	if err := w.file.forget(ctx); err != nil {
		return err
	}
	if w.file.erased == erasureDone {
		w.forgot()
	}
	return nil
}

// take gives an event its place in history. It gives nothing for an event that
// was there already. What cannot be decoded and need not be is counted and
// leaves the knowledge clock as it was: its instant is not known.
func (w *follower) take(batch []item, m message) (*item, error) {
	at, ledger, clock := w.file.mark.Position, w.file.mark.Ledger, w.file.mark.Clock
	if len(batch) > 0 {
		last := batch[len(batch)-1]
		at, ledger, clock = last.Position, last.Ledger, last.Clock
	}
	if m.event.Position <= at {
		return nil, nil
	}
	it := item{Event: Event{Event: m.event, Ledger: ledger + 1, Clock: clock, Stored: m.stored}, pass: m.pass}
	w.received(it.Ledger)
	if m.err != nil && !it.pass && m.stored == nil {
		return nil, poisonOf(it.Event, m.err)
	}
	if m.event.RecordedAt.After(it.Clock) {
		it.Clock = m.event.RecordedAt
	}
	return &it, nil
}

func (w *follower) commit(ctx context.Context, batch []item) error {
	if len(batch) == 0 {
		return nil
	}
	before, began := w.file.mark, time.Now()
	n, err := w.file.apply(ctx, w.model, batch)
	ended := time.Now()
	w.next = ended.Add(min(share*ended.Sub(began), longest))
	if w.file.mark != before {
		w.advanced(w.file.mark, n)
	}
	var rejected *rejection
	if errors.As(err, &rejected) {
		return poisonOf(batch[rejected.index].Event, rejected.err)
	}
	return err
}

func poisonOf(e Event, err error) *Poison {
	return &Poison{EventID: e.ID.String(), Stream: e.Stream, Type: e.Type, Ledger: e.Ledger, Err: err}
}

// follow keeps the live file up to date until ctx ends. An event that stops the
// model leaves it waiting for a file that was made anew.
func (p *Projection) follow(ctx context.Context) {
	p.set(func() { p.state, p.poison, p.trouble, p.goal, p.reached = CatchingUp, nil, "", nil, false })
	pause := pauses()
	for ctx.Err() == nil {
		before := p.file.mark
		err := p.attempt(ctx)
		if o, ok := errors.AsType[*offer](err); ok {
			p.adopt(ctx, o) // also when ctx has ended: an offer is always answered
			continue
		}
		if errors.Is(err, eventstore.ErrReplaced) {
			continue // the gate is asked about the next session
		}
		if ctx.Err() != nil {
			return
		}
		if p.file.mark != before {
			pause = pauses()
		}
		var again <-chan time.Time // never, where nothing but a new file helps
		var poison *Poison
		switch {
		case errors.As(err, &poison):
			p.stopAt(poison)
		case errors.Is(err, eventstore.ErrDamaged):
			p.stopAt(&Poison{Ledger: p.file.mark.Ledger + 1, Err: err})
			pause.MaxInterval = damagePause
			again = time.After(pause.NextBackOff())
		case err == nil:
			err = errors.New("the subscription ended")
			fallthrough
		default:
			if broken(err) {
				err = errors.Join(err, p.remake(ctx, "its file is damaged"))
			}
			p.troubled(err)
			again = time.After(pause.NextBackOff())
		}
		select {
		case <-again:
		case o := <-p.offers:
			p.adopt(ctx, o)
		case <-ctx.Done():
		}
	}
}

// stopAt stops the model at an event, unless it is stopped there already.
func (p *Projection) stopAt(poison *Poison) {
	if before := p.Status().Error; before != nil && before.Ledger == poison.Ledger {
		p.set(func() { p.trouble = "" })
		return
	}
	poison.Since = p.runner.cfg.Now()
	p.set(func() { p.state, p.poison, p.trouble = Stopped, poison, "" })
	p.log().Error("read model stopped", "event", poison.EventID, "type", poison.Type, "ledger", poison.Ledger, "error", poison.Err)
}

// troubled says what is tried again. A model that is stopped stays so: that the
// log is away as well lets nobody wait for it.
func (p *Projection) troubled(err error) {
	trouble := err.Error()
	if errors.Is(err, eventstore.ErrUnavailable) {
		trouble = eventstore.ErrUnavailable.Error() // and not in other words each time
	}
	p.set(func() {
		if p.trouble != trouble {
			p.log().Warn("read model is in trouble and tries again", "error", err)
		}
		p.trouble = trouble
		if p.poison == nil {
			p.state = CatchingUp
		}
	})
}

func (p *Projection) log() *slog.Logger { return p.runner.cfg.Logger.With("model", p.Name()) }

func pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 100*time.Millisecond, 10*time.Second
	return b
}

// attempt sees to it that the file belongs to this log and follows the log, on
// one session that the gate has passed. A file is made again only by an answer
// of that session: a server that led once and wakes may lack the newest events.
func (p *Projection) attempt(ctx context.Context) error {
	on, err := p.passed(ctx)
	if err != nil {
		return err
	}
	same, err := p.sameLog(ctx, p.file.mark)
	if err != nil {
		return fmt.Errorf("looking for the last event applied: %w", err)
	}
	if now, _ := p.runner.cfg.Ledger.Store().Session(); on != 0 && now != on {
		return eventstore.ErrReplaced
	}
	if !same {
		if err := p.remake(ctx, "its last event is not in this log"); err != nil {
			return fmt.Errorf("making the read model again: %w", err)
		}
	}
	head, err := p.runner.cfg.Ledger.Store().Head(ctx)
	if err != nil {
		return fmt.Errorf("asking for the head of the log: %w", err)
	}
	p.set(func() {
		if p.goal == nil {
			p.goal = &head
		}
	})
	w := follower{
		ledger: p.runner.cfg.Ledger, model: p.model, file: p.file, on: on,
		offered: p.offers, received: p.receivedEvent, heard: p.heardOfLog, advanced: p.advancedTo, caughtUp: p.reachedEnd,
		forgot: func() { p.set(func() { p.erasing = false }) },
	}
	return w.follow(ctx)
}

// passed waits for the gate. A file that is offered meanwhile is returned, as by
// follow: it is swapped in once its followers have passed the gate themselves.
func (p *Projection) passed(ctx context.Context) (on eventstore.SessionID, err error) {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		on, err = p.runner.pass(waiting)
	}()
	select {
	case <-passed:
		return on, err
	case o := <-p.offers:
		stop()
		<-passed
		return 0, o
	}
}

func (p *Projection) receivedEvent(ledger uint64) {
	p.runner.Saw(ledger)
	p.heardOfLog()
}

func (p *Projection) heardOfLog() {
	now := p.runner.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = now
}

func (p *Projection) advancedTo(m Mark, events int) {
	erasing := p.file.erased != erasureDone
	p.set(func() { p.mark, p.applied, p.trouble, p.erasing = m, p.applied+uint64(events), "", erasing })
}

func (p *Projection) reachedEnd() {
	p.set(func() { p.state, p.poison, p.trouble, p.reached = Running, nil, "", true })
}

// sameLog reports whether the last event that the file has applied is where
// the log has it. A copied log has the same events at other places, and there
// the file's position would resume at the wrong one.
func (p *Projection) sameLog(ctx context.Context, mark Mark) (bool, error) {
	if mark.Ledger == 0 {
		return true, nil
	}
	for r, err := range p.runner.cfg.Ledger.Store().Read(ctx, mark.Stream, mark.Revision) {
		if errors.Is(err, eventstore.ErrNoStream) {
			return false, nil
		}
		return err == nil && r.ID.String() == mark.EventID && r.Position == mark.Position, err
	}
	return false, nil
}

// remake begins again with an empty file.
func (p *Projection) remake(ctx context.Context, why string) error {
	p.log().Warn("read model is made again", "because", why)
	number := p.nextNumber()
	f, err := createFile(ctx, filePath(p.runner.cfg.Dir, p.Name(), number), p.model, following)
	if err != nil {
		return err
	}
	return p.replace(f, number)
}

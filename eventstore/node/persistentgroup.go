package node

import (
	"errors"
	"sync"
	"time"

	"permitledger/eventstore/node/internal/competing"
)

// errDropped and errGroupFull are returned to consumers whose connection the
// group ended, and to those that it does not take.
var (
	errDropped   = errors.New("the consumer was dropped")
	errGroupFull = errors.New("the group takes no more consumers")
)

// openGroup runs one group: a goroutine owns its state and carries out what
// that decides.
type openGroup struct {
	*Node
	entry groupEntry
	wall  func() time.Time // for what a consumer has had too long
	mail  chan func()
	quit  chan struct{} // closed by halt
	ended chan struct{} // closed when run returns

	// The rest belongs to the goroutine in run.
	state  *competing.Group
	supply supply
	seen   uint64 // the log was read up to here
	reach  competing.Place
	behind bool   // the group did not catch up yet, or had no room since
	recent int    // events that came since the group caught up, up to its live buffer
	saved  string // the last checkpoint, as it is written
	fault  error  // why the group no longer serves anybody

	consumers map[competing.ConsumerID]*consumer
	joined    competing.ConsumerID
	writing   writing
	measured  measure
}

// openGroup goes on with a group where it is written down to have come to.
func (s *groupSet) openGroup(e groupEntry) *openGroup {
	g := &openGroup{
		Node: s.Node, entry: e, wall: s.wall,
		mail: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{}),
		consumers: make(map[competing.ConsumerID]*consumer),
		writing:   writing{done: make(chan func(), 1), checkpoint: competing.Nowhere},
		reach:     competing.Nowhere,
		behind:    true,
	}
	if g.wall == nil {
		g.wall = time.Now
	}
	g.measured.at = g.wall()
	g.fault = g.resume()
	if g.fault != nil {
		g.log.Error("persistent subscription cannot be served", "subscription", e.key(), "error", g.fault)
	}
	go g.run()
	return g
}

// resume finds the place to go on at.
func (g *openGroup) resume() error {
	match, err := g.entry.matcher()
	if err != nil {
		return err
	}
	saved, at, err := g.readCheckpoint(&g.entry)
	if err != nil {
		return err
	}
	next := uint64(at) + 1
	if at == competing.Nowhere {
		if next, err = g.entry.begin(); err != nil {
			return err
		}
	}
	g.saved, g.reach = saved, at
	g.supply = supply{Node: g.Node, stream: g.entry.Stream, all: g.entry.ofAll(), match: match, pins: g.entry.pins()}
	g.supply.goOn(next)
	g.state = competing.New(g.entry.settings(), at)
	first, end, err := g.parkedRange(g.entry.key())
	if err != nil {
		return err
	}
	g.state.FoundParked(first, end)
	return nil
}

// halt ends the group: its consumers are dropped, and what it is writing is
// finished.
func (g *openGroup) halt() { close(g.quit) }

// do has the group's goroutine run f, and waits. False means that the group
// has ended.
func (g *openGroup) do(f func()) bool {
	done := make(chan struct{})
	select {
	case g.mail <- func() { f(); close(done) }:
		<-done
		return true
	case <-g.ended:
		return false
	}
}

func (g *openGroup) run() {
	defer close(g.ended)
	for {
		bell := g.advance()
		select {
		case f := <-g.mail:
			f()
		case after := <-g.writing.done:
			g.writing.busy = false
			after()
		case <-bell:
		case <-g.quit:
			g.dropAll(errDropped)
			if g.writing.busy {
				<-g.writing.done
			}
			return
		}
		g.carryOut()
	}
}

// always is a bell that has rung.
var always = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// advance reads one page, if there is something to read and room for it. It
// returns what to wait for before the next.
func (g *openGroup) advance() <-chan struct{} {
	if g.fault != nil {
		return nil
	}
	limit, bell := g.tail.get()
	if g.seen >= limit {
		return bell
	}
	room := g.state.Room()
	if room == 0 {
		g.supply.live, g.behind = false, true
		return nil
	}
	events, through, err := g.supply.read(limit, room)
	if err != nil {
		g.fail(err)
		return nil
	}
	if g.supply.live {
		g.seen = limit
	}
	wanted := 0
	for _, e := range events {
		if e.Wanted {
			g.reach = e.Place
			wanted++
		}
	}
	g.countLive(wanted)
	g.state.Read(g.wall(), events, through)
	g.carryOut()
	return always
}

// fail ends the service of a group that cannot go on.
func (g *openGroup) fail(err error) {
	g.fault = err
	g.log.Error("persistent subscription stopped", "subscription", g.entry.key(), "error", err)
	g.dropAll(err)
}

func (g *openGroup) dropAll(why error) {
	for _, c := range g.consumers {
		c.drop(why)
	}
}

// tick looks at what has become late.
func (g *openGroup) tick() {
	if g.fault != nil {
		return
	}
	now := g.wall()
	g.state.Tick(now)
	if place, due := g.state.Checkpoint(now, true); due {
		g.writing.checkpoint = place
	}
	if before, due := g.state.Truncate(true); due {
		g.writing.truncate = before
	}
}

// carryOut does what the state decided, and what follows from that.
func (g *openGroup) carryOut() {
	if g.fault != nil {
		return
	}
	for {
		g.hand(g.state.Take())
		from, count := g.state.WantsParked()
		if count == 0 {
			break
		}
		events, next, err := g.readParked(from, count)
		if err != nil {
			g.fail(err)
			return
		}
		g.state.Unpark(g.wall(), events, next)
	}
	if place, due := g.state.Checkpoint(g.wall(), false); due {
		g.writing.checkpoint = place
	}
	if before, due := g.state.Truncate(false); due {
		g.writing.truncate = before
	}
	g.write()
}

// hand gives consumers what is theirs now and takes what no longer is.
func (g *openGroup) hand(effects []competing.Effect) {
	withdrawn := make(map[competing.ConsumerID]map[uint64]bool)
	for _, e := range effects {
		if w, ok := e.(competing.Withdraw); ok {
			if withdrawn[w.From] == nil {
				withdrawn[w.From] = make(map[uint64]bool)
			}
			withdrawn[w.From][w.Position] = true
		}
	}
	for id, positions := range withdrawn {
		if c := g.consumers[id]; c != nil {
			c.withdraw(positions)
		}
	}
	for _, e := range effects {
		switch e := e.(type) {
		case competing.Deliver:
			if c := g.consumers[e.To]; c != nil {
				c.give(e)
			}
		case competing.Park:
			g.writing.parks = append(g.writing.parks, e)
		}
	}
}

// join lets a consumer in.
func (g *openGroup) join(c *consumer, slots int) (id competing.ConsumerID, err error) {
	ok := g.do(func() {
		if err = g.fault; err != nil {
			return
		}
		g.joined++
		id = g.joined
		g.consumers[id] = c
		if !g.state.Join(g.wall(), id, slots) {
			delete(g.consumers, id)
			err = errGroupFull
		}
	})
	if !ok {
		err = errDropped
	}
	return id, err
}

func (g *openGroup) leave(id competing.ConsumerID) {
	g.do(func() {
		delete(g.consumers, id)
		if g.fault == nil {
			g.state.Leave(g.wall(), id)
		}
	})
}

// replayParked has the parked events before a revision given out again.
func (g *openGroup) replayParked(stop uint64) (err error) {
	g.do(func() {
		if err = g.fault; err != nil {
			return
		}
		var first, end uint64
		if first, end, err = g.parkedRange(g.entry.key()); err == nil {
			g.state.FoundParked(first, end)
			g.state.Replay(stop)
		}
	})
	return err
}

// consumer is one connection's end of a group. The group's goroutine gives,
// the connection's takes.
type consumer struct {
	bell    chan struct{} // has room for one
	dropped chan struct{} // closed by drop
	stats   consumerStats

	mu    sync.Mutex
	queue []competing.Deliver // guarded by mu; never more than the consumer may hold
	why   error               // guarded by mu; set before dropped is closed
}

func newConsumer() *consumer {
	return &consumer{bell: make(chan struct{}, 1), dropped: make(chan struct{})}
}

func (c *consumer) give(d competing.Deliver) {
	c.mu.Lock()
	c.queue = append(c.queue, d)
	c.mu.Unlock()
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

func (c *consumer) withdraw(positions map[uint64]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.queue[:0]
	for _, d := range c.queue {
		if !positions[d.Position] {
			kept = append(kept, d)
		}
	}
	c.queue = kept
}

// take gives what the consumer is to be sent next.
func (c *consumer) take(most int) []competing.Deliver {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(most, len(c.queue))
	taken := append([]competing.Deliver(nil), c.queue[:n]...)
	c.queue = append(c.queue[:0], c.queue[n:]...)
	return taken
}

func (c *consumer) drop(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		c.why = why
		close(c.dropped)
	}
}

func (c *consumer) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

package node

// catchUpPage is how many wanted events end a page of history, as on the
// original server.
const catchUpPage = 32

// checkpoints decides when a filtering subscriber learns how far $all was
// searched, and which position it is. The rules are the original server's. It
// reads history in pages. Where so many events were searched that a checkpoint
// is due, that is the last event sent or, where this is further on, the place
// at which the page began. Of live events it is the last one searched.
type checkpoints struct {
	*filter
	live bool

	start   position
	reached position // of the last event or checkpoint sent, or the start
	sent    bool     // a checkpoint was sent
	last    position // of the last checkpoint sent

	page     position // where the present page of history began
	searched uint64   // events of that page
	found    uint64   // wanted events of that page
	counted  uint64   // events since the last checkpoint was due
}

// begin starts at a position of a client's. A page of history begins with the
// event there, which the client has. Where nothing comes after it there is no
// history.
func (c *checkpoints) begin(after position, live bool) {
	c.start, c.reached, c.page, c.live = after, after, after, live
	if after.commit == after.prepare {
		c.searched = 1
	}
}

// search counts an event, and reports the checkpoint that is due after it.
func (c *checkpoints) search(rec *record, wanted bool) (at position, due bool) {
	if wanted {
		c.reached = positionOf(rec)
	}
	if c.live {
		if c.counted++; c.counted < c.interval {
			return position{}, false
		}
		c.counted, c.reached = 0, positionOf(rec)
		return c.next()
	}
	c.searched++
	if wanted {
		c.found++
	}
	if c.searched < c.window && c.found < catchUpPage {
		return position{}, false
	}
	began := c.page
	c.counted += c.searched
	c.page, c.searched, c.found = position{commit: rec.position + rec.size}, 0, 0
	if c.counted < c.interval {
		return position{}, false
	}
	c.counted %= c.interval
	c.reach(began)
	return c.next()
}

// caughtUp ends history, and reports the checkpoint that is due then.
func (c *checkpoints) caughtUp() (at position, due bool) {
	if !c.live {
		c.live, c.counted = true, 0
		c.reach(c.page)
	} else if c.reached == c.start {
		return position{}, false // it began at the end, and nothing came yet
	}
	return c.next()
}

func (c *checkpoints) reach(at position) {
	if c.reached.before(at) {
		c.reached = at
	}
}

// next is the position reached, unless it was sent already.
func (c *checkpoints) next() (at position, due bool) {
	if c.sent && !c.last.before(c.reached) {
		return position{}, false
	}
	c.sent, c.last = true, c.reached
	return c.reached, true
}

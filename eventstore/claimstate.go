package eventstore

import "time"

// ServiceClaim says which process has claimed an event store.
type ServiceClaim struct {
	Holder  string    `json:"holder"`         // new for each process
	Home    string    `json:"home,omitempty"` // the lock that the process holds; empty: the system names no boot
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
}

// Instant is a moment by both clocks of a machine. The monotonic clock may
// stop while the machine sleeps, and the other one may be set.
type Instant struct {
	Monotonic time.Duration
	Wall      time.Time
}

// since is the longest time that may have passed from an earlier instant.
func (i Instant) since(earlier Instant) time.Duration {
	return max(i.Monotonic-earlier.Monotonic, i.Wall.Sub(earlier.Wall))
}

// claimTimes are the times of the protocol. A newcomer is silent for longer
// than a read counts, and both are the same for all processes.
type claimTimes struct {
	every   time.Duration // from one read of the holder to the next
	counts  time.Duration // how long a read counts
	silence time.Duration // how long a newcomer waits for an answer
	poll    time.Duration // from one read of a newcomer to the next
	missed  time.Duration // how much later a claim that is gone is looked for on a new session
	release time.Duration // how long a stop may take to release the claim
}

// claimTimesOf scales the times of the protocol, for tests; 0 is full length.
func claimTimesOf(scale float64) claimTimes {
	if scale <= 0 {
		scale = 1
	}
	of := func(seconds float64) time.Duration { return time.Duration(seconds * scale * float64(time.Second)) }
	return claimTimes{every: of(4), counts: of(10), silence: of(25), poll: of(0.25), missed: of(30), release: 2 * time.Second}
}

// The types of the events in ServiceStream.
const (
	typeRequested = "Requested"
	typeRefused   = "Refused"
	typeClaimed   = "Claimed"
	typeReleased  = "Released"
)

// claimEvent is one event of ServiceStream. Of a request and a release only the
// holder is known.
type claimEvent struct {
	kind     string
	revision int64
	claim    ServiceClaim
}

// claimView is the state of ServiceStream: the last claim and what follows it.
type claimView struct {
	revision int64      // of the last event; -1: there is none
	last     claimEvent // the newest Claimed or Refused; without a kind there is none
	released bool       // by the holder of the last claim
	asked    bool       // a request follows the last claim
}

// claimViewOf folds events of the stream, oldest first. They go back to the
// newest Claimed or Refused, or to the beginning.
func claimViewOf(events []claimEvent) claimView {
	v := claimView{revision: -1}
	for _, e := range events {
		v.revision = e.revision
		switch e.kind {
		case typeClaimed, typeRefused:
			v.last, v.released, v.asked = e, false, false
		case typeRequested:
			v.asked = true
		case typeReleased:
			v.released = v.released || v.last.kind != "" && v.last.claim.Holder == e.claim.Holder
		}
	}
	return v
}

// free reports whether nobody holds the store. A stream that has events and no
// claim is held by an unknown process.
func (v claimView) free() bool { return v.revision < 0 || v.released }

// claimStep is what a process does after it has seen the stream.
type claimStep string

const (
	stepHeld    claimStep = "held"    // its own claim is the last one
	stepClaim   claimStep = "claim"   // append Claimed
	stepAsk     claimStep = "ask"     // append Requested
	stepRefuse  claimStep = "refuse"  // append Refused
	stepRelease claimStep = "release" // append Released
	stepWait    claimStep = "wait"    // the holder has not answered yet
	stepRefused claimStep = "refused" // a living holder has answered
	stepTaken   claimStep = "taken"   // another process has claimed the store since
	stepGone    claimStep = "gone"    // its own claim is no longer in the stream
)

// claimant is the part of one process in the protocol, without any input or
// output: first a newcomer, then a holder. It is not safe for concurrent use.
type claimant struct {
	me    ServiceClaim
	times claimTimes

	asked    int64   // revision of the request that waits for an answer; -1: none
	answered Instant // when that request was acknowledged

	own     int64     // revision of its newest Claimed or Refused; -1: it is a newcomer
	counted Instant   // the newest read or append that counts
	session SessionID // on which it was made; 0: none counts
}

func newClaimant(me ServiceClaim, times claimTimes) claimant {
	return claimant{me: me, times: times, asked: -1, own: -1}
}

// see decides after a read, which was sent at an instant on a session.
func (c *claimant) see(v claimView, sent, now Instant, on SessionID) claimStep {
	if c.own >= 0 || v.last.kind != "" && v.last.claim.Holder == c.me.Holder {
		return c.seeAsHolder(v, sent, on)
	}
	switch {
	case v.free(), v.last.kind != "" && v.last.claim.Home != "" && v.last.claim.Home == c.me.Home:
		return stepClaim
	case c.asked < 0, v.revision < c.asked:
		return stepAsk
	case v.last.revision > c.asked && v.last.kind == typeRefused:
		return stepRefused
	case v.last.revision > c.asked && v.last.kind == typeClaimed:
		return stepAsk // that voids the request
	case now.Monotonic-c.answered.Monotonic >= c.times.silence:
		return stepClaim
	}
	return stepWait
}

func (c *claimant) seeAsHolder(v claimView, sent Instant, on SessionID) claimStep {
	switch {
	case v.last.kind == "":
		return stepGone
	case v.last.claim.Holder != c.me.Holder:
		if v.last.revision > c.own {
			return stepTaken
		}
		return stepGone // the stream was set back to before the claim
	case v.released:
		return stepGone
	}
	c.own = v.last.revision
	if v.asked {
		return stepRefuse
	}
	c.counted, c.session = sent, on
	return stepHeld
}

// wrote notes that the event of a step was acknowledged. It counts from the
// instant before it was first sent.
func (c *claimant) wrote(step claimStep, revision int64, sent, now Instant, on SessionID) {
	switch step {
	case stepAsk:
		c.asked, c.answered = revision, now
	case stepClaim, stepRefuse:
		c.own, c.counted, c.session = revision, sent, on
	}
}

// fresh reports whether the process may act on a session: something that counts
// was sent there less than 10 seconds ago.
func (c *claimant) fresh(now Instant, on SessionID) bool {
	return c.session != 0 && c.session == on && now.since(c.counted) < c.times.counts
}

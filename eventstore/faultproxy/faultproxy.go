// Package faultproxy breaks the connection between a client and an event
// store, for tests and for nothing else. It passes on the bytes of HTTP/2 in
// clear as they are, so that the connection is the client's and the server's
// own with its flow control, pings and farewells, and looks at the frames that
// go by: a Fault waits for a kind of call and strikes at a point in it.
//
// Begin reading at Fault, then link.go for how a connection is carried.
package faultproxy

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fault is what happens to a connection, and when.
type Fault struct {
	Kind Kind // of the call that it strikes; Any is whatever comes first
	At   Point
	Harm Harm
	For  time.Duration // how long a Delay is
}

// Point is a point in a call.
type Point string

// The points of a call, in their order.
const (
	// BeforeRequest is before the first message of the request is passed on:
	// the server knows nothing of the call.
	BeforeRequest Point = "before the request"
	// AfterRequest is when the first message of the request was passed on.
	AfterRequest Point = "after the request began"
	// BeforeAnswer is when the server has acted, and nothing of its answer was
	// passed on.
	BeforeAnswer Point = "before the answer"
	// MidAnswer is in the middle of the first message of the answer.
	MidAnswer Point = "amid the answer"
	// AfterAnswer is when the first message of the answer was passed on, and
	// what follows it, be it only that the call is over, was not.
	AfterAnswer Point = "after the answer began"
)

// Points is every point of a call.
func Points() []Point {
	return []Point{BeforeRequest, AfterRequest, BeforeAnswer, MidAnswer, AfterAnswer}
}

// Harm is what is done to a connection.
type Harm string

// The ways of doing harm.
const (
	// Cut closes both ends, as programs do that end.
	Cut Harm = "cut"
	// Reset breaks both ends off, as machines do that were restarted.
	Reset Harm = "reset"
	// EndRequests closes the half by which the server hears the client. Answers
	// still come through.
	EndRequests Harm = "half-close to the server"
	// EndAnswers closes the half by which the client hears the server. Requests
	// still come through.
	EndAnswers Harm = "half-close to the client"
	// LoseRequests swallows what the client sends from here on.
	LoseRequests Harm = "requests lost"
	// LoseAnswers swallows what the server sends from here on.
	LoseAnswers Harm = "answers lost"
	// LoseBoth swallows everything: both ends are open and hear nothing more.
	LoseBoth Harm = "silence"
	// Delay holds the direction up in which the fault was met.
	Delay Harm = "delay"
)

// Harms is every way of doing harm.
func Harms() []Harm {
	return []Harm{Cut, Reset, EndRequests, EndAnswers, LoseRequests, LoseAnswers, LoseBoth, Delay}
}

// Armed is a fault that waits for its call.
type Armed struct {
	Fault
	struck chan struct{}
	off    atomic.Bool
}

// Struck is closed when the fault has been met: it is about to do its harm.
func (a *Armed) Struck() <-chan struct{} { return a.struck }

// Proxy stands between clients and a server. It is safe for concurrent use.
type Proxy struct {
	addr    string
	running sync.WaitGroup

	mu      sync.Mutex
	target  string         // guarded by mu
	latency time.Duration  // guarded by mu; of later connections, in each direction
	away    bool           // guarded by mu; connections are closed as soon as they come
	links   map[*link]bool // guarded by mu
	armed   []*Armed       // guarded by mu
	seen    map[Kind]int   // guarded by mu
}

// New listens on a port of its own and passes on to target, until the test
// ends.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, addr: l.Addr().String(), links: map[*link]bool{}, seen: map[Kind]int{}}
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		p.Down()
		_ = l.Close()
		p.running.Wait()
	})
	return p
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.addr }

// Retarget passes later connections on to another address.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Latency has every frame of later connections arrive so much later, in either
// direction, as over a long line: one frame does not hold up the next. What is
// on its way when the connection ends is lost.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Arm has a fault wait for its call. Several may wait; each strikes once.
func (p *Proxy) Arm(f Fault) *Armed {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &Armed{Fault: f, struck: make(chan struct{})}
	p.armed = append(p.armed, a)
	return a
}

// Disarm takes a fault back that has not been met.
func (p *Proxy) Disarm(a *Armed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.off.Store(true) // a call may have it already
	p.armed = slices.DeleteFunc(p.armed, func(other *Armed) bool { return other == a })
}

// Seen counts the calls that began, by kind.
func (p *Proxy) Seen() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make(map[Kind]int, len(p.seen))
	for kind, n := range p.seen {
		seen[kind] = n
	}
	return seen
}

// began counts a call and gives the fault that waits for it, if one does.
func (p *Proxy) began(kind Kind) *Armed {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[kind]++
	for i, a := range p.armed {
		if a.Kind == kind || a.Kind == Any {
			p.armed = slices.Delete(p.armed, i, i+1)
			return a
		}
	}
	return nil
}

// rearm has a fault wait for another call, as its own ended before the point.
func (p *Proxy) rearm(a *Armed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !a.off.Load() {
		p.armed = append(p.armed, a)
	}
}

// Up lets connections through.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// Refuse lets no new connection through. The port is kept: another program
// might take it and be an event store, too.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
}

// Down refuses connections and cuts those there are.
func (p *Proxy) Down() {
	p.Refuse()
	p.Do(Cut)
}

// Do harms the connections there are, at once. It does no Delay.
func (p *Proxy) Do(harm Harm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.do(harm)
	}
}

func (p *Proxy) carry(c net.Conn) {
	client := c.(*net.TCPConn)
	defer client.Close()
	p.mu.Lock()
	target, latency := p.target, p.latency
	p.mu.Unlock()
	s, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	server := s.(*net.TCPConn)
	defer server.Close()
	l := newLink(p, client, server, latency)
	p.mu.Lock()
	refused := p.away
	p.links[l] = !refused
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	if !refused {
		l.carry()
	}
}

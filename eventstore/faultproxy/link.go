package faultproxy

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// link is one connection through the proxy. Two goroutines carry it, one for
// each direction.
type link struct {
	proxy    *Proxy
	requests *direction
	answers  *direction
	over     chan struct{} // closed when the connection is
	end      sync.Once

	mu    sync.Mutex
	calls map[uint32]*call // guarded by mu; by the number of their HTTP/2 stream
}

// direction is one half of a connection.
type direction struct {
	from, to *net.TCPConn
	lost     atomic.Bool // what comes is swallowed
	latency  time.Duration
	onTheWay chan parcel // nil where the latency is 0
}

// parcel is bytes on their way, and when they arrive.
type parcel struct {
	bytes []byte
	due   time.Time
}

// mostParcels bounds what is on its way in one direction.
const mostParcels = 4096

// call is one call as far as it has been seen.
type call struct {
	path     string
	began    bool // its first message was seen
	answered bool // something of its answer was seen
	fault    *Armed
}

func newLink(p *Proxy, client, server *net.TCPConn, latency time.Duration) *link {
	l := &link{proxy: p, over: make(chan struct{}), calls: map[uint32]*call{},
		requests: &direction{from: client, to: server, latency: latency}, answers: &direction{from: server, to: client, latency: latency}}
	if latency > 0 {
		l.requests.onTheWay, l.answers.onTheWay = make(chan parcel, mostParcels), make(chan parcel, mostParcels)
	}
	return l
}

func (l *link) carry() {
	var both sync.WaitGroup
	both.Go(func() {
		// Before its frames a client says which protocol it speaks.
		if _, err := io.CopyN(l.requests.to, l.requests.from, int64(len(http2.ClientPreface))); err != nil {
			l.close()
			return
		}
		l.pour(l.requests, l.request)
	})
	both.Go(func() { l.pour(l.answers, l.answer) })
	var lines sync.WaitGroup
	for _, d := range []*direction{l.requests, l.answers} {
		lines.Go(func() { l.deliver(d) })
	}
	both.Wait()
	l.close()
	lines.Wait()
	for _, c := range l.calls {
		l.spare(c)
	}
}

// spare has the fault of a call wait for another one, if it was not met.
func (l *link) spare(c *call) {
	if c.fault != nil {
		l.proxy.rearm(c.fault)
		c.fault = nil
	}
}

// pour passes frames on until an end closes. The other end hears of that,
// unless it is not to hear anything.
func (l *link) pour(d *direction, look func(http2.Frame) (Point, *Armed)) {
	var raw bytes.Buffer
	frames := http2.NewFramer(nil, io.TeeReader(d.from, &raw))
	frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil) // the protocol's own size
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			if !d.lost.Load() {
				l.close()
			}
			return
		}
		l.pass(d, raw.Bytes(), look, frame)
		raw.Reset()
	}
}

// pass passes a frame on, and does the harm that waits for it.
func (l *link) pass(d *direction, raw []byte, look func(http2.Frame) (Point, *Armed), frame http2.Frame) {
	at, fault := look(frame)
	before := 0 // bytes that go first
	switch at {
	case MidAnswer:
		before = len(raw) / 2
	case AfterRequest, AfterAnswer:
		before = len(raw)
	}
	if fault != nil {
		close(fault.struck) // the call may be over before its harm is done
	}
	l.write(d, raw[:before])
	if fault != nil {
		l.do(fault.Harm)
		if fault.Harm == Delay {
			l.wait(fault.For)
		}
	}
	l.write(d, raw[before:])
}

// write passes bytes on, or sends them on their way.
func (l *link) write(d *direction, b []byte) {
	switch {
	case len(b) == 0 || d.lost.Load():
	case d.onTheWay == nil:
		_, _ = d.to.Write(b) // an end that has gone is noticed by whoever reads from it
	default:
		select {
		case d.onTheWay <- parcel{bytes.Clone(b), time.Now().Add(d.latency)}:
		case <-l.over:
		}
	}
}

// deliver passes on what is on its way, when it is due.
func (l *link) deliver(d *direction) {
	for {
		select {
		case p := <-d.onTheWay:
			if wait := time.Until(p.due); wait > 0 {
				l.wait(wait)
			}
			if !d.lost.Load() {
				_, _ = d.to.Write(p.bytes)
			}
		case <-l.over:
			return
		}
	}
}

// request looks at a frame of the client.
func (l *link) request(f http2.Frame) (Point, *Armed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.calls[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		l.calls[f.StreamID] = &call{path: f.PseudoValue("path")}
	case *http2.RSTStreamFrame:
		l.ended(f.StreamID, c)
	case *http2.DataFrame:
		if c == nil || c.began || len(f.Data()) == 0 {
			break
		}
		c.began = true
		c.fault = l.proxy.began(kindOf(c.path, f.Data()))
		return c.meets(BeforeRequest, AfterRequest)
	}
	return "", nil
}

// answer looks at a frame of the server.
func (l *link) answer(f http2.Frame) (at Point, fault *Armed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.calls[f.Header().StreamID]
	if c == nil {
		return "", nil
	}
	over := false
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		over = f.StreamEnded()
		if !c.answered {
			c.answered = true
			at, fault = c.meets(BeforeAnswer)
		}
	case *http2.DataFrame:
		over = f.StreamEnded()
		at, fault = c.meets(MidAnswer, AfterAnswer)
	case *http2.RSTStreamFrame:
		over = true
	}
	if over {
		l.ended(f.Header().StreamID, c)
	}
	return at, fault
}

// ended forgets a call.
func (l *link) ended(number uint32, c *call) {
	if c != nil {
		l.spare(c)
		delete(l.calls, number)
	}
}

// meets gives the call's fault, once, if it strikes at one of these points.
func (c *call) meets(points ...Point) (Point, *Armed) {
	if c.fault == nil || c.fault.off.Load() {
		return "", nil
	}
	for _, at := range points {
		if c.fault.At == at {
			fault := c.fault
			c.fault = nil
			return at, fault
		}
	}
	return "", nil
}

// do harms the connection. A Delay is up to whoever meets it.
func (l *link) do(harm Harm) {
	switch harm {
	case Cut:
		l.close()
	case Reset:
		_ = l.requests.from.SetLinger(0) // what is closed then is broken off
		_ = l.requests.to.SetLinger(0)
		l.close()
	case EndRequests:
		l.requests.finish()
	case EndAnswers:
		l.answers.finish()
	case LoseRequests:
		l.requests.lost.Store(true)
	case LoseAnswers:
		l.answers.lost.Store(true)
	case LoseBoth:
		l.requests.lost.Store(true)
		l.answers.lost.Store(true)
	}
}

// finish closes this half, and swallows what still comes.
func (d *direction) finish() {
	d.lost.Store(true)
	_ = d.to.CloseWrite()
}

func (l *link) close() {
	l.end.Do(func() {
		close(l.over)
		_ = l.requests.from.Close()
		_ = l.requests.to.Close()
	})
}

func (l *link) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.over:
	}
}

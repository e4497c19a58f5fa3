package eventstore_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a client and a server and breaks what goes through it.
type proxy struct {
	t      *testing.T
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener // nil: connections are refused
	links    map[*link]bool
	running  sync.WaitGroup
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	loseRequests   atomic.Bool
	loseAnswers    atomic.Bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, target: target, addr: "127.0.0.1:0", links: map[*link]bool{}}
	p.up()
	t.Cleanup(func() {
		p.down()
		p.running.Wait()
	})
	return p
}

// up takes connections, always at the same address.
func (p *proxy) up() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.addr = l, l.Addr().String()
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.carry(c) })
		}
	})
}

// down refuses connections and cuts those there are.
func (p *proxy) down() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.cut()
}

// cut breaks the connections there are.
func (p *proxy) cut() { p.each(func(l *link) { _ = l.client.Close(); _ = l.server.Close() }) }

// loseRequests swallows what clients send on the connections there are.
func (p *proxy) loseRequests() { p.each(func(l *link) { l.loseRequests.Store(true) }) }

// loseAnswers swallows what the server sends on the connections there are.
func (p *proxy) loseAnswers() { p.each(func(l *link) { l.loseAnswers.Store(true) }) }

func (p *proxy) each(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		f(l)
	}
}

func (p *proxy) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client: client, server: server}
	p.mu.Lock()
	refused := p.listener == nil
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	if refused {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pour(server, client, &l.loseRequests) })
	both.Go(func() { pour(client, server, &l.loseAnswers) })
	both.Wait()
}

// pour copies until either side ends, and then ends both.
func pour(to, from net.Conn, lose *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !lose.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

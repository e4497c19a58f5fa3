package eventstore_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a client and a server and breaks what goes through it.
type proxy struct {
	target  string
	addr    string
	running sync.WaitGroup

	mu    sync.Mutex
	away  bool // connections are closed as soon as they come
	links map[*link]bool
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	loseRequests   atomic.Bool
	loseAnswers    atomic.Bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, addr: l.Addr().String(), links: map[*link]bool{}}
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
		p.down()
		_ = l.Close()
		p.running.Wait()
	})
	return p
}

// up lets connections through.
func (p *proxy) up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// refuse lets no new connection through. The port is kept: another program
// might take it and be an event store, too.
func (p *proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
}

// down refuses connections and cuts those there are.
func (p *proxy) down() {
	p.refuse()
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
	refused := p.away
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

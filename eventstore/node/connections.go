package node

import (
	"net"
	"sync"
)

// maxConnections is how many connections a TCP address takes at a time. The
// next ones wait until one is closed.
const maxConnections = 1024

// connections bounds the connections of one listener, and closes them all when
// the node stops: the server waits for a peer that is silent in its handshake,
// and cannot close its connection by itself.
type connections struct {
	net.Listener
	places chan struct{} // nil: no bound
	ended  chan struct{} // closed when the listener is
	once   sync.Once

	mu   sync.Mutex
	open map[*connection]struct{} // guarded by mu; nil once all were closed
}

// bounded makes connections of a listener, at most so many at a time; 0: any number.
func bounded(l net.Listener, most int) *connections {
	c := &connections{Listener: l, ended: make(chan struct{}), open: map[*connection]struct{}{}}
	if most > 0 {
		c.places = make(chan struct{}, most)
	}
	return c
}

// Accept waits for a place and then for a connection.
func (c *connections) Accept() (net.Conn, error) {
	if c.places != nil {
		select {
		case c.places <- struct{}{}:
		case <-c.ended:
			return nil, net.ErrClosed
		}
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		c.free()
		return nil, err
	}
	return c.track(conn), nil
}

func (c *connections) track(conn net.Conn) net.Conn {
	one := &connection{Conn: conn, of: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		_ = conn.Close() // what is read from it next fails
	} else {
		c.open[one] = struct{}{}
	}
	return one
}

func (c *connections) free() {
	if c.places != nil {
		<-c.places
	}
}

// Close takes no more connections. Those that are open stay.
func (c *connections) Close() error {
	c.once.Do(func() { close(c.ended) })
	return c.Listener.Close()
}

// breakOff closes what is open, and returns how many connections that were.
func (c *connections) breakOff() int {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for one := range open {
		_ = one.Close()
	}
	return len(open)
}

// connection gives its place back when it is closed.
type connection struct {
	net.Conn
	of   *connections
	once sync.Once
}

// Close closes the connection.
func (c *connection) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.of.mu.Lock()
		delete(c.of.open, c)
		c.of.mu.Unlock()
		c.of.free()
	})
	return err
}

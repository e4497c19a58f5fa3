package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// socketMode lets only the node's own user connect.
const socketMode = 0o600

// listen opens the addresses that the node is reached at.
func (n *Node) listen(address, socket string) error {
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
		n.listeners = append(n.listeners, bounded(l, maxConnections))
		n.addr = l.Addr().String()
	}
	if socket != "" {
		l, err := listenSocket(socket)
		if err != nil {
			return fmt.Errorf("listen on the socket %s: %w", socket, err)
		}
		n.listeners = append(n.listeners, bounded(l, 0)) // the service's own reads all come by it
		n.socket = socket
	}
	return nil
}

// listenSocket makes a private socket. One that a killed process left behind
// is replaced, one that answers is not.
func listenSocket(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, errors.New("another process listens there; stop that one first")
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("there is a file of that name that is not a socket")
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// On Linux the mode that the socket has before it gets its name is the
	// mode of the name, so that there is no moment at which others may connect.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) })
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Addr is the TCP address that the node listens on, "" if none.
func (n *Node) Addr() string { return n.addr }

// Socket is the path of the unix socket that the node listens on, "" if none.
// A client reaches it by a Configuration.Address of the form "unix:///path", in
// which the path is escaped as in a URL.
func (n *Node) Socket() string { return n.socket }

// ConnectionString is what esdb.ParseConnectionString takes to reach the node.
// For one that serves TLS the caller adds tlsCaFile, unless the certificate is
// of a public authority, and for one with users user:password@.
// For a node that only has a socket the address must be replaced, see Socket.
// The client gives up for ever once discovery has failed so many times, hence
// the large number of attempts.
func (n *Node) ConnectionString() string {
	host := "localhost"
	if n.addr != "" {
		host = net.JoinHostPort(n.reachable())
	}
	return fmt.Sprintf("esdb://%s?tls=%t&maxDiscoverAttempts=1000", host, n.leaf != nil)
}

package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// ErrExposed is returned when other machines could reach a node that lets
// anybody do everything.
var ErrExposed = errors.New("whoever reaches it could read and write everything")

// ErrPasswordsInClear is returned when passwords would cross a network as they
// are.
var ErrPasswordsInClear = errors.New("passwords would cross the network in clear")

// renewalWarning is how long before its end a certificate is complained of.
const renewalWarning = 21 * 24 * time.Hour

// security is what keeps others out, as read from the files.
type security struct {
	certificate *tls.Certificate // nil for none
	users       map[string]*user // nil for none
}

// Check tells whether a node would open with these options as far as its
// address, its certificate and its users go.
func (o Options) Check() error {
	o.setDefaults()
	_, err := o.secure()
	return err
}

// secure reads the files, and refuses what would let strangers in.
func (o *Options) secure() (s security, err error) {
	if (o.CertFile == "") != (o.KeyFile == "") {
		return s, errors.New("a certificate and its key go together; give the files of both or of neither")
	}
	if o.AnyoneMayWrite && o.UsersFile != "" {
		return s, errors.New("a users file and the leave for anyone to write contradict each other; give one of them")
	}
	if o.CertFile != "" {
		if s.certificate, err = o.readCertificate(); err != nil {
			return s, err
		}
	}
	if o.UsersFile != "" {
		if s.users, err = readUsers(o.UsersFile); err != nil {
			return s, err
		}
	}
	return s, o.checkExposure(s)
}

// checkExposure refuses an address that other machines reach, unless there are
// users and TLS, or it was asked for in so many words.
func (o *Options) checkExposure(s security) error {
	if o.Listen == "" || o.AnyoneMayWrite {
		return nil
	}
	address, err := net.ResolveTCPAddr("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	switch {
	case address.IP.IsLoopback():
		return nil
	case s.users == nil:
		return fmt.Errorf("other machines can reach %s, and without users %w", o.Listen, ErrExposed)
	case s.certificate == nil:
		return fmt.Errorf("other machines can reach %s, and without TLS %w", o.Listen, ErrPasswordsInClear)
	}
	return nil
}

// readCertificate reads the pair and says which file has which fault.
func (o *Options) readCertificate() (*tls.Certificate, error) {
	chain, err := os.ReadFile(o.CertFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the certificate: %w", err)
	}
	if info, err := os.Stat(o.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("the key %s is open to everybody (mode %04o); make it private: chmod 600 %s", o.KeyFile, info.Mode().Perm(), o.KeyFile)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s do not make a pair; give the two that were made together, as PEM files: %w", o.CertFile, o.KeyFile, err)
	}
	now, leaf := o.Now(), pair.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("the certificate %s expired on %s; get a new one", o.CertFile, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("the certificate %s is valid only from %s on; look at this machine's clock", o.CertFile, leaf.NotBefore.Format(time.RFC3339))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return nil, fmt.Errorf("the certificate %s has no subject alternative name, so that no client takes it; make one with the host name that clients use", o.CertFile)
	case now.Add(renewalWarning).After(leaf.NotAfter):
		o.Logger.Warn("the certificate ends soon; clients are refused from then on, and a new one is taken at a restart", "file", o.CertFile, "end", leaf.NotAfter)
	}
	return &pair, nil
}

// options are those of the server that serves a node.
func (s security) options(n *Node) []grpc.ServerOption {
	var options []grpc.ServerOption
	if s.certificate != nil {
		options = append(options, grpc.Creds(tcpOnly{credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{*s.certificate},
			MinVersion:   tls.VersionTLS12,
		})}))
	}
	if n.callers != nil {
		g := &guard{Node: n}
		options = append(options, grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream))
	}
	return options
}

// tcpOnly leaves TLS out on the socket, which never leaves the machine.
type tcpOnly struct {
	credentials.TransportCredentials
}

// ServerHandshake begins a connection as its listener wants.
func (c tcpOnly) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if conn.LocalAddr().Network() == "unix" {
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

// Clone is what gRPC takes copies by.
func (c tcpOnly) Clone() credentials.TransportCredentials {
	return tcpOnly{c.TransportCredentials.Clone()}
}

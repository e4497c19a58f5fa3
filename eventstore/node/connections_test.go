package node

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// Before this had a bound the node waited two minutes for one silent peer.
func TestCloseDoesNotWaitForSilentPeers(t *testing.T) {
	t.Parallel()
	cert, key := newAuthority(t).issue(t, nil)
	for name, o := range map[string]Options{
		"in clear": {Listen: "127.0.0.1:0"},
		"by TLS":   {Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Socket = filepath.Join(t.TempDir(), "s")
			n, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, first := range []string{"", http2.ClientPreface, "\x16\x03\x01\x02\x00\x01"} { // nothing, no settings, half a TLS hello
				for network, address := range map[string]string{"tcp": n.Addr(), "unix": n.Socket()} {
					c, err := net.Dial(network, address)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if _, err := c.Write([]byte(first)); err != nil {
						t.Fatal(err)
					}
				}
			}
			began := time.Now()
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("closing took %s", took)
			}
		})
	}
}

func TestListenerTakesNoMoreConnectionsThanItsBound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 3
	c := bounded(l, most)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	var open []net.Conn
	for range most + 1 {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
	}
	for range most {
		open = append(open, <-accepted)
	}
	if len(c.places) != most {
		t.Fatalf("%d places are taken, want %d", len(c.places), most)
	}
	for range 2 { // closing twice gives one place back
		_ = open[0].Close()
	}
	next := <-accepted
	if broken := c.breakOff(); broken != most {
		t.Errorf("%d connections were broken off, want %d", broken, most)
	}
	if _, err := next.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that was broken off can be read")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, more := <-accepted; more {
		t.Error("a connection was accepted after the end")
	}
}

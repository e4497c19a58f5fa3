package node

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// pipeListener listens to one end of pipes, which work under a simulated clock.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

const (
	frameHeader   = 9 // length 3, type 1, flags 1, stream 4
	frameSettings = 4
	framePing     = 6
	frameGoAway   = 7
)

func http2Frame(kind, flags byte, payload []byte) []byte {
	b := []byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, 0}
	return append(b, payload...)
}

// TestServerAcceptsPingsOfOneSecond pings an idle connection for two minutes.
func TestServerAcceptsPingsOfOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := grpc.NewServer(keepAlive()...)
		l := pipeListener{make(chan net.Conn), make(chan struct{})}
		serving := make(chan error, 1)
		go func() { serving <- server.Serve(l) }()
		defer func() { <-serving }()
		defer server.Stop()
		here, there := net.Pipe()
		defer here.Close()
		l.conns <- there
		received := make(chan byte, 1000)
		go func() {
			defer close(received)
			header := make([]byte, frameHeader)
			for {
				if _, err := io.ReadFull(here, header); err != nil {
					return
				}
				size := int64(binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))
				if _, err := io.CopyN(io.Discard, here, size); err != nil {
					return
				}
				received <- header[3]
			}
		}()
		hello := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), http2Frame(frameSettings, 0, nil)...)
		if _, err := here.Write(append(hello, http2Frame(frameSettings, 1, nil)...)); err != nil {
			t.Fatal(err)
		}
		const pings = 120
		for range pings {
			time.Sleep(time.Second) // of the simulated clock
			if _, err := here.Write(http2Frame(framePing, 0, make([]byte, 8))); err != nil {
				t.Fatalf("the connection is gone: %v", err)
			}
		}
		synctest.Wait()
		_ = here.Close()
		answers := 0
		for kind := range received {
			switch kind {
			case framePing:
				answers++
			case frameGoAway:
				t.Fatalf("the server ended the connection after %d answers", answers)
			}
		}
		if answers < pings {
			t.Errorf("the server answered %d of %d pings", answers, pings)
		}
	})
}

// TestServerUnderstandsGzip sends a compressed request by hand: a client of the
// generated code would teach the server of the same process.
func TestServerUnderstandsGzip(t *testing.T) {
	n := openNode(t, Options{})
	mustAppend(t, connect(t, n), "s", "a")
	message, err := proto.Marshal(readOptions(ofStream("s")))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(message)
	_ = z.Close()
	body := binary.BigEndian.AppendUint32([]byte{1}, uint32(packed.Len()))
	body = append(body, packed.Bytes()...)
	request, err := http.NewRequestWithContext(timeout(t), http.MethodPost,
		"http://"+n.Addr()+"/event_store.client.streams.Streams/Read", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Encoding": {"gzip"}}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) > 5 && answer[0] == 1 { // the answer is compressed too
		unpacked, err := gzip.NewReader(bytes.NewReader(answer[5:]))
		if err != nil {
			t.Fatal(err)
		}
		if answer, err = io.ReadAll(io.LimitReader(unpacked, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	code := response.Trailer.Get("Grpc-Status") + response.Header.Get("Grpc-Status")
	if code != "0" || !bytes.Contains(answer, []byte("type-a")) {
		t.Errorf("status %q %q, answer %q", code, response.Header.Get("Grpc-Message"), answer)
	}
}

// TestUnknownEnumerationValueIsRefused asks for a direction that there is not.
func TestUnknownEnumerationValueIsRefused(t *testing.T) {
	n := openNode(t, Options{})
	s := stub(t, n)
	mustAppend(t, connect(t, n), "s", "a")
	for _, direction := range []streams.ReadReq_Options_ReadDirection{2, -1, 1 << 20} {
		for _, more := range []func(*streams.ReadReq_Options){ofStream("s"), asSubscription, func(*streams.ReadReq_Options) {}} {
			req := readOptions(more, func(o *streams.ReadReq_Options) { o.ReadDirection = direction })
			if all, st := rawReadStatus(t, s, req); st.Code() != codes.InvalidArgument {
				t.Errorf("direction %d: got %v, %v", direction, all, st)
			}
		}
	}
	groups := persistent.NewPersistentSubscriptionsClient(dial(t, n))
	_, err := groups.Create(timeout(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		//lint:ignore SA1019 clients still send the strategy in this member
		GroupName: "g", Settings: &persistent.CreateReq_Settings{NamedConsumerStrategy: 9},
	}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("making a group with strategy 9: got %v", err)
	}
	_, err = groups.Update(timeout(t), &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{
		GroupName: "g", Settings: &persistent.UpdateReq_Settings{NamedConsumerStrategy: 9},
	}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("changing a group to strategy 9: got %v", err)
	}
}

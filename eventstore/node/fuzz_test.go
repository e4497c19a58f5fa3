package node

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
)

func mustMarshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fuzzRead sends raw if it is a request at all. Of a subscription only the
// beginning is read.
func fuzzRead(t *testing.T, s streams.StreamsClient, raw []byte) {
	var req streams.ReadReq
	if proto.Unmarshal(raw, &req) != nil {
		return
	}
	call, err := s.Read(timeout(t), &req)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := call.Recv(); err != nil {
			return
		}
		if req.GetOptions().GetSubscription() != nil {
			return
		}
	}
}

// FuzzRead sends whatever decodes as a read. Nothing but an answer or a proper
// status may come back; a panic would end the process.
func FuzzRead(f *testing.F) {
	n := openNode(f, Options{})
	c := connect(f, n)
	mustAppend(f, c, "s", "a", "b")
	s := stub(f, n)
	f.Add([]byte{})
	for _, req := range []*streams.ReadReq{
		readAllRequest(), readStreamRequest("s", true), readOptions(backwards, fromPosition(70, 70)),
		readOptions(filtered(prefixes("s"))), readOptions(asSubscription, filtered(prefixes("$"))),
		readOptions(ofStream("$$s"), asSubscription, fromRevision(3)),
	} {
		f.Add(mustMarshal(f, req))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { fuzzRead(t, s, raw) })
}

// fuzzAppend splits raw into messages and sends those that are requests.
func fuzzAppend(t *testing.T, s streams.StreamsClient, raw []byte) {
	call, err := s.Append(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	for len(raw) > 0 {
		size := min(int(raw[0])+1, len(raw)-1)
		var req streams.AppendReq
		if proto.Unmarshal(raw[1:1+size], &req) == nil && call.Send(&req) != nil {
			break
		}
		raw = raw[1+size:]
	}
	_, _ = call.CloseAndRecv()
}

// FuzzAppend sends whatever decodes as the messages of an append.
func FuzzAppend(f *testing.F) {
	s := stub(f, openNode(f, Options{}))
	for _, messages := range [][]*streams.AppendReq{
		{appendOptions("s", expectAny), rawEvent()},
		{appendOptions("$$s", uint64(3)), rawEvent(), rawEvent()},
		{rawEvent()},
	} {
		f.Add(framed(f, messages))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { fuzzAppend(t, s, raw) })
}

// fuzzBatches splits raw into messages in the same way, and sends those that
// are requests over one call, which takes what is wrong with one.
func fuzzBatches(t *testing.T, s streams.StreamsClient, raw []byte) {
	b := openBatches(t, s)
	for len(raw) > 0 {
		size := min(int(raw[0])+1, len(raw)-1)
		var req streams.BatchAppendReq
		if proto.Unmarshal(raw[1:1+size], &req) == nil {
			b.send(&req)
		}
		raw = raw[1+size:]
	}
	b.send(wholeBatch("sound", "sound", expectAny, "sound"))
	if err := b.CloseSend(); err != nil {
		t.Fatal(err)
	}
	sound := false
	for {
		resp, err := b.Recv()
		if errors.Is(err, io.EOF) && sound {
			return
		}
		if err != nil {
			t.Fatalf("answered %v: %v", sound, err)
		}
		sound = sound || resp.GetSuccess() != nil && proto.Equal(resp.GetCorrelationId(), correlation("sound"))
	}
}

// FuzzBatchAppend sends whatever decodes as the messages of batches.
func FuzzBatchAppend(f *testing.F) {
	s := stub(f, openNode(f, Options{}))
	for _, messages := range [][]*streams.BatchAppendReq{
		{wholeBatch("x", "s", expectAny, "a")},
		{firstOfBatch("x", "$$s", uint64(3), "a"), firstOfBatch("y", "s", expectNoStream), lastOfBatch("x", "b"), moreOfBatch("y", "c")},
		{lastOfBatch("x", "a")},
	} {
		f.Add(framed(f, messages))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { fuzzBatches(t, s, raw) })
}

func framed[M proto.Message](t testing.TB, messages []M) []byte {
	var raw []byte
	for _, m := range messages {
		b := mustMarshal(t, m)
		raw = append(append(raw, byte(len(b)-1)), b...)
	}
	return raw
}

// TestDamagedRequests changes bytes of sound requests at random, as the fuzz
// tests do for longer. The node must be there afterwards.
func TestDamagedRequests(t *testing.T) {
	n := openNode(t, Options{})
	s := stub(t, n)
	c := connect(t, n)
	mustAppend(t, c, "s", "a", "b")
	random := rand.New(rand.NewPCG(1, 2))
	reads := [][]byte{
		mustMarshal(t, readStreamRequest("s", true)), mustMarshal(t, readOptions(backwards, fromPosition(70, 70))),
		mustMarshal(t, readOptions(filtered(prefixes("s")))), mustMarshal(t, readOptions(ofStream("$$s"), fromRevision(3))),
	}
	append1 := framed(t, []*streams.AppendReq{appendOptions("s", expectAny), rawEvent(), rawEvent()})
	batches := framed(t, []*streams.BatchAppendReq{
		firstOfBatch("x", "s", expectAny, "a"), wholeBatch("y", "s", expectExists, "b"), lastOfBatch("x", "c"),
	})
	for range 300 {
		fuzzRead(t, s, damaged(random, reads[random.IntN(len(reads))]))
		fuzzAppend(t, s, damaged(random, append1))
		fuzzBatches(t, s, damaged(random, batches))
	}
	mustAppend(t, c, "s", "z")
}

func damaged(random *rand.Rand, sound []byte) []byte {
	raw := append([]byte(nil), sound...)
	for range 1 + random.IntN(3) {
		raw[random.IntN(len(raw))] = byte(random.Uint32())
	}
	return raw
}

package node

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readOptions is a request that reads forwards from the start of $all; each
// change makes another of it.
func readOptions(change ...func(*streams.ReadReq_Options)) *streams.ReadReq {
	o := &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Count{Count: math.MaxInt64},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
		},
	}
	for _, f := range change {
		f(o)
	}
	return &streams.ReadReq{Options: o}
}

func readAllRequest() *streams.ReadReq { return readOptions() }

func readStreamRequest(stream string, stringIDs bool) *streams.ReadReq {
	return readOptions(ofStream(stream), func(o *streams.ReadReq_Options) {
		if stringIDs {
			o.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}
		}
	})
}

func ofStream(stream string) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) {
		o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: identifier(stream),
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}}
	}
}

func backwards(o *streams.ReadReq_Options) {
	o.ReadDirection = streams.ReadReq_Options_Backwards
}

func asSubscription(o *streams.ReadReq_Options) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

func fromPosition(commit, prepare uint64) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) {
		o.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{
			CommitPosition: commit, PreparePosition: prepare,
		}}
	}
}

func fromRevision(n uint64) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) {
		o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: n}
	}
}

// prefixes filters by stream name.
func prefixes(names ...string) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: names},
		},
		Window:                       &streams.ReadReq_Options_FilterOptions_Max{Max: 32},
		CheckpointIntervalMultiplier: 1,
	}
}

func filtered(f *streams.ReadReq_Options_FilterOptions, change ...func(*streams.ReadReq_Options_FilterOptions)) func(*streams.ReadReq_Options) {
	for _, c := range change {
		c(f)
	}
	return func(o *streams.ReadReq_Options) { o.FilterOption = &streams.ReadReq_Options_Filter{Filter: f} }
}

func rawReadStatus(t *testing.T, s streams.StreamsClient, req *streams.ReadReq) ([]*streams.ReadResp, *status.Status) {
	t.Helper()
	call, err := s.Read(timeout(t), req)
	if err != nil {
		t.Fatal(err)
	}
	var all []*streams.ReadResp
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return all, status.New(codes.OK, "")
		}
		if err != nil {
			return all, status.Convert(err)
		}
		all = append(all, m)
	}
}

func rawRead(t *testing.T, s streams.StreamsClient, req *streams.ReadReq) []*streams.ReadResp {
	t.Helper()
	all, st := rawReadStatus(t, s, req)
	if st.Code() != codes.OK {
		t.Fatal(st)
	}
	return all
}

func dataOf(all []*streams.ReadResp) string {
	var names []string
	for _, m := range all {
		names = append(names, strings.Trim(string(m.GetEvent().GetEvent().GetData()), `"`))
	}
	return strings.Join(names, " ")
}

// TestMalformedReads checks what a read is refused for.
func TestMalformedReads(t *testing.T) {
	n := openNode(t, Options{})
	s := stub(t, n)
	mustAppend(t, connect(t, n), "s", "a")
	type options = streams.ReadReq_Options
	count := func(c uint64) func(*options) {
		return func(o *options) { o.CountOption = &streams.ReadReq_Options_Count{Count: c} }
	}
	end := func(o *options) {
		o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}}
	}
	type filter = streams.ReadReq_Options_FilterOptions
	tests := []struct {
		name string
		req  *streams.ReadReq
		code codes.Code
	}{
		{"nothing", &streams.ReadReq{}, codes.InvalidArgument},
		{"no form of ids", readOptions(func(o *options) { o.UuidOption = nil }), codes.InvalidArgument},
		{"an empty form of ids", readOptions(func(o *options) { o.UuidOption.Content = nil }), codes.OK},
		{"no stream", readOptions(func(o *options) { o.StreamOption = nil }), codes.InvalidArgument},
		{"no count", readOptions(func(o *options) { o.CountOption = nil }), codes.InvalidArgument},
		{"no word on filters", readOptions(func(o *options) { o.FilterOption = nil }), codes.InvalidArgument},
		{"an empty stream name", readOptions(ofStream("")), codes.Unknown},
		{"no revision", readOptions(ofStream("s"), func(o *options) { o.GetStream().RevisionOption = nil }), codes.InvalidArgument},
		{"no position", readOptions(func(o *options) { o.GetAll().AllOption = nil }), codes.InvalidArgument},
		{"no events of a stream", readOptions(ofStream("s"), count(0)), codes.Unknown},
		{"no events of $all", readOptions(count(0)), codes.InvalidArgument},
		{"a stream forwards from its end", readOptions(ofStream("s"), end), codes.Unknown},
		{"a revision out of range", readOptions(ofStream("s"), fromRevision(math.MaxInt64+1)), codes.InvalidArgument},
		{"a position out of range", readOptions(fromPosition(math.MaxInt64+1, 0)), codes.InvalidArgument},
		{"a commit before its prepare", readOptions(fromPosition(1, 2)), codes.InvalidArgument},
		{"a subscription backwards", readOptions(asSubscription, backwards), codes.InvalidArgument},
		{"a filter on a stream", readOptions(ofStream("s"), filtered(prefixes("a"))), codes.InvalidArgument},
		{"an empty filter", readOptions(filtered(&filter{})), codes.InvalidArgument},
		{"a filter without a window", readOptions(filtered(prefixes("a"), func(f *filter) { f.Window = nil })), codes.InvalidArgument},
		{"a window of none", readOptions(filtered(prefixes("a"), func(f *filter) { f.Window = &streams.ReadReq_Options_FilterOptions_Max{} })), codes.InvalidArgument},
		{"a broken expression", readOptions(filtered(prefixes(), func(f *filter) { f.GetStreamIdentifier().Regex = "(" })), codes.InvalidArgument},
		{"a filter without checkpoints", readOptions(asSubscription, filtered(prefixes("a"), func(f *filter) { f.CheckpointIntervalMultiplier = 0 })), codes.Unknown},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if all, st := rawReadStatus(t, s, tc.req); st.Code() != tc.code {
				t.Errorf("got %v %v, want %v", all, st, tc.code)
			}
		})
	}
}

// TestStreamEdges checks what newer clients are told about where a stream
// begins and ends, in the words of the original server: that it begins further
// on only when a page of 32 holds nothing, and always where it ends.
func TestStreamEdges(t *testing.T) {
	n := openNode(t, Options{})
	c, s := connect(t, n), stub(t, n)
	for i := range 7 {
		mustAppend(t, c, "s", numbered("e", i*10, 10)...)
	}
	mustAppend(t, c, "old", "a", "b")
	setMetadata(t, c, "s", `{"$tb":50}`)
	setMetadata(t, c, "old", `{"$tb":9}`)
	type options = streams.ReadReq_Options
	limit := func(n uint64) func(*options) {
		return func(o *options) { o.CountOption = &streams.ReadReq_Options_Count{Count: n} }
	}
	newer := func(o *options) { o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1} }
	for _, tc := range []struct {
		name   string
		change []func(*options)
		want   string
	}{
		{"an older client", []func(*options){limit(2)}, "e50 e51"},
		{"hidden for a page and more", []func(*options){newer, limit(100)}, "first=50 " + strings.Join(numbered("e", 50, 20), " ") + " last=69"},
		{"hidden for less than a page", []func(*options){newer, fromRevision(19), limit(50)}, strings.Join(numbered("e", 50, 20), " ") + " last=69"},
		{"hidden for as many as asked for", []func(*options){newer, fromRevision(48), limit(2)}, "first=50 e50 e51 last=69"},
		{"a part", []func(*options){newer, fromRevision(60), limit(2)}, "e60 e61 last=69"},
		{"after the end", []func(*options){newer, fromRevision(70)}, "last=69"},
		{"far after the end", []func(*options){newer, fromRevision(100)}, "first=70 last=69"},
		{"backwards", []func(*options){newer, backwards, fromRevision(51), limit(9)}, "e51 e50 last=69"},
		{"all hidden", []func(*options){newer, ofStream("old")}, "first=2 last=1"},
		{"all hidden, backwards", []func(*options){newer, ofStream("old"), backwards, fromRevision(1)}, "last=1"},
		{"none there", []func(*options){newer, ofStream("none")}, "not found"},
		{"$all", []func(*options){newer, func(o *options) { o.StreamOption = readOptions().GetOptions().GetStreamOption() }, limit(1)}, "e0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var words []string
			for _, m := range rawRead(t, s, readOptions(append([]func(*options){ofStream("s")}, tc.change...)...)) {
				switch v := m.GetContent().(type) {
				case *streams.ReadResp_FirstStreamPosition:
					words = append(words, fmt.Sprint("first=", v.FirstStreamPosition))
				case *streams.ReadResp_LastStreamPosition:
					words = append(words, fmt.Sprint("last=", v.LastStreamPosition))
				case *streams.ReadResp_StreamNotFound_:
					words = append(words, "not found")
				default:
					words = append(words, dataOf([]*streams.ReadResp{m}))
				}
			}
			if got := strings.Join(words, " "); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

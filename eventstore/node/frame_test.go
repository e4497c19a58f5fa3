package node

import (
	"strconv"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

// toWire builds the generated message of an event.
func (r resolved) toWire(stringIDs bool) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event:    recordToWire(r.event, stringIDs),
		Link:     recordToWire(r.link, stringIDs),
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: r.original().position},
	}}}
}

func recordToWire(rec *record, stringIDs bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	if rec == nil {
		return nil
	}
	content := contentBinary
	if rec.json {
		content = contentJSON
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               idToWire(rec.id, stringIDs),
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(rec.stream)},
		StreamRevision:   rec.revision,
		PreparePosition:  rec.position,
		CommitPosition:   rec.position,
		Metadata: map[string]string{
			metaType:        rec.typ,
			metaCreated:     strconv.FormatInt(rec.created, 10),
			metaContentType: content,
		},
		CustomMetadata: rec.meta,
		Data:           rec.data,
	}
}

// TestFrames compares the hand-written encoding with the generated one.
func TestFrames(t *testing.T) {
	text := rapid.StringN(0, 300, 2000)
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 20_000)
	number := rapid.OneOf(rapid.Uint64Range(0, 300), rapid.Uint64Range(0, tombstoneRevision))
	anyRecord := rapid.Custom(func(t *rapid.T) *record {
		return &record{
			position: number.Draw(t, "position"), revision: number.Draw(t, "revision"),
			created: rapid.Int64().Draw(t, "created"), json: rapid.Bool().Draw(t, "json"),
			id:     uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			stream: string(bytes.Draw(t, "stream")), typ: text.Draw(t, "type"),
			meta: bytes.Draw(t, "meta"), data: bytes.Draw(t, "data"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		events := make([]resolved, rapid.IntRange(1, 3).Draw(t, "events"))
		for i := range events {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				events[i] = resolved{event: anyRecord.Draw(t, "event")}
			case 1:
				events[i] = resolved{link: anyRecord.Draw(t, "link")}
			case 2:
				events[i] = resolved{event: anyRecord.Draw(t, "event"), link: anyRecord.Draw(t, "link")}
			}
		}
		stringIDs := rapid.Bool().Draw(t, "stringIDs")
		for i, f := range frames(events, stringIDs) {
			var got streams.ReadResp
			if err := proto.Unmarshal(f, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(events[i].toWire(stringIDs), &got, protocmp.Transform()); diff != "" {
				t.Fatalf("(-generated +written)\n%s", diff)
			}
		}
	})
}

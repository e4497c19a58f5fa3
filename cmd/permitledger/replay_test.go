package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/replay"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
	"permitledger/domain/permit"
	"permitledger/eventstore"
	"permitledger/eventstore/node"
)

// A seeded ledger replays clean, beside its service and without it; one event
// too many is found, named, and makes the exit code 1.
func TestReplayOfAFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "d")
	demo := launch(t, "demo", "--listen", "127.0.0.1:0", "--permits", "6", "--data", data, "--log-level", "error")
	beside, _ := replayed(t, data, 0)
	demo.kill()
	alone, _ := replayed(t, data, 0)
	if beside.Events < 60 || beside.Events != alone.Events || beside.Count+alone.Count != 0 || alone.Streams["permit"] != 6 {
		t.Errorf("beside the service %+v, alone %+v", beside, alone)
	}
	forge(t, data)
	forged, stderr := replayed(t, data, 1)
	if forged.Count != 1 || forged.Violations[0].Type != permit.TypeAutoRenewalCancelled || !strings.Contains(stderr, "breaks the rules") {
		t.Errorf("forged: %+v\n%s", forged, stderr)
	}
	var out, errors bytes.Buffer
	if code := run([]string{"replay", "--data", data}, &out, &errors); code != 1 || !strings.Contains(out.String(), "VIOLATION life-cycle") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}

func replayed(t *testing.T, data string, want int) (r replay.Report, stderr string) {
	t.Helper()
	var out, errors bytes.Buffer
	if code := run([]string{"replay", "--data", data, "--json", "--workers", "2"}, &out, &errors); code != want {
		t.Fatalf("exit code %d: %s%s", code, out.String(), errors.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r, errors.String()
}

// forge writes past the program into the stream of a permit that was never
// applied for.
func forge(t *testing.T, data string) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: filepath.Join(data, "log"), Socket: service.Socket(data)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	store, err := eventstore.Connect(eventstore.Config{Socket: service.Socket(data)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	stream := permit.Stream(domain.PermitID(uuid.NewString()))
	p, err := eventstore.NewCodec(nil).Encode(eventstore.Envelope{ID: uuid.New(), Stream: stream, Actor: domain.System(),
		RecordedAt: time.Now(), Command: "forged", Versions: domain.Versions{Policy: "2024-04-01"}}, "", permit.AutoRenewalCancelled{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), stream, eventstore.NoStream(), []eventstore.Proposed{p}); err != nil {
		t.Fatal(err)
	}
}

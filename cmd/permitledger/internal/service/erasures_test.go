package service

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"permitledger/cmd/permitledger/council"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore"
	"permitledger/eventstore/vault"
)

// The keys come from a backup from before an erasure that the log has: the
// service destroys the key and the documents again before it serves.
func TestErasuresAreDoneAgainAfterARestore(t *testing.T) {
	dir, err := os.MkdirTemp("", "pl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const gone, stays = domain.AccountID("6b7a0c1e-0000-4000-8000-000000000001"), domain.AccountID("6b7a0c1e-0000-4000-8000-000000000002")
	open := func() *Service {
		t.Helper()
		s, err := Open(t.Context(), Config{Data: dir, Listen: "127.0.0.1:0", Council: council.Sample(), DemoClock: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	sums := map[domain.AccountID]string{}
	for _, who := range []domain.AccountID{gone, stays} {
		if sums[who], err = s.papers.Put(who, []byte("a document")); err != nil {
			t.Fatal(err)
		}
	}
	// The key is not destroyed here, as if it had come back with a restore.
	if err := AppendErased(t.Context(), s.Ledger, gone); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start has the mark of the first
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
		if _, _, err := s.vault.Seal(gone, []byte("x"), nil); !errors.Is(err, vault.ErrErased) {
			t.Errorf("sealing for the erased: %v", err)
		}
		if _, err := os.Stat(dir + "/keep/documents/" + string(gone)); !os.IsNotExist(err) {
			t.Errorf("the documents of the erased: %v", err)
		}
		if _, err := s.papers.Get(stays, sums[stays]); err != nil {
			t.Errorf("the document of the other: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// AppendErased writes that a person was erased, and leaves their key.
func AppendErased(ctx context.Context, l *eventstore.Ledger, who domain.AccountID) error {
	stream := eventstore.Aggregate[bool, account.Event]{Evolve: func(bool, account.Event, eventstore.Envelope) bool { return true }}
	cmd := eventstore.Command{ID: "6b7a0c1e-0000-4000-8000-0000000000ff", Actor: domain.System(), Now: time.Now()}
	_, err := eventstore.Handle(ctx, l, account.Stream(who), stream, cmd, func(bool, time.Time) ([]account.Event, error) {
		return []account.Event{account.AccountErased{Ground: "request"}}, nil
	})
	return err
}

package service

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore"
	"permitledger/eventstore/vault"
)

// Three lost events had an effect outside the log: an erasure, the removal of a
// document, and an event that names a document.
func TestAcceptRecordsErasuresAgainAndKeepsDocuments(t *testing.T) {
	dir, err := os.MkdirTemp("", "pl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const erased, stays = domain.AccountID("6b7a0c1e-0000-4000-8000-000000000001"), domain.AccountID("6b7a0c1e-0000-4000-8000-000000000002")
	morning := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	open := func(accept *uint64) (*Service, error) {
		return Open(t.Context(), Config{Data: dir, Listen: "127.0.0.1:0", Council: council.Sample(), DemoClock: morning, AcceptShorter: accept, HoldTimers: true})
	}
	var s *Service
	write := func(who domain.AccountID, n string, body account.Event) {
		t.Helper()
		cmd := eventstore.Command{ID: domain.CommandID(n), Actor: domain.System(), Now: morning.Add(time.Hour), Person: who}
		_, err := eventstore.Handle(t.Context(), s.Ledger, account.Stream(who), accountStates, cmd, func(account.State, time.Time) ([]account.Event, error) {
			return []account.Event{body}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	upload := func(content string) string {
		t.Helper()
		sum, err := s.papers.Put(stays, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		write(stays, "upload "+content, account.DocumentUploaded{SHA256: sum, Bytes: int64(len(content)), MediaType: "application/pdf"})
		return sum
	}
	shut := func() {
		t.Helper()
		if err := errors.Join(s.CatchUp(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = open(nil); err != nil {
		t.Fatal(err)
	}
	for _, who := range []domain.AccountID{erased, stays} {
		write(who, "open "+string(who), account.AccountOpened{Personal: domain.PersonalOf(account.OpenedPersonal{Name: "Somebody"})})
	}
	named, dropped := upload("named"), upload("dropped")
	shut()
	log, older := filepath.Join(dir, "log"), filepath.Join(dir, "older")
	if err := os.CopyFS(older, os.DirFS(log)); err != nil {
		t.Fatal(err)
	}
	if s, err = open(nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.vault.Destroy(erased), s.papers.Drop(stays, dropped)); err != nil {
		t.Fatal(err)
	}
	write(erased, "erase", account.AccountErased{Ground: "court-order"})
	write(stays, "drop", account.DocumentDropped{SHA256: dropped})
	late := upload("late")
	shut()
	if err := errors.Join(os.RemoveAll(log), os.Rename(older, log)); err != nil {
		t.Fatal(err)
	}
	_, err = open(nil)
	lost, ok := errors.AsType[*known.SetBackError](err)
	if !ok {
		t.Fatalf("the start ended with %v", err)
	}
	if s, err = open(&lost.Agreed); err != nil {
		t.Fatal(err)
	}
	gone, err := s.Desk.Account(t.Context(), erased)
	if err != nil || !gone.State.Erased {
		t.Errorf("the erased account is %+v, %v", gone, err)
	}
	if _, _, err := s.vault.Seal(erased, []byte("x"), nil); !errors.Is(err, vault.ErrErased) {
		t.Errorf("sealing for the erased: %v", err)
	}
	here, err := s.Desk.Account(t.Context(), stays)
	if err != nil || !here.State.Has(named) || here.State.Has(dropped) || here.State.Has(late) {
		t.Errorf("the other account is %+v, %v", here, err)
	}
	call := desk.SystemCall("drop "+named, "", morning.AddDate(1, 0, 0))
	if _, err := s.Desk.DropDocument(t.Context(), call, stays, named); err != nil {
		t.Fatal(err)
	}
	for _, sum := range []string{named, late} {
		if _, err := s.papers.Get(stays, sum); err != nil {
			t.Errorf("a document that a lost event may name: %v", err)
		}
	}
	if _, err := s.papers.Get(stays, dropped); !errors.Is(err, documents.ErrNotFound) {
		t.Errorf("the document that was removed: %v", err)
	}
	shut()
	if s, err = open(nil); err != nil { // without the flag
		t.Fatal(err)
	}
	shut()
}

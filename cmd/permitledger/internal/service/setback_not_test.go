package service_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/backup"
	"permitledger/cmd/permitledger/internal/known"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/eventstore"
	"permitledger/eventstore/transfer"
)

func TestServiceReportsUnfinishedCopyAsSetBackAndFinishedCopyAsMove(t *testing.T) {
	p := makePast(t, 0)
	whole, part := p.lead(p.last), p.lead(p.copies[3])
	target, data := p.lead(filepath.Join(folder(t), "none")), copyOf(t, p.data)
	to := target.store()
	if _, err := to.Verbatim().Append(t.Context(), []eventstore.Recorded{{ID: uuid.New(), Stream: "$elsewhere", Type: "Foreign", JSON: true, Data: []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Copy(t.Context(), part.store(), to, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	agreed := uint64(len(p.logs[3]))
	if lost := target.refused(data); lost.Agreed != agreed {
		t.Errorf("the unfinished copy: %v", lost)
	}
	p.wantList(listIn(t, data), agreed, agreed+1, uint64(len(p.all)), nil)
	if _, err := transfer.Copy(t.Context(), whole.store(), to, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	if at := events(t, to); at[0].Position == p.all[0].Position {
		t.Fatal("the copy has the same positions")
	}
	data = copyOf(t, p.data)
	for range 2 {
		s := target.serve(data, func(cfg *service.Config) { cfg.LookAgain = time.Hour })
		p.settle(s, false)
		p.wantWhole(s)
		newClient(t, s).as("").get("/readyz").want(200).is("state", "ok")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	noList(t, data)
}

func TestServiceReportsNoSetBackDuringRebuild(t *testing.T) {
	p := makePast(t, 0)
	l, data := p.lead(p.last), copyOf(t, p.data)
	s := l.serve(data, func(cfg *service.Config) { cfg.LookAgain = time.Hour })
	p.settle(s, false)
	for _, m := range s.Runner.Projections() {
		r, err := m.Rebuild()
		if err != nil {
			t.Fatal(err)
		}
		l.proxy.Down() // the session is lost while it goes on
		l.proxy.Up()
		<-r.Done()
		if _, err, _ := r.Outcome(); err != nil {
			t.Errorf("rebuilding %s: %v", m.Name(), err)
		}
	}
	if err := s.LogWhole(t.Context()); err != nil {
		t.Error(err)
	}
	p.wantWhole(s)
	noList(t, data)
}

func TestServiceChecksLogOfEmbeddedNodeOnceAtStart(t *testing.T) {
	data := folder(t)
	open := func(change ...func(*service.Config)) (*service.Service, error) {
		return tryStart(t, append(change, func(cfg *service.Config) { cfg.Data, cfg.LookAgain = data, time.Hour })...)
	}
	run := func(name string, do func(*service.Service), change ...func(*service.Config)) {
		t.Helper()
		s, err := open(change...)
		if err != nil {
			t.Fatal(err)
		}
		newClient(t, s).as("olga").post("/accounts", `{"name":"`+name+`"}`).want(201)
		if do != nil {
			do(s)
		}
		if err := errors.Join(s.CatchUp(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	restored := filepath.Join(folder(t), "data")
	run("First", func(s *service.Service) {
		copied := filepath.Join(folder(t), "backup")
		if _, err := s.Backup(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Restore(t.Context(), copied, restored); err != nil {
			t.Fatal(err)
		}
	})
	older := filepath.Join(folder(t), "log")
	if err := os.CopyFS(older, os.DirFS(filepath.Join(data, "log"))); err != nil {
		t.Fatal(err)
	}
	run("Second", nil)
	if err := errors.Join(os.RemoveAll(filepath.Join(data, "log")), os.CopyFS(filepath.Join(data, "log"), os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	_, err := open()
	lost, ok := errors.AsType[*known.SetBackError](err)
	if !ok || lost.Agreed+1 != lost.Known.Ledger || len(listIn(t, data).Events) != 1 {
		t.Fatalf("the start ended with %v", err)
	}
	models, err := service.OpenReadModels(t.Context(), data, "", nil)
	if _, ok := errors.AsType[*known.SetBackError](err); !ok {
		t.Errorf("the read models were opened: %v, %v", models, err)
	}
	run("Second again", nil, accept(lost.Agreed))
	run("Third", nil)

	data = restored
	run("Second", nil)
	noList(t, restored)
}

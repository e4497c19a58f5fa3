package service_test

import (
	"errors"
	"testing"

	"permitledger/cmd/permitledger/internal/known"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/projections/due"
)

// An acknowledged append is missed also when no read model had it yet.
func TestServiceNamesALostAppendThatNoReadModelHas(t *testing.T) {
	p := makePast(t, 0)
	l, data := p.lead(p.last), copyOf(t, p.data)
	s := l.serve(data, func(cfg *service.Config) { cfg.HoldModels, cfg.HoldTimers = true, true })
	before := uint64(len(events(t, s.Ledger.Store())))
	newClient(t, s).as("olga").post("/accounts", `{"name":"Last"}`).want(201)
	newest, ok := s.Ledger.Store().Newest()
	if !ok {
		t.Fatal("nothing was acknowledged")
	}
	l.replace(p.last)
	lost, ok := errors.AsType[*known.SetBackError](s.LogWhole(t.Context()))
	if !ok || lost.Known.ID != newest.ID || lost.Known.Ledger <= before || lost.Agreed != before {
		t.Errorf("the verdict is %v", lost)
	}
	if s.Runner.Projection(due.Name).Status().Ledger < before {
		t.Error("the read model was made again")
	}
	if l := listIn(t, data); l.NotListed == nil || l.NotListed.To != lost.Known.Ledger {
		t.Errorf("the list is %+v", l)
	}
	s.FollowModels()
	s.StartTimers()
}

// The newest acknowledged append and the mark of a read model are one event, of
// which only the mark has the number.
func TestServiceNamesTheNumberOfItsOwnNewestEvent(t *testing.T) {
	p := makePast(t, 0)
	l, data := p.lead(p.last), copyOf(t, p.data)
	s := l.serve(data, func(cfg *service.Config) { cfg.HoldTimers = true })
	before := uint64(len(events(t, s.Ledger.Store())))
	newClient(t, s).as("olga").post("/accounts", `{"name":"Last"}`).want(201)
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	newest := uint64(len(events(t, s.Ledger.Store())))
	l.replace(p.last)
	lost, ok := errors.AsType[*known.SetBackError](s.LogWhole(t.Context()))
	if !ok || lost.Known.Ledger != newest || lost.Agreed != before {
		t.Errorf("the verdict is %v, want number %d and agreement up to %d", lost, newest, before)
	}
	if l := listIn(t, data); l.NotListed != nil || len(l.Events) != int(newest-before) {
		t.Errorf("the list is %+v", l)
	}
	s.StartTimers()
}

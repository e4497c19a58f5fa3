package audit_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/audit"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/property"
)

var at = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func entry(stream string, revision int, body domain.Event) audit.Entry {
	return audit.Entry{Ledger: 1, Stream: stream, Type: body.EventType(), Body: body,
		Meta: domain.Meta{ID: "e", Revision: uint64(revision), At: at, Command: "c", Actor: domain.System()}}
}

func rules(found []audit.Violation) string {
	var all []string
	for _, v := range found {
		all = append(all, string(v.Rule))
	}
	return strings.Join(all, " ")
}

// A log that lost an event, or shows one twice, cannot be forged through a
// server: it is what a copy or a damaged disk would look like.
func TestRevisionsCountWithoutAGap(t *testing.T) {
	const stream = "account-00000000-0000-4000-8000-000000000001"
	open := account.AccountOpened{}
	document := account.DocumentUploaded{SHA256: strings.Repeat("a", 64)}
	for _, c := range []struct {
		revisions []int
		want      string
	}{
		{[]int{0, 1, 2}, ""},
		{[]int{1, 2}, "revision"},
		{[]int{0, 2, 3}, "revision"},
		{[]int{0, 1, 1}, "revision"},
	} {
		s, got := audit.NewStreams(), ""
		for i, r := range c.revisions {
			body := domain.Event(document)
			if i == 0 {
				body = open
			}
			got += rules(s.Check(entry(stream, r, body)))
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.revisions, got, c.want)
		}
	}
}

// What rests on an event that cannot be read is not judged.
func TestWhatCannotBeReadIsToldOnceAndNotGuessed(t *testing.T) {
	const stream = "permit-00000000-0000-4000-8000-000000000001"
	s, w := audit.NewStreams(), audit.NewWhole()
	poison := audit.Entry{Ledger: 1, Stream: stream, Type: "Applied", Fault: "broken", Meta: domain.Meta{ID: "e"}}
	if got := rules(s.Check(poison)); got != "unreadable" {
		t.Errorf("poison: %q", got)
	}
	w.Check(poison)
	e := entry(stream, 1, permit.AutoRenewalCancelled{})
	e.Versions.Policy = "p"
	money := entry("payment-00000000-0000-4000-8000-000000000001-1", 0, payment.PaymentCaptured{Attempt: 1, Amount: 5})
	if got := rules(s.Check(e)) + rules(w.Check(money)); got != "" {
		t.Errorf("what follows: %q", got)
	}
}

// A resident may send documents or words without being asked.
func TestInformationThatNobodyAskedFor(t *testing.T) {
	const permit = "00000000-0000-4000-8000-000000000001"
	e := entry(notice.Stream(permit), 0, notice.InformationSupplied{Permit: permit})
	if got := rules(audit.NewStreams().Check(e)); got != "" {
		t.Errorf("%q", got)
	}
}

// The summaries of a permit and of all that belongs to it stay small, and do
// not grow with its events.
func TestMemoryIsBoundedByThePermits(t *testing.T) {
	const permits = 20_000
	s, w := audit.NewStreams(), audit.NewWhole()
	give := func(stream string, revision int, body domain.Event) {
		e := entry(stream, revision, body)
		s.Check(e)
		w.Check(e)
	}
	before := heap()
	for i := range permits {
		id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		acc, per, money := "account-"+id, "permit-"+id, payment.Stream(domain.PermitID(id), 1)
		give(acc, 0, account.AccountOpened{})
		for n := range 3 {
			give(acc, n+1, account.DocumentUploaded{SHA256: fmt.Sprintf("%064d", n)})
		}
		give(fmt.Sprintf("property-%032d", i), 0, property.SlotTaken{Permit: domain.PermitID(id), Limit: 2})
		give(per, 0, permit.Applied{Account: domain.AccountID(id), Kind: domain.KindResident, Months: 12, Zone: "Z", CountsTowardLimit: true})
		give(money, 0, payment.PaymentRequested{Permit: domain.PermitID(id), Term: 1, Attempt: 1, Amount: 5})
		give(money, 1, payment.PaymentAuthorised{Attempt: 1})
		give(per, 1, permit.Approved{FirstDay: domain.DateOf(at), LastDay: domain.DateOf(at)})
		give(money, 2, payment.PaymentCaptured{Attempt: 1, Amount: 5})
		for n := range 5 {
			give(per, n+2, permit.VehicleChanged{EffectiveAt: at})
		}
	}
	each := float64(heap()-before) / permits
	t.Logf("%.0f bytes for each permit with its account, payment, property and documents", each)
	if each > 700 { // some room for how full the maps happen to be
		t.Errorf("%.0f bytes for each permit", each)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(w)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

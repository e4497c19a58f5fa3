package payments_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain"
	"permitledger/domain/payment"
)

func pence(n int64) domain.Pence { return domain.Pence(n) }

func instruct(t testing.TB, s *payments.Simulator, command string, next ...string) {
	t.Helper()
	if err := s.Instruct(t.Context(), command, "anna", next); err != nil {
		t.Fatal(err)
	}
}

func TestInstructions(t *testing.T) {
	authorised := brief{payments.KindAuthorised, "", start}
	captured := brief{payments.KindCaptured, "", start}
	lapsed := brief{payments.KindLapsed, payments.CodeLapsed, start}
	declined := brief{payments.KindDeclined, payments.CodeDeclined, start}
	awaited := brief{payments.KindAwaited, "", start}
	const hold, immediate = payment.ModeHold, payment.ModeImmediate
	for _, test := range []struct {
		name  string
		next  []string
		modes []payment.Mode // of one request after the other
		want  [][]brief
	}{
		{"none", nil, []payment.Mode{hold}, [][]brief{{authorised}}},
		{"decline", []string{"decline"}, []payment.Mode{hold, hold}, [][]brief{{declined}, {authorised}}},
		{"decline a renewal", []string{"decline"}, []payment.Mode{immediate, immediate}, [][]brief{{declined}, {captured}}},
		{"lapse", []string{"lapse"}, []payment.Mode{hold, hold}, [][]brief{{authorised, lapsed}, {authorised}}},
		{"lapse waits for a hold", []string{"lapse", "decline"}, []payment.Mode{immediate, hold, hold}, [][]brief{{declined}, {authorised, lapsed}, {authorised}}},
		{"duplicate", []string{"duplicate"}, []payment.Mode{hold, hold}, [][]brief{{authorised, authorised}, {authorised}}},
		{"late", []string{"late"}, []payment.Mode{hold, hold}, [][]brief{{awaited}, {authorised}}},
		{"in order", []string{"late", "decline", "duplicate"}, []payment.Mode{hold, immediate, immediate, hold}, [][]brief{{awaited}, {declined}, {captured, captured}, {authorised}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fresh(t)
			instruct(t, s, "c-1", test.next...)
			instruct(t, s, "c-1", test.next...)
			other := charge("other", hold)
			other.Account = "ben"
			if diff := cmp.Diff([]brief{authorised}, briefs(request(t, s, other))); diff != "" {
				t.Error("another account's request:", diff)
			}
			for i, mode := range test.modes {
				got := request(t, s, charge(string(rune('a'+i)), mode))
				if diff := cmp.Diff(test.want[i], briefs(got)); diff != "" {
					t.Errorf("request %d: %s", i, diff)
				}
			}
		})
	}
}

func TestUnknownInstruction(t *testing.T) {
	s := fresh(t)
	err := s.Instruct(t.Context(), "c-1", "anna", []string{"decline", "explode"})
	if e, ok := errors.AsType[*payments.UnknownInstructionError](err); !ok || e.Instruction != "explode" {
		t.Errorf("got %v", err)
	}
	if got := request(t, s, charge("r-1", payment.ModeHold)); got[0].Kind != payments.KindAuthorised {
		t.Errorf("part of a refused command was queued: %+v", got)
	}
}

func TestLateMessagesComeUntilAcknowledged(t *testing.T) {
	s := fresh(t)
	instruct(t, s, "c-1", "late", "late")
	first := request(t, s, charge("r-1", payment.ModeHold))[0]
	if first.PayURL == "" {
		t.Error("nowhere for the payer to go")
	}
	renewal := charge("r-2", payment.ModeImmediate)
	renewal.At = after(time.Minute)
	second := request(t, s, renewal)[0]

	expectDue(t, s, after(time.Hour))
	expectDelivery(t, s, after(time.Hour-time.Microsecond))
	if err := s.Delivered(t.Context(), first.ProviderID); err != nil { // too early to count
		t.Fatal(err)
	}
	authorised := payments.Message{ID: first.ProviderID, Reference: "r-1", ProviderID: first.ProviderID, Kind: payments.KindAuthorised,
		Amount: 5500, HoldEndsAt: after(payments.HoldHours * time.Hour), At: after(time.Hour)}
	captured := payments.Message{ID: second.ProviderID, Reference: "r-2", ProviderID: second.ProviderID, Kind: payments.KindCaptured,
		Amount: 5500, At: after(61 * time.Minute)}
	expectDelivery(t, s, after(time.Hour), authorised)
	expectDelivery(t, s, after(2*time.Hour), authorised, captured)
	expectDue(t, s, after(time.Hour))
	for range 2 {
		if err := s.Delivered(t.Context(), authorised.ID, "nobody"); err != nil {
			t.Fatal(err)
		}
	}
	expectDue(t, s, after(61*time.Minute))
	expectDelivery(t, s, after(2*time.Hour), captured)
	if err := s.Delivered(t.Context(), captured.ID); err != nil {
		t.Fatal(err)
	}
	expectDelivery(t, s, after(1000*time.Hour))
	if due, ok, err := s.NextDue(t.Context()); ok || err != nil {
		t.Errorf("still due: %v %v", due, err)
	}
}

// What was called off while its payer was awaited never happens.
func TestReleaseCallsOffALateMessage(t *testing.T) {
	s := fresh(t)
	instruct(t, s, "c-1", "late")
	id := request(t, s, charge("r-1", payment.ModeHold))[0].ProviderID
	if _, err := s.Release(t.Context(), id, after(time.Minute)); err != nil {
		t.Fatal(err)
	}
	expectDelivery(t, s, after(1000*time.Hour))
	want := []brief{{payments.KindReleased, "", after(time.Minute)}}
	if diff := cmp.Diff(want, briefs(request(t, s, charge("r-1", payment.ModeHold)))); diff != "" {
		t.Error(diff)
	}
}

func expectDue(t *testing.T, s *payments.Simulator, want time.Time) {
	t.Helper()
	if due, ok, err := s.NextDue(t.Context()); err != nil || !ok || !due.Equal(want) {
		t.Errorf("due %v %v %v, want %v", due, ok, err, want)
	}
}

func expectDelivery(t *testing.T, s *payments.Simulator, upTo time.Time, want ...payments.Message) {
	t.Helper()
	got, err := s.Deliver(t.Context(), upTo)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delivered up to %v: %s", upTo, diff)
	}
}

// books is what somebody who believes every message knows of one charge.
type books struct {
	amount, refunded domain.Pence
	capturedAt       time.Time
	ended            payments.Kind // released, lapsed or declined
}

// Under any calls, in any order and repeated, with a clock that stands or goes
// on: one capture for each charge, never after a release or a lapse, and never
// more money back than was taken.
func TestMoneyIsConserved(t *testing.T) {
	words := []string{"decline", "lapse", "duplicate", "late"}
	modes := []payment.Mode{payment.ModeHold, payment.ModeImmediate, payment.ModeAgreement}
	dir := t.TempDir()
	number := 0
	rapid.Check(t, func(rt *rapid.T) {
		number++
		path := filepath.Join(dir, fmt.Sprint(number))
		s := open(t, path)
		defer func() { _ = s.Close() }()
		now, known, asked := start, map[string]*books{}, map[string]payments.Charge{}
		var ids []string
		hear := func(messages []payments.Message, err error) {
			if err != nil {
				rt.Fatal(err)
			}
			for _, m := range messages {
				known[m.ProviderID].hear(rt, m)
			}
		}
		id := func() string {
			if len(ids) == 0 {
				rt.Skip("nothing was asked for yet")
			}
			return rapid.SampledFrom(ids).Draw(rt, "id")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"request": func(rt *rapid.T) {
				ref := rapid.StringMatching(`[a-f]`).Draw(rt, "reference")
				c, again := asked[ref]
				if !again {
					c = payments.Charge{Reference: ref, Account: "anna", Mode: rapid.SampledFrom(modes).Draw(rt, "mode"),
						Amount: pence(rapid.Int64Range(1, 10).Draw(rt, "amount"))}
				}
				c.At = now
				messages, err := s.Request(t.Context(), c)
				if err == nil && !again {
					asked[ref], ids = c, append(ids, messages[0].ProviderID)
					known[messages[0].ProviderID] = &books{amount: c.Amount}
				}
				hear(messages, err)
			},
			"capture": func(rt *rapid.T) { hear(s.Capture(t.Context(), id(), now)) },
			"release": func(rt *rapid.T) { hear(s.Release(t.Context(), id(), now)) },
			"refund": func(rt *rapid.T) {
				hear(s.Refund(t.Context(), id(), pence(rapid.Int64Range(1, 12).Draw(rt, "amount")), now))
			},
			"instruct": func(rt *rapid.T) {
				command := rapid.StringMatching(`[a-z]`).Draw(rt, "command")
				if err := s.Instruct(t.Context(), command, "anna", rapid.SliceOfN(rapid.SampledFrom(words), 1, 3).Draw(rt, "next")); err != nil {
					rt.Fatal(err)
				}
			},
			"deliver": func(rt *rapid.T) {
				messages, err := s.Deliver(t.Context(), now)
				hear(messages, err)
				if len(messages) > 0 && rapid.Bool().Draw(rt, "acknowledged") {
					if err := s.Delivered(t.Context(), messages[0].ID); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"wait": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 59, 60, 1440, 7200}).Draw(rt, "minutes")) * time.Minute)
			},
			"restart": func(*rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = open(t, path)
			},
		})
	})
}

// hear takes a message into the books and says when it cannot be true.
func (b *books) hear(rt *rapid.T, m payments.Message) {
	switch m.Kind {
	case payments.KindCaptured:
		if b.ended != "" || m.Amount != b.amount || !b.capturedAt.IsZero() && !b.capturedAt.Equal(m.At) {
			rt.Fatalf("captured twice, too much or after it was %q: %+v, %+v", b.ended, m, b)
		}
		b.capturedAt = m.At
	case payments.KindReleased, payments.KindLapsed, payments.KindDeclined:
		if !b.capturedAt.IsZero() || b.ended != "" && b.ended != m.Kind {
			rt.Fatalf("%s after it was captured or %q: %+v", m.Kind, b.ended, b)
		}
		b.ended = m.Kind
	case payments.KindRefunded:
		if b.capturedAt.IsZero() && b.ended != "" || m.Amount > b.amount || m.Amount < b.refunded {
			rt.Fatalf("refunded %d: %+v", m.Amount, b)
		}
		b.refunded = m.Amount
	}
}

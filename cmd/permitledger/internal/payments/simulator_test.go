package payments_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/cmd/permitledger/internal/payments"
	"permitledger/domain/payment"
)

var start = time.Date(2026, time.April, 2, 16, 0, 0, 0, time.UTC) // Thursday before Easter, 17:00 in London

// after is an instant so long after the start.
func after(d time.Duration) time.Time { return start.Add(d) }

func open(t testing.TB, path string) *payments.Simulator {
	t.Helper()
	s, err := payments.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fresh(t testing.TB) *payments.Simulator {
	return open(t, filepath.Join(t.TempDir(), "payments.db"))
}

func charge(reference string, mode payment.Mode) payments.Charge {
	return payments.Charge{Reference: reference, Account: "anna", Mode: mode, Amount: 5500, At: start}
}

func request(t testing.TB, s *payments.Simulator, c payments.Charge) []payments.Message {
	t.Helper()
	messages, err := s.Request(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// brief is what of a message tables compare.
type brief struct {
	Kind payments.Kind
	Code string
	At   time.Time
}

func briefs(messages []payments.Message) []brief {
	var bs []brief
	for _, m := range messages {
		bs = append(bs, brief{m.Kind, m.Code, m.At})
	}
	return bs
}

func TestRequestGrants(t *testing.T) {
	for _, test := range []struct {
		mode payment.Mode
		want payments.Kind
		ends time.Time
	}{
		{payment.ModeHold, payments.KindAuthorised, time.Date(2026, time.April, 7, 16, 0, 0, 0, time.UTC)},
		{payment.ModeImmediate, payments.KindCaptured, time.Time{}},
		{payment.ModeAgreement, payments.KindCaptured, time.Time{}},
	} {
		t.Run(string(test.mode), func(t *testing.T) {
			s, c := fresh(t), charge("r-1", test.mode)
			got := request(t, s, c)
			want := []payments.Message{{Reference: "r-1", Kind: test.want, Amount: 5500, HoldEndsAt: test.ends, At: start}}
			if len(got) == 1 {
				want[0].ProviderID = got[0].ProviderID
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			c.At = after(time.Hour) // a retry has a later clock
			if diff := cmp.Diff(want, request(t, s, c)); diff != "" {
				t.Error("asked again:", diff)
			}
		})
	}
}

func TestRequestRefuses(t *testing.T) {
	s, c := fresh(t), charge("r-1", payment.ModeHold)
	request(t, s, c)
	for _, test := range []struct {
		name   string
		change func(*payments.Charge)
		want   error
	}{
		{"other amount", func(c *payments.Charge) { c.Amount++ }, payments.ErrOtherCharge},
		{"other account", func(c *payments.Charge) { c.Account = "ben" }, payments.ErrOtherCharge},
		{"other mode", func(c *payments.Charge) { c.Mode = payment.ModeImmediate }, payments.ErrOtherCharge},
		{"no amount", func(c *payments.Charge) { c.Amount = 0 }, payments.ErrBadAmount},
		{"no mode", func(c *payments.Charge) { c.Mode = "" }, payments.ErrUnknownMode},
	} {
		t.Run(test.name, func(t *testing.T) {
			other := c
			test.change(&other)
			if _, err := s.Request(t.Context(), other); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := s.Capture(t.Context(), "nobody", start); !errors.Is(err, payments.ErrUnknownPayment) {
		t.Errorf("capture of an unknown payment: %v", err)
	}
	if _, err := s.Refund(t.Context(), "nobody", 0, start); !errors.Is(err, payments.ErrBadAmount) {
		t.Errorf("refund of nothing: %v", err)
	}
}

// Every call in every state: what a real provider would refuse with 409 is
// answered by how the charge stands.
func TestCallsByState(t *testing.T) {
	const end = payments.HoldHours * time.Hour
	capture := func(d time.Duration) call { return call{"capture", d} }
	release := func(d time.Duration) call { return call{"release", d} }
	refund := func(d time.Duration) call { return call{"refund", d} }
	for _, test := range []struct {
		name string
		mode payment.Mode
		do   string
		call []call
		want brief // the answer to the last call
	}{
		{"capture", payment.ModeHold, "", []call{capture(time.Hour)}, brief{payments.KindCaptured, "", after(time.Hour)}},
		{"capture in the last moment", payment.ModeHold, "", []call{capture(end - time.Microsecond)}, brief{payments.KindCaptured, "", after(end - time.Microsecond)}},
		{"capture at the end", payment.ModeHold, "", []call{capture(end)}, brief{payments.KindLapsed, payments.CodeLapsed, after(end)}},
		{"capture after a lapse that was not asked for", payment.ModeHold, "lapse", []call{capture(0)}, brief{payments.KindLapsed, payments.CodeLapsed, start}},
		{"capture twice", payment.ModeHold, "", []call{capture(time.Hour), capture(2 * time.Hour)}, brief{payments.KindCaptured, "", after(time.Hour)}},
		{"capture twice, again after the end", payment.ModeHold, "", []call{capture(time.Hour), capture(2 * end)}, brief{payments.KindCaptured, "", after(time.Hour)}},
		{"capture after release", payment.ModeHold, "", []call{release(time.Hour), capture(2 * time.Hour)}, brief{payments.KindReleased, payments.CodeNotCapturable, after(time.Hour)}},
		{"capture of a declined charge", payment.ModeHold, "decline", []call{capture(time.Hour)}, brief{payments.KindDeclined, payments.CodeDeclined, start}},
		{"capture while awaited", payment.ModeHold, "late", []call{capture(time.Minute)}, brief{payments.KindAwaited, payments.CodeNotCapturable, start}},
		{"capture once decided", payment.ModeHold, "late", []call{capture(time.Hour)}, brief{payments.KindCaptured, "", after(time.Hour)}},
		{"capture after a refund", payment.ModeImmediate, "", []call{refund(time.Hour), capture(2 * time.Hour)}, brief{payments.KindRefunded, "", after(time.Hour)}},
		{"release", payment.ModeHold, "", []call{release(time.Hour)}, brief{payments.KindReleased, "", after(time.Hour)}},
		{"release twice", payment.ModeHold, "", []call{release(time.Hour), release(end)}, brief{payments.KindReleased, "", after(time.Hour)}},
		{"release after capture", payment.ModeHold, "", []call{capture(time.Hour), release(2 * time.Hour)}, brief{payments.KindCaptured, payments.CodeNotReleasable, after(time.Hour)}},
		{"release after the end", payment.ModeHold, "", []call{release(end)}, brief{payments.KindLapsed, payments.CodeLapsed, after(end)}},
		{"release while awaited", payment.ModeHold, "late", []call{release(time.Minute)}, brief{payments.KindReleased, "", after(time.Minute)}},
		{"release of what was taken at once", payment.ModeAgreement, "", []call{release(time.Minute)}, brief{payments.KindCaptured, payments.CodeNotReleasable, start}},
		{"refund", payment.ModeImmediate, "", []call{refund(time.Hour)}, brief{payments.KindRefunded, "", after(time.Hour)}},
		{"refund twice", payment.ModeImmediate, "", []call{refund(time.Hour), refund(2 * time.Hour)}, brief{payments.KindRefunded, "", after(time.Hour)}},
		{"refund of a hold", payment.ModeHold, "", []call{refund(time.Hour)}, brief{payments.KindAuthorised, payments.CodeNotRefundable, start}},
		{"refund of a captured hold", payment.ModeHold, "", []call{capture(time.Hour), refund(2 * time.Hour)}, brief{payments.KindRefunded, "", after(2 * time.Hour)}},
		{"refund of a lapsed hold", payment.ModeHold, "", []call{refund(end)}, brief{payments.KindLapsed, payments.CodeLapsed, after(end)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fresh(t)
			if test.do != "" {
				instruct(t, s, "c-1", test.do)
			}
			id := request(t, s, charge("r-1", test.mode))[0].ProviderID
			var got []payments.Message
			for _, c := range test.call {
				got = c.make(t, s, id)
			}
			if diff := cmp.Diff([]brief{test.want}, briefs(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// call is a call of a table, so long after the start.
type call struct {
	name string
	at   time.Duration
}

func (c call) make(t testing.TB, s *payments.Simulator, id string) []payments.Message {
	t.Helper()
	var got []payments.Message
	var err error
	switch c.name {
	case "capture":
		got, err = s.Capture(t.Context(), id, after(c.at))
	case "release":
		got, err = s.Release(t.Context(), id, after(c.at))
	case "refund":
		got, err = s.Refund(t.Context(), id, 5500, after(c.at))
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A refund names the total that shall have gone back.
func TestRefundIsATotal(t *testing.T) {
	s := fresh(t)
	id := request(t, s, charge("r-1", payment.ModeImmediate))[0].ProviderID
	for _, step := range []struct {
		amount, want int64
		kind         payments.Kind
		code         string
	}{
		{5501, 5500, payments.KindCaptured, payments.CodeNotRefundable},
		{1291, 1291, payments.KindRefunded, ""},
		{1291, 1291, payments.KindRefunded, ""},
		{1000, 1291, payments.KindRefunded, ""},
		{5500, 5500, payments.KindRefunded, ""},
		{5501, 5500, payments.KindRefunded, payments.CodeNotRefundable},
	} {
		got, err := s.Refund(t.Context(), id, pence(step.amount), after(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Amount != pence(step.want) || got[0].Kind != step.kind || got[0].Code != step.code {
			t.Errorf("refund of %d: %+v", step.amount, got)
		}
	}
}

func TestConcurrentRequestsAreOneCharge(t *testing.T) {
	s := fresh(t)
	instruct(t, s, "c-1", "decline", "lapse") // the second one must not be used up
	const callers = 16
	answers := make([][]payments.Message, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			got, err := s.Request(context.Background(), charge("r-1", payment.ModeHold))
			if err != nil {
				t.Error(err)
			}
			answers[i] = got
		})
	}
	wg.Wait()
	for _, got := range answers {
		if diff := cmp.Diff([]brief{{payments.KindDeclined, payments.CodeDeclined, start}}, briefs(got)); diff != "" {
			t.Error(diff)
		}
	}
	want := []brief{{payments.KindAuthorised, "", start}, {payments.KindLapsed, payments.CodeLapsed, start}}
	if diff := cmp.Diff(want, briefs(request(t, s, charge("r-2", payment.ModeHold)))); diff != "" {
		t.Error(diff)
	}
}

// A copy of the files as they lie, without Close, is what kill -9 leaves.
func TestSurvivesBeingKilled(t *testing.T) {
	dir, left := t.TempDir(), t.TempDir()
	s := open(t, filepath.Join(dir, "pay ments?#.db"))
	instruct(t, s, "c-1", "late", "decline")
	late := request(t, s, charge("r-1", payment.ModeHold))
	held := charge("r-2", payment.ModeHold)
	held.Account = "ben"
	id := request(t, s, held)[0].ProviderID
	captured, err := s.Capture(t.Context(), id, after(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}

	s = open(t, filepath.Join(left, "pay ments?#.db"))
	if diff := cmp.Diff(late, request(t, s, charge("r-1", payment.ModeHold))); diff != "" {
		t.Error(diff)
	}
	again, err := s.Capture(t.Context(), id, after(2*time.Hour))
	if diff := cmp.Diff(captured, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	instruct(t, s, "c-1", "late", "decline") // the same command
	if got := request(t, s, charge("r-3", payment.ModeHold)); got[0].Kind != payments.KindDeclined {
		t.Errorf("the queue lost its place: %+v", got)
	}
	if got := request(t, s, charge("r-4", payment.ModeHold)); got[0].Kind != payments.KindAuthorised {
		t.Errorf("the repeated command was queued again: %+v", got)
	}
	if due, ok, err := s.NextDue(t.Context()); !ok || err != nil || !due.Equal(after(time.Hour)) {
		t.Errorf("next due: %v %v %v", due, ok, err)
	}
}

func TestFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "payments.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	request(t, open(t, path), charge("r-1", payment.ModeHold))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 2 {
		t.Errorf("no write-ahead log beside the file: %v", entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "payments.db")
	if err := os.WriteFile(path, []byte("this is a letter and not a database, however long it may be"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := payments.Open(path); err == nil {
		t.Errorf("opened a letter: %v", s.Close())
	}
	if _, err := payments.Open(filepath.Join(path, "below")); err == nil {
		t.Error("opened a file below a file")
	}
}

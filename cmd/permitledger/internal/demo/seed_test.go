package demo_test

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/permit"
)

func TestStartIsNeverBeforeTheFirstTariff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ until, start string }{
		{"2026-10-05T08:00:00Z", "2024-10-01T05:00:00Z"},
		{"2026-11-30T23:30:00Z", "2024-11-01T06:00:00Z"},
		{"2025-06-01T00:00:00Z", "2024-04-01T05:00:00Z"},
		{"2024-05-01T00:00:00Z", "2024-04-01T05:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.until)
		must(t, err)
		if got := demo.Start(at).Format(time.RFC3339); got != c.start {
			t.Errorf("a history until %s begins at %s, not %s", c.until, got, c.start)
		}
	}
}

func TestWhatCannotBeToldIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, until)
	for _, c := range []struct {
		permits int
		until   time.Time
		want    error
	}{
		{10, time.Date(2025, 5, 31, 0, 0, 0, 0, time.UTC), demo.ErrTooEarly},
		{-1, until, demo.ErrTooFew},
		{1200, until, demo.ErrTooMany},
	} {
		cfg := o.config(c.permits, 1)
		cfg.Until = c.until
		if _, err := demo.Seed(t.Context(), cfg); !errors.Is(err, c.want) {
			t.Errorf("%d permits until %s: %v, not %v", c.permits, c.until, err, c.want)
		}
	}
	if head, err := o.Ledger.Store().Head(t.Context()); err != nil || head > o.published {
		t.Errorf("something was told: %d, %v", head, err)
	}
}

// TestSmallHistoriesWithoutInstructions also sees what is left when the
// provider cannot be told what to do, and that progress comes to its end.
func TestSmallHistoriesWithoutInstructions(t *testing.T) {
	t.Parallel()
	for _, permits := range []int{0, 2, 30} {
		o := newOffice(t, until)
		cfg := o.config(permits, 5)
		cfg.Instruct = nil
		done, total := 0, 0
		cfg.Progress = func(d, all int) {
			if d <= done || d > all {
				t.Errorf("progress went from %d to %d of %d", done, d, all)
			}
			done, total = d, all
		}
		sum, err := demo.Seed(t.Context(), cfg)
		must(t, err)
		if sum.Permits != permits || done != total {
			t.Errorf("%d permits were told instead of %d, %d of %d steps", sum.Permits, permits, done, total)
		}
	}
}

// TestAnUnplannedRefusalNamesItsStep lets time go on further than was asked
// for, so that a hold has lapsed when its application is to be approved.
func TestAnUnplannedRefusalNamesItsStep(t *testing.T) {
	t.Parallel()
	o := newOffice(t, until)
	cfg := o.config(10, 1)
	cfg.Walk = func(ctx context.Context, to time.Time) error { return o.keeper.walk(ctx, to.AddDate(0, 0, 40)) }
	_, err := demo.Seed(t.Context(), cfg)
	var refused *domain.Refusal
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "step 1 (approve)") {
		t.Errorf("the error is %v", err)
	}
}

func TestAWalkThatFailsEndsTheHistory(t *testing.T) {
	t.Parallel()
	o := newOffice(t, until)
	cfg, broken := o.config(10, 1), errors.New("no way on")
	cfg.Walk = func(context.Context, time.Time) error { return broken }
	if _, err := demo.Seed(t.Context(), cfg); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}

func TestPapersOpenAndExamplesAreThere(t *testing.T) {
	t.Parallel()
	o := newOffice(t, until)
	sum, err := demo.Seed(t.Context(), o.config(130, 2))
	must(t, err)
	seen := map[string]bool{}
	for _, e := range o.events(t) {
		doc, ok := e.Body.(account.DocumentUploaded)
		if !ok {
			continue
		}
		if seen[doc.SHA256] {
			t.Errorf("the paper %s came twice", doc.SHA256)
		}
		seen[doc.SHA256] = true
		body, err := o.Documents.Get(domain.AccountID(strings.TrimPrefix(e.Stream, "account-")), doc.SHA256)
		must(t, err)
		switch doc.MediaType {
		case "image/png":
			_, err = png.Decode(bytes.NewReader(body))
		case "image/jpeg":
			_, err = jpeg.Decode(bytes.NewReader(body))
		case "application/pdf":
			if !bytes.HasPrefix(body, []byte("%PDF-1.4\n")) || !bytes.HasSuffix(body, []byte("%%EOF\n")) {
				err = errors.New("no page")
			}
		default:
			err = errors.New("of no known type")
		}
		if err != nil {
			t.Errorf("a paper of the type %s: %v", doc.MediaType, err)
		}
	}
	for shows, state := range map[string]permit.Status{
		"a permit like most":                    permit.StatusActive,
		"in the queue: free":                    permit.StatusPending,
		"ended with its last day":               permit.StatusExpired,
		"rejected: name-mismatch":               permit.StatusRejected,
		"withdrawn by the council, with notice": permit.StatusCancelled,
		"never paid for":                        permit.StatusCancelled,
		"begins in some weeks":                  permit.StatusUpcoming,
		"a bill too old, then one in date":      permit.StatusActive,
	} {
		e, ok := sum.Example(shows)
		if !ok || e.State != state || e.Reference != e.Permit.Reference() {
			t.Errorf("the example %q is %v", shows, e)
		}
	}
}

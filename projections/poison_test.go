package projections_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// forgetful keeps names until they are erased.
type forgetful struct{ tally }

func (m forgetful) Schema() (int, string) {
	return 1, `CREATE TABLE names (stream TEXT PRIMARY KEY, name TEXT)`
}

func (m forgetful) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) (err error) {
	switch b := e.Body.(type) {
	case account.AccountOpened:
		_, err = tx.ExecContext(ctx, `INSERT INTO names VALUES (?, ?)`, e.Stream, b.Personal.Value.Name)
	case account.AccountErased:
		_, err = tx.ExecContext(ctx, `UPDATE names SET name = NULL WHERE stream = ?`, e.Stream)
	}
	return err
}

func TestGarbageStopsOnlyWhoFollowsIt(t *testing.T) {
	log := startLog(t)
	uploads(t, log, 3)
	log.Garbage(t, "account-9", account.TypeDocumentUploaded)
	last := log.Append(t, ledger.DemoStream, "", time.Time{}, ledger.ClockMoved{}).Position

	other := newTally("other")
	other.follows = []string{"ledger-"}
	var out bytes.Buffer
	reg := prometheus.NewRegistry()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := projectiontest.Run(t, projections.Config{
		Ledger: log.Ledger, Logger: slog.New(slog.NewTextHandler(&out, nil)), Now: func() time.Time { return since }, Registerer: reg,
	}, newTally("tally"), other)

	s := projectiontest.WaitState(t, r.Projection("tally"), projections.Stopped)
	if s.Ledger != 3 || s.Error == nil || s.Error.Ledger != 4 || s.Error.Type != account.TypeDocumentUploaded ||
		s.Error.Stream != "account-9" || s.Error.EventID == "" || !s.Error.Since.Equal(since) || s.Error.Err == nil {
		t.Errorf("%+v, %+v", s, s.Error)
	}
	if told := gather(t, reg); told["permitledger_projection_stopped_since_seconds"] != float64(since.Unix()) {
		t.Errorf("metrics: %v", told)
	}
	if n := count(t, r.Projection("tally"), `SELECT count(*) FROM seen`); n != 3 {
		t.Errorf("kept %d events before the garbage, want 3", n)
	}
	if err := r.Projection("tally").WaitFor(projectiontest.Soon(t), last); !errors.Is(err, projections.ErrStopped) {
		t.Errorf("waiting for a stopped model: %v", err)
	}

	p := r.Projection("other")
	if err := p.WaitFor(projectiontest.Soon(t), last); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Ledger != 5 || s.Error != nil {
		t.Errorf("the other model: %+v", s)
	}
	projectiontest.WaitState(t, p, projections.Running)
	if !r.Ready() || !slices.Equal(r.Degraded(), []string{"tally"}) {
		t.Errorf("ready %v, degraded %v", r.Ready(), r.Degraded())
	}
	r.Stop(t)
	if !strings.Contains(out.String(), "read model stopped") {
		t.Errorf("log: %s", &out)
	}
}

func TestRejectedEventStopsAndIsTriedAgain(t *testing.T) {
	for _, how := range []string{"error", "panic"} {
		t.Run(how, func(t *testing.T) {
			log := startLog(t)
			uploads(t, log, 7)
			log.Append(t, ledger.DemoStream, "", time.Time{}, ledger.ClockMoved{})
			last := uploads(t, log, 2)
			m := newTally("tally")
			if m.reject = ledger.TypeClockMoved; how == "panic" {
				m.reject, m.panics = "", ledger.TypeClockMoved
			}
			dir := t.TempDir()
			r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, m, newTally("other"))
			s := projectiontest.WaitState(t, r.Projection("tally"), projections.Stopped)
			if s.Ledger != 7 || s.Error.Ledger != 8 {
				t.Errorf("%+v, %+v", s, s.Error)
			}
			// Nothing of the rejected event is kept, all before it is.
			if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 7 {
				t.Errorf("%d events, want 7", n)
			}
			if err := r.Projection("other").WaitFor(projectiontest.Soon(t), last); err != nil {
				t.Error(err)
			}
			r.Stop(t)

			r = projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
			r.Wait(t, last)
			if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 10 {
				t.Errorf("mended: %d events, want 10", n)
			}
		})
	}
}

func TestAnotherSchemaIsMadeAgain(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	last := uploads(t, log, 4)
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
	r.Wait(t, last)
	r.Stop(t)

	var out bytes.Buffer
	m := newTally("tally")
	m.version = 2
	r = projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger, Logger: slog.New(slog.NewTextHandler(&out, nil))}, m)
	r.Wait(t, last)
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	r.Stop(t)
	if !strings.Contains(out.String(), "another schema") {
		t.Errorf("log: %s", &out)
	}
}

func TestAnotherLogIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	first, second := startLog(t), startLog(t)
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: first.Ledger}, newTally("tally"))
	r.Wait(t, uploads(t, first, 9))
	r.Stop(t)

	var out bytes.Buffer
	last := uploads(t, second, 6)
	r = projectiontest.Run(t, projections.Config{Dir: dir, Ledger: second.Ledger, Logger: slog.New(slog.NewTextHandler(&out, nil))}, newTally("tally"))
	s := projectiontest.WaitState(t, r.Projection("tally"), projections.Running)
	if s.Ledger != 6 || s.Position != last {
		t.Errorf("%+v", s)
	}
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
	r.Stop(t)
	if !strings.Contains(out.String(), "not in this log") {
		t.Errorf("log: %s", &out)
	}
}

func TestADamagedFileIsMadeAgain(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	last := uploads(t, log, 5)
	for _, damage := range []func([]byte) []byte{
		func([]byte) []byte { return []byte("this is no database at all, however long one looks at it") },
		func(data []byte) []byte { return data[:0] },
		func(data []byte) []byte { // the rows are gone and the header is not
			for i := 100; i < len(data); i++ {
				data[i] = 0xff
			}
			return data
		},
	} {
		r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
		r.Wait(t, last)
		if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 5 {
			t.Errorf("%d events, want 5", n)
		}
		r.Stop(t)
		names, err := filepath.Glob(filepath.Join(dir, "tally.*.db"))
		if err != nil || len(names) != 1 {
			t.Fatalf("files %v, %v", names, err)
		}
		data, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(names[0], damage(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
	r.Wait(t, last)
}

// failing meets a full disk, so to speak, a number of times.
type failing struct {
	tally
	left *int // touched only by the goroutine that applies
}

func (m failing) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) error {
	if e.Ledger == 3 && *m.left > 0 {
		*m.left--
		return fmt.Errorf("writing: %w", sql.ErrConnDone)
	}
	return m.tally.Apply(ctx, tx, e)
}

func TestTroubleIsTriedAgain(t *testing.T) {
	log := startLog(t)
	last := uploads(t, log, 5)
	left := 2
	var out bytes.Buffer
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger, Logger: slog.New(slog.NewTextHandler(&out, nil))}, failing{newTally("tally"), &left})
	r.Wait(t, last)
	s := projectiontest.WaitState(t, r.Projection("tally"), projections.Running)
	if s.Trouble != "" || s.Error != nil || len(r.Degraded()) != 0 {
		t.Errorf("%+v", s)
	}
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 5 {
		t.Errorf("%d events, want 5", n)
	}
	r.Stop(t)
	if strings.Count(out.String(), "in trouble") != 1 {
		t.Errorf("log: %s", &out)
	}
}

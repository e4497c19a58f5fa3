package projections_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"permitledger/domain/ledger"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// rebuild makes a model again and waits for it.
func rebuild(t testing.TB, p *projections.Projection) {
	t.Helper()
	r, err := p.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.Done():
	case <-projectiontest.Soon(t).Done():
		t.Fatalf("%s is never rebuilt: %+v", p.Name(), p.Status())
	}
	if _, err, _ := r.Outcome(); err != nil {
		t.Fatalf("rebuilding %s: %v", p.Name(), err)
	}
}

func verify(t testing.TB, p *projections.Projection) projections.Verification {
	t.Helper()
	v, err := p.Verify(projectiontest.Soon(t), false)
	if err != nil {
		t.Fatalf("verifying %s: %v", p.Name(), err)
	}
	return v
}

// clean fails the test when a model is not as the log makes it.
func clean(t testing.TB, p *projections.Projection) {
	t.Helper()
	if v := verify(t, p); v.Differing != 0 || v.Rows == 0 || v.Ledger == 0 {
		t.Errorf("%s: %+v", p.Name(), v)
	}
}

// files lists the names of the files of a model.
func files(t testing.TB, dir, model string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, model+".*.db"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Events keep coming and readers keep reading while every model is made again:
// no reader ever meets a gap, and nothing is missing or there twice.
func TestEveryModelRebuiltWhileEventsKeepComing(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 5)
	dir := t.TempDir()
	live := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, models()...)
	for range 40 {
		town.Step()
	}
	live.Wait(t, town.Last)

	ctx, stop := context.WithCancel(t.Context())
	read := make(chan error, len(models()))
	for _, p := range live.Projections() {
		go func() { read <- neverBack(ctx, p) }()
	}
	rebuilt := make(chan struct{})
	go func() {
		defer close(rebuilt)
		for _, p := range live.Projections() {
			rebuild(t, p)
		}
	}()
	for writing := true; writing; {
		select {
		case <-rebuilt:
			writing = false
		default:
			town.Step()
		}
	}
	live.Wait(t, town.Last)
	stop()
	for range live.Projections() {
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
	compare(t, "rebuilt while it was written", live.Dumps(t), projectiontest.Build(t, log.Ledger, models()...))
	for _, p := range live.Projections() {
		clean(t, p)
		if names := files(t, dir, p.Name()); len(names) != 1 {
			t.Errorf("%s has the files %v", p.Name(), names)
		}
	}
}

// neverBack reads a model until ctx ends: what it reads never falls behind what
// it read before, and its rows are always there.
func neverBack(ctx context.Context, p *projections.Projection) error {
	var seen uint64
	for ctx.Err() == nil {
		err := p.View(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
			mark, err := projections.MarkOf(ctx, tx)
			if ctx.Err() != nil {
				return nil
			}
			if err == nil && mark.Ledger < seen {
				err = errors.New(p.Name() + " went back")
			}
			seen = mark.Ledger
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tamper changes the live file of a model by hand, as sqlite3 would.
func tamper(t testing.TB, dir, model, statement string) {
	t.Helper()
	names := files(t, dir, model)
	if len(names) != 1 {
		t.Fatalf("%s has the files %v", model, names)
	}
	db, err := sql.Open("sqlite", names[0]+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	done, err := db.ExecContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%s changes %d rows (%v)", statement, n, err)
	}
}

// target is a table of a model that a test changes by hand.
type target struct{ table, key, column string }

// row is the condition that one row of the table meets.
func (g target) row() string {
	return ` WHERE (` + g.key + `) = (SELECT ` + g.key + ` FROM "` + g.table + `" ORDER BY 1 LIMIT 1)`
}

// targets lists the tables of a model that have rows, with their key and, where
// there is one, a column that is not part of it.
func targets(t testing.TB, p *projections.Projection) (all []target) {
	t.Helper()
	err := p.View(t.Context(), func(tx *sql.Tx) error {
		return projections.Each(t.Context(), tx, func(scan func(...any) error) error {
			var g target
			err := scan(&g.table, &g.key, &g.column)
			all = append(all, g)
			return err
		}, `SELECT t.name, (SELECT group_concat(name, ', ') FROM pragma_table_info(t.name) WHERE pk > 0),
				coalesce((SELECT name FROM pragma_table_info(t.name) WHERE pk = 0 AND type IN ('TEXT', 'INTEGER') ORDER BY cid LIMIT 1), '')
			FROM pragma_table_list t
			WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name <> 'projection'`)
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%s has the tables %v (%v)", p.Name(), all, err)
	}
	return slices.DeleteFunc(all, func(g target) bool { return count(t, p, `SELECT count(*) FROM "`+g.table+`"`) == 0 })
}

// In every table of every model a row that was changed or taken out by hand is
// found and named, and a rebuild puts it right.
func TestEveryModelIsVerified(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 6)
	dir := t.TempDir()
	live := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, models()...)
	for range 60 {
		town.Step()
	}
	live.Wait(t, town.Last)
	for _, p := range live.Projections() {
		clean(t, p)
		for _, g := range targets(t, p) {
			what := p.Name() + "." + g.table
			if g.column != "" {
				verifyChanged(t, dir, p, g)
				rebuild(t, p)
				clean(t, p)
			}
			tamper(t, dir, p.Name(), `DELETE FROM "`+g.table+`"`+g.row())
			if v := verify(t, p); v.Differing != 1 || v.Differences[0].Kind != projections.RowMissing || v.Differences[0].Table != g.table {
				t.Errorf("%s lost a row: %+v", what, v)
			}
			rebuild(t, p)
		}
		clean(t, p)
	}
}

func verifyChanged(t *testing.T, dir string, p *projections.Projection, g target) {
	t.Helper()
	what := p.Name() + "." + g.table
	tamper(t, dir, p.Name(), `UPDATE "`+g.table+`" SET "`+g.column+`" = 4711`+g.row())
	v := verify(t, p)
	if v.Differing != 1 || len(v.Differences) != 1 {
		t.Fatalf("%s changed by hand: %+v", what, v)
	}
	d := v.Differences[0]
	if d.Table != g.table || d.Kind != projections.RowChanged || len(d.Key) == 0 || len(d.Columns) != 1 || d.Columns[0].Column != g.column ||
		d.Columns[0].Live != nil || d.Columns[0].Rebuilt != nil {
		t.Errorf("%s changed by hand: %+v", what, d)
	}
	told, err := p.Verify(projectiontest.Soon(t), true)
	if err != nil || told.Differences[0].Columns[0].Live == nil || *told.Differences[0].Columns[0].Live != "4711" {
		t.Errorf("%s, asked for the values: %+v, %v", what, told, err)
	}
}

func TestVerifyFindsWhatStandsThereTooMuch(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
	r.Wait(t, uploads(t, log, 20))
	p := r.Projection("tally")
	tamper(t, dir, "tally", `INSERT INTO seen VALUES (7000, 1, 'account-x', 'Invented', 0)`)
	v := verify(t, p)
	want := []projections.KeyPart{{Column: "ledger", Value: "7000"}}
	if v.Differing != 1 || v.Differences[0].Kind != projections.RowUnexpected || !slices.Equal(v.Differences[0].Key, want) {
		t.Errorf("%+v", v)
	}
	if names := files(t, dir, "tally"); len(names) != 1 {
		t.Errorf("a scratch file is left: %v", names)
	}
}

// A rebuild that is cut off anywhere leaves the live file, and the next start
// clears away what there is of the new one.
func TestRebuildCutOffLeavesTheOldOne(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	last := uploads(t, log, 50)
	cfg := projections.Config{Dir: dir, Ledger: log.Ledger}
	meets, goOn := make(chan struct{}), make(chan struct{})
	// The live file has 50 events; the 30th event of the rebuild is the 80th call.
	m := &projectiontest.Cut{Model: newTally("tally"), N: 80, Then: func() { close(meets); <-goOn }}
	r := projectiontest.Run(t, cfg, m)
	r.Wait(t, last)
	begun, err := r.Projection("tally").Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	<-meets
	if again, err := r.Projection("tally").Rebuild(); err != nil || again != begun {
		t.Errorf("a second rebuild does not join the first: %v", err)
	}
	// As a kill would leave them: the files as they are now.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 50 {
		t.Errorf("while it is rebuilt the live file has %d events", n)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.Stop(t) }()
	close(goOn)
	<-stopped
	if _, _, over := begun.Outcome(); !over {
		t.Error("a rebuild outlives Run")
	}
	if len(files(t, copied, "tally")) != 2 {
		t.Fatalf("amid a rebuild there are %v", files(t, copied, "tally"))
	}
	cfg.Dir = copied
	r = projectiontest.Run(t, cfg, newTally("tally"))
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 50 {
		t.Errorf("after a kill the live file has %d events", n)
	}
	if names := files(t, copied, "tally"); len(names) != 1 || !strings.HasSuffix(names[0], "tally.1.db") {
		t.Errorf("after the next start there are %v", names)
	}
	projectiontest.WaitState(t, r.Projection("tally"), projections.Running)
	rebuild(t, r.Projection("tally"))
	clean(t, r.Projection("tally"))
}

// A model that stopped because its rows were changed under it goes on after a
// rebuild; one that cannot fold an event does not, and says which.
func TestRebuildOfAStoppedModel(t *testing.T) {
	log := startLog(t)
	dir := t.TempDir()
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, newTally("tally"))
	r.Wait(t, uploads(t, log, 5))
	p := r.Projection("tally")
	tamper(t, dir, "tally", `INSERT INTO seen VALUES (6, 1, 'in the way', '', 0)`)
	last := uploads(t, log, 2)
	if s := projectiontest.WaitState(t, p, projections.Stopped); s.Error.Ledger != 6 {
		t.Fatalf("%+v", s.Error)
	}
	if v := verify(t, p); v.Ledger != 5 || v.Differing != 1 {
		t.Errorf("verified while stopped: %+v", v)
	}
	rebuild(t, p)
	r.Wait(t, last)
	if s := projectiontest.WaitState(t, p, projections.Running); s.Error != nil || len(r.Degraded()) != 0 {
		t.Errorf("%+v", s)
	}
	clean(t, p)

	log.Garbage(t, "account-9", "DocumentUploaded")
	projectiontest.WaitState(t, p, projections.Stopped)
	again, err := p.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	<-again.Done()
	var poison *projections.Poison
	if _, err, _ := again.Outcome(); !errors.As(err, &poison) || poison.Ledger != 8 {
		t.Errorf("rebuilding over garbage: %v", err)
	}
	if s := p.Status(); s.State != projections.Stopped || s.Ledger != 7 || s.Rebuild != again {
		t.Errorf("%+v", s)
	}
	if names := files(t, dir, "tally"); len(names) != 1 {
		t.Errorf("files %v", names)
	}
}

func TestNothingIsRebuiltWithoutRun(t *testing.T) {
	log := startLog(t)
	log.Append(t, ledger.DemoStream, "", time.Time{}, ledger.ClockMoved{})
	r, err := projections.Open(t.Context(), projections.Config{Ledger: log.Ledger}, newTally("tally"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Projection("tally").Rebuild(); !errors.Is(err, projections.ErrNotRunning) {
		t.Error(err)
	}
	if _, err := r.Projection("tally").Verify(t.Context(), false); !errors.Is(err, projections.ErrNotRunning) {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

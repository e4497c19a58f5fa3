package projections_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"permitledger/eventstore"
	"permitledger/projections"
	"permitledger/projections/projectiontest"
)

// gate holds the read models until it is opened.
type gate struct {
	store *eventstore.Store
	asked chan struct{} // gets a value when somebody waits
	open  chan struct{}
	err   error
}

func (g *gate) Pass(ctx context.Context) (eventstore.SessionID, error) {
	select {
	case g.asked <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := g.store.Await(ctx); err != nil {
		return 0, err
	}
	on, _ := g.store.Session()
	return on, nil
}

func (g *gate) Refusal() error { return g.err }

func TestGateHoldsModelsOfAnotherLogAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	first, second := startLog(t), startLog(t)
	r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: first.Ledger}, newTally("tally"))
	r.Wait(t, uploads(t, first, 9))
	r.Stop(t)
	uploads(t, second, 6)

	left, err := projections.Marks(t.Context(), dir)
	if err != nil || len(left) != 1 || left[0].Mark.Ledger != 9 || left[0].Model != "tally" || left[0].Schema != 1 {
		t.Fatalf("the folder has %+v, %v", left, err)
	}
	g := &gate{store: second.Store(), asked: make(chan struct{}, 1), open: make(chan struct{}), err: errors.New("held")}
	r = projectiontest.Run(t, projections.Config{Dir: dir, Ledger: second.Ledger, Gate: g}, newTally("tally"))
	<-g.asked
	p := r.Projection("tally")
	if s := p.Status(); s.Ledger != 9 || p.Mark() != left[0].Mark {
		t.Errorf("the held model is %+v", s)
	}
	if _, err := p.Rebuild(); !errors.Is(err, g.err) {
		t.Errorf("a rebuild of a held model: %v", err)
	}
	if _, err := p.Verify(t.Context(), false); !errors.Is(err, g.err) {
		t.Errorf("a verification of a held model: %v", err)
	}
	close(g.open)
	if s := projectiontest.WaitState(t, p, projections.Running); s.Ledger != 6 {
		t.Errorf("after the gate was passed: %+v", s)
	}
}

func TestGateIsAskedAboutEachSession(t *testing.T) {
	log := startLog(t)
	g := &gate{store: log.Store(), asked: make(chan struct{}, 1), open: make(chan struct{})}
	close(g.open)
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger, Gate: g}, newTally("tally"))
	r.Wait(t, uploads(t, log, 3))
	<-g.asked
	log.Store().Renew()
	<-g.asked
	r.Wait(t, uploads(t, log, 3))
	if n := count(t, r.Projection("tally"), `SELECT n FROM total`); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

func TestMarksSkipsFilesWithoutMark(t *testing.T) {
	dir := t.TempDir()
	if left, err := projections.Marks(t.Context(), filepath.Join(dir, "none")); err != nil || len(left) > 0 {
		t.Errorf("no folder: %v, %v", left, err)
	}
	for name, content := range map[string]string{"tally.1.db": "no database", "tally.2.db": "", "other.txt": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := projections.Marks(t.Context(), dir); err != nil || len(left) > 0 {
		t.Errorf("files that are no read models: %v, %v", left, err)
	}
}

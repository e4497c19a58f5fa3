package projections_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"testing"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/projections"
	"permitledger/projections/access"
	"permitledger/projections/accounts"
	"permitledger/projections/audit"
	"permitledger/projections/due"
	"permitledger/projections/projectiontest"
	"permitledger/projections/reviews"
	"permitledger/projections/search"
	"permitledger/projections/streams"
)

func hash(subject string) string {
	mac := hmac.New(sha256.New, []byte("pepper"))
	mac.Write([]byte(subject))
	return hex.EncodeToString(mac.Sum(nil))
}

// models is every read model there is: what is true of read models is tested
// on all of them.
func models() []projections.Model {
	return []projections.Model{accounts.New(hash), reviews.New(), due.New(), audit.New(), search.New(), access.New(), streams.New()}
}

func compare(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s, %s:\n%s\nwant:\n%s", name, what, got[name], want[name])
		}
	}
	if !maps.Equal(got, want) && !t.Failed() {
		t.Errorf("%s: not the same models", what)
	}
}

func TestEveryModelRebuiltIsEqual(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 1)
	live := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, models()...)
	for range 160 {
		town.Step()
	}
	live.Wait(t, town.Last)
	want := projectiontest.Build(t, log.Ledger, models()...)
	compare(t, "built twice", projectiontest.Build(t, log.Ledger, models()...), want)
	compare(t, "kept up to date while it was written", live.Dumps(t), want)
}

func TestEveryModelCutAnywhereIsEqual(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 2)
	for range 120 {
		town.Step()
	}
	want := projectiontest.Build(t, log.Ledger, models()...)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, m := range models() {
		dir := t.TempDir()
		for range 6 {
			projectiontest.CutOnce(t, log.Ledger, dir, 1+rng.Int64N(70), m)
		}
		r := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, m)
		r.Wait(t, town.Last)
		compare(t, "cut and resumed", r.Dumps(t), map[string]string{m.Name(): want[m.Name()]})
		r.Stop(t)
	}
}

func TestEveryModelForgetsAnErasedPerson(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 3)
	dir := t.TempDir()
	live := projectiontest.Run(t, projections.Config{Dir: dir, Ledger: log.Ledger}, models()...)
	for range 150 {
		town.Step()
	}
	live.Wait(t, town.Last)
	var gone []domain.AccountID
	for i, p := range town.People {
		if i%2 == 0 {
			town.Erase(p)
			gone = append(gone, p.ID)
		}
	}
	// What the ledger itself does afterwards goes on without anybody's words.
	for _, l := range town.Permits {
		town.Settle(l)
	}
	for range 20 {
		town.Step()
	}
	live.Wait(t, town.Last)
	compare(t, "erased while it ran", live.Dumps(t), projectiontest.Build(t, log.WithoutKey(gone...), models()...))
	for _, p := range live.Projections() {
		projectiontest.WaitForgotten(t, p)
	}
	live.Stop(t)
	for i, p := range town.People {
		if p.State.Erased && (onDisk(t, dir, p.Subject+`"`) || onDisk(t, dir, "Person Number "+p.Subject[len("subject-"):]+`"`)) {
			t.Errorf("something of person %d is still in the files", i)
		}
	}
}

func TestGarbageAnywhereLeavesTheOthersServing(t *testing.T) {
	log := startLog(t)
	town := projectiontest.NewTown(t, log, 4)
	for range 30 {
		town.Step()
	}
	log.Garbage(t, "notice-nobody", account.TypeAccountErased)
	for range 30 {
		town.Step()
	}
	r := projectiontest.Run(t, projections.Config{Ledger: log.Ledger}, models()...)
	if err := r.Projection(reviews.Name).WaitFor(projectiontest.Soon(t), town.Last); err != nil {
		t.Error(err)
	}
	for _, name := range []string{accounts.Name, due.Name, audit.Name} {
		if s := projectiontest.WaitState(t, r.Projection(name), projections.Stopped); s.Error.Stream != "notice-nobody" {
			t.Errorf("%s: %+v", name, s.Error)
		}
	}
}

package service_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
)

// on has a service use a folder.
func on(data string) func(*service.Config) {
	return func(cfg *service.Config) { cfg.Data = data }
}

func accepting(n int) func(*service.Config) {
	return func(cfg *service.Config) { cfg.AcceptLostKeys = n }
}

// during runs a service on a folder for as long as f takes.
func during(t *testing.T, data string, f func(*service.Service, client), change ...func(*service.Config)) {
	t.Helper()
	s := begun(t, append(change, on(data))...)
	f(s, newClient(t, s))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// replaceKeep puts a copy of a keep folder in the place of the present one.
func replaceKeep(t *testing.T, data, with string) {
	t.Helper()
	keep := filepath.Join(data, "keep")
	if err := errors.Join(os.RemoveAll(keep), os.CopyFS(keep, os.DirFS(with))); err != nil {
		t.Fatal(err)
	}
	if err := filepath.Walk(keep, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			err = os.Chmod(path, 0o600)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// refusedFor fails the test unless a start was refused for so many persons and
// documents, and the refusal says how to go on.
func refusedFor(t *testing.T, err error, persons, docs int) {
	t.Helper()
	lost, ok := errors.AsType[*service.LostKeysError](err)
	if !ok {
		t.Fatalf("the start was not refused for lost keys: %v", err)
	}
	if lost.Persons != persons || lost.Documents != docs || lost.Since == 0 || !strings.Contains(err.Error(), "--accept-lost-keys=") {
		t.Fatalf("refused with %+v, want %d persons and %d documents: %v", lost, persons, docs, err)
	}
}

// saysLost is the answer to a request about a person whose key is lost.
func saysLost(a answer) {
	a.t.Helper()
	a.want(503).is("code", "unavailable")
	if !strings.Contains(a.str("detail"), "lost") || a.header.Get("Retry-After") == "" {
		a.t.Errorf("the answer names no loss: %s", a.raw)
	}
}

func TestStartRefusesAKeepFolderThatIsOlderThanTheLog(t *testing.T) {
	data, stale := folder(t), filepath.Join(t.TempDir(), "keep")
	var alexs, sams, permit string
	during(t, data, func(_ *service.Service, c client) {
		alexs, _ = c.resident("alex")
	})
	if err := os.CopyFS(stale, os.DirFS(filepath.Join(data, "keep"))); err != nil {
		t.Fatal(err)
	}
	during(t, data, func(_ *service.Service, c client) {
		var evidence string
		sams, evidence = c.resident("sam")
		permit = c.as("sam").post("/accounts/"+sams+"/permits", application(evidence)).want(201).str("permitId")
	})
	replaceKeep(t, data, stale)

	for _, n := range []int{0, 1, 2, 4} {
		_, err := tryStart(t, on(data), accepting(n))
		refusedFor(t, err, 1, 2)
	}
	check := func(s *service.Service, c client) {
		c.as("olga").get("/accounts/"+alexs).want(200).is("name", "alex Example")
		for _, path := range []string{"/accounts/" + sams, "/accounts/" + sams + "/permits", "/permits/" + permit, "/permits/" + permit + "/history"} {
			saysLost(c.as("rita").get(path))
		}
		saysLost(c.as("sam").get("/accounts/" + sams))
		saysLost(c.as("olga").post("/accounts/"+sams+"/change-details", `{"name":"Sam Again"}`))
		saysLost(c.as("rita").post("/permits/"+permit+"/approve", approval))
		if err := s.CatchUp(t.Context()); err != nil {
			t.Error(err)
		}
		ready := c.as("").get("/readyz").want(200).is("state", "degraded")
		if !strings.Contains(string(ready.raw), "the keys of 1 person and 2 documents") {
			t.Errorf("/readyz: %s", ready.raw)
		}
	}
	during(t, data, check, accepting(3))
	during(t, data, check) // what was accepted once is noted
}

func TestStartIgnoresLostKeysOfErasedPersons(t *testing.T) {
	data, stale := folder(t), filepath.Join(t.TempDir(), "keep")
	during(t, data, func(_ *service.Service, c client) { c.resident("alex") })
	if err := os.CopyFS(stale, os.DirFS(filepath.Join(data, "keep"))); err != nil {
		t.Fatal(err)
	}
	var sams string
	during(t, data, func(s *service.Service, c client) {
		sams, _ = c.resident("sam")
		if err := service.AppendErased(t.Context(), s.Ledger, domain.AccountID(sams)); err != nil {
			t.Fatal(err)
		}
	})
	replaceKeep(t, data, stale)
	during(t, data, func(s *service.Service, c client) {
		if erased := c.as("olga").get("/accounts/" + sams).want(200).at("erased"); erased != true {
			t.Errorf("erased: %v", erased)
		}
		c.as("").get("/readyz").want(200).is("state", "ok")
	})
}

// An unnamed document is removed before the event that says so is written.
func TestStartAcceptsDocumentWhoseRemovalWasInterrupted(t *testing.T) {
	data := folder(t)
	var alexs, sum string
	during(t, data, func(_ *service.Service, c client) {
		alexs, _ = c.resident("alex")
		sum = c.as("alex").upload("/accounts/"+alexs+"/evidence", []byte("%PDF-1.7 unused")).want(201).str("sha256")
	})
	if err := os.Remove(filepath.Join(data, "keep", "documents", alexs, sum)); err != nil {
		t.Fatal(err)
	}
	during(t, data, func(_ *service.Service, c client) { // the machine's clock is long past the demonstration's
		c.as("").get("/readyz").want(200).is("state", "ok")
	})
}

func TestKeyThatTurnsOutUnknownLaterReadsAsLostAndIsNamed(t *testing.T) {
	data := folder(t)
	var sams, permit string
	during(t, data, func(_ *service.Service, c client) {
		var evidence string
		sams, evidence = c.resident("sam")
		permit = c.as("sam").post("/accounts/"+sams+"/permits", application(evidence)).want(201).str("permitId")
	})
	during(t, data, func(*service.Service, client) {}) // the mark is behind everything now
	keys, err := sql.Open("sqlite", filepath.Join(data, "keep", "keys.db"))
	if err == nil {
		_, err = keys.Exec(`DELETE FROM keys WHERE person = ?`, sams)
	}
	if err := errors.Join(err, keys.Close()); err != nil {
		t.Fatal(err)
	}
	during(t, data, func(s *service.Service, c client) {
		saysLost(c.as("rita").get("/permits/" + permit))
		saysLost(c.as("olga").post("/accounts/"+sams+"/change-details", `{"name":"Sam Again"}`))
		for _, p := range s.Runner.Projections() {
			if _, err := p.Rebuild(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CatchUp(t.Context()); err != nil {
			t.Error(err)
		}
		ready := c.as("").get("/readyz").want(200).is("state", "degraded")
		if !strings.Contains(string(ready.raw), "since this start: key ") {
			t.Errorf("/readyz: %s", ready.raw)
		}
	})
}

package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// typed runs the program to its end.
func typed(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, said strings.Builder
	cmd := exec.CommandContext(t.Context(), "permitledger", args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// byHand moves one permit into another zone, in the read model only, and gives
// its id.
func byHand(t *testing.T, data string) (permit string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "projections", "accounts.*.db"))
	if err != nil || len(names) != 1 {
		t.Fatalf("files %v (%v)", names, err)
	}
	db, err := sql.Open("sqlite", names[0]+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	row := db.QueryRowContext(t.Context(), `UPDATE permits SET zone = 'XX9' WHERE permit_id = (SELECT min(permit_id) FROM permits) RETURNING permit_id`)
	if err := row.Scan(&permit); err != nil {
		t.Fatal(err)
	}
	return permit
}

// A row changed by hand is found, named and put right: by the service that runs
// on the folder, and without one.
func TestReadModelsFromTheCommandLine(t *testing.T) {
	dir, err := os.MkdirTemp("", "pl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	r := launch(t, "demo", "--data", data, "--listen", "127.0.0.1:0", "--permits", "8", "--log-level", "error")
	for _, where := range []string{"through the service", "where none runs"} {
		t.Run(where, func(t *testing.T) { lookAfterModels(t, data) })
		r.kill()
	}
}

func lookAfterModels(t *testing.T, data string) {
	models := func(args ...string) (string, string, int) {
		return typed(t, append(append([]string{"projections"}, args...), "--data", data, "--log-level", "error")...)
	}
	out, said, code := models("list", "--json")
	var list struct {
		Items []struct {
			Name, State string
			Ledger      int
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Items) == 0 {
		t.Fatalf("code %d, %v\n%s%s", code, err, out, said)
	}
	for _, m := range list.Items {
		if m.State != "running" || m.Ledger == 0 {
			t.Errorf("%+v", m)
		}
	}
	if out, said, code = models("verify"); code != 0 || strings.Count(out, "as the log makes it") != len(list.Items) {
		t.Fatalf("code %d\n%s%s", code, out, said)
	}

	permit := byHand(t, data)
	out, said, code = models("verify", "accounts")
	if code != 1 || !strings.Contains(out, "changed in permits: permit_id "+permit) || !strings.Contains(out, "column zone\n") ||
		strings.Contains(out, "XX9") || !strings.Contains(said, "projections rebuild") {
		t.Errorf("code %d\n%s%s", code, out, said)
	}
	if out, _, code = models("verify", "accounts", "--values"); code != 1 || !strings.Contains(out, `"XX9", and the log makes "`) {
		t.Errorf("code %d\n%s", code, out)
	}
	var found struct {
		Items []struct {
			Differences []struct{ Table, Kind string }
		}
	}
	out, said, code = models("verify", "--json")
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 1 || found.Items[0].Differences[0].Table != "permits" {
		t.Errorf("code %d, %v\n%s%s", code, err, out, said)
	}
	if _, said, code = models("rebuild", "accounts"); code != 0 || !strings.Contains(said, "accounts was made again from") {
		t.Errorf("code %d\n%s", code, said)
	}
	if out, said, code = models("verify", "accounts"); code != 0 {
		t.Errorf("code %d\n%s%s", code, out, said)
	}
	if _, said, code = models("rebuild", "nothing"); code != 1 || !strings.Contains(said, `no read model "nothing"; there are accounts,`) {
		t.Errorf("code %d\n%s", code, said)
	}
}

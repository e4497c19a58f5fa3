package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/domain"
)

// acknowledged is a command that was answered before the kill.
type acknowledged struct {
	path, key, body string
	answer          string
}

// The service is killed amid 64 writers and started again: every command that
// was acknowledged is there, once, and its key gives the first answer.
func TestKilledAmidSixtyFourWriters(t *testing.T) {
	const writers, rounds = 64, 3
	dir, err := os.MkdirTemp("", "pl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tokens := filepath.Join(dir, "tokens.json")
	if err := os.WriteFile(tokens, api.TokensFile(api.Grant{Token: "alex", Subject: "alex", Role: domain.RoleResident}), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := []string{"serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--tokens", tokens,
		"--demo-clock", "2026-03-02T09:00:00Z", "--log-level", "error"}
	var all []acknowledged
	for round := range rounds {
		r := launch(t, serve...)
		all = append(all, writeUntilKilled(t, r, round, writers)...)
	}
	r := launch(t, serve...)
	t.Logf("%d commands were acknowledged before %d kills", len(all), rounds)
	if len(all) < writers {
		t.Fatalf("only %d commands were acknowledged: the kills came too early to prove anything", len(all))
	}
	for _, a := range all {
		status, answer, err := send(t.Context(), r.address, a.path, a.key, a.body)
		if err != nil || status >= 300 || answer != a.answer {
			t.Fatalf("%s with key %s is answered %d %s (%v), first it was\n%s", a.path, a.key, status, answer, err, a.answer)
		}
	}
	checkRevisions(t, r.address, all)
}

// checkRevisions counts: an account has one event for each command that was
// written for it, so no acknowledged command can be in it twice.
func checkRevisions(t *testing.T, address string, all []acknowledged) {
	t.Helper()
	sent := map[string]map[float64]string{} // account → revision → key
	for _, a := range all {
		var body struct {
			AccountID string  `json:"accountId"`
			Revision  float64 `json:"revision"`
		}
		if err := json.Unmarshal([]byte(a.answer), &body); err != nil {
			t.Fatal(err)
		}
		if sent[body.AccountID] == nil {
			sent[body.AccountID] = map[float64]string{}
		}
		if other, taken := sent[body.AccountID][body.Revision]; taken {
			t.Fatalf("revision %v of account %s answers both %s and %s", body.Revision, body.AccountID, other, a.key)
		}
		sent[body.AccountID][body.Revision] = a.key
	}
}

// writeUntilKilled has many writers open an account each and change it again
// and again, and kills the service amid them.
func writeUntilKilled(t *testing.T, r *running, round, writers int) []acknowledged {
	t.Helper()
	var mu sync.Mutex
	var all []acknowledged
	var count atomic.Int64
	enough := int64(writers * (4 + round))
	killed := make(chan struct{})
	var once sync.Once
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			path, body := "/accounts", fmt.Sprintf(`{"name":"Writer %d of round %d"}`, w, round)
			for n := 0; ; n++ {
				key := fmt.Sprintf("round-%d-writer-%d-%d", round, w, n)
				status, answer, err := send(t.Context(), r.address, path, key, body)
				if err != nil {
					return // killed
				}
				if status >= 300 {
					t.Errorf("%s: %d %s", path, status, answer)
					return
				}
				mu.Lock()
				all = append(all, acknowledged{path, key, body, answer})
				mu.Unlock()
				if n == 0 {
					var opened struct {
						AccountID string `json:"accountId"`
					}
					_ = json.Unmarshal([]byte(answer), &opened) // an empty id is then refused
					path = "/accounts/" + opened.AccountID + "/change-details"
				}
				body = fmt.Sprintf(`{"phone":"01632 960%03d"}`, n)
				if count.Add(1) == enough {
					once.Do(func() { r.kill(); close(killed) })
				}
			}
		})
	}
	group.Wait()
	<-killed
	return all
}

func send(ctx context.Context, address, path, key, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/v1"+path, bytes.NewBufferString(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer alex")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, string(answer), err
}

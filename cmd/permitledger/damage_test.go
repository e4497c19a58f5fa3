package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A byte is flipped in the tables of a log. Either the service does not start,
// because it needs what is damaged, and names the file and what to do; or it
// says where a read model was stopped and what else cannot be read, and goes on
// with all the rest. Nothing is answered that is not so.
func TestAFlippedByteUnderTheService(t *testing.T) {
	_, seed, dir := ordeal(t, "FAULT", 1)
	random := rand.New(rand.NewPCG(seed, 0))
	good := filepath.Join(dir, "good")
	r := launch(t, serveArgs(t, good)...)
	l := startLoad(t, r, 8)
	l.reach(250)
	l.stop()
	all := l.finish()
	r.terminate()
	launch(t, serveArgs(t, good)...).terminate() // from now on a start looks only at what is new
	tables, err := filepath.Glob(filepath.Join(good, "log", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	table, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	const parts = 16
	outcomes := map[string]int{}
	for _, part := range random.Perm(parts) {
		data := filepath.Join(dir, "data")
		if err := os.CopyFS(data, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		at := len(table)*part/parts + random.IntN(len(table)/parts)
		d := damagedService{t: t, data: data, file: filepath.Base(tables[0]), all: all}
		outcome := d.flip(table, at)
		t.Logf("byte %d of %d flipped: %s", at, len(table), outcome)
		outcomes[outcome]++
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if outcomes["refused"] > 0 && outcomes["degraded"] > 0 || t.Failed() {
			break
		}
	}
	if outcomes["refused"] == 0 || outcomes["degraded"] == 0 {
		t.Errorf("not everything was seen that there is to be seen: %v", outcomes)
	}
}

// damagedService is a service on a folder in which a file is damaged.
type damagedService struct {
	t    *testing.T
	data string
	file string
	all  []acknowledged
}

// flip flips a byte, has a read model made again, and sees what is told.
func (d damagedService) flip(table []byte, at int) string {
	d.t.Helper()
	damaged := append([]byte(nil), table...)
	damaged[at] ^= 1 << (at % 8)
	if err := os.WriteFile(filepath.Join(d.data, "log", d.file), damaged, 0o600); err != nil {
		d.t.Fatal(err)
	}
	models, err := filepath.Glob(filepath.Join(d.data, "projections", "accounts.*"))
	if err != nil || len(models) == 0 {
		d.t.Fatalf("read models %v, %v", models, err)
	}
	for _, name := range models {
		if err := os.Remove(name); err != nil {
			d.t.Fatal(err)
		}
	}
	r := begin(d.t, serveArgs(d.t, d.data)...)
	select {
	case r.address = <-r.serves:
	case <-r.silent:
		if code := r.wait(); code != 1 {
			d.t.Errorf("refused with exit code %d", code)
		}
		contains(d.t, r.said(), d.file)
		contains(d.t, strings.ToLower(r.said()), "restore a backup")
		return "refused"
	}
	outcome := d.look(r)
	if code := r.terminate(); code != 0 {
		d.t.Errorf("stopped with exit code %d:\n%s", code, r.said())
	}
	return outcome
}

// look sees what a service tells of the damage, and that nothing else suffers.
func (d damagedService) look(r *running) string {
	d.t.Helper()
	d.ready(r)
	unanswered := 0
	for _, a := range d.all {
		status, answer, err := send(d.t.Context(), r.address, a.path, a.key, a.body)
		if err != nil || answer != a.answer && status != http.StatusServiceUnavailable {
			d.t.Fatalf("%s with key %s is answered %d %s (%v), first it was\n%s", a.path, a.key, status, answer, err, a.answer)
		}
		if status == http.StatusServiceUnavailable {
			unanswered++
		}
	}
	told := d.ready(r)
	if told.State == "ok" && unanswered == 0 {
		return "intact" // nobody looked there
	}
	because := strings.Join(told.Because, "\n")
	contains(d.t, because, d.file, "restore a backup")
	if !strings.Contains(because, "read model") {
		return "commands"
	}
	contains(d.t, because, "read model accounts is stopped", "ledger number")
	out, _, code := typed(d.t, "projections", "list", "--json", "--data", d.data)
	var list struct {
		Items []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		d.t.Errorf("list: %d, %v", code, err)
	}
	for _, m := range list.Items {
		if (m.State == "stopped") != (m.Name == "accounts") {
			d.t.Errorf("read model %s is %s", m.Name, m.State)
		}
	}
	if status := d.get(r, "/api/v1/accounts", nil); status != http.StatusServiceUnavailable {
		d.t.Errorf("a stopped read model answers %d", status)
	}
	contains(d.t, refused(d.t, "replay", "--data", d.data, "--log-level", "error"), d.file, "Restore a backup")
	contains(d.t, refused(d.t, "projections", "rebuild", "accounts", "--data", d.data, "--log-level", "error"), d.file)
	return "degraded"
}

type told struct {
	State   string
	Because []string
}

// ready waits until every read model has come to its end, whatever that is.
func (d damagedService) ready(r *running) (t told) {
	d.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for status := 0; ; {
		if status = d.get(r, "/readyz", &t); status == http.StatusOK {
			return t
		}
		select {
		case <-again.C:
		case <-d.t.Context().Done():
			d.t.Fatalf("it answers %d %+v", status, t)
		}
	}
}

func (d damagedService) get(r *running, path string, into any) int {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+r.address+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alex")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			d.t.Fatal(err)
		}
	}
	return res.StatusCode
}

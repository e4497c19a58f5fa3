package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/api"
	"permitledger/domain"
)

// town is everybody who uses a service that is killed again and again. What
// they know outlives each kill: whom the service has answered what, and which
// commands are still without an answer and so are sent again.
type town struct {
	t      *testing.T
	seed   uint64
	zones  map[string][]string // the properties of each zone
	houses []*house
	hall   *hall

	// stays, where it is not nil, has everybody send again what was not
	// answered, or answered with 503, until it is closed. Without it they go
	// home, because the service was killed.
	stays chan struct{}

	// seen, where it is not nil, sees each answer to a command, and which service
	// has given it.
	seen func(address, key string, status int, answer string)

	mu      sync.Mutex
	address string // of the service that runs now
	http    *http.Client
	deeds   []deed         // answered well, in the order of their answers
	refused map[string]int // by rule
	today   time.Time      // of the simulated clock, as was last answered
}

// deed is one command. It is kept until it is answered, and sent again as it is.
type deed struct {
	by, path, media, body, key string
	// writes is the type of event of which exactly one comes of it, and which
	// comes of nothing else; empty where there is no such type.
	writes string
	status int
	answer string
}

const jsonMedia = "application/json"

func newTown(t *testing.T, seed uint64, houses int) *town {
	t.Helper()
	w := &town{t: t, seed: seed, zones: map[string][]string{}, refused: map[string]int{}, today: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	raw, err := council.Sample().Open("gazetteer.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(raw).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		if zone := row[4]; zone != "" {
			w.zones[zone] = append(w.zones[zone], row[0])
		}
	}
	for n := range houses {
		w.houses = append(w.houses, &house{town: w, name: fmt.Sprintf("house-%d", n), random: rand.New(rand.NewPCG(seed, uint64(n)))})
	}
	w.hall = &hall{town: w, random: rand.New(rand.NewPCG(seed, 1<<32))}
	return w
}

// tokens writes the tokens of everybody: each is called as its subject.
func (w *town) tokens(dir string) string {
	w.t.Helper()
	grants := []api.Grant{{Token: "olga", Subject: "olga", Role: domain.RoleOperator}, {Token: "rita", Subject: "rita", Role: domain.RoleReviewer},
		{Token: "aude", Subject: "aude", Role: domain.RoleAuditor}, {Token: "ada", Subject: "ada", Role: domain.RoleAdmin}}
	for _, h := range w.houses {
		grants = append(grants, api.Grant{Token: h.name, Subject: h.name, Role: domain.RoleResident})
	}
	path := filepath.Join(dir, "tokens.json")
	if err := os.WriteFile(path, api.TokensFile(grants...), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// clock is the simulated clock as far as is known: it may be some days on.
func (w *town) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.today
}

// day is the simulated clock's day, so many days on.
func (w *town) day(on int) string {
	return w.clock().AddDate(0, 0, on).Format(time.DateOnly)
}

// open is a service that has been started: everybody goes there from now on.
func (w *town) open(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.address = address
	w.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * len(w.houses)}}
}

// leave lets go of the connections to a service that has gone.
func (w *town) leave() { w.http.CloseIdleConnections() }

// give sends a command and keeps what was answered. It is false when there was
// no answer, and then nobody knows whether the command was done.
func (w *town) give(d *deed) (answered bool) {
	if err := w.send(d); err != nil || w.stays != nil && d.status == http.StatusServiceUnavailable {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case d.status < 300:
		w.deeds = append(w.deeds, *d)
	case d.status == http.StatusConflict:
		var problem struct{ Rule string }
		_ = json.Unmarshal([]byte(d.answer), &problem) // without a rule it counts as such
		w.refused[problem.Rule]++
	default:
		w.t.Errorf("%s by %s: %d %s", d.path, d.by, d.status, d.answer)
	}
	return true
}

func (w *town) send(d *deed) (err error) {
	d.status, d.answer, err = w.do(http.MethodPost, d.path, d.by, d.media, d.key, d.body)
	return err
}

// read looks at something. Whoever asks a service that has just been started
// may be told to come again.
func (w *town) read(by, path string) (answer string, ok bool) {
	status, answer, err := w.do(http.MethodGet, path, by, "", "", "")
	if err == nil && status != http.StatusOK && status != http.StatusServiceUnavailable {
		w.t.Errorf("GET %s by %s: %d %s", path, by, status, answer)
	}
	return answer, err == nil && status == http.StatusOK
}

func (w *town) do(method, path, by, media, key, body string) (int, string, error) {
	w.mu.Lock()
	address, client := w.address, w.http
	w.mu.Unlock()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+address+"/api/v1"+path, bytes.NewBufferString(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+by)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", media)
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if w.seen != nil && err == nil && method == http.MethodPost {
		w.seen(address, key, res.StatusCode, string(answer))
	}
	return res.StatusCode, string(answer), err
}

// goOn says whether there is more to be done, after something was answered or
// was not: then it lets a moment pass.
func (w *town) goOn(answered bool) bool {
	if w.stays == nil {
		return answered
	}
	if !answered {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-w.stays:
		}
	}
	select {
	case <-w.stays:
		return false
	default:
		return true
	}
}

// work has everybody work until the service has gone, or the day is over. The
// town hall works only when it is its turn.
func (w *town) work(withHall bool) (ended func()) {
	var all sync.WaitGroup
	for _, h := range w.houses {
		all.Go(h.work)
	}
	if withHall {
		all.Go(w.hall.work)
	}
	return all.Wait
}

// settle sends again what is without an answer, until nothing is.
func (w *town) settle() {
	w.t.Helper()
	var all sync.WaitGroup
	pending := []func() bool{w.hall.settle}
	for _, h := range w.houses {
		pending = append(pending, h.settle)
	}
	for _, settle := range pending {
		all.Go(func() {
			if !settle() {
				w.t.Error("the service gave no answer, and nobody had killed it")
			}
		})
	}
	all.Wait()
}

// answered gives the deeds from the n-th on.
func (w *town) answered(n int) []deed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.deeds[n:])
}

// hall is what the council's own people do: they move the clock, tell the
// payment provider what to do, and have read models made again.
type hall struct {
	town    *town
	random  *rand.Rand
	n       int
	pending *deed
}

func (l *hall) work() {
	for l.settle() {
		d := deed{by: "ada", media: jsonMedia, key: fmt.Sprintf("hall-%d", l.n)}
		l.n++
		switch l.random.IntN(5) {
		case 0:
			d.path, d.body, d.writes = "/demo/clock", fmt.Sprintf(`{"advance":"%dh"}`, 1+l.random.IntN(120)), "ClockMoved"
		case 1:
			account := l.town.houses[l.random.IntN(len(l.town.houses))].known()
			if account == "" {
				continue
			}
			next := []string{"decline", "lapse", "duplicate", "late"}[l.random.IntN(4)]
			d.path, d.body, d.writes = "/demo/payments", fmt.Sprintf(`{"account":"%s","next":["%s"]}`, account, next), "ProviderInstructed"
		default:
			if !l.rebuild(d) {
				return
			}
			continue
		}
		l.pending = &d
	}
}

// rebuild has a read model made again. That is no event, so that nobody asks
// for it again after a kill.
func (l *hall) rebuild(d deed) (answered bool) {
	names := []string{"accounts", "reviews", "due", "search", "access", "audit"}
	d.path, d.body = "/admin/projections/"+names[l.random.IntN(len(names))]+"/rebuild", `{}`
	if l.town.send(&d) != nil {
		return false
	}
	if d.status != http.StatusAccepted {
		l.town.t.Errorf("%s: %d %s", d.path, d.status, d.answer)
	}
	return true
}

func (l *hall) settle() bool {
	if l.pending == nil {
		return true
	}
	d := l.pending
	if !l.town.give(d) {
		return false
	}
	l.pending = nil
	var moved struct{ Now time.Time }
	if json.Unmarshal([]byte(d.answer), &moved) == nil {
		l.town.mu.Lock()
		defer l.town.mu.Unlock()
		if moved.Now.After(l.town.today) {
			l.town.today = moved.Now
		}
	}
	return true
}

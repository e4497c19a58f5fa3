package service_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/known"
	"permitledger/cmd/permitledger/internal/replay"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
	"permitledger/domain/ledger"
	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/node"
	"permitledger/projections"
	"permitledger/projections/audit"
)

// past is a ledger on a node of its own, and earlier copies of its log.
type past struct {
	t      *testing.T
	copies []string                // folders of the log, oldest first
	logs   [][]eventstore.Recorded // the ledger's events of each
	last   string                  // the log as it was last
	all    []eventstore.Recorded   // its events
	data   string                  // the data folder at the end
	permit string                  // a permit of alex's that is in every copy
}

// makePast writes a history and copies the log ten times on the way. garbage
// says after which copy an event comes that stops the audit read model; 0: never.
func makePast(t *testing.T, garbage int) *past {
	t.Helper()
	p := &past{t: t, last: filepath.Join(folder(t), "log"), data: folder(t)}
	l := p.lead(p.last)
	s := l.serve(p.data)
	c := newClient(t, s)
	_, p.permit, _ = c.buysToday("alex")
	for i := range 10 {
		p.settle(s, i >= garbage && garbage > 0)
		copied := filepath.Join(folder(t), "log")
		if err := l.node.Checkpoint(copied); err != nil {
			t.Fatal(err)
		}
		p.copies, p.logs = append(p.copies, copied), append(p.logs, events(t, s.Ledger.Store()))
		if i+1 == garbage {
			if _, err := s.Ledger.Store().Append(t.Context(), "gazetteer-garbage", eventstore.NoStream(),
				[]eventstore.Proposed{{ID: uuid.New(), Type: "Garbage", Data: []byte(`{}`), Metadata: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
		}
		c.as("olga").post("/accounts", fmt.Sprintf(`{"name":"Number %d"}`, i)).want(201)
		if i == 6 {
			c.buysToday("sam")
		}
	}
	p.settle(s, garbage > 0)
	p.all = events(t, s.Ledger.Store())
	if err := errors.Join(s.Close(), l.node.Checkpoint(p.last), l.node.Close()); err != nil {
		t.Fatal(err)
	}
	return p
}

// settle waits until every read model that is not stopped has the whole log, and
// nothing is left to be settled.
func (p *past) settle(s *service.Service, stopped bool) {
	p.t.Helper()
	for {
		head, err := s.Ledger.Store().Head(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		for _, m := range s.Runner.Projections() {
			if err := m.WaitFor(p.t.Context(), head); err != nil && !(stopped && errors.Is(err, projections.ErrStopped)) {
				p.t.Fatal(err)
			}
		}
		if now, err := s.Ledger.Store().Head(p.t.Context()); err != nil || now == head {
			return
		}
	}
}

func events(t *testing.T, s *eventstore.Store) (all []eventstore.Recorded) {
	t.Helper()
	for r, err := range s.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// leader is a node that can be replaced by one on another log.
type leader struct {
	t     *testing.T
	node  *node.Node
	proxy *faultproxy.Proxy
}

// lead runs a node on a copy of a log.
func (p *past) lead(log string) *leader {
	p.t.Helper()
	l := &leader{t: p.t}
	l.start(log)
	l.proxy = faultproxy.New(p.t, l.node.Addr())
	return l
}

func (l *leader) start(log string) {
	l.t.Helper()
	dir := filepath.Join(folder(l.t), "log")
	if _, err := os.Stat(log); err == nil {
		if err := os.CopyFS(dir, os.DirFS(log)); err != nil {
			l.t.Fatal(err)
		}
	}
	n, err := node.Open(l.t.Context(), node.Options{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = n.Close() })
	l.node = n
}

// replace has a node on a copy of another log answer from now on.
func (l *leader) replace(log string) {
	l.t.Helper()
	l.proxy.Down()
	if err := l.node.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.start(log)
	l.proxy.Retarget(l.node.Addr())
	l.proxy.Up()
}

// store reaches the node itself.
func (l *leader) store() *eventstore.Store {
	l.t.Helper()
	s, err := eventstore.Connect(eventstore.Config{ConnectionString: l.node.ConnectionString()})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (l *leader) config(data string, change ...func(*service.Config)) func(*service.Config) {
	return func(cfg *service.Config) {
		cfg.Data, cfg.EventStore, cfg.DemoClock = data, "esdb://"+l.proxy.Addr()+"?tls=false&discoveryInterval=10", time.Time{}
		cfg.LookAgain, cfg.ClaimScale = 20*time.Millisecond, 0.04
		for _, f := range change {
			f(cfg)
		}
	}
}

func (l *leader) serve(data string, change ...func(*service.Config)) *service.Service {
	l.t.Helper()
	return start(l.t, l.config(data, change...))
}

// refused starts a service that must end because the log was set back.
func (l *leader) refused(data string, change ...func(*service.Config)) *known.SetBackError {
	l.t.Helper()
	s, err := tryStart(l.t, l.config(data, change...))
	if err == nil {
		_ = s.Close()
	}
	lost, ok := errors.AsType[*known.SetBackError](err)
	if !ok {
		l.t.Fatalf("the start ended with %v", err)
	}
	return lost
}

func accept(n uint64) func(*service.Config) {
	return func(cfg *service.Config) { cfg.AcceptShorter = &n }
}

// copyOf copies a data folder, so that it can be used again.
func copyOf(t *testing.T, data string) string {
	t.Helper()
	dir := filepath.Join(folder(t), "data")
	if err := os.CopyFS(dir, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// list is a file of lost events.
type list struct {
	KnownID   string
	Known     uint64
	Agreed    uint64
	NotListed *struct{ From, To uint64 }
	Events    []struct {
		Ledger, Revision uint64
		Stream, EventID  string
		Type             string
		RecordedAt       time.Time
	}
}

// listIn reads the one list of a data folder.
func listIn(t *testing.T, data string) (l list) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(data, "lost-*.json"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("the lists are %v, %v", paths, err)
	}
	content, err := os.ReadFile(paths[0])
	if err == nil {
		err = json.Unmarshal(content, &l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func noList(t *testing.T, data string) {
	t.Helper()
	if paths, err := filepath.Glob(filepath.Join(data, "lost-*.json")); err != nil || len(paths) > 0 {
		t.Errorf("there are lists: %v, %v", paths, err)
	}
}

// wantList compares a list with the events that a log had and lacks, from a
// number to another.
func (p *past) wantList(l list, agreed, from, to uint64, here []eventstore.Recorded) {
	p.t.Helper()
	newest := p.all[len(p.all)-1]
	if l.Agreed != agreed || l.Known != uint64(len(p.all)) || l.KnownID != newest.ID.String() {
		p.t.Errorf("the list says known %d, agreed %d; want %d, %d", l.Known, l.Agreed, len(p.all), agreed)
	}
	there := map[uuid.UUID]bool{}
	for _, r := range here {
		there[r.ID] = true
	}
	var want []string
	for n := from; n <= to; n++ {
		if r := p.all[n-1]; !there[r.ID] {
			want = append(want, fmt.Sprintln(n, r.Stream, r.Revision, r.ID, r.Type))
		}
	}
	var got []string
	for _, e := range l.Events {
		got = append(got, fmt.Sprintln(e.Ledger, e.Stream, e.Revision, e.EventID, e.Type))
		at, _ := eventstore.RecordedAt(p.all[e.Ledger-1])
		if !e.RecordedAt.Equal(at) {
			p.t.Errorf("event %d was recorded at %s, and the list says %s", e.Ledger, at, e.RecordedAt)
		}
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("the list has\n%s\nwant\n%s", got, want)
	}
	if to < uint64(len(p.all)) != (l.NotListed != nil) || l.NotListed != nil && (l.NotListed.From != to+1 || l.NotListed.To != l.Known) {
		p.t.Errorf("not listed are %+v", l.NotListed)
	}
}

// wantStopped sees that a running service takes nothing.
func (p *past) wantStopped(s *service.Service, agreed uint64) {
	p.t.Helper()
	c := newClient(p.t, s)
	ready := c.as("").get("/readyz").want(http.StatusServiceUnavailable).is("state", "set-back").is("agreed", agreed).is("known", len(p.all))
	if because := ready.str("because.0"); !strings.Contains(because, "--accept-shorter-log="+strconv.FormatUint(agreed, 10)) {
		p.t.Errorf("it says %s", because)
	}
	before, err := s.Ledger.Store().Head(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	c.as("olga").post("/accounts", `{"name":"Late"}`).unavailable()
	c.as("alex").post("/permits/"+p.permit+"/change-vehicle", `{"vehicle":"XY34 ZZZ"}`).unavailable()
	c.as("alex").get("/permits/" + p.permit).want(200)
	for _, path := range []string{"/accounts", "/permits/" + p.permit + "/history", "/permits/" + p.permit + "?knownAt=" + time.Now().UTC().Format(time.RFC3339)} {
		c.as("alex").get(path).unavailable()
	}
	c.as("aude").get("/audit/events").unavailable()
	c.as("rita").get("/reviews").unavailable()
	for _, m := range s.Runner.Projections() {
		if m.Status().Ledger < agreed && m.Status().Error == nil {
			p.t.Errorf("read model %s was made again: it is at %d", m.Name(), m.Status().Ledger)
		}
		if _, err := m.Rebuild(); err == nil {
			p.t.Errorf("read model %s is rebuilt from a log that was set back", m.Name())
		}
	}
	if after, err := s.Ledger.Store().Head(p.t.Context()); err != nil || after != before {
		p.t.Errorf("something was written: %v, %v, %v", before, after, err)
	}
}

// wantAccepted starts with the flag and sees that all is as the log makes it.
func (p *past) wantAccepted(l *leader, data string, agreed uint64) {
	p.t.Helper()
	if lost := l.refused(data, accept(agreed+1)); lost.Refused == nil || lost.Agreed != agreed {
		p.t.Errorf("another number: %v", lost)
	}
	s := l.serve(data, accept(agreed))
	p.settle(s, true)
	p.wantWhole(s)
	c := newClient(p.t, s)
	c.as("").get("/readyz").want(200)
	c.as("olga").post("/accounts", `{"name":"Again"}`).want(201)
	if err := s.Close(); err != nil {
		p.t.Fatal(err)
	}
	s = l.serve(data) // and the next start asks for nothing
	p.settle(s, true)
	p.wantWhole(s)
	set := 0
	for _, r := range events(p.t, s.Ledger.Store()) {
		if r.Type != ledger.TypeLogSetBack {
			continue
		}
		set++
		e, err := s.Ledger.Codec().Decode(r)
		want := ledger.LogSetBack{Known: uint64(len(p.all)), KnownID: domain.EventID(p.all[len(p.all)-1].ID.String()), Agreed: agreed}
		if err != nil || e.Body != domain.Event(want) {
			p.t.Errorf("the log says %+v, %v", e.Body, err)
		}
	}
	if set != 1 {
		p.t.Errorf("the log says %d times that it was set back", set)
	}
	if err := s.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// wantWhole verifies every read model that is not stopped.
func (p *past) wantWhole(s *service.Service) {
	p.t.Helper()
	for _, m := range s.Runner.Projections() {
		if m.Status().Error != nil {
			continue
		}
		if v, err := m.Verify(p.t.Context(), true); err != nil || v.Differing > 0 {
			p.t.Errorf("read model %s differs: %+v, %v", m.Name(), v, err)
		}
	}
}

// wantReplay replays the log.
func (p *past) wantReplay(s *service.Service) {
	p.t.Helper()
	r, err := replay.Run(p.t.Context(), s.Ledger, replay.Options{TempDir: p.t.TempDir()})
	if err != nil || r.Count > 0 || len(r.SetBacks) != 1 {
		p.t.Errorf("%d violations, %d set backs: %v %+v", r.Count, len(r.SetBacks), err, r.Violations)
	}
}

// A server is restored from each of ten earlier copies, under a running service
// and while none runs.
func TestServiceNamesAndListsALogThatWasSetBack(t *testing.T) {
	p := makePast(t, 0)
	for i, log := range p.copies {
		agreed := uint64(len(p.logs[i]))
		t.Run(fmt.Sprintf("stopped, copy %d", i), func(t *testing.T) {
			p := p.on(t)
			l, data := p.lead(log), copyOf(t, p.data)
			for range 2 {
				if lost := l.refused(data); lost.Agreed != agreed || lost.Known.Ledger != uint64(len(p.all)) || lost.List == "" {
					t.Errorf("it says %v", lost)
				}
				p.wantList(listIn(t, data), agreed, agreed+1, uint64(len(p.all)), nil)
			}
			if got := events(t, l.store()); len(got) != int(agreed) {
				t.Errorf("%d events, want %d", len(got), agreed)
			}
			p.wantAccepted(l, data, agreed)
		})
		t.Run(fmt.Sprintf("running, copy %d", i), func(t *testing.T) {
			p := p.on(t)
			l, data := p.lead(p.last), copyOf(t, p.data)
			s := l.serve(data)
			p.settle(s, false)
			p.all = events(t, s.Ledger.Store()) // a start may have written
			l.replace(log)
			lost, ok := errors.AsType[*known.SetBackError](s.LogWhole(t.Context()))
			if !ok || lost.Agreed != agreed {
				t.Fatalf("the verdict is %v", lost)
			}
			p.wantStopped(s, agreed)
			p.wantList(listIn(t, data), agreed, agreed+1, uint64(len(p.all)), nil)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			p.wantAccepted(l, data, agreed)
			if i == 5 {
				s := l.serve(data)
				p.wantReplay(s)
			}
		})
	}
}

func (p *past) on(t *testing.T) *past {
	q := *p
	q.t = t
	return &q
}

// addOthers appends events of others until the log is longer than it was.
func (p *past) addOthers(l *leader, n int) {
	p.t.Helper()
	lg := eventstore.NewLedger(l.store(), eventstore.NewCodec(nil))
	demo := eventstore.Aggregate[int, ledger.Event]{Evolve: func(n int, _ ledger.Event, _ eventstore.Envelope) int { return n + 1 }}
	for range n {
		cmd := eventstore.Command{ID: domain.CommandID(uuid.NewString()), Actor: domain.System(), Now: time.Now()}
		if _, err := eventstore.Handle(p.t.Context(), lg, ledger.DemoStream, demo, cmd, func(int, time.Time) ([]ledger.Event, error) {
			return []ledger.Event{ledger.ClockMoved{From: time.Now(), To: time.Now().Add(time.Hour)}}, nil
		}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// repeat writes lost events once more, as their commands would: with the same
// ids, and recorded later.
func (p *past) repeat(l *leader, lost []eventstore.Recorded) {
	p.t.Helper()
	s := l.store()
	for _, r := range lost {
		var meta map[string]any
		if err := json.Unmarshal(r.Metadata, &meta); err != nil {
			p.t.Fatal(err)
		}
		meta["recordedAt"] = time.Now().UTC().Truncate(time.Microsecond).Add(time.Millisecond)
		metadata, err := json.Marshal(meta)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := s.Append(p.t.Context(), r.Stream, eventstore.After(int64(r.Revision)-1),
			[]eventstore.Proposed{{ID: r.ID, Type: r.Type, Data: r.Data, Metadata: metadata}}); err != nil {
			p.t.Fatal(err)
		}
	}
}

func TestServiceNamesALogThatWasSetBackAndWrittenAgain(t *testing.T) {
	p := makePast(t, 0)
	const from = 4
	agreed := uint64(len(p.logs[from]))
	lost := p.all[agreed:]
	for name, write := range map[string]func(*past, *leader){
		"by others":                    func(p *past, l *leader) { p.addOthers(l, len(lost)+3) },
		"by the same commands":         func(p *past, l *leader) { p.repeat(l, lost) },
		"by others and the same":       func(p *past, l *leader) { p.addOthers(l, 1); p.repeat(l, lost) },
		"by some of the same commands": func(p *past, l *leader) { p.repeat(l, lost[:len(lost)-2]); p.addOthers(l, 2) },
	} {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, running %t", name, running), func(t *testing.T) {
				p := p.on(t)
				data := copyOf(t, p.data)
				var l *leader
				if running {
					other := p.lead(p.copies[from])
					write(p, other)
					written := filepath.Join(folder(t), "log")
					if err := other.node.Checkpoint(written); err != nil {
						t.Fatal(err)
					}
					l = p.lead(p.last)
					s := l.serve(data)
					p.settle(s, false)
					l.replace(written)
					if _, ok := errors.AsType[*known.SetBackError](s.LogWhole(t.Context())); !ok {
						t.Fatal("it was not found out")
					}
					p.wantStopped(s, agreed)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					l = p.lead(p.copies[from])
					write(p, l)
				}
				if lost := l.refused(data); lost.Agreed != agreed {
					t.Errorf("it says %v", lost)
				}
				p.wantList(listIn(t, data), agreed, agreed+1, uint64(len(p.all)), events(t, l.store()))
				p.wantAccepted(l, data, agreed)
			})
		}
	}
}

// changeFile changes the file of a read model while no service runs.
func changeFile(t *testing.T, data, model, statement string) {
	t.Helper()
	left, err := projections.Marks(t.Context(), filepath.Join(data, "projections"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range left {
		if l.Model != model {
			continue
		}
		db, err := sql.Open("sqlite", l.Path)
		if err == nil {
			_, err = db.ExecContext(t.Context(), statement)
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestServiceListsLostEventsOfAnAuditWithAnotherSchema(t *testing.T) {
	p := makePast(t, 0)
	l, data := p.lead(p.copies[3]), copyOf(t, p.data)
	changeFile(t, data, audit.Name, `UPDATE projection SET schema = schema + 1`)
	agreed := uint64(len(p.logs[3]))
	l.refused(data)
	p.wantList(listIn(t, data), agreed, agreed+1, uint64(len(p.all)), nil)
	p.wantAccepted(l, data, agreed)
}

func TestServiceSaysWhichNumbersAStoppedAuditCannotList(t *testing.T) {
	const stopped = 5
	p := makePast(t, stopped)
	end := uint64(len(p.logs[stopped-1])) // the garbage is the next
	for _, i := range []int{2, 7} {
		t.Run(fmt.Sprint("copy ", i), func(t *testing.T) {
			p := p.on(t)
			l, data := p.lead(p.copies[i]), copyOf(t, p.data)
			agreed := uint64(len(p.logs[i]))
			l.refused(data)
			p.wantList(listIn(t, data), agreed, agreed+1, max(agreed, end), nil)
			p.wantAccepted(l, data, agreed)
		})
	}
}

// A leader that was deposed wakes and answers with the log that it had. The
// service takes nothing until the real one answers, and then goes on.
func TestServiceWaitsForALeaderThatHasTheNewestEvent(t *testing.T) {
	p := makePast(t, 0)
	l, data := p.lead(p.last), copyOf(t, p.data)
	s := l.serve(data, func(cfg *service.Config) { cfg.LookAgain, cfg.ClaimScale = time.Hour, 1 })
	p.settle(s, false)
	before, newest := events(t, s.Ledger.Store()), filepath.Join(folder(t), "log") // with the claim of the service
	if err := l.node.Checkpoint(newest); err != nil {
		t.Fatal(err)
	}
	l.replace(p.copies[2])
	c := newClient(t, s)
	c.as("olga").post("/accounts", `{"name":"Early"}`).unavailable()  // it waits for a verdict, or has one
	for ready := ""; !strings.Contains(ready, "is not in the log"); { // until it has looked
		ready = string(c.as("").get("/readyz").want(200).raw)
	}
	c.as("alex").get("/permits/" + p.permit).want(200)
	for _, m := range s.Runner.Projections() {
		if at := m.Status().Ledger; at != uint64(len(before)) {
			t.Errorf("read model %s is at %d", m.Name(), at)
		}
	}
	if got := events(t, l.store()); len(got) != len(p.logs[2]) {
		t.Errorf("the old leader has %d events, want %d", len(got), len(p.logs[2]))
	}
	l.replace(newest)
	if err := s.LogWhole(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.as("olga").post("/accounts", `{"name":"Early"}`).want(201)
	p.settle(s, false)
	p.wantWhole(s)
	c.as("").get("/readyz").want(200).is("state", "ok")
	noList(t, data)
}

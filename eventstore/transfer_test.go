package eventstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/transfer"
)

// chronicle writes to a server whatever a client can: it is what a log that is
// to be moved may hold.
type chronicle struct {
	t      rapid.TB
	client *esdb.Client
	buried map[string]bool
}

func (c *chronicle) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// event is one event with everything of its own.
func event(binary bool, size int) esdb.EventData {
	e := esdb.EventData{EventID: uuid.New(), EventType: "Told", ContentType: esdb.ContentTypeJson, Data: []byte(`{"told":true}`)}
	if binary {
		e.ContentType, e.Data, e.Metadata = esdb.ContentTypeBinary, make([]byte, size), []byte("not\x00JSON")
	}
	return e
}

func (c *chronicle) write(stream string, events ...esdb.EventData) {
	c.t.Helper()
	_, err := c.client.AppendToStream(context.Background(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events...)
	c.must(err)
}

func (c *chronicle) describe(stream, metadata string) {
	c.write("$$"+stream, esdb.EventData{EventID: uuid.New(), EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(metadata)})
}

func (c *chronicle) remove(stream string) {
	_, err := c.client.DeleteStream(context.Background(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	if e, ok := errors.AsType[*esdb.Error](err); ok && strings.Contains(e.Error(), "WrongExpectedVersion") || err == nil {
		return // there was nothing yet
	}
	c.must(err)
}

func (c *chronicle) bury(stream string) {
	_, err := c.client.TombstoneStream(context.Background(), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	c.must(err)
	c.buried[stream] = true
}

// everything has at least one of each thing that a log can hold.
func (c *chronicle) everything() {
	c.write("permit-1", event(false, 0), event(false, 0))
	c.write("account-1", event(false, 0))
	c.write("permit-1", event(true, 100))
	c.write("other-1", event(true, 300<<10), event(true, 300<<10))
	c.write("other-1", event(true, 600<<10))
	c.write("links", esdb.EventData{EventID: uuid.New(), EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte("1@permit-1")})
	c.describe("permit-1", `{"$acl":{"$r":"$all"},"of":"our own"}`)
	c.describe("other-2", `{"$maxCount":2}`)
	c.write("other-2", event(false, 0), event(false, 0), event(false, 0), event(false, 0))
	for range 2 { // deleted twice, described while it is deleted, written again
		c.remove("other-2")
	}
	c.write("other-2", event(false, 0), event(true, 3))
	c.remove("other-2")
	c.describe("other-2", `{"of":"a deleted stream","$maxAge":7200}`)
	c.write("other-2", event(false, 0))
	c.bury("other-3")
	c.write("other-4", event(false, 0))
	c.bury("other-4")
	c.describe("unwritten", `{"of":"no stream"}`)
	c.write("$settings", event(false, 0))
	c.write("$$$settings", event(false, 0))
	c.must(c.client.CreatePersistentSubscription(context.Background(), "permit-1", "group", esdb.PersistentStreamSubscriptionOptions{}))
	c.write("permit-2", event(false, 0))
	c.write("permit-1", event(false, 0))
}

// atRandom writes something.
func (c *chronicle) atRandom(random *rand.Rand) {
	stream := []string{"permit-a", "permit-b", "other-a", "other-b", "other-c"}[random.IntN(5)]
	if c.buried[stream] {
		stream = "payment-a"
	}
	switch what := random.IntN(20); {
	case what < 13:
		var batch []esdb.EventData
		for range 1 + random.IntN(4) {
			batch = append(batch, event(random.IntN(2) == 0, random.IntN(2000)))
		}
		c.write(stream, batch...)
	case what < 15:
		c.describe(stream, []string{`{"$maxCount":1}`, `{"a":1,"$tb":2}`, `not JSON`, `{}`}[random.IntN(4)])
	case what < 18:
		c.remove(stream)
	case what < 19:
		c.write("$system-"+stream, event(false, 0))
	case !eventstore.IsLedgerStream(stream):
		c.bury(stream)
	}
}

func newChronicle(t rapid.TB, client *esdb.Client) *chronicle {
	return &chronicle{t: t, client: client, buried: map[string]bool{}}
}

// kept is what a copy has to keep of a log.
func kept(t rapid.TB, s *eventstore.Store) (all []eventstore.Recorded) {
	t.Helper()
	for r, err := range s.Verbatim().ReadAll(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(strings.TrimPrefix(r.Stream, "$$"), "$") {
			continue
		}
		r.Position, r.Created = 0, time.Time{}
		if len(r.Data) > 100 { // in place of what is long to compare
			sum := sha256.Sum256(r.Data)
			r.Data = sum[:]
		}
		if r.Type == "$streamDeleted" || r.Type == "$metadata" && strings.Contains(string(r.Data), "$tb") {
			r.ID = uuid.Nil
		}
		all = append(all, r)
	}
	return all
}

func wantCopy(t rapid.TB, from, to *eventstore.Store) {
	t.Helper()
	if diff := cmp.Diff(kept(t, from), kept(t, to)); diff != "" {
		t.Errorf("the copy differs (-source +target):\n%.3000s", diff)
	}
}

// digest is what a stranger makes of the ledger's events from the documented
// form.
func digest(t *testing.T, s *eventstore.Store) (string, uint64) {
	t.Helper()
	var all strings.Builder
	n := uint64(0)
	for _, r := range collect(t, s.ReadAll(t.Context(), 0)) {
		n++
		all.WriteString(strings.Join([]string{"v1", r.Stream, fmt.Sprint(r.Revision), r.ID.String(), r.Type,
			fmt.Sprintf("%x", sha256.Sum256(r.Data)), fmt.Sprintf("%x", sha256.Sum256(r.Metadata)), ""}, "\n"))
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(all.String()))), n
}

// Everything that people can write comes over, in order and under the same
// ids; what the server keeps for itself does not. Copying again writes nothing.
func TestCopyOfEverything(t *testing.T) {
	source, from := fresh(t)
	_, to := fresh(t)
	newChronicle(t, foreign(t, source)).everything()
	first, err := transfer.Copy(t.Context(), from, to, transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantCopy(t, from, to)
	sum, numbers := digest(t, from)
	events := uint64(len(kept(t, from)))
	want := transfer.Report{Events: events, Appended: events, LedgerEvents: numbers, SourceDigest: sum, TargetDigest: sum,
		Renamed: first.Renamed, LeftBehind: map[string]uint64{"$settings": 2, "$persistentSubscriptionConfig": 2}}
	if diff := cmp.Diff(want, first); diff != "" || first.Renamed < 4 || numbers != 6 {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
	again, err := transfer.Copy(t.Context(), from, to, transfer.Options{})
	want.Appended = 0
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Errorf("copied again: %v (-want +got):\n%s", err, diff)
	}
	same, err := transfer.Copy(t.Context(), from, from, transfer.Options{})
	if !same.SameLog || err != nil {
		t.Errorf("a log copied into itself is not told apart: %+v, %v", same, err)
	}
}

// Whatever a log holds, its copy is the same, and goes on with it.
func TestCopyOfWhatever(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source, from := fresh(t)
		_, to := fresh(t)
		c := newChronicle(rt, foreign(t, source))
		for range 1 + rapid.IntRange(0, 1).Draw(rt, "more") {
			random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
			for range rapid.IntRange(1, 60).Draw(rt, "writes") {
				c.atRandom(random)
			}
			if _, err := transfer.Copy(t.Context(), from, to, transfer.Options{}); err != nil {
				rt.Fatal(err)
			}
			wantCopy(rt, from, to)
		}
	})
}

// A copy that is interrupted anywhere, and whose connections are cut and lose
// answers all the while, goes on when it is called again, and is in the end as
// if nothing had been.
func TestInterruptedCopy(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	source, direct := fresh(t)
	target, seen := fresh(t)
	c := newChronicle(t, foreign(t, source))
	c.everything()
	for range 300 {
		c.atRandom(random)
	}
	total := uint64(len(kept(t, direct)))
	in, out := faultproxy.New(t, source.Addr()), faultproxy.New(t, target.Addr())
	// To a repeat of a deleted stream's metadata a server does not say where they
	// are, however often it is asked: within the bound.
	hasty := func(cfg *eventstore.Config) { cfg.TryTimeout, cfg.Bound = 500*time.Millisecond, 2*time.Second }
	from, to := connect(t, in.Addr()), connect(t, out.Addr(), hasty)
	runs, breaks := 0, 0
	for stopAt := uint64(0); ; runs++ {
		stopAt += uint64(random.IntN(int(total) / 5))
		ctx, stop := context.WithCancel(t.Context())
		report, err := transfer.Copy(ctx, from, to, transfer.Options{Progress: func(phase transfer.Phase, n uint64, _, _ eventstore.Position) {
			if phase == transfer.Copying && n >= stopAt {
				stop()
				return
			}
			switch random.IntN(120) {
			case 0:
				in.Do(faultproxy.Cut)
			case 1, 2, 3:
				out.Do(faultproxy.Cut)
			case 4, 5: // without the cut, a read that waits would find out after 20 s
				out.Do(faultproxy.LoseAnswers)
				time.AfterFunc(20*time.Millisecond, func() { out.Do(faultproxy.Cut) })
			default:
				return
			}
			breaks++
		}})
		stop()
		if err == nil {
			if report.Events != total || report.SourceDigest != report.TargetDigest {
				t.Errorf("reported %+v", report)
			}
			break
		}
		// A deletion whose answer is lost is looked for, and not sent again.
		if !errors.Is(err, context.Canceled) && !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatalf("run %d: %v", runs, err)
		}
	}
	wantCopy(t, direct, seen)
	if runs == 0 || breaks == 0 {
		t.Errorf("%d runs were interrupted and %d connections broken: this has tested nothing", runs, breaks)
	}
	t.Logf("%d events; %d runs were interrupted, %d connections broken", total, runs, breaks)
}

// What is no copy is refused, with the first event that differs.
func TestCopyIntoSomethingElse(t *testing.T) {
	id := uuid.New()
	told := func(change func(*esdb.EventData)) esdb.EventData {
		e := event(false, 0)
		e.EventID = id
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		stream string
		events []esdb.EventData
		want   string
	}{
		"another stream":       {"permit-2", []esdb.EventData{told(func(*esdb.EventData) {})}, "event 1 is Told at revision 0 of permit-1"},
		"another id":           {"permit-1", []esdb.EventData{told(func(e *esdb.EventData) { e.EventID = uuid.New() })}, "in their ids"},
		"another type":         {"permit-1", []esdb.EventData{told(func(e *esdb.EventData) { e.EventType = "Untold" })}, "in their types"},
		"other data":           {"permit-1", []esdb.EventData{told(func(e *esdb.EventData) { e.Data = []byte(`{"secret":1}`) })}, "in their data"},
		"other metadata":       {"permit-1", []esdb.EventData{told(func(e *esdb.EventData) { e.Metadata = []byte(`{}`) })}, "in their metadata"},
		"another content type": {"permit-1", []esdb.EventData{told(func(e *esdb.EventData) { e.ContentType = esdb.ContentTypeBinary })}, "in their content types"},
		"more than the source": {"permit-1", []esdb.EventData{told(func(*esdb.EventData) {}), event(false, 0)}, "event 2 of the target, Told at revision 1 of permit-1"},
	} {
		t.Run(name, func(t *testing.T) {
			source, from := fresh(t)
			target, to := fresh(t)
			newChronicle(t, foreign(t, source)).write("permit-1", told(func(*esdb.EventData) {}))
			newChronicle(t, foreign(t, target)).write(c.stream, c.events...)
			before := kept(t, to)
			_, err := transfer.Copy(t.Context(), from, to, transfer.Options{})
			if !errors.Is(err, transfer.ErrDiffers) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, kept(t, to)); diff != "" {
				t.Errorf("the target was written to:\n%s", diff)
			}
		})
	}
}

// Somebody else writes to the target while it is copied into: no copy comes of
// it that says it is one.
func TestCopyIntoWhatOthersWriteTo(t *testing.T) {
	for _, stream := range []string{"permit-1", "permit-other"} {
		source, from := fresh(t)
		target, to := fresh(t)
		c, other := newChronicle(t, foreign(t, source)), newChronicle(t, foreign(t, target))
		for n := range 10 {
			c.write("permit-1", event(false, 0))
			c.write(fmt.Sprintf("account-%d", n), event(false, 0))
		}
		_, err := transfer.Copy(t.Context(), from, to, transfer.Options{Progress: func(phase transfer.Phase, n uint64, _, _ eventstore.Position) {
			if phase == transfer.Copying && n == 10 {
				other.write(stream, event(false, 0))
			}
		}})
		if !errors.Is(err, transfer.ErrDiffers) && !errors.Is(err, transfer.ErrDisturbed) {
			t.Errorf("%s: %v", stream, err)
		}
	}
}

// What the source gets while it is copied is left for the next time.
func TestCopyOfASourceThatGrows(t *testing.T) {
	source, from := fresh(t)
	_, to := fresh(t)
	c := newChronicle(t, foreign(t, source))
	c.write("permit-1", event(false, 0), event(false, 0))
	c.write("permit-2", event(false, 0))
	grown := false
	report, err := transfer.Copy(t.Context(), from, to, transfer.Options{Progress: func(transfer.Phase, uint64, eventstore.Position, eventstore.Position) {
		if !grown {
			grown = true
			c.write("permit-1", event(false, 0))
		}
	}})
	if err != nil || !report.MovedOn || report.Events != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	report, err = transfer.Copy(t.Context(), from, to, transfer.Options{})
	if err != nil || report.MovedOn || report.Events != 4 || report.Appended != 1 {
		t.Errorf("the second time: %+v, %v", report, err)
	}
	wantCopy(t, from, to)
}

// What cannot be repeated under the same number is refused.
func TestCopyOfWhatCannotBeCopied(t *testing.T) {
	source, from := fresh(t)
	_, to := fresh(t)
	c := newChronicle(t, foreign(t, source))
	c.write("permit-1", event(false, 0))
	c.bury("permit-1")
	if _, err := transfer.Copy(t.Context(), from, to, transfer.Options{}); !errors.Is(err, transfer.ErrTombstone) || !strings.Contains(err.Error(), "permit-1") {
		t.Errorf("a tombstone of the ledger: %v", err)
	}
	if n := len(kept(t, to)); n != 1 {
		t.Errorf("%d events were copied", n)
	}
}

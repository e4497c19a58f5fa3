package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/ledger"
	"permitledger/domain/permit"
	"permitledger/eventstore"
	"permitledger/eventstore/faultproxy"
	"permitledger/eventstore/vault"
)

// person is a small state over the account's events: the names a person had.
type person struct {
	Names []string
	Last  eventstore.Envelope
}

var persons = eventstore.Aggregate[person, account.Event]{
	Evolve: func(p person, e account.Event, env eventstore.Envelope) person {
		var name string
		switch e := e.(type) {
		case account.AccountOpened:
			name = e.Personal.Value.Name
			if e.Personal.Erased {
				name = "(erased)"
			}
		case account.AccountDetailsChanged:
			name = e.Personal.Value.Name
			if e.Personal.Erased {
				name = "(erased)"
			}
		}
		env.Position = 0
		return person{Names: append(slices.Clone(p.Names), name), Last: env}
	},
}

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func command(id string) eventstore.Command {
	return eventstore.Command{
		ID: domain.CommandID(id), BodyHash: "hash of " + id, Actor: domain.System(), Now: noon, Person: "ann",
		Versions: domain.Versions{Policy: "p1"},
	}
}

// named decides to give the person names, one event each.
func named(names ...string) func(person, time.Time) ([]account.Event, error) {
	return func(p person, _ time.Time) ([]account.Event, error) {
		var events []account.Event
		for i, n := range names {
			if len(p.Names)+i == 0 {
				events = append(events, account.AccountOpened{Personal: domain.PersonalOf(account.OpenedPersonal{Name: n})})
				continue
			}
			events = append(events, account.AccountDetailsChanged{Personal: domain.PersonalOf(account.DetailsPersonal{Name: n})})
		}
		return events, nil
	}
}

func ledgerOf(t *testing.T, s *eventstore.Store) (*eventstore.Ledger, *vault.Vault) {
	t.Helper()
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return eventstore.NewLedger(s, eventstore.NewCodec(v)), v
}

func freshLedger(t *testing.T) (*eventstore.Ledger, *vault.Vault) {
	t.Helper()
	_, s := fresh(t)
	return ledgerOf(t, s)
}

type decision = func(person, time.Time) ([]account.Event, error)

func handle(t *testing.T, l *eventstore.Ledger, cmd eventstore.Command, decide decision) eventstore.Outcome[person] {
	t.Helper()
	out, err := eventstore.Handle(t.Context(), l, "account-ann", persons, cmd, decide)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantEvents(t *testing.T, l *eventstore.Ledger, n int) []eventstore.Event {
	t.Helper()
	events, err := l.History(t.Context(), "account-ann")
	if err != nil || len(events) != n {
		t.Fatalf("%d events, %v, want %d", len(events), err, n)
	}
	return events
}

func TestHandle(t *testing.T) {
	l, _ := freshLedger(t)
	cmd := command("1")
	cmd.VersionsOf = func(e domain.Event) domain.Versions { return domain.Versions{Terms: e.EventType()} }
	out := handle(t, l, cmd, named("Ann", "Anna"))
	if !slices.Equal(out.State.Names, []string{"Ann", "Anna"}) || out.Revision != 1 || out.Repeated || len(out.Events) != 2 {
		t.Errorf("%+v", out)
	}
	loaded, err := eventstore.Load(t.Context(), l, "account-ann", persons)
	if err != nil {
		t.Fatal(err)
	}
	want := eventstore.Loaded[person]{State: out.State, Revision: out.Revision, Position: out.Position, RecordedAt: out.RecordedAt}
	if diff := cmp.Diff(want, loaded); diff != "" {
		t.Errorf("the outcome is not what was stored (-outcome +loaded):\n%s", diff)
	}
	for i, e := range wantEvents(t, l, 2) {
		env := e.Envelope
		if env.Command != "1" || env.Correlation != "1" || env.Actor != domain.System() || env.RecordedAt != noon ||
			env.Versions.Terms != e.Body.EventType() || env.ID != eventstore.EventID("account-ann", "1", i) {
			t.Errorf("%+v", env)
		}
	}
	if none, err := eventstore.Load(t.Context(), l, "account-bob", persons); err != nil || none.Revision != -1 || none.State.Names != nil {
		t.Errorf("no stream: %+v, %v", none, err)
	}
}

func TestACommandThatIsRepeated(t *testing.T) {
	l, v := freshLedger(t)
	first := handle(t, l, command("1"), named("Ann"))
	second := handle(t, l, command("2"), named("Anna", "Anne"))
	handle(t, l, command("3"), named("Annabel"))
	never := func(person, time.Time) ([]account.Event, error) {
		t.Error("a repeated command was decided again")
		return nil, nil
	}
	wrong := uint64(77)
	for _, want := range []eventstore.Outcome[person]{first, second} {
		cmd := command(string(want.State.Last.Command))
		cmd.Now, cmd.IfRevision = noon.Add(time.Hour), &wrong
		got := handle(t, l, cmd, never)
		if !got.Repeated {
			t.Error("not said to be repeated")
		}
		if len(got.Events) != len(want.Events) {
			t.Errorf("%d events of its own, first %d", len(got.Events), len(want.Events))
		}
		got.Repeated, got.Events, want.Events = false, nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("another answer (-first +again):\n%s", diff)
		}
		cmd.BodyHash = "another"
		if _, err := eventstore.Handle(t.Context(), l, "account-ann", persons, cmd, never); !errors.Is(err, eventstore.ErrKeyReused) {
			t.Errorf("another body: %v", err)
		}
	}
	wantEvents(t, l, 4)

	// A person's erasure does not change that.
	if err := v.Destroy("ann"); err != nil {
		t.Fatal(err)
	}
	if got := handle(t, l, command("1"), never); !got.Repeated || !slices.Equal(got.State.Names, []string{"(erased)"}) {
		t.Errorf("after the erasure: %+v", got)
	}
	if _, err := eventstore.Handle(t.Context(), l, "account-ann", persons, command("4"), named("X")); !errors.Is(err, vault.ErrErased) {
		t.Errorf("words of an erased person: %v", err)
	}
}

func TestWhatACommandAsksOfItsStream(t *testing.T) {
	l, _ := freshLedger(t)
	must := command("0")
	must.MustExist = true
	if _, err := eventstore.Handle(t.Context(), l, "account-ann", persons, must, named("Ann")); !errors.Is(err, eventstore.ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	zero := uint64(0)
	early := command("1")
	early.IfRevision = &zero
	_, err := eventstore.Handle(t.Context(), l, "account-ann", persons, early, named("Ann"))
	if r, ok := errors.AsType[*eventstore.RevisionError](err); !ok || r.Actual != -1 || !errors.Is(err, eventstore.ErrRevision) {
		t.Errorf("no stream yet: %v", err)
	}
	handle(t, l, command("1"), named("Ann"))
	match := command("2")
	match.IfRevision = &zero
	handle(t, l, match, named("Anna"))
	late := command("3")
	late.IfRevision = &zero
	_, err = eventstore.Handle(t.Context(), l, "account-ann", persons, late, named("Anne"))
	if r, ok := errors.AsType[*eventstore.RevisionError](err); !ok || r.Actual != 1 {
		t.Errorf("moved on: %v", err)
	}
	for _, bad := range []eventstore.Command{{Now: noon}, {ID: "x"}} {
		if _, err := eventstore.Handle(t.Context(), l, "account-ann", persons, bad, named("Ann")); err == nil {
			t.Error("a command without id or instant")
		}
	}
	wantEvents(t, l, 2)
}

func TestARefusalIsNotRemembered(t *testing.T) {
	l, _ := freshLedger(t)
	refusal := &domain.Refusal{Rule: domain.RuleClock, Detail: "not yet"}
	_, err := eventstore.Handle(t.Context(), l, "account-ann", persons, command("1"),
		func(person, time.Time) ([]account.Event, error) { return nil, refusal })
	if err != error(refusal) {
		t.Errorf("the refusal came as %v", err)
	}
	handle(t, l, command("1"), named("Ann"))
	out := handle(t, l, command("2"), func(person, time.Time) ([]account.Event, error) { return nil, nil })
	if out.Repeated || out.Revision != 0 || out.Position == 0 || len(out.Events) != 0 || !slices.Equal(out.State.Names, []string{"Ann"}) {
		t.Errorf("nothing to do: %+v", out)
	}
	wantEvents(t, l, 1)
}

func TestInstantsNeverGoBack(t *testing.T) {
	l, _ := freshLedger(t)
	for i, x := range []struct{ now, want time.Time }{
		{noon.Add(1999 * time.Nanosecond), noon.Add(time.Microsecond)},
		{noon.Add(-time.Hour), noon.Add(time.Microsecond)},
		{noon.Add(time.Minute).In(time.FixedZone("BST", 3600)), noon.Add(time.Minute)},
	} {
		cmd := command(fmt.Sprint(i))
		cmd.Now = x.now
		var decided time.Time
		out := handle(t, l, cmd, func(p person, at time.Time) ([]account.Event, error) {
			decided = at
			return named("Ann")(p, at)
		})
		if out.RecordedAt != x.want || decided != x.want {
			t.Errorf("at %s: recorded %s, decided %s, want %s", x.now, out.RecordedAt, decided, x.want)
		}
	}
}

func TestARaceForTheLastPlaces(t *testing.T) {
	l, _ := freshLedger(t)
	full := errors.New("full")
	const places, contenders = 3, 40
	var all sync.WaitGroup
	results := make([]error, contenders)
	for i := range contenders {
		all.Go(func() {
			_, results[i] = eventstore.Handle(context.Background(), l, "account-ann", persons, command(fmt.Sprint(i)),
				func(p person, at time.Time) ([]account.Event, error) {
					if len(p.Names) >= places {
						return nil, full
					}
					return named(fmt.Sprint(i))(p, at)
				})
		})
	}
	all.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, full):
			t.Error(err)
		}
	}
	if won != places {
		t.Errorf("%d won, want %d", won, places)
	}
	wantEvents(t, l, places)
}

func TestAStreamThatNeverSettles(t *testing.T) {
	n := start(t)
	l, _ := ledgerOf(t, connect(t, n.Addr(), func(c *eventstore.Config) { c.Bound = 100 * time.Millisecond }))
	rounds := 0
	_, err := eventstore.Handle(t.Context(), l, "account-ann", persons, command("mine"),
		func(p person, at time.Time) ([]account.Event, error) {
			rounds++
			handle(t, l, command(fmt.Sprint(rounds)), named("Other"))
			return named("Mine")(p, at)
		})
	if !errors.Is(err, eventstore.ErrUnavailable) || !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("after %d rounds: %v", rounds, err)
	}
}

// The answer to the append is lost: what is sent again is sealed already, so
// the server knows it, and the person's words are in the log once.
func TestALostAnswerUnderHandle(t *testing.T) {
	b := breakable(t)
	l, _ := ledgerOf(t, b.store)
	handle(t, l, command("1"), named("Ann"))
	out := make(chan error, 1)
	go func() {
		_, err := eventstore.Handle(context.Background(), l, "account-ann", persons, command("2"),
			func(p person, at time.Time) ([]account.Event, error) {
				b.Do(faultproxy.LoseAnswers)
				return named("Anna")(p, at)
			})
		out <- err
	}()
	b.awaitDirectly(t, eventstore.EventID("account-ann", "2", 0))
	b.Do(faultproxy.Cut)
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	wantEvents(t, l, 2)
	if again := handle(t, l, command("2"), named("never")); !again.Repeated {
		t.Error("the command is not known")
	}
}

func TestWhatHandleWillNotAppend(t *testing.T) {
	l, _ := freshLedger(t)
	_, err := eventstore.Handle(t.Context(), l, "account-ann", persons, command("1"), named(strings.Repeat("x", 60<<10)))
	if !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	anonymous := command("2")
	anonymous.Person = ""
	if _, err := eventstore.Handle(t.Context(), l, "account-ann", persons, anonymous, named("Ann")); err == nil {
		t.Error("words without a person were appended")
	}
	wantEvents(t, l, 0)

	stray := eventstore.Aggregate[int, permit.Event]{Evolve: func(n int, _ permit.Event, _ eventstore.Envelope) int { return n + 1 }}
	handle(t, l, command("3"), named("Ann"))
	if _, err := eventstore.Load(t.Context(), l, "account-ann", stray); !errors.Is(err, eventstore.ErrMalformed) {
		t.Errorf("another aggregate's event: %v", err)
	}
}

func TestLoadUntil(t *testing.T) {
	l, _ := freshLedger(t)
	for i, name := range []string{"Ann", "Anna", "Anne"} {
		cmd := command(name)
		cmd.Now = noon.Add(time.Duration(i) * time.Hour)
		handle(t, l, cmd, named(name))
	}
	for hours, want := range [][]string{nil, {"Ann"}, {"Ann", "Anna"}, {"Ann", "Anna", "Anne"}} {
		then := noon.Add(time.Duration(hours)*time.Hour - time.Minute)
		got, err := eventstore.LoadUntil(t.Context(), l, "account-ann", persons, func(e eventstore.Envelope) bool { return e.RecordedAt.After(then) })
		if err != nil || !slices.Equal(got.State.Names, want) || got.Revision != int64(len(want))-1 {
			t.Errorf("at %s: %+v, %v", then, got, err)
		}
	}
}

// Random commands, repeated at random, against a model of the answers.
func TestCommandsAgainstAModel(t *testing.T) {
	l, _ := freshLedger(t)
	type answer struct {
		hash  string
		names []string
		at    time.Time
	}
	rapid.Check(t, func(rt *rapid.T) {
		stream := "account-" + uuid.NewString()
		var names []string
		var last time.Time
		known := map[string]answer{}
		for range rapid.IntRange(1, 10).Draw(rt, "commands") {
			id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "id")
			hash := rapid.SampledFrom([]string{"x", "x", "x", "y"}).Draw(rt, "body")
			cmd := command(id)
			cmd.BodyHash = hash
			cmd.Now = noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(rt, "minutes")) * time.Minute)
			add := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,3}`), 0, 3).Draw(rt, "names")
			out, err := eventstore.Handle(context.Background(), l, stream, persons, cmd, named(add...))
			first, repeated := known[id]
			switch {
			case repeated && first.hash != hash:
				if !errors.Is(err, eventstore.ErrKeyReused) {
					rt.Fatalf("key used again: %v", err)
				}
				continue
			case !repeated && len(add) > 0:
				names = append(slices.Clone(names), add...)
				if last.Before(cmd.Now) {
					last = cmd.Now
				}
				first = answer{hash, names, last}
				known[id] = first
			case !repeated:
				first = answer{hash, names, last}
			}
			if err != nil || out.Repeated != repeated || !slices.Equal(out.State.Names, first.names) || !out.RecordedAt.Equal(first.at) {
				rt.Fatalf("command %s: %+v, %v, want %+v, repeated %v", id, out, err, first, repeated)
			}
		}
	})
}

func TestBindVault(t *testing.T) {
	l, v := freshLedger(t)
	for range 2 {
		if err := eventstore.BindVault(t.Context(), l, v.ID(), noon); err != nil {
			t.Fatal(err)
		}
	}
	events, err := l.History(t.Context(), ledger.VaultStream)
	if err != nil || len(events) != 1 || events[0].Body != domain.Event(ledger.VaultBound{Vault: v.ID()}) {
		t.Errorf("%+v, %v", events, err)
	}
	err = eventstore.BindVault(t.Context(), l, "another", noon)
	foreign, ok := errors.AsType[*eventstore.ForeignVaultError](err)
	if !ok || foreign.Log != v.ID() || foreign.Here != "another" || !errors.Is(err, eventstore.ErrForeignVault) {
		t.Errorf("another vault: %v", err)
	}
}

func TestTwoPrimariesBindOneVault(t *testing.T) {
	l, _ := freshLedger(t)
	var both sync.WaitGroup
	results := make([]error, 2)
	for i := range results {
		both.Go(func() {
			results[i] = eventstore.BindVault(context.Background(), l, fmt.Sprint("vault ", i), noon)
		})
	}
	both.Wait()
	if (results[0] == nil) == (results[1] == nil) || !errors.Is(errors.Join(results...), eventstore.ErrForeignVault) {
		t.Errorf("%v", results)
	}
}

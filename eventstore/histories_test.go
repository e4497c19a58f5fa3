package eventstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore"
)

// countedKeys counts what is opened.
type countedKeys struct {
	openKeys
	opened *int
}

func (k countedKeys) Open(keyID string, sealed, aad []byte) ([]byte, bool, error) {
	*k.opened++
	return k.openKeys.Open(keyID, sealed, aad)
}

// remembering is a ledger that counts what it opens, and what erases a person.
func remembering(s *eventstore.Store) (l *eventstore.Ledger, opened *int, erase func(domain.AccountID)) {
	keys := countedKeys{openKeys{erased: map[string]bool{}}, new(int)}
	return eventstore.NewLedger(s, eventstore.NewCodec(keys)), keys.opened, func(id domain.AccountID) { keys.erased["key of "+string(id)] = true }
}

// Of a stream that was read before only what is new is decoded, whoever wrote
// it, and a command's own event not even once it is read.
func TestAStreamIsRemembered(t *testing.T) {
	_, s := fresh(t)
	l, opened, _ := remembering(s)
	other, _, _ := remembering(s)
	decodes := func(what string, want int, f func()) {
		t.Helper()
		before := *opened
		if f(); *opened-before != want {
			t.Errorf("%s: %d events were opened, want %d", what, *opened-before, want)
		}
	}
	handle(t, other, command("1"), named("Ann", "Anna"))
	decodes("the first time", 2, func() { wantEvents(t, l, 2) })
	decodes("again", 0, func() { wantEvents(t, l, 2) })
	handle(t, other, command("2"), named("Anne"))
	decodes("what another wrote", 1, func() { wantEvents(t, l, 3) })
	decodes("one's own, when it is read back before it is written", 1, func() { handle(t, l, command("3"), named("Annie")) })
	decodes("one's own, read", 0, func() { wantEvents(t, l, 4) })
	decodes("two of one's own, when they are read back", 2, func() { handle(t, l, command("4"), named("A", "B")) })
	decodes("two of one's own, of which one's position was not known", 2, func() { wantEvents(t, l, 6) })
	decodes("folded", 0, func() {
		if _, err := eventstore.Load(t.Context(), l, "account-ann", persons); err != nil {
			t.Fatal(err)
		}
	})
}

// What callers do to the slice that they get is not seen by others.
func TestAHistoryIsTheCallersOwn(t *testing.T) {
	_, s := fresh(t)
	l, _, _ := remembering(s)
	handle(t, l, command("1"), named("Ann", "Anna", "Anne"))
	want := slices.Clone(wantEvents(t, l, 3))
	mine := wantEvents(t, l, 3)
	slices.Reverse(mine[:2])
	_ = append(mine, eventstore.Event{})
	if diff := cmp.Diff(want, wantEvents(t, l, 3)); diff != "" {
		t.Errorf("others see (-before +after):\n%s", diff)
	}
}

// Once a person is erased nothing of them is shown, also of what was decoded
// before.
func TestNothingErasedIsRemembered(t *testing.T) {
	l, v := freshLedger(t)
	handle(t, l, command("1"), named("Ann"))
	wantEvents(t, l, 1)
	if err := v.Destroy("ann"); err != nil {
		t.Fatal(err)
	}
	opened := wantEvents(t, l, 1)[0].Body.(account.AccountOpened)
	if !opened.Personal.Erased || opened.Personal.Value.Name != "" {
		t.Errorf("the name is still there: %+v", opened.Personal)
	}
}

// Whatever is done to a stream and its people, and by whom, a ledger that
// remembers shows what one shows that never saw it before.
func TestWhatIsRememberedIsWhatIsThere(t *testing.T) {
	n, s := fresh(t)
	admin := foreign(t, n)
	rapid.Check(t, func(rt *rapid.T) {
		stream := account.Stream(domain.AccountID(uuid.NewString()))
		keys := openKeys{erased: map[string]bool{}}
		anew := func() *eventstore.Ledger { return eventstore.NewLedger(s, eventstore.NewCodec(keys)) }
		people := []domain.AccountID{"ann", "bob"}
		ours, steps := anew(), 0
		write := func(by *eventstore.Ledger) func(*rapid.T) {
			return func(rt *rapid.T) {
				steps++
				cmd := command(fmt.Sprint(steps))
				cmd.Person = rapid.SampledFrom(people).Draw(rt, "of")
				names := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,3}`), 1, 3).Draw(rt, "names")
				_, err := eventstore.Handle(t.Context(), by, stream, persons, cmd, named(names...))
				if gone := keys.erased["key of "+string(cmd.Person)]; gone != (err != nil) {
					rt.Fatalf("erased is %v, and a command about them: %v", gone, err)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"we write":      func(rt *rapid.T) { write(ours)(rt) },
			"others write":  func(rt *rapid.T) { write(anew())(rt) },
			"we start anew": func(*rapid.T) { ours = anew() },
			"erase": func(rt *rapid.T) {
				keys.erased["key of "+string(rapid.SampledFrom(people).Draw(rt, "whom"))] = true
			},
			"delete": func(rt *rapid.T) {
				if _, err := admin.DeleteStream(t.Context(), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.StreamExists{}}); err != nil {
					rt.Skip("there is none")
				}
			},
			"": func(rt *rapid.T) {
				want, err := anew().History(t.Context(), stream)
				if err != nil {
					rt.Fatal(err)
				}
				got, err := ours.History(t.Context(), stream)
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
					rt.Fatalf("remembered is something else (-there +remembered): %v\n%s", err, diff)
				}
			},
		})
	})
}

// A server takes an event under an id that it has for a repetition, as when a
// request was given up and its append was still on the way: what is remembered
// is then not what was decided the second time, but what is there.
func TestARepetitionIsRememberedAsItIsThere(t *testing.T) {
	_, s := fresh(t)
	l, _, _ := remembering(s)
	other, _, _ := remembering(s)
	later := command("1")
	later.Now = noon.Add(time.Minute)
	_, err := eventstore.Handle(t.Context(), l, "account-ann", persons, later, func(p person, at time.Time) ([]account.Event, error) {
		handle(t, other, command("1"), named("Ann")) // the first try, which arrives now
		return named("Anna")(p, at)
	})
	if err != nil {
		t.Fatal(err)
	}
	fresh, _, _ := remembering(s)
	if diff := cmp.Diff(wantEvents(t, fresh, 1), wantEvents(t, l, 1)); diff != "" {
		t.Errorf("remembered is something else (-there +remembered):\n%s", diff)
	}
}

// A stream of which the beginning was cut off, or all of it, is not shown as
// it was. When the last event known was not cut off it takes some seconds.
func TestAStreamThatWasCutOff(t *testing.T) {
	n, s := fresh(t)
	admin := foreign(t, n)
	l, _, _ := remembering(s)
	handle(t, l, command("1"), named("A", "B"))
	wantEvents(t, l, 2)
	other, _, _ := remembering(s)
	handle(t, other, command("2"), named("C", "D"))
	var metadata esdb.StreamMetadata
	metadata.SetTruncateBefore(3)
	if _, err := admin.SetStreamMetadata(t.Context(), "account-ann", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, metadata); err != nil {
		t.Fatal(err)
	}
	if events := wantEvents(t, l, 1); events[0].Revision != 3 {
		t.Errorf("the event that is left has revision %d", events[0].Revision)
	}
	if _, err := admin.TombstoneStream(t.Context(), "account-ann", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if events, err := l.History(t.Context(), "account-ann"); err == nil {
		t.Errorf("of a stream that has ended it shows %d events", len(events))
	}
}

package eventstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"permitledger/domain/account"
	"permitledger/eventstore"
)

// copied is a Copy that was made by hand, at some moment.
type copied struct {
	events  map[string][]eventstore.Recorded
	reached eventstore.Position
	err     error
}

func (c *copied) Stream(_ context.Context, stream string) ([]eventstore.Recorded, eventstore.Position, error) {
	return c.events[stream], c.reached, c.err
}

// While the log is away its copy answers who allows that, and only them.
func TestReadsFromTheCopy(t *testing.T) {
	b := breakable(t, impatient)
	if err := b.store.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, _ := ledgerOf(t, b.store)
	if _, err := eventstore.Handle(t.Context(), l, "account-ann", persons, command("1"), named("Ann")); err != nil {
		t.Fatal(err)
	}
	c := &copied{events: map[string][]eventstore.Recorded{"account-ann": collect(t, b.store.Read(t.Context(), "account-ann", 0))}}
	c.reached = c.events["account-ann"][0].Position
	load := func(ctx context.Context) (string, error) {
		p, err := eventstore.Load(ctx, l, "account-ann", persons)
		return strings.Join(p.State.Names, ", "), err
	}
	allowed, use := eventstore.AllowCopy(t.Context(), c.reached)
	if name, err := load(allowed); name != "Ann" || err != nil {
		t.Errorf("from the log: %q, %v", name, err)
	}
	l.UseCopy(c)
	if name, err := load(allowed); name != "Ann" || err != nil {
		t.Errorf("from the log, with a copy: %q, %v", name, err)
	}
	if _, used := use.Used(); used {
		t.Error("the copy was used while the log was there")
	}

	b.Down()
	for b.store.Connection().Up {
		_, _ = b.store.Head(t.Context())
	}
	if name, err := load(allowed); name != "Ann" || err != nil {
		t.Errorf("from the copy: %q, %v", name, err)
	}
	if asOf, used := use.Used(); !used || !asOf.Equal(b.store.Connection().Since) {
		t.Errorf("used: %v, as of %v", used, asOf)
	}
	if none, err := l.History(allowed, "account-bob"); err != nil || len(none) != 0 {
		t.Errorf("no such stream: %v, %v", none, err)
	}
	if _, err := load(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("not allowed: %v", err)
	}
	further, use := eventstore.AllowCopy(t.Context(), c.reached+1)
	if _, err := load(further); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("further than the copy goes: %v", err)
	}
	if _, used := use.Used(); used {
		t.Error("what was refused counts as used")
	}
	_, err := eventstore.Handle(allowed, l, "account-ann", persons, command("2"), func(person, time.Time) ([]account.Event, error) {
		t.Error("something was decided on the copy")
		return nil, nil
	})
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("a command: %v", err)
	}
	c.err = errors.New("half of it")
	other, _ := eventstore.AllowCopy(t.Context(), 0)
	if _, err := load(other); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("from a copy that is not whole: %v", err)
	}
	var nobody *eventstore.CopyUse
	if _, used := nobody.Used(); used {
		t.Error("nobody used it")
	}
}

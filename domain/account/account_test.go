package account

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"permitledger/domain"
)

var opened = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func jo() OpenedPersonal {
	return OpenedPersonal{Name: "Jo Example", Email: "jo@example.org", Phone: "0116 000 0000", Subject: "sub-jo"}
}

// run folds what a decision gave, at an instant.
func run(t testing.TB, s State, at time.Time, events []Event, err error) State {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		s = Evolve(s, e, domain.Meta{At: at, Revision: s.Revision + 1})
	}
	return s
}

func open(t testing.TB, p OpenedPersonal) State {
	events, err := Open(State{}, p)
	return run(t, State{}, opened, events, err)
}

func TestDetails(t *testing.T) {
	s := open(t, jo())
	email := ""
	events, err := ChangeDetails(s, Change{Email: &email})
	want := []Event{AccountDetailsChanged{Personal: domain.PersonalOf(DetailsPersonal{Name: "Jo Example", Phone: "0116 000 0000"})}}
	if diff := cmp.Diff(want, events); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	s = run(t, s, opened, events, err)
	if s.Name != "Jo Example" || s.Email != "" || s.Phone == "" || s.Subject != "sub-jo" {
		t.Errorf("%+v", s)
	}
	if events, err := ChangeDetails(s, Change{}); err != nil || len(events) != 1 {
		t.Errorf("a change to nothing new leaves no trace: %v, %v", events, err)
	}
	blank := "  "
	if _, err := ChangeDetails(s, Change{Name: &blank}); !errors.Is(err, ErrNoName) {
		t.Error(err)
	}
}

func TestOwnership(t *testing.T) {
	if s := open(t, jo()); !s.Owns("sub-jo") || s.Owns("") || s.Owns("jo@example.org") {
		t.Errorf("%+v", s)
	}
	p := jo()
	p.Subject = ""
	s := open(t, p)
	if s.Owns("") || s.Owns("sub-jo") {
		t.Error("an account that an operator opened belongs to somebody")
	}
}

func TestAnInvitationIsFollowedOnce(t *testing.T) {
	p := jo()
	p.Subject = ""
	unowned := open(t, p)
	if _, err := Claim(unowned, "sub-jo", "", opened); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("claimed without an invitation: %v", err)
	}
	events, err := Invite(unowned, "hash", opened)
	invited := run(t, unowned, opened, events, err)
	last := opened.Add(InvitationLasts - time.Microsecond)
	for _, c := range []struct {
		name, subject, hash string
		at                  time.Time
		want                error
	}{
		{"nobody", "", "hash", last, ErrNoSubject},
		{"a wrong token", "sub-jo", "other", last, ErrNoInvitation},
		{"too late", "sub-jo", "hash", opened.Add(InvitationLasts), ErrNoInvitation},
		{"in time", "sub-jo", "hash", last, nil},
	} {
		if _, err := Claim(invited, c.subject, c.hash, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	events, err = Claim(invited, "sub-jo", "hash", last)
	claimed := run(t, invited, last, events, err)
	if !claimed.Owns("sub-jo") || claimed.Invitation != nil {
		t.Errorf("claimed: %+v", claimed)
	}
	if events, err := Claim(claimed, "sub-jo", "hash", last); err != nil || events != nil {
		t.Errorf("claimed again by its owner: %v %v", events, err)
	}
	if _, err := Claim(claimed, "sub-eve", "hash", last); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("a used invitation: %v", err)
	}
	if _, err := Invite(claimed, "new", last); !errors.Is(err, ErrOwned) {
		t.Errorf("an invitation to what is owned: %v", err)
	}
}

func TestAnInvitationIsReplacedOrWithdrawn(t *testing.T) {
	p := jo()
	p.Subject = ""
	unowned := open(t, p)
	events, err := Invite(unowned, "first", opened)
	s := run(t, unowned, opened, events, err)
	events, err = Invite(s, "second", opened.Add(time.Hour))
	s = run(t, s, opened.Add(time.Hour), events, err)
	if _, err := Claim(s, "sub-jo", "first", opened.Add(2*time.Hour)); !errors.Is(err, ErrNoInvitation) {
		t.Errorf("an invitation that a later one replaced: %v", err)
	}
	name, elsewhere, none := "Jo Else", "else@example.org", ""
	events, err = ChangeDetails(s, Change{Name: &name})
	if s = run(t, s, opened, events, err); s.Invitation == nil {
		t.Error("another name withdrew the invitation")
	}
	events, err = ChangeDetails(s, Change{Email: &elsewhere})
	if s = run(t, s, opened, events, err); s.Invitation != nil {
		t.Error("an invitation that went to another address still holds")
	}
	events, err = ChangeDetails(s, Change{Email: &none})
	s = run(t, s, opened, events, err)
	if _, err := Invite(s, "third", opened); !errors.Is(err, ErrNoEmail) {
		t.Errorf("an invitation to no address: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := Open(open(t, jo()), jo()); !errors.Is(err, ErrAlreadyOpen) {
		t.Error(err)
	}
	if _, err := Open(State{}, OpenedPersonal{Name: " "}); !errors.Is(err, ErrNoName) {
		t.Error(err)
	}
	for _, c := range []struct {
		s    State
		want error
	}{
		{State{}, ErrNotOpen},
		{open(t, jo()).Erase(), ErrErased},
		{State{Opened: true, KeyGone: true}, ErrErased},
	} {
		_, err1 := Claim(c.s, "sub", "hash", opened)
		_, err5 := Invite(c.s, "hash", opened)
		_, err2 := ChangeDetails(c.s, Change{})
		_, err3 := Upload(c.s, DocumentUploaded{SHA256: "a"}, opened)
		_, err4 := Drop(c.s, "a")
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		}
	}
	if _, err := Erase(State{}, "request"); !errors.Is(err, ErrNotOpen) {
		t.Error(err)
	}
}

func TestTwentyDocumentsALondonDay(t *testing.T) {
	s := open(t, jo())
	// 30 March 2026 begins at 23:00 UTC the day before, in summer time.
	at := time.Date(2026, 3, 29, 23, 0, 0, 0, time.UTC)
	upload := func(sha string, at time.Time) error {
		events, err := Upload(s, DocumentUploaded{SHA256: sha, Bytes: 10, MediaType: "application/pdf"}, at)
		if err == nil {
			if len(events) != 1 {
				t.Fatalf("%s: %v", sha, events)
			}
			s = run(t, s, at, events, nil)
		}
		return err
	}
	for i := range DocumentsPerDay {
		for range 2 { // the same bytes again count once
			if err := upload(fmt.Sprint(i), at); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	err := upload("one more", at.Add(23*time.Hour))
	var tooMany *TooManyDocumentsError
	midnight := time.Date(2026, 3, 30, 23, 0, 0, 0, time.UTC)
	if !errors.Is(err, ErrTooManyDocuments) || !errors.As(err, &tooMany) || !tooMany.RetryAt.Equal(midnight) {
		t.Fatalf("%v", err)
	}
	if err := upload("3", at.Add(23*time.Hour)); err != nil {
		t.Errorf("a known document: %v", err)
	}
	if err := upload("one more", tooMany.RetryAt); err != nil {
		t.Errorf("on the next day: %v", err)
	}
	// An old document sent again today is not new today.
	for i := range DocumentsPerDay - 1 {
		if err := upload(fmt.Sprintf("next %d", i), midnight.Add(time.Hour)); err != nil {
			t.Fatal(i, err)
		}
		if err := upload(fmt.Sprint(i), midnight.Add(time.Hour)); err != nil {
			t.Fatal(i, err)
		}
	}
}

func TestDocumentsAreDropped(t *testing.T) {
	s := open(t, jo())
	events, err := Upload(s, DocumentUploaded{SHA256: "b"}, opened)
	s = run(t, s, opened, events, err)
	events, err = Upload(s, DocumentUploaded{SHA256: "a"}, opened)
	s = run(t, s, opened, events, err)
	if due := s.DueToDrop(opened.Add(KeepUnnamed - 1)); due != nil {
		t.Error(due)
	}
	if diff := cmp.Diff([]string{"a", "b"}, s.DueToDrop(opened.Add(KeepUnnamed))); diff != "" {
		t.Error(diff)
	}
	// Sent again, it waits anew.
	events, err = Upload(s, DocumentUploaded{SHA256: "a"}, opened.Add(time.Hour))
	s = run(t, s, opened.Add(time.Hour), events, err)
	if diff := cmp.Diff([]string{"b"}, s.DueToDrop(opened.Add(KeepUnnamed))); diff != "" {
		t.Error(diff)
	}
	old := s
	events, err = Drop(s, "b")
	s = run(t, s, opened, events, err)
	if s.Has("b") || !s.Has("a") || !old.Has("b") {
		t.Errorf("%+v", s.Documents)
	}
	if events, err := Drop(s, "b"); err != nil || events != nil {
		t.Error(events, err)
	}
	events, err = Upload(s, DocumentUploaded{SHA256: "b"}, opened.Add(time.Hour))
	if s = run(t, s, opened.Add(time.Hour), events, err); !s.Has("b") {
		t.Error("a dropped document cannot come back")
	}
}

func anyEvent() *rapid.Generator[Event] {
	words := rapid.StringMatching(`[a-z]{0,5}`)
	return rapid.Custom(func(t *rapid.T) Event {
		sha := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "sha")
		switch rapid.IntRange(0, 4).Draw(t, "type") {
		case 0:
			return AccountClaimed{Personal: domain.PersonalOf(ClaimedPersonal{Subject: words.Draw(t, "subject")})}
		case 4:
			return AccountInvited{TokenHash: words.Draw(t, "hash"), ExpiresAt: opened.Add(InvitationLasts)}
		case 1:
			return AccountDetailsChanged{Personal: domain.PersonalOf(DetailsPersonal{Name: words.Draw(t, "name"), Email: words.Draw(t, "email")})}
		case 2:
			return DocumentUploaded{SHA256: sha, Bytes: 1}
		}
		return DocumentDropped{SHA256: sha}
	})
}

// without gives the event as it reads when the person's key is destroyed.
func without(e Event) Event {
	switch e := e.(type) {
	case AccountOpened:
		e.Personal.Erase()
		return e
	case AccountClaimed:
		e.Personal.Erase()
		return e
	case AccountDetailsChanged:
		e.Personal.Erase()
		return e
	}
	return e
}

// A state that was folded with the key and then erased is the one that is
// folded without it.
func TestErasureLeavesTheSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := append([]Event{AccountOpened{Personal: domain.PersonalOf(jo())}}, rapid.SliceOf(anyEvent()).Draw(t, "events")...)
		var clear, sealed State
		for i, e := range events {
			m := domain.Meta{At: opened.Add(time.Duration(i) * time.Hour), Revision: uint64(i)}
			clear, sealed = Evolve(clear, e, m), Evolve(sealed, without(e), m)
		}
		if !sealed.KeyGone || sealed.Name != "" || sealed.Subject != "" {
			t.Fatalf("%+v", sealed)
		}
		if diff := cmp.Diff(clear.Erase(), sealed.Erase()); diff != "" {
			t.Fatal(diff)
		}
		decided, err := Erase(sealed, "request")
		if err != nil || len(decided) != 1 {
			t.Fatal(decided, err)
		}
		m := domain.Meta{Revision: uint64(len(events))}
		one, other := Evolve(clear, decided[0], m), Evolve(sealed, decided[0], m)
		if diff := cmp.Diff(one, other); diff != "" {
			t.Fatal(diff)
		}
		if again, err := Erase(one, "request"); err != nil || again != nil || one.Has("a") || one.Owns("sub-jo") {
			t.Fatalf("%v, %v, %+v", again, err, one)
		}
	})
}

package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/permit"
)

// Summary is what a history holds at its end, as the streams tell it.
type Summary struct {
	Events   int // of the whole ledger, the council's own included
	Accounts int
	Permits  int // all applications that were made
	// States counts the permits by where they stand at the end.
	States map[permit.Status]int
	Kinds  map[domain.Kind]int
	Zones  map[domain.Zone]int
	// Cancelled counts the cancelled ones by their reason.
	Cancelled map[permit.CancelReason]int
	Renewals  int // terms added by holders
	Automatic int // terms added by automatic renewal
	// Refused counts what was asked for and refused, as the stories meant it,
	// by the rule.
	Refused  map[domain.Rule]int
	Examples []Example
}

// Example is a permit worth looking at.
type Example struct {
	Shows     string // what there is to see
	Permit    domain.PermitID
	Reference string
	Account   domain.AccountID
	Subject   string // whom its resident signs in as; empty: nobody has claimed the account
	State     permit.Status
}

// sum folds the permits that the log holds at the end, in one reading of it.
func (t *teller) sum(ctx context.Context, stories []*story) (Summary, error) {
	sum := Summary{States: map[permit.Status]int{}, Kinds: map[domain.Kind]int{}, Zones: map[domain.Zone]int{},
		Cancelled: map[permit.CancelReason]int{}, Refused: t.refusals}
	permits := map[domain.PermitID]permit.State{}
	for r, err := range t.Desk.Ledger.Store().ReadAll(ctx, 0) {
		if err != nil {
			return Summary{}, fmt.Errorf("demo: look at what was told: %w", err)
		}
		sum.Events++
		if r.Type == account.TypeAccountOpened {
			sum.Accounts++
		}
		id, ok := strings.CutPrefix(r.Stream, permit.Stream(""))
		if !ok {
			continue
		}
		e, err := t.Desk.Ledger.Codec().Decode(r)
		if err != nil {
			return Summary{}, fmt.Errorf("demo: look at what was told: %w", err)
		}
		permits[domain.PermitID(id)] = permit.Evolve(permits[domain.PermitID(id)], e.Body.(permit.Event), e.Meta())
	}
	for _, p := range permits {
		sum.count(p, t.Until)
	}
	shown := map[string]bool{}
	for _, s := range stories {
		last := s.lastMade()
		if last == "" || s.shows == "" || shown[s.shows] {
			continue
		}
		shown[s.shows] = true
		e := Example{Shows: s.shows, Permit: last, Reference: last.Reference(), Account: s.account, State: permits[last].Status(t.Until)}
		if s.entered == "" {
			e.Subject = s.person.subject
		}
		sum.Examples = append(sum.Examples, e)
	}
	return sum, nil
}

// lastMade is the last permit of the story that was not refused, as the story
// meant it; none when all were.
func (s *story) lastMade() (id domain.PermitID) {
	for _, a := range s.applications {
		if a.id != "" {
			id = a.id
		}
	}
	return id
}

func (s *Summary) count(p permit.State, at time.Time) {
	s.Permits++
	s.States[p.Status(at)]++
	s.Kinds[p.Kind]++
	s.Zones[p.Zone]++
	if p.Cancellation != nil {
		s.Cancelled[p.Cancellation.Reason]++
	}
	for _, term := range p.Terms[min(1, len(p.Terms)):] {
		if term.Automatic {
			s.Automatic++
		} else {
			s.Renewals++
		}
	}
}

// String is one line for people.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events, %d permits of %d residents in %d zones", s.Events, s.Permits, s.Accounts, len(s.Zones))
	sep := ": "
	for _, state := range []permit.Status{permit.StatusPending, permit.StatusUpcoming, permit.StatusActive,
		permit.StatusExpired, permit.StatusRejected, permit.StatusCancelled} {
		if n := s.States[state]; n > 0 {
			fmt.Fprintf(&b, "%s%d %s", sep, n, state)
			sep = ", "
		}
	}
	fmt.Fprintf(&b, "; %d renewals, %d of them automatic; %d requests refused", s.Renewals+s.Automatic, s.Automatic, s.refused())
	return b.String()
}

func (s Summary) refused() (n int) {
	for _, c := range s.Refused {
		n += c
	}
	return n
}

// Example finds the example whose description begins so.
func (s Summary) Example(shows string) (Example, bool) {
	i := slices.IndexFunc(s.Examples, func(e Example) bool { return strings.HasPrefix(e.Shows, shows) })
	if i < 0 {
		return Example{}, false
	}
	return s.Examples[i], true
}

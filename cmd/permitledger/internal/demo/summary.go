package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/permit"
)

// Summary is what a history holds at its end, as the streams tell it.
type Summary struct {
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

// sum folds every permit of the history once more.
func (t *teller) sum(ctx context.Context, stories []*story) (Summary, error) {
	sum := Summary{States: map[permit.Status]int{}, Kinds: map[domain.Kind]int{}, Zones: map[domain.Zone]int{},
		Cancelled: map[permit.CancelReason]int{}, Refused: t.refusals}
	cases, err := t.cases(ctx, stories)
	if err != nil {
		return Summary{}, err
	}
	shown := map[string]bool{}
	for i, s := range stories {
		if s.account != "" {
			sum.Accounts++
		}
		for _, cs := range cases[i] {
			sum.count(cs)
		}
		if n := len(cases[i]); n > 0 && s.shows != "" && !shown[s.shows] {
			shown[s.shows] = true
			last := cases[i][n-1]
			sum.Examples = append(sum.Examples, Example{Shows: s.shows, Permit: last.ID, Reference: last.ID.Reference(),
				Account: s.account, Subject: s.person.subject, State: last.Permit.Status(t.Until)})
		}
	}
	return sum, nil
}

// cases loads the permits of each story, in its order, as they stand at the
// end.
func (t *teller) cases(ctx context.Context, stories []*story) ([][]desk.Case, error) {
	all := make([][]desk.Case, len(stories))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for i, s := range stories {
		g.Go(func() error {
			for _, a := range s.applications {
				if a.id == "" { // refused, as the story meant it
					continue
				}
				cs, err := t.Desk.Case(ctx, a.id)
				if err != nil {
					return fmt.Errorf("demo: look at permit %s: %w", a.id, err)
				}
				all[i] = append(all[i], cs)
			}
			return nil
		})
	}
	return all, g.Wait()
}

func (s *Summary) count(cs desk.Case) {
	p := cs.Permit
	s.Permits++
	s.States[p.Status(cs.At)]++
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
	fmt.Fprintf(&b, "%d permits of %d residents in %d zones", s.Permits, s.Accounts, len(s.Zones))
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

package demo_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/demo"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/eventstore"
)

func TestTheSameSeedTellsTheSameStories(t *testing.T) {
	t.Parallel()
	told := func(seed uint64) map[string]string {
		o := newOffice(t, until)
		_, err := demo.Seed(t.Context(), o.config(110, seed))
		must(t, err)
		return digests(t, o.events(t))
	}
	one, again, other := told(7), told(7), told(8)
	if !maps.Equal(one, again) {
		for stream, want := range one {
			if again[stream] != want {
				t.Errorf("%s differs:\n%s\n%s", stream, want, again[stream])
			}
		}
		t.Fatalf("the same seed told %d streams and then %d", len(one), len(again))
	}
	for stream := range other {
		if _, same := one[stream]; same {
			t.Errorf("another seed told %s, too", stream)
		}
	}
}

// digests is everything that streams of people, permits and money hold,
// personal parts included: types, bodies, instants, actors and commands.
func digests(t *testing.T, events []eventstore.Event) map[string]string {
	t.Helper()
	text := map[string]string{}
	for _, e := range events {
		if !slices.Contains([]string{"account", "permit", "payment", "notice"}, strings.SplitN(e.Stream, "-", 2)[0]) {
			continue // the council's own, and the houses, which are named with a secret
		}
		body, err := json.Marshal(e.Body)
		must(t, err)
		text[e.Stream] += fmt.Sprintln(e.Type, string(body), personal(t, e), e.RecordedAt, e.Actor)
		if e.Actor.Role != domain.RoleSystem {
			text[e.Stream] += string(e.Command)
		}
	}
	for stream, all := range text {
		text[stream] = fmt.Sprintf("%d events, %x", strings.Count(all, "\n"), sha256.Sum256([]byte(all)))
	}
	return text
}

func personal(t *testing.T, e eventstore.Event) string {
	t.Helper()
	var part any
	switch b := e.Body.(type) {
	case permit.Applied:
		part = b.Personal.Value
	case permit.Approved:
		part = b.Personal.Value
	case permit.Rejected:
		part = b.Personal.Value
	case permit.VehicleChanged:
		part = b.Personal.Value
	case permit.AddressChanged:
		part = b.Personal.Value
	case permit.Cancelled:
		part = b.Personal.Value
	case account.AccountOpened:
		part = b.Personal.Value
	case notice.InformationRequested:
		part = b.Personal.Value
	}
	text, err := json.Marshal(part)
	must(t, err)
	return string(text)
}

func TestTheHistoryHasEverything(t *testing.T) {
	t.Parallel()
	o := newOffice(t, until)
	began := time.Now()
	sum, err := demo.Seed(t.Context(), o.config(130, 1))
	must(t, err)
	t.Logf("told in %s: %s", time.Since(began).Round(time.Millisecond), sum)
	if sum.Permits != 130 {
		t.Errorf("%d permits were told, not 130", sum.Permits)
	}
	types, channels, proofs, reasons := map[string]int{}, map[domain.Channel]int{}, map[domain.EvidenceKind]int{}, map[domain.ReasonCode]int{}
	sold := map[string]int{}
	for _, e := range o.events(t) {
		types[e.Type]++
		channels[e.Actor.Channel]++
		switch b := e.Body.(type) {
		case permit.Applied:
			sold[fmt.Sprint(b.Kind, " ", b.Months)]++
			for _, item := range b.Evidence {
				proofs[item.Kind]++
			}
		case permit.Rejected:
			reasons[b.Decision.Reasons[0].Code]++
		}
		if e.RecordedAt.After(until) {
			t.Errorf("%s of %s is recorded after the end", e.Type, e.Stream)
		}
	}
	wanted := slices.Concat(permit.Types(), notice.Types(), payment.Types(),
		[]string{account.TypeAccountOpened, account.TypeAccountDetailsChanged, account.TypeDocumentUploaded})
	for _, name := range wanted {
		if types[name] == 0 && name != payment.TypePaymentRefunded { // the sample council refunds nothing
			t.Errorf("there is no %s", name)
		}
	}
	for _, k := range domain.EvidenceKinds() {
		if proofs[k] == 0 {
			t.Errorf("nobody sent a %s", k)
		}
	}
	for _, c := range []domain.Channel{domain.ChannelWeb, domain.ChannelPhone, domain.ChannelPost, domain.ChannelEmail, domain.ChannelSystem} {
		if channels[c] == 0 {
			t.Errorf("nothing came by %s", c)
		}
	}
	if len(sold) != 10 || len(reasons) != len(domain.ReasonCodes()) || len(sum.Zones) < 10 || sum.Renewals == 0 || sum.Automatic == 0 {
		t.Errorf("too little of something: %v, %v, %v, %s", sold, reasons, sum.Zones, sum)
	}
	for _, s := range []permit.Status{permit.StatusPending, permit.StatusUpcoming, permit.StatusActive,
		permit.StatusExpired, permit.StatusRejected, permit.StatusCancelled} {
		if sum.States[s] == 0 {
			t.Errorf("no permit is %s", s)
		}
	}
	for _, r := range []permit.CancelReason{permit.CancelledByHolder, permit.CancelledByCouncil, permit.CancelledUnpaid, permit.CancelledHoldLapsed} {
		if sum.Cancelled[r] == 0 {
			t.Errorf("no permit is cancelled for %s", r)
		}
	}
	for _, r := range []domain.Rule{domain.RulePropertyLimit, domain.RuleNoZone, domain.RuleEvidence, domain.RuleOtherZone,
		domain.RuleRenewalWindow, domain.RuleEnded, domain.RuleHold} {
		if sum.Refused[r] == 0 {
			t.Errorf("nothing was refused by %s", r)
		}
	}
}

// TestTheHistoryHasItsDays looks for what the calendar makes special: each
// sight must be there in the events, whoever's permit it is.
func TestTheHistoryHasItsDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		until time.Time
		seed  uint64
		want  []string
	}{
		{until, 4, []string{"old price", "new price", "renewed at the old price", "automatically at the old price",
			"automatically at the new price", "begins on a 31st", "clipped", "anchored on a 31st", "in the hour that came twice",
			"after the clocks went forward", "begins on a clock change", "renewed at the opening", "renewed at the end",
			"by web", "by phone", "by post", "by email"}},
		{time.Date(2028, 10, 5, 8, 0, 0, 0, time.UTC), 5, []string{"begins on 29 February"}},
	} {
		o := newOffice(t, c.until)
		cfg := o.config(125, c.seed)
		cfg.Until = c.until
		_, err := demo.Seed(t.Context(), cfg)
		must(t, err)
		seen := map[string]int{}
		states := map[string]permit.State{}
		for _, e := range o.events(t) {
			if body, ok := e.Body.(permit.Event); ok {
				for _, sight := range sights(e, states[e.Stream]) {
					seen[sight]++
				}
				states[e.Stream] = permit.Evolve(states[e.Stream], body, e.Meta())
			}
		}
		for _, sight := range c.want {
			if seen[sight] == 0 {
				t.Errorf("until %s, nothing is %q: %v", c.until.Format(time.DateOnly), sight, seen)
			}
		}
	}
}

// sights is what is special about an event of a permit.
func sights(e eventstore.Event, before permit.State) []string {
	at, day := e.RecordedAt, domain.DateOf(e.RecordedAt)
	change := domain.NewDate(2025, time.April, 1)
	hours := day.AddDays(1).Midnight().Sub(day.Midnight())
	var all []string
	is := func(holds bool, sight string) {
		if holds {
			all = append(all, sight)
		}
	}
	switch b := e.Body.(type) {
	case permit.Applied:
		is(b.TariffVersion == "2024-04-01" && day == change.AddDays(-1) && b.Price == 5000, "old price")
		is(b.TariffVersion == "2025-04-01" && day == change && b.Price == 5500, "new price")
		is(hours == 25*time.Hour && at.Sub(day.Midnight()).Truncate(time.Hour) == 2*time.Hour, "in the hour that came twice")
		is(hours == 23*time.Hour && at.Sub(day.Midnight()).Truncate(time.Hour) == time.Hour, "after the clocks went forward")
	case permit.Approved:
		is(b.FirstDay.Day == 31, "begins on a 31st")
		is(b.FirstDay.Day == 31 && b.LastDay.AddDays(1).Day == 1, "clipped")
		is(b.FirstDay.Day == 29 && b.FirstDay.Month == time.February && b.LastDay == domain.NewDate(b.FirstDay.Year+1, time.February, 28), "begins on 29 February")
		is(b.FirstDay.AddDays(1).Midnight().Sub(b.FirstDay.Midnight()) != 24*time.Hour, "begins on a clock change")
	case permit.Renewed:
		opens := b.PreviousLastDay.AddDays(-30).Midnight()
		closes := b.PreviousLastDay.AddDays(1).Midnight()
		is(day == change.AddDays(-1) && b.TariffVersion == "2024-04-01" && !b.Automatic && b.FirstDay.After(change), "renewed at the old price")
		is(day == change.AddDays(-1) && b.TariffVersion == "2024-04-01" && b.Automatic, "automatically at the old price")
		is(day == change && b.TariffVersion == "2025-04-01" && b.Automatic, "automatically at the new price")
		is(before.Terms[0].FirstDay.Day == 31 && b.Automatic && b.Term == 2, "anchored on a 31st")
		is(!b.Automatic && !at.Before(opens) && at.Sub(opens) < 2*time.Minute, "renewed at the opening")
		is(!b.Automatic && at.Before(closes) && closes.Sub(at) < 6*time.Minute, "renewed at the end")
	case permit.Cancelled:
		is(b.Reason == permit.CancelledByHolder && before.Decided != nil, "by "+string(e.Actor.Channel))
	}
	return all
}

// TestTheQueueIsOfInterest looks at what waits for a reviewer at the end, by
// how far off the end of its hold is.
func TestTheQueueIsOfInterest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		o := newOffice(t, until)
		sum, err := demo.Seed(t.Context(), o.config(56, seed))
		must(t, err)
		if now := o.Now(); !now.Equal(until) {
			t.Errorf("the clock stands at %s", now)
		}
		got := map[string]int{}
		for _, e := range o.events(t) {
			if e.Type != permit.TypeApplied {
				continue
			}
			cs, err := o.Case(t.Context(), domain.PermitID(strings.TrimPrefix(e.Stream, "permit-")))
			must(t, err)
			if cs.Permit.Status(until) != permit.StatusPending {
				continue
			}
			if cs.Notice.Referred() {
				got["asked"]++
			}
			if cs.Permit.FollowsPermit != "" {
				got["follows"]++
			}
			if cs.Payment == nil {
				got["free"]++
				continue
			}
			ends, held := cs.Payment.Hold()
			switch left := ends.Sub(until); {
			case !held:
				got[string(cs.Payment.Status(until))]++
			case left <= 0:
				got["lapsed"]++
			case left <= 24*time.Hour:
				got["24h"]++
			case left <= 48*time.Hour:
				got["48h"]++
			default:
				got["fresh"]++
			}
		}
		want := map[string]int{"fresh": 4, "48h": 2, "24h": 2, "lapsed": 2, "free": 1, "failed": 1, "awaited": 1, "asked": 1, "follows": 1}
		if !maps.Equal(got, want) {
			t.Errorf("seed %d: the queue holds %v, not %v", seed, got, want)
		}
		if n := sum.States[permit.StatusPending]; n != 13 {
			t.Errorf("seed %d: %d applications wait", seed, n)
		}
	}
}

package permit

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stance is a permit that stands somewhere at an instant.
type stance struct {
	name string
	at   time.Time
	life *life
}

// stances are all places in which a permit can stand.
func stances(t testing.TB) []stance {
	applied := noon("2026-03-01")
	ahead := application(applied)
	ahead.StartsOn = day("2026-03-20")
	pending := func() *life { return begin(t).do(applied, application(applied)) }
	active := func() *life { return pending().do(applied.Add(time.Hour), approval(applied)) }
	june := noon("2026-06-01")
	return []stance{
		{"none", applied, begin(t)},
		{"pending", applied.Add(time.Hour), pending()},
		{"upcoming", noon("2026-03-02"), begin(t).do(applied, ahead).do(applied.Add(time.Hour), approval(applied))},
		{"active", june, active()},
		{"active, window open", noon("2027-02-10"), active()},
		{"active, notice given", june.Add(time.Hour), active().do(june, withdrawal(day("2026-07-01")))},
		{"expired", day("2027-03-01").Midnight(), active()},
		{"rejected", applied.Add(2 * time.Hour), pending().do(applied.Add(time.Hour), Reject{Review: review()})},
		{"cancelled while pending", applied.Add(2 * time.Hour), pending().do(applied.Add(time.Hour), Cancel{Rules: rules()})},
		{"cancelled while active", june.Add(time.Hour), active().do(june, Cancel{Rules: rules()})},
		{"withdrawn by the council", day("2026-07-01").Midnight(), active().do(june, withdrawal(day("2026-07-01")))},
	}
}

// order gives one command of each sort that nothing but the state refuses.
func orders(at time.Time) []struct {
	name    string
	command Command
} {
	return []struct {
		name    string
		command Command
	}{
		{"apply", application(at)},
		{"approve", Approve{Review: review(), Payment: held(at), Rules: rules()}},
		{"reject", Reject{Review: review()}},
		{"renew", renewal(0)},
		{"change vehicle", vehicle("XY34 ZZZ")},
		{"change address", move(at)},
		{"cancel", Cancel{Rules: rules()}},
		{"withdraw", withdrawal(domain.DateOf(at))},
		{"cancel auto-renewal", CancelAutoRenewal{}},
	}
}

// outcome tells in one word what a command gives: an event or a rule.
func outcome(s State, at time.Time, c Command) string {
	events, err := Decide(s, at, c)
	if r, ok := errors.AsType[*domain.Refusal](err); ok && len(events) == 0 {
		return string(r.Rule)
	}
	if err != nil || len(events) != 1 {
		return fmt.Sprintf("%d events, %v", len(events), err)
	}
	return events[0].EventType()
}

func TestEveryCommandInEveryState(t *testing.T) {
	want := map[string][]string{
		//                          apply        approve        reject         renew            change vehicle  change address  cancel       withdraw     cancel auto-renewal
		"none":                     {"Applied", "not-pending", "not-pending", "not-live", "not-live", "not-live", "not-live", "not-live", "auto-renewal-off"},
		"pending":                  {"not-pending", "Approved", "Rejected", "not-live", "not-live", "not-live", "Cancelled", "not-live", "AutoRenewalCancelled"},
		"upcoming":                 {"not-pending", "not-pending", "not-pending", "renewal-window", "VehicleChanged", "AddressChanged", "Cancelled", "Cancelled", "AutoRenewalCancelled"},
		"active":                   {"not-pending", "not-pending", "not-pending", "renewal-window", "VehicleChanged", "AddressChanged", "Cancelled", "Cancelled", "AutoRenewalCancelled"},
		"active, window open":      {"not-pending", "not-pending", "not-pending", "Renewed", "VehicleChanged", "AddressChanged", "Cancelled", "Cancelled", "AutoRenewalCancelled"},
		"active, notice given":     {"not-pending", "not-pending", "not-pending", "not-live", "ended", "ended", "ended", "ended", "auto-renewal-off"},
		"expired":                  {"not-pending", "not-pending", "not-pending", "ended", "ended", "ended", "ended", "ended", "auto-renewal-off"},
		"rejected":                 {"not-pending", "not-pending", "not-pending", "not-live", "not-live", "not-live", "not-live", "not-live", "auto-renewal-off"},
		"cancelled while pending":  {"not-pending", "not-pending", "not-pending", "not-live", "ended", "ended", "ended", "ended", "auto-renewal-off"},
		"cancelled while active":   {"not-pending", "not-pending", "not-pending", "not-live", "ended", "ended", "ended", "ended", "auto-renewal-off"},
		"withdrawn by the council": {"not-pending", "not-pending", "not-pending", "not-live", "ended", "ended", "ended", "ended", "auto-renewal-off"},
	}
	for _, st := range stances(t) {
		t.Run(st.name, func(t *testing.T) {
			var got []string
			for _, o := range orders(st.at) {
				got = append(got, outcome(st.life.state, st.at, o.command))
			}
			if diff := cmp.Diff(want[st.name], got); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNilIsNoCommand(t *testing.T) {
	if events, err := Decide(State{}, noon("2026-03-01"), nil); err == nil || len(events) > 0 {
		t.Errorf("got %v, %v", events, err)
	}
}

// The state machine as text, to be read in a review of a change to it.
func TestStateMachineGolden(t *testing.T) {
	var b strings.Builder
	for _, st := range stances(t) {
		s := st.life.state
		fmt.Fprintf(&b, "%s\n  status      %s\n  history     %s\n", st.name, or(string(s.Status(st.at)), "-"), history(st.life.events))
		for _, o := range orders(st.at) {
			fmt.Fprintf(&b, "  %-21s %s\n", o.name, told(s, st.at, o.command))
		}
		for _, role := range []domain.Role{domain.RoleResident, domain.RoleOperator, domain.RoleReviewer, domain.RoleAuditor} {
			ctx := ActionContext{Rules: rules(), Payment: held(st.at), PayAgain: true, Referred: true}
			fmt.Fprintf(&b, "  %-21s %s\n", "offered to "+string(role), offered(s.Actions(st.at, role, ctx)))
		}
		b.WriteByte('\n')
	}
	golden(t, "states.golden", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; run with -update when it is meant):\n%s", path, diff)
	}
}

func history(events []Event) string {
	var names []string
	for _, e := range events {
		names = append(names, e.EventType())
	}
	return or(strings.Join(names, ", "), "-")
}

func told(s State, at time.Time, c Command) string {
	events, err := Decide(s, at, c)
	if r, ok := errors.AsType[*domain.Refusal](err); ok {
		return "refused, " + string(r.Rule) + ": " + r.Detail
	}
	after := Evolve(s, events[0], domain.Meta{At: at})
	return "→ " + events[0].EventType() + ", then " + string(after.Status(at))
}

func offered(actions []Action) string {
	var names []string
	for _, a := range actions {
		name := a.Action
		if a.OpensOn != nil {
			name += " (from " + a.OpensOn.String() + ")"
		} else if a.Why != "" {
			name += " (not now)"
		}
		names = append(names, name)
	}
	return or(strings.Join(names, ", "), "-")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func TestStreamIsNamedAfterThePermit(t *testing.T) {
	if got := Stream("0b1c"); got != "permit-0b1c" {
		t.Error(got)
	}
}

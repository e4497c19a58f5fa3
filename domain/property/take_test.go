package property

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"permitledger/domain"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// after gives the instant so long after the start.
func after(d time.Duration) time.Time { return start.Add(d) }

// taken folds takes at the start, one second apart; each command is called
// like its permit.
func taken(permits ...domain.PermitID) State {
	var s State
	for i, p := range permits {
		s = Evolve(s, SlotTaken{Permit: p}, domain.Meta{At: after(time.Duration(i) * time.Second), Command: domain.CommandID(p)})
	}
	return s
}

func live(p domain.PermitID) HolderStatus {
	return HolderStatus{Permit: p, Account: "of-" + domain.AccountID(p), Exists: true}
}

func with(h HolderStatus, change func(*HolderStatus)) HolderStatus { change(&h); return h }

func TestDecide(t *testing.T) {
	ended := func(p domain.PermitID, at time.Time) HolderStatus {
		return with(live(p), func(h *HolderStatus) { h.EndedAt = at })
	}
	moved := func(p domain.PermitID, at time.Time) HolderStatus {
		return with(live(p), func(h *HolderStatus) { h.Elsewhere, h.ElsewhereSince = true, at })
	}
	rejected := with(live("a"), func(h *HolderStatus) { h.Rejected = true })
	cancelled := with(live("b"), func(h *HolderStatus) { h.Cancelled = true })
	hour := after(time.Hour)
	for _, c := range []struct {
		name      string
		state     State
		at        time.Time
		limit     int
		account   domain.AccountID
		holders   []HolderStatus
		displaced []domain.PermitID
		refused   string // part of the refusal
	}{
		{name: "first", state: State{}, at: start, limit: 2},
		{name: "second", state: taken("a"), at: hour, limit: 2},
		{name: "full", state: taken("a", "b"), at: hour, limit: 2, holders: []HolderStatus{live("a"), live("b")}, refused: "may have 2 at a time"},
		{name: "limit 3", state: taken("a", "b"), at: hour, limit: 3},
		{name: "limit 0", state: State{}, at: hour, limit: 0, refused: "may have 0"},
		{name: "nothing known of the holders", state: taken("a", "b"), at: hour, limit: 2, refused: "Cancel"},
		{name: "rejected at once", state: taken("a", "b"), at: after(2 * time.Second), limit: 2, holders: []HolderStatus{rejected, live("b")}, displaced: []domain.PermitID{"a"}},
		{name: "cancelled at once", state: taken("a", "b"), at: after(2 * time.Second), limit: 2, holders: []HolderStatus{live("a"), cancelled}, displaced: []domain.PermitID{"b"}},
		{name: "all that are over", state: taken("a", "b"), at: hour, limit: 2, holders: []HolderStatus{rejected, cancelled}, displaced: []domain.PermitID{"a", "b"}},
		{name: "not full, nobody displaced", state: taken("a"), at: hour, limit: 2, holders: []HolderStatus{rejected}},
		{name: "never written, within grace", state: taken("a"), at: after(Grace - 1), limit: 1, holders: []HolderStatus{{Permit: "a"}}, refused: "09:15 on 2 March"},
		{name: "never written, after grace", state: taken("a"), at: after(Grace), limit: 1, holders: []HolderStatus{{Permit: "a"}}, displaced: []domain.PermitID{"a"}},
		{name: "ended, within grace", state: taken("a"), at: hour.Add(Grace - 1), limit: 1, holders: []HolderStatus{ended("a", hour)}, refused: "10:15 on 2 March"},
		{name: "ended, after grace", state: taken("a"), at: hour.Add(Grace), limit: 1, holders: []HolderStatus{ended("a", hour)}, displaced: []domain.PermitID{"a"}},
		{name: "own ended permit", state: taken("a"), at: hour.Add(time.Second), limit: 1, account: "of-a", holders: []HolderStatus{ended("a", hour)}, displaced: []domain.PermitID{"a"}},
		{name: "another's ended permit", state: taken("a"), at: hour.Add(time.Second), limit: 1, account: "of-b", holders: []HolderStatus{ended("a", hour)}, refused: "Ask again at"},
		{name: "own live permit", state: taken("a"), at: hour, limit: 1, account: "of-a", holders: []HolderStatus{live("a")}, refused: "Cancel"},
		{name: "moved, within grace", state: taken("a"), at: hour.Add(Grace - 1), limit: 1, holders: []HolderStatus{moved("a", hour)}, refused: "Ask again at"},
		{name: "moved, after grace", state: taken("a"), at: hour.Add(Grace), limit: 1, holders: []HolderStatus{moved("a", hour)}, displaced: []domain.PermitID{"a"}},
		{name: "elsewhere all along, takes here", state: taken("a"), at: after(Grace - 1), limit: 1, holders: []HolderStatus{moved("a", start.AddDate(-1, 0, 0))}, refused: "Ask again at"},
		{name: "elsewhere all along, never came", state: taken("a"), at: after(Grace), limit: 1, holders: []HolderStatus{moved("a", start.AddDate(-1, 0, 0))}, displaced: []domain.PermitID{"a"}},
		{name: "moved long ago and ended just now", state: taken("a"), at: after(3 * time.Hour), limit: 1,
			holders: []HolderStatus{with(moved("a", hour), func(h *HolderStatus) { h.EndedAt = after(3 * time.Hour) })}, displaced: []domain.PermitID{"a"}},
		{name: "limit lowered", state: taken("a", "b", "c"), at: hour, limit: 2, holders: []HolderStatus{live("a"), live("b"), with(live("c"), func(h *HolderStatus) { h.Cancelled = true })}, refused: "Cancel"},
	} {
		take := Take{Permit: "new", Account: c.account, Command: "new", At: c.at, Limit: c.limit, Holders: c.holders}
		events, err := Decide(c.state, take)
		if c.refused != "" {
			var r *domain.Refusal
			if !errors.As(err, &r) || r.Rule != domain.RulePropertyLimit || !r.At.Equal(c.at) || !strings.Contains(r.Detail, c.refused) {
				t.Errorf("%s: %v, %+v; want a refusal with %q", c.name, events, err, c.refused)
			}
		} else if diff := cmp.Diff([]Event{SlotTaken{Permit: "new", Displaced: c.displaced, Limit: c.limit}}, events); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
		if free := c.state.Free(c.at, c.limit, c.holders, c.account); c.limit > 0 && len(c.holders) == len(c.state.Holders()) && (free > 0) != (c.refused == "") {
			t.Errorf("%s: %d free", c.name, free)
		}
	}
}

func TestSlotsFree(t *testing.T) {
	s := taken("a", "b")
	holders := []HolderStatus{live("a"), with(live("b"), func(h *HolderStatus) { h.EndedAt = after(time.Hour) })}
	for _, c := range []struct {
		at      time.Duration
		account domain.AccountID
		want    int
	}{
		{time.Hour, "", 0}, {time.Hour, "of-a", 0}, {time.Hour, "of-b", 1}, {time.Hour + Grace - 1, "", 0}, {time.Hour + Grace, "", 1},
	} {
		if got := s.Free(after(c.at), 2, holders, c.account); got != c.want {
			t.Errorf("after %s for %q: %d free, want %d", c.at, c.account, got, c.want)
		}
	}
	if got := (State{}).Free(start, 2, nil, ""); got != 2 {
		t.Errorf("%d free where nobody applied", got)
	}
	if got := s.Free(start, 1, holders, ""); got != 0 {
		t.Errorf("%d free above the limit", got)
	}
}

func TestTakingAgain(t *testing.T) {
	s := taken("a", "b")
	holders := []HolderStatus{live("a"), live("b")}
	for _, c := range []struct {
		name    string
		command domain.CommandID
		at      time.Duration
		appends bool
	}{
		{"the same command", "a", time.Minute, false},
		{"the same command, still safely within the grace", "a", Grace - RequestLife - 1, false},
		{"the same command, too near the end of the grace", "a", Grace - RequestLife, true},
		{"the same command, an hour later", "a", time.Hour, true},
		{"another command", "move-back", time.Minute, true},
	} {
		events, err := Decide(s, Take{Permit: "a", Command: c.command, At: after(c.at), Limit: 2, Holders: holders})
		if err != nil || (len(events) == 1) != c.appends {
			t.Errorf("%s: %v, %v", c.name, events, err)
		}
		if len(events) == 1 {
			again := Evolve(s, events[0].(SlotTaken), domain.Meta{At: after(c.at), Command: c.command})
			if len(again.Holders()) != 2 || !again.Holders()[1].TakenAt.Equal(after(c.at)) {
				t.Errorf("%s: %+v", c.name, again.Holders())
			}
		}
	}
	// Displaced in between, it is a newcomer like any other.
	s = Evolve(s, SlotTaken{Permit: "c", Displaced: []domain.PermitID{"a"}}, domain.Meta{At: after(Grace), Command: "c"})
	_, err := Decide(s, Take{Permit: "a", Command: "a", At: after(time.Hour), Limit: 2, Holders: []HolderStatus{live("b"), live("c")}})
	if err == nil {
		t.Error("a displaced permit came back into a full house")
	}
}

func TestEvolveLeavesTheOldStateAlone(t *testing.T) {
	old := taken("a", "b")
	before := old.Holders()
	Evolve(old, SlotTaken{Permit: "a", Displaced: []domain.PermitID{"b"}}, domain.Meta{At: after(time.Hour)})
	old.Holders()[0].Permit = "changed"
	if diff := cmp.Diff(before, old.Holders()); diff != "" {
		t.Error(diff)
	}
	if Stream("abc") != "property-abc" {
		t.Error(Stream("abc"))
	}
}

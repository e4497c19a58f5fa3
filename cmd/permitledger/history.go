package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/notice"
	"permitledger/domain/permit"
	"permitledger/eventstore"
	"permitledger/projections/story"
)

type historyCommand struct {
	Permit string `arg:"" help:"The permit: its id, or its reference (P-…)."`
	ledgerFlags
	AsOf    string `help:"Show what was true at this instant (RFC 3339), or at midnight of this day." placeholder:"WHEN"`
	KnownAt string `help:"Show what the ledger knew at this instant (RFC 3339), or at midnight of this day." placeholder:"WHEN"`
	JSON    bool   `help:"Print JSON lines, one for each event."`
}

// Run prints the history, reading the log from its beginning: the ledger
// numbers are counted and not looked up.
func (c historyCommand) Run(p *program) error {
	asOf, err := parseWhen("--as-of", c.AsOf)
	if err != nil {
		return err
	}
	knownAt, err := parseWhen("--known-at", c.KnownAt)
	if err != nil {
		return err
	}
	l, err := c.open(p)
	if err != nil {
		return err
	}
	defer l.close()
	id, numbers, err := findPermit(p.ctx, l.ledger, c.Permit, knownAt)
	if err != nil {
		return err
	}
	all, err := desk.Story(p.ctx, l.ledger, id)
	if err != nil {
		return err
	}
	known := slices.DeleteFunc(all, func(e eventstore.Event) bool { return numbers[e.Position] == 0 })
	if asOf != nil {
		known = desk.True(known, *asOf)
	}
	var tale []desk.Chronicle
	for i, e := range known {
		tale = append(tale, desk.Chronicle{Event: e, Ledger: numbers[e.Position], After: desk.After(id, known[:i+1])})
	}
	if len(tale) == 0 {
		return fmt.Errorf("permit %s was not there then", id.Reference())
	}
	if asOf != nil {
		tale[len(tale)-1].After.At = *asOf
	}
	if c.JSON {
		return printJSON(p.stdout, tale)
	}
	return printHistory(p.stdout, id, tale)
}

// findPermit reads the whole ledger for a permit given by id or reference. It
// gives the ledger number of each of the events that were known at an instant,
// by position.
func findPermit(ctx context.Context, l *eventstore.Ledger, name string, knownAt *time.Time) (domain.PermitID, map[eventstore.Position]uint64, error) {
	var id domain.PermitID
	want := strings.ToLower(strings.TrimSpace(name))
	reference, refErr := domain.ParseReference(name)
	numbers, n := make(map[eventstore.Position]uint64), uint64(0)
	seen := make(map[string]bool)
	for r, err := range l.Store().ReadAll(ctx, 0) {
		if err != nil {
			return "", nil, err
		}
		n++
		if knownAt != nil {
			recorded, err := eventstore.RecordedAt(r)
			if err != nil {
				return "", nil, err
			}
			if recorded.After(*knownAt) {
				break // the knowledge clock never goes back: all that follows was learnt later
			}
		}
		rest, isPermit := strings.CutPrefix(r.Stream, "permit-")
		if isPermit && id == "" && !seen[rest] {
			seen[rest] = true
			if rest == want || refErr == nil && domain.PermitID(rest).Reference() == reference {
				id = domain.PermitID(rest)
			}
		}
		numbers[r.Position] = n
	}
	if id == "" {
		return "", nil, fmt.Errorf("there is no permit %q in this ledger; give its id or its reference such as P-7K4M-9QXD-3F", name)
	}
	return id, numbers, nil
}

// parseWhen reads an instant, or a day that stands for its London midnight.
func parseWhen(flag, s string) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return &t, nil
	}
	d, err := domain.ParseDate(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is neither an instant such as 2026-03-03T10:14:00Z nor a day such as 2026-03-03", flag, s)
	}
	t := d.Midnight()
	return &t, nil
}

func printJSON(w io.Writer, tale []desk.Chronicle) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, c := range tale {
		if err := out.Encode(api.HistoryItem(c, api.EverythingOpen)); err != nil {
			return err
		}
	}
	return nil
}

func printHistory(w io.Writer, id domain.PermitID, tale []desk.Chronicle) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Permit %s (%s)\n", id.Reference(), id)
	for _, c := range tale {
		e := c.Event
		fmt.Fprintf(&b, "\n#%d  %s  %s\n", c.Ledger, e.RecordedAt.Format("2006-01-02 15:04:05 MST"), e.Type)
		fmt.Fprintf(&b, "    %s\n", story.Summary(e.Body))
		fmt.Fprintf(&b, "    by %s\n", actorWords(e.Actor))
		for _, line := range words(e.Body) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		fmt.Fprintf(&b, "    → %s\n", stateWords(c.After))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// actorWords says who acted, in which role, how they were reached and for whom.
func actorWords(a domain.Actor) string {
	if a.Role == domain.RoleSystem {
		return "the ledger itself"
	}
	s := fmt.Sprintf("%s %s, %s", a.Role, a.ID, channelWords(a.Channel))
	if a.OnBehalfOf != "" {
		s += fmt.Sprintf(", on behalf of account %s", a.OnBehalfOf)
	}
	return s
}

func channelWords(c domain.Channel) string {
	switch c {
	case domain.ChannelWeb:
		return "on the web pages"
	case domain.ChannelPhone:
		return "asked by telephone"
	case domain.ChannelEmail:
		return "asked by e-mail"
	case domain.ChannelPost:
		return "asked by post"
	}
	return "through the " + strings.ToUpper(string(c))
}

// words are what an event says beside its summary once its personal part is
// open: what was changed from what to what, and the sentences that a person
// typed.
func words(e domain.Event) []string {
	switch e := e.(type) {
	case permit.Approved:
		return decisionWords(e.Personal.Value)
	case permit.Rejected:
		return decisionWords(e.Personal.Value)
	case permit.VehicleChanged:
		if v := e.Personal.Value; !e.Personal.Erased {
			return []string{fmt.Sprintf("from %s to %s", v.From.Mark, v.To.Mark)}
		}
	case permit.AddressChanged:
		if v := e.Personal.Value; !e.Personal.Erased {
			return []string{fmt.Sprintf("from %s to %s", addressWords(v.From), addressWords(v.To))}
		}
	case permit.Cancelled:
		lines := inQuotes("reason given: ", e.Personal.Value.Words)
		if d := e.Personal.Value.Decision; d != nil {
			lines = append(lines, decisionWords(*d)...)
		}
		return lines
	case notice.InformationRequested:
		return inQuotes("asked for: ", e.Personal.Value.What)
	case notice.InformationSupplied:
		return inQuotes("note: ", e.Personal.Value.Note)
	}
	return nil
}

func decisionWords(w domain.DecisionWords) []string {
	var lines []string
	for _, c := range w.Considered {
		what := c.Check
		if c.Evidence != "" {
			what = fmt.Sprintf("document %.12s…", c.Evidence)
		}
		line := fmt.Sprintf("considered: %s: %s", what, c.Result)
		if c.Note != "" {
			line += fmt.Sprintf(" (note: “%s”)", c.Note)
		}
		lines = append(lines, line)
	}
	for _, check := range w.NotChecked {
		lines = append(lines, "not checked: "+check)
	}
	lines = append(lines, inQuotes("reason: ", w.Reasons...)...)
	lines = append(lines, inQuotes("condition: ", w.Conditions...)...)
	return append(lines, inQuotes("the resident was told: ", w.Told)...)
}

// inQuotes quotes the sentences that are there.
func inQuotes(what string, sentences ...string) []string {
	var lines []string
	for _, s := range sentences {
		if s != "" {
			lines = append(lines, what+"“"+s+"”")
		}
	}
	return lines
}

func addressWords(p domain.Property) string {
	return fmt.Sprintf("%s %s, %s", p.House, p.Street, p.Postcode)
}

func stateWords(cs desk.Case) string {
	p := cs.Permit
	parts := []string{string(p.Status(cs.At))}
	if last := p.LastDay(); !last.IsZero() {
		parts = append(parts, fmt.Sprintf("%s to %s", p.FirstDay(), last))
	}
	switch {
	case p.Lost:
		parts = append(parts, "personal data lost: the vault lacks the key")
	case p.Erased:
		parts = append(parts, "personal data erased")
	default:
		parts = append(parts, fmt.Sprintf("vehicle %s at %s", p.Vehicle.Mark, addressWords(p.Property)))
	}
	if cs.Payment != nil {
		parts = append(parts, "payment "+string(cs.Payment.Status(cs.At)))
	} else if p.Latest().Price == 0 {
		parts = append(parts, "free")
	}
	if p.AutoRenewalOn(cs.At) {
		parts = append(parts, "renews automatically")
	}
	return strings.Join(parts, "; ")
}

// errNoLedger is returned when a sub-command is given a folder without a ledger.
var errNoLedger = errors.New("there is no ledger here; give the folder that serve uses with --data, or a server with --eventstore")

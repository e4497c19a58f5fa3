package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"permitledger/cmd/permitledger/internal/api"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/projections"
)

type projectionsCommand struct {
	List    listProjections    `cmd:"" help:"Show how far each read model is, and what is wrong with it."`
	Rebuild rebuildProjections `cmd:"" help:"Make read models again beside the live ones, and put them in their place."`
	Verify  verifyProjections  `cmd:"" help:"Make read models from the log in scratch files and compare them with the live ones, row by row."`
}

// errDifferent is returned when a read model is not as the log makes it.
var errDifferent = errors.New("what is in the read models is not what the log makes of them; `permitledger projections rebuild` puts it right")

// howOften is how often a sub-command looks how far something is.
const howOften = 200 * time.Millisecond

// openModels reaches the read models. Where no service runs they are first
// brought up to date, as a service that starts would.
func (f ledgerFlags) openModels(p *program) (service.ReadModels, error) {
	if !folder.HasLedger(f.Data) {
		return nil, fmt.Errorf("%s: %w", f.Data, errNoLedger)
	}
	connection, err := f.connection()
	if err != nil {
		return nil, err
	}
	models, err := service.OpenReadModels(p.ctx, f.Data, connection, p.logger)
	if err != nil {
		return nil, err
	}
	var show func(done, total uint64)
	end := func() {}
	err = p.poll(models, nil, func(items []api.ReadModel) (bool, error) {
		least, most, ready := items[0].Ledger, uint64(0), true
		for _, m := range items {
			ready = ready && m.State != projections.CatchingUp
			least, most = min(least, m.Ledger), max(most, m.Ledger+m.Behind)
		}
		if !ready {
			if show == nil {
				show, end = p.progress("Bringing the read models up to date")
			}
			show(least, most)
		}
		return ready, nil
	})
	end()
	if err != nil {
		return nil, errors.Join(err, models.Close())
	}
	return models, nil
}

// poll looks at the read models again and again until it is done, or until
// ended is closed.
func (p *program) poll(models service.ReadModels, ended <-chan struct{}, look func([]api.ReadModel) (done bool, err error)) error {
	tick := time.NewTicker(howOften)
	defer tick.Stop()
	for {
		items, err := models.List(p.ctx)
		if err != nil {
			return err
		}
		if done, err := look(items); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ended:
			return nil
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
}

// progress says what is done and draws on a terminal how far it is, until end.
func (p *program) progress(what string) (show func(done, total uint64), end func()) {
	fmt.Fprintf(p.stderr, "%s …\n", what)
	bar, drawn := progressBar(p.stderr), false
	show = func(done, total uint64) {
		if done < total { // a full bar ends its line, and is drawn by end
			drawn = true
			bar(int(done), int(total))
		}
	}
	return show, func() {
		if drawn {
			bar(1, 1)
		}
	}
}

type listProjections struct {
	ledgerFlags
	JSON bool `help:"Print one JSON document."`
}

// Run lists the read models.
func (c listProjections) Run(p *program) error {
	models, err := c.openModels(p)
	if err != nil {
		return err
	}
	defer models.Close()
	items, err := models.List(p.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printDocument(p.stdout, struct {
			Items []api.ReadModel `json:"items"`
		}{items})
	}
	return printModels(p.stdout, items)
}

func printModels(w io.Writer, items []api.ReadModel) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tLEDGER\tBEHIND\tHEARD\tREMARK")
	for _, m := range items {
		heard := "never"
		if m.LastMessageAge != nil {
			heard = fmt.Sprintf("%.0f s ago", *m.LastMessageAge)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", m.Name, m.State, m.Ledger, m.Behind, heard, strings.Join(remarks(m), "; "))
	}
	return t.Flush()
}

func remarks(m api.ReadModel) (all []string) {
	if s := m.Stopped; s != nil {
		what := fmt.Sprintf("event %s (%s, ledger number %d)", s.EventID, s.Type, s.Ledger)
		if s.EventID == "" {
			what = fmt.Sprintf("ledger number %d", s.Ledger)
		}
		all = append(all, fmt.Sprintf("stopped since %s by %s: %s", s.Since.Format(time.RFC3339), what, s.Error))
	}
	if m.Trouble != nil {
		all = append(all, "tries again: "+*m.Trouble)
	}
	if r := m.Rebuild; r != nil {
		switch {
		case r.EndedAt == nil:
			all = append(all, fmt.Sprintf("being rebuilt, at %d", r.Ledger))
		case r.Error != nil:
			all = append(all, fmt.Sprintf("rebuild failed at %s: %s", r.EndedAt.Format(time.RFC3339), *r.Error))
		default:
			all = append(all, "rebuilt at "+r.EndedAt.Format(time.RFC3339))
		}
	}
	if m.Verified != nil {
		all = append(all, fmt.Sprintf("being verified, at %d", *m.Verified))
	}
	return all
}

type rebuildProjections struct {
	Names []string `arg:"" optional:"" name:"name" help:"Which read models; all when none is named."`
	ledgerFlags
}

// Run rebuilds one read model after the other. Told to stop, it leaves a
// rebuild to the service; where none runs, the old file stays.
func (c rebuildProjections) Run(p *program) error {
	models, err := c.openModels(p)
	if err != nil {
		return err
	}
	defer models.Close()
	names, err := chosen(p.ctx, models, c.Names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := models.Rebuild(p.ctx, name); err != nil {
			return err
		}
		made, err := p.watchRebuild(models, name)
		if err != nil {
			return fmt.Errorf("rebuild %s: %w; the old one is as it was", name, err)
		}
		fmt.Fprintf(p.stderr, "%s was made again from %d events.\n", name, made)
	}
	return nil
}

// watchRebuild waits for a rebuild to end and gives the ledger number that the
// new file had come to.
func (p *program) watchRebuild(models service.ReadModels, name string) (made uint64, err error) {
	show, end := p.progress("Rebuilding " + name)
	defer end()
	err = p.poll(models, nil, func(items []api.ReadModel) (bool, error) {
		m, err := find(items, name)
		switch {
		case err != nil:
			return false, err
		case m.Rebuild == nil:
			return false, errors.New("the service was started again meanwhile")
		case m.Rebuild.Error != nil:
			return false, errors.New(*m.Rebuild.Error)
		}
		made = m.Rebuild.Ledger
		show(made, m.Ledger+m.Behind)
		return m.Rebuild.EndedAt != nil, nil
	})
	return made, err
}

// chosen is the names that were given, or all.
func chosen(ctx context.Context, models service.ReadModels, names []string) ([]string, error) {
	items, err := models.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, m := range items {
		all = append(all, m.Name)
	}
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if _, err := find(items, name); err != nil {
			return nil, fmt.Errorf("%w; there are %s", err, strings.Join(all, ", "))
		}
	}
	return names, nil
}

func find(items []api.ReadModel, name string) (api.ReadModel, error) {
	for _, m := range items {
		if m.Name == name {
			return m, nil
		}
	}
	return api.ReadModel{}, fmt.Errorf("there is no read model %q", name)
}

type verifyProjections struct {
	Names []string `arg:"" optional:"" name:"name" help:"Which read models; all when none is named."`
	ledgerFlags
	Values bool `help:"Show what stands in the columns that differ. It may be personal data."`
	JSON   bool `help:"Print one JSON document."`
}

// Run verifies one read model after the other and fails when any differs.
func (c verifyProjections) Run(p *program) error {
	models, err := c.openModels(p)
	if err != nil {
		return err
	}
	defer models.Close()
	names, err := chosen(p.ctx, models, c.Names)
	if err != nil {
		return err
	}
	results, differ := []projections.Verification{}, false
	for _, name := range names {
		v, err := c.verify(p, models, name)
		if err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		results, differ = append(results, v), differ || v.Differing > 0
		if !c.JSON {
			printVerification(p.stdout, v)
		}
	}
	if c.JSON {
		err = printDocument(p.stdout, struct {
			Items []projections.Verification `json:"items"`
		}{results})
	}
	if err == nil && differ {
		err = errDifferent
	}
	return err
}

// verify waits for one verification and shows how far it is.
func (c verifyProjections) verify(p *program, models service.ReadModels, name string) (v projections.Verification, err error) {
	show, end := p.progress("Verifying " + name)
	defer end()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v, err = models.Verify(p.ctx, name, c.Values)
	}()
	_ = p.poll(models, ended, func(items []api.ReadModel) (bool, error) { // what is wrong is told by Verify
		m, err := find(items, name)
		if err == nil && m.Verified != nil {
			show(*m.Verified, m.Ledger)
		}
		return false, err
	})
	<-ended
	return v, err
}

func printVerification(w io.Writer, v projections.Verification) {
	if v.Differing == 0 {
		fmt.Fprintf(w, "%s: as the log makes it at ledger number %d; %d rows compared\n", v.Name, v.Ledger, v.Rows)
		return
	}
	fmt.Fprintf(w, "%s: %d of %d rows differ from what the log makes at ledger number %d\n", v.Name, v.Differing, v.Rows, v.Ledger)
	for _, d := range v.Differences {
		var key []string
		for _, k := range d.Key {
			key = append(key, k.Column+" "+k.Value)
		}
		if key == nil {
			key = []string{"a row without a key"}
		}
		fmt.Fprintf(w, "  %s in %s: %s\n", d.Kind, d.Table, strings.Join(key, ", "))
		for _, c := range d.Columns {
			line := "    column " + c.Column
			if len(c.Members) > 0 {
				line += " (" + strings.Join(c.Members, ", ") + ")"
			}
			fmt.Fprintln(w, line+valuesOf(c))
		}
	}
	if more := v.Differing - uint64(len(v.Differences)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}

// valuesOf shows the values where they were asked for.
func valuesOf(c projections.ColumnDifference) string {
	if c.Live == nil && c.Rebuilt == nil {
		return ""
	}
	shown := func(s *string) string {
		if s == nil {
			return "NULL"
		}
		return strconv.Quote(*s)
	}
	return ": " + shown(c.Live) + ", and the log makes " + shown(c.Rebuilt)
}

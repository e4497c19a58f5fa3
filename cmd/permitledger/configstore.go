package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/cmd/permitledger/internal/publish"
	"permitledger/cmd/permitledger/internal/reactors"
	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
	"permitledger/domain/ledger"
	"permitledger/domain/policy"
	"permitledger/eventstore"
	"permitledger/eventstore/vault"
)

// storeWait is how long config check waits for the event store.
const storeWait = 10 * time.Second

// checkStore reaches the log, sees that the vault belongs to it, and reads
// what was published; nil when that cannot be told.
func (c configCheckCommand) checkStore(p *program) (f finding, book *policy.Book) {
	f.About = "event store"
	ctx, cancel := context.WithTimeout(p.ctx, storeWait)
	defer cancel()
	if !c.DemoClock.IsZero() && c.EventStore != "" {
		f.fault(errors.New("a simulated clock cannot be used on a shared event store; leave out --demo-clock or --eventstore"))
		return f, nil
	}
	known := folder.HasLedger(c.Data)
	if !known && c.EventStore == "" {
		f.Found = "the embedded node, with an empty log"
		return f, &policy.Book{}
	}
	quiet := &program{ctx: ctx, stdout: p.stdout, stderr: p.stderr, logger: p.logger}
	var here string
	var l *openedLedger
	var err error
	if known {
		here, err = vaultID(c.Data)
	}
	if err == nil {
		l, err = c.reach(quiet, known)
	}
	if err != nil {
		f.fault(err)
		return f, nil
	}
	defer l.close()
	var head eventstore.Position
	if err = l.ledger.Store().Await(ctx); err == nil && c.EventStore != "" {
		if err = f.tryRights(ctx, l.ledger.Store()); len(f.Faults) > 0 {
			return f, nil
		}
	}
	if err == nil {
		head, err = l.ledger.Store().Head(ctx)
	}
	if err == nil {
		err = matches(ctx, l.ledger.Store(), here)
	}
	if err == nil {
		err = service.CheckWhole(ctx, c.Data, l.ledger.Store())
	}
	if err != nil {
		f.fault(err)
		return f, nil
	}
	f.Found = "reached; no ledger has been begun there"
	if head > 0 {
		f.Found = fmt.Sprintf("reached; its last event has position %s, and the keys belong to it", head)
	}
	if c.EventStore != "" {
		by, held, err := l.ledger.Store().ClaimHolder(ctx)
		switch {
		case err != nil:
			f.fault(err)
		case held:
			f.Found += fmt.Sprintf("; claimed by %s: while that one lives, serve is refused from another folder", by)
		default:
			f.Found += "; no service has claimed it"
		}
		for _, g := range reactors.Groups() {
			if _, err := l.ledger.Store().GroupStatus(ctx, g.Name); errors.Is(err, eventstore.ErrNoGroup) {
				f.Found += fmt.Sprintf("; the persistent subscription %s is not there yet: permitledger setup makes it, or serve if its user may", g.Name)
			}
		}
	}
	rules := desk.New(desk.Config{Ledger: l.ledger})
	if err := rules.LoadRules(ctx); err != nil {
		f.fault(err)
		return f, nil
	}
	return f, rules.Book()
}

// tryRights has the server asked for every right that serve needs, and keeps
// each that it refuses as a fault.
func (f *finding) tryRights(ctx context.Context, store *eventstore.Store) error {
	refused, err := store.TryRights(ctx)
	for _, one := range refused {
		f.fault(one)
	}
	return err
}

// reach opens the ledger as other sub-commands do or, where there are no keys
// yet, only the server.
func (c configCheckCommand) reach(p *program, known bool) (*openedLedger, error) {
	flags := ledgerFlags{Data: c.Data, EventStore: c.EventStore, Credentials: c.Credentials}
	if known {
		return flags.open(p)
	}
	store, err := flags.connect(p)
	if err != nil {
		return nil, err
	}
	return &openedLedger{ledger: eventstore.NewLedger(store, eventstore.NewCodec(nil)), closers: []func() error{store.Close}}, nil
}

func vaultID(data string) (string, error) {
	v, err := vault.OpenReadOnly(filepath.Join(data, folder.Keep))
	if err != nil {
		return "", err
	}
	return v.ID(), v.Close()
}

// matches sees which vault the log names.
func matches(ctx context.Context, store *eventstore.Store, here string) error {
	for r, err := range store.Read(ctx, ledger.VaultStream, 0) {
		if err != nil {
			return err
		}
		var bound ledger.VaultBound
		if err := json.Unmarshal(r.Data, &bound); err != nil {
			return fmt.Errorf("%s: %w", ledger.VaultStream, err)
		}
		if here == "" {
			return fmt.Errorf("the log belongs to vault %s, and there are no keys under --data; restore the keep folder that goes with this log", bound.Vault)
		}
		if bound.Vault != here {
			return &eventstore.ForeignVaultError{Log: bound.Vault, Here: here}
		}
		return nil
	}
	return nil
}

// checkCouncil reads the council's folder and, where the log could be read,
// sees whether what is new in it can be published.
func (c configCheckCommand) checkCouncil(book *policy.Book) finding {
	f := finding{About: "council"}
	read, err := publish.Read(councilFolder(c.Council))
	if faults, ok := errors.AsType[publish.Faults](err); ok {
		for _, one := range faults {
			f.fault(one)
		}
		return f
	}
	if err != nil {
		f.fault(err)
		return f
	}
	f.Found = fmt.Sprintf("%s; properties: %d, policies: %d, tariffs: %d", read.Council.Name, len(read.Rows), len(read.Policies), len(read.Tariffs))
	if c.Council == "" {
		f.Found += " (the built-in sample, all made up)"
	}
	if book == nil {
		return f
	}
	if _, _, _, _, err := read.Pending(*book); err != nil {
		f.fault(err)
	}
	today := domain.DateOf(time.Now())
	if !c.DemoClock.IsZero() {
		today = domain.DateOf(c.DemoClock)
	}
	_, published := book.TariffOn(today)
	if !published && (len(read.Tariffs) == 0 || today.Before(read.Tariffs[0].EffectiveFrom)) {
		f.fault(fmt.Errorf("no tariff is in force on %s; publish one whose effective date is not later", today))
	}
	return f
}

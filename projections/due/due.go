// Package due is what falls due: money that has to move, applications that are
// given up for want of it, renewals to be made, documents to be dropped. Timers
// and the reactor work through it.
//
// A row says that something is to be looked at from an instant on. It says
// nothing of whether that instant has come, and whoever acts on it decides
// from the streams; the event that follows takes the row away or moves it. All
// rows of a permit are computed anew with each of its events, by one function
// of its state and its payments': see Owed.
package due

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/domain/payment"
	"permitledger/domain/permit"
	"permitledger/domain/policy"
	"permitledger/projections"
)

// Name is the name of the read model.
const Name = "due"

const version = 1

//go:embed schema.sql
var schema string

// Model is the fold.
type Model struct {
	// policies has what the texts in the table of that name say. It is no state:
	// each text is read as if for the first time, and there are few of them.
	policies *sync.Map // policy.PolicyPublished by its JSON
}

// New makes the model.
func New() Model { return Model{new(sync.Map)} }

// Name is the model's name.
func (Model) Name() string { return Name }

// Schema is the tables and their version.
func (Model) Schema() (int, string) { return version, schema }

// Follows is everything that makes something due or settles it.
func (Model) Follows() []string {
	return []string{"account-", "permit-", "payment-", "notice-", "policy-"}
}

// Impersonal says that the rows hold nothing personal.
func (Model) Impersonal() bool { return true }

// Apply folds one event.
func (m Model) Apply(ctx context.Context, tx *sql.Tx, e projections.Event) (err error) {
	f := fold{ctx, tx, e, m.policies}
	switch body := e.Body.(type) {
	case permit.Event:
		err = f.permit(body)
	case payment.Event:
		err = f.payment(body)
	case account.Event:
		err = f.account(body)
	case notice.Event:
		err = f.notice(body)
	case policy.Event:
		err = f.policy(body)
	default:
		return fmt.Errorf("an event of the type %T is not expected in stream %s", e.Body, e.Stream)
	}
	if err != nil {
		return err
	}
	// What the ledger knows to be over is not due at any instant to come.
	return f.exec(`DELETE FROM due WHERE expires_at <= ?`, e.Clock.UnixMicro())
}

// fold is the application of one event. It lives for that call.
type fold struct {
	ctx context.Context
	tx  *sql.Tx
	e   projections.Event

	policies *sync.Map // the model's
}

func (f fold) exec(query string, args ...any) error {
	return projections.Exec(f.ctx, f.tx, query, args...)
}

// after gives the id in the name of the event's stream.
func (f fold) after(prefix string) (string, error) {
	id, ok := strings.CutPrefix(f.e.Stream, prefix)
	if !ok || id == "" {
		return "", fmt.Errorf("an event of the type %s is not expected in stream %s", f.e.Type, f.e.Stream)
	}
	return id, nil
}

func (f fold) permit(body permit.Event) error {
	id, err := f.after(permit.Stream(""))
	if err != nil {
		return err
	}
	state, _, err := f.permitOf(domain.PermitID(id))
	if err != nil {
		return err
	}
	state = permit.Evolve(state, body, f.e.Meta()).Erase()
	text, err := projections.JSON(state)
	if err != nil {
		return err
	}
	var renewsUntil sql.NullString
	if last, ok := renewsAfter(state); ok {
		renewsUntil = sql.NullString{String: last.String(), Valid: true}
	}
	err = f.exec(`INSERT INTO permits (permit_id, account_id, pending, renews_until, state) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET pending = excluded.pending, renews_until = excluded.renews_until, state = excluded.state`,
		id, state.Account, undecided(state), renewsUntil, text)
	if err != nil {
		return err
	}
	switch b := body.(type) {
	case permit.Applied:
		err = f.name(b.Account, b.Evidence)
	case permit.AddressChanged:
		err = f.name(state.Account, b.Evidence)
	}
	if err != nil {
		return err
	}
	payments, err := f.paymentsOf(domain.PermitID(id))
	if err != nil {
		return err
	}
	return f.recompute(domain.PermitID(id), state, payments)
}

func (f fold) payment(body payment.Event) error {
	id, term, ok := payment.ParseStream(f.e.Stream)
	if !ok {
		return fmt.Errorf("a payment's event is not expected in stream %s", f.e.Stream)
	}
	payments, err := f.paymentsOf(id)
	if err != nil {
		return err
	}
	payments[term] = payment.Evolve(payments[term], body, f.e.Meta())
	text, err := projections.JSON(payments[term])
	if err != nil {
		return err
	}
	err = f.exec(`INSERT INTO payments (permit_id, term, state) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET state = excluded.state`, id, term, text)
	if err != nil {
		return err
	}
	state, found, err := f.permitOf(id)
	if err != nil || !found {
		return err
	}
	return f.recompute(id, state, payments)
}

func (f fold) permitOf(id domain.PermitID) (state permit.State, found bool, err error) {
	return projections.Load[permit.State](f.ctx, f.tx, `SELECT state FROM permits WHERE permit_id = ?`, id)
}

// paymentsOf gives the payments of a permit by term.
func (f fold) paymentsOf(id domain.PermitID) (map[int]payment.State, error) {
	payments := make(map[int]payment.State)
	err := projections.Each(f.ctx, f.tx, func(scan func(...any) error) error {
		var term int
		var money projections.Column[payment.State]
		err := scan(&term, &money)
		payments[term] = money.State
		return err
	}, `SELECT term, state FROM payments WHERE permit_id = ?`, id)
	return payments, err
}

// key is which of the rows of a permit one is, and row the rest of it.
type key struct {
	kind    Kind
	account domain.AccountID
	term    int
}

type row struct {
	dueAt   int64
	expires sql.NullInt64
	ledger  uint64
	event   string
}

// recompute brings the rows of a permit to what is owed to it now. A row that
// stays keeps the event that made it due, and one that is as it was is not written.
func (f fold) recompute(id domain.PermitID, state permit.State, payments map[int]payment.State) error {
	rules, err := f.published()
	if err != nil {
		return err
	}
	past := make(map[key]row) // less what is still owed, further down
	err = projections.Each(f.ctx, f.tx, func(scan func(...any) error) error {
		var k key
		var r row
		err := scan(&k.kind, &k.account, &k.term, &r.dueAt, &r.expires, &r.ledger, &r.event)
		past[k] = r
		return err
	}, `SELECT kind, account_id, term, due_at, expires_at, ledger, event_id FROM due WHERE permit_id = ?`, id)
	if err != nil {
		return err
	}
	for _, it := range Owed(state, payments, rules, f.e.RecordedAt) {
		k := key{it.Kind, state.Account, it.Term}
		now := row{it.DueAt.UnixMicro(), projections.Micros(it.ExpiresAt), f.e.Ledger, f.e.ID.String()}
		was, there := past[k]
		delete(past, k)
		// What has to be done at once stays due since the first event that
		// asked for it.
		if there && (it.Kind == Settle || was.dueAt == now.dueAt) {
			now.dueAt, now.ledger, now.event = was.dueAt, was.ledger, was.event
		}
		if there && was == now {
			continue
		}
		err := f.exec(`INSERT INTO due (kind, account_id, permit_id, term, sha256, due_at, expires_at, ledger, event_id)
			VALUES (?, ?, ?, ?, '', ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET due_at = excluded.due_at, expires_at = excluded.expires_at,
				ledger = excluded.ledger, event_id = excluded.event_id`,
			k.kind, k.account, id, k.term, now.dueAt, now.expires, now.ledger, now.event)
		if err != nil {
			return err
		}
	}
	for k := range past {
		err := f.exec(`DELETE FROM due WHERE kind = ? AND permit_id = ? AND account_id = ? AND term = ?`, k.kind, id, k.account, k.term)
		if err != nil {
			return err
		}
	}
	return nil
}

func (f fold) account(body account.Event) error {
	id, err := f.after(account.Stream(""))
	if err != nil {
		return err
	}
	switch b := body.(type) {
	case account.DocumentUploaded:
		return f.uploaded(id, b.SHA256)
	case account.DocumentDropped:
		return f.exec(`DELETE FROM due WHERE kind = ? AND account_id = ? AND sha256 = ?`, DropDocument, id, b.SHA256)
	case account.AccountErased:
		// The documents have gone with the key.
		if err := f.exec(`DELETE FROM documents WHERE account_id = ?`, id); err != nil {
			return err
		}
		return f.exec(`DELETE FROM due WHERE kind = ? AND account_id = ?`, DropDocument, id)
	}
	return nil
}

// uploaded makes a document due to be dropped, unless it was named already. One
// that comes again before it is named has its time from then on.
func (f fold) uploaded(account, sha string) error {
	err := f.exec(`INSERT INTO documents (account_id, sha256, named) VALUES (?, ?, 0) ON CONFLICT DO NOTHING`, account, sha)
	if err != nil {
		return err
	}
	return f.exec(`INSERT INTO due (kind, account_id, permit_id, term, sha256, due_at, ledger, event_id)
		SELECT ?, account_id, '', 0, sha256, ?, ?, ? FROM documents WHERE account_id = ? AND sha256 = ? AND NOT named
		ON CONFLICT DO UPDATE SET due_at = excluded.due_at, ledger = excluded.ledger, event_id = excluded.event_id`,
		DropDocument, f.e.RecordedAt.Add(keepUnnamed).UnixMicro(), f.e.Ledger, f.e.ID.String(), account, sha)
}

// name keeps documents for good.
func (f fold) name(account domain.AccountID, evidence []domain.Evidence) error {
	for _, item := range evidence {
		err := f.exec(`INSERT INTO documents (account_id, sha256, named) VALUES (?, ?, 1)
			ON CONFLICT DO UPDATE SET named = 1`, account, item.SHA256)
		if err != nil {
			return err
		}
		if err := f.exec(`DELETE FROM due WHERE kind = ? AND account_id = ? AND sha256 = ?`, DropDocument, account, item.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func (f fold) notice(body notice.Event) error {
	supplied, ok := body.(notice.InformationSupplied)
	if !ok || len(supplied.Evidence) == 0 {
		return nil
	}
	state, found, err := f.permitOf(supplied.Permit)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the information in %s is for no application", f.e.Stream)
	}
	return f.name(state.Account, supplied.Evidence)
}

func (f fold) policy(body policy.Event) error {
	published, ok := body.(policy.PolicyPublished)
	if !ok {
		return nil // terms and conditions: no figure in them
	}
	text, err := projections.JSON(published)
	if err != nil {
		return err
	}
	if err := f.exec(`INSERT INTO policies (ledger, body) VALUES (?, ?)`, f.e.Ledger, text); err != nil {
		return err
	}
	var affected []domain.PermitID
	err = projections.Each(f.ctx, f.tx, func(scan func(...any) error) error {
		var id domain.PermitID
		err := scan(&id)
		affected = append(affected, id)
		return err
	}, `SELECT permit_id FROM permits WHERE pending OR renews_until >= ? ORDER BY permit_id`, domain.DateOf(f.e.Clock).String())
	if err != nil {
		return err
	}
	for _, id := range affected {
		state, _, err := f.permitOf(id)
		if err != nil {
			return err
		}
		payments, err := f.paymentsOf(id)
		if err != nil {
			return err
		}
		if err := f.recompute(id, state, payments); err != nil {
			return err
		}
	}
	return nil
}

// published gives all policies so far.
func (f fold) published() (Policies, error) {
	var all Policies
	err := projections.Each(f.ctx, f.tx, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		known, ok := f.policies.Load(text)
		if !ok {
			var body projections.Column[policy.PolicyPublished]
			if err := body.Scan(text); err != nil {
				return err
			}
			known = body.State
			f.policies.Store(text, known)
		}
		all = all.with(known.(policy.PolicyPublished))
		return nil
	}, `SELECT body FROM policies ORDER BY ledger`)
	return all, err
}

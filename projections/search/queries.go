package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/permit"
	"permitledger/projections"
)

// Match is what a result was found by.
type Match string

// The matches, in the order in which results come.
const (
	Reference  Match = "reference"
	MarkExact  Match = "mark-exact"
	MarkFolded Match = "mark-folded" // with O read as zero and I as one
	Email      Match = "email"
	Phone      Match = "phone"
	Postcode   Match = "postcode"
	PersonName Match = "name"
)

// ErrQuery is returned for a text by which nobody can be looked for.
var ErrQuery = errors.New("give at least two letters or digits to look for")

// maxQueryWords bounds how many words of a name are looked for.
const maxQueryWords = 6

// Hit is one result: a permit with its holder, or an account.
type Hit struct {
	Matched Match
	Account domain.AccountID
	Person  account.State   // without documents; zero while the account is not known yet
	ID      domain.PermitID // of the permit; empty: the account itself was found
	Permit  permit.State

	ledger uint64
}

// Reader answers from the rows. It is safe for concurrent use.
type Reader struct{ p *projections.Projection }

// NewReader reads the runner's projection of this model.
func NewReader(p *projections.Projection) Reader { return Reader{p} }

// place is where a page of results ended.
type place struct {
	Matched Match  `json:"m"`
	Ledger  uint64 `json:"l"`
}

// way is one way to look for a text.
type way struct {
	matched Match
	permits bool   // it finds permits, else accounts
	where   string // of p for permits, of a for accounts
	args    []any
}

// Find looks for a text in every way that it can be meant: a reference, a
// mark, an e-mail address, a telephone number, a postcode, and the words of a
// name or their beginnings, all of them. Results come in the order of the
// matches, and in each as the accounts were opened and the permits applied
// for. A folded mark is looked for only when no permit has the exact one.
func (r Reader) Find(ctx context.Context, text, cursor string, limit int) (hits []Hit, next string, err error) {
	ways := waysOf(text)
	if len(ways) == 0 {
		return nil, "", ErrQuery
	}
	var from place
	if err := projections.DecodeCursor(cursor, &from); err != nil {
		return nil, "", err
	}
	if from.Matched != "" {
		i := slices.IndexFunc(ways, func(w way) bool { return w.matched == from.Matched })
		if i < 0 {
			return nil, "", projections.ErrCursor
		}
		ways = ways[i:]
	}
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		for _, w := range ways {
			if len(hits) > limit {
				return nil
			}
			after := uint64(0)
			if w.matched == from.Matched {
				after = from.Ledger
			}
			more, err := w.find(ctx, tx, after, limit+1-len(hits))
			if err != nil {
				return err
			}
			hits = append(hits, more...)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("searching: %w", err)
	}
	if len(hits) > limit {
		hits = hits[:limit]
		last := hits[limit-1]
		next, err = projections.EncodeCursor(place{last.Matched, last.ledger})
	}
	return hits, next, err
}

// waysOf tells what a text can be meant as.
func waysOf(text string) []way {
	text = strings.TrimSpace(text)
	signs := 0
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			signs++
		}
	}
	if signs < 2 || !utf8.ValidString(text) {
		return nil
	}
	if strings.ContainsRune(text, '@') {
		return []way{{Email, false, `a.email = ?`, []any{emailKey(text)}}}
	}
	var ways []way
	if reference, err := domain.ParseReference(text); err == nil {
		ways = append(ways, way{Reference, true, `p.reference = ?`, []any{reference}})
	}
	if v, _, err := domain.ParseVehicle(text); err == nil {
		ways = append(ways, way{MarkExact, true, `p.mark = ?`, []any{v.Mark}},
			way{MarkFolded, true, `p.folded = ? AND NOT EXISTS (SELECT 1 FROM permits WHERE mark = ?)`, []any{v.Mark.Fold(), v.Mark}})
	}
	if number := phoneKey(text); number != "" && strings.Trim(text, "0123456789 +-().") == "" {
		ways = append(ways, way{Phone, false, `a.phone = ?`, []any{number}})
	}
	if postcode, err := domain.ParsePostcode(text); err == nil {
		ways = append(ways, way{Postcode, true, `p.postcode = ?`, []any{postcode}})
	}
	if w, ok := byName(text); ok {
		ways = append(ways, w)
	}
	return ways
}

// byName looks for every word of a text, each the beginning of some word of
// the name.
func byName(text string) (way, bool) {
	w := way{matched: PersonName}
	all := words(text)
	if len(all) == 0 || len(all) > maxQueryWords || strings.IndexFunc(text, unicode.IsLetter) < 0 {
		return w, false
	}
	var conditions []string
	for _, word := range all {
		conditions = append(conditions, `a.account_id IN (SELECT account_id FROM words WHERE word >= ? AND word < ?)`)
		w.args = append(w.args, word, word+string(utf8.MaxRune))
	}
	w.where = strings.Join(conditions, " AND ")
	return w, true
}

// find gives the next results of one way.
func (w way) find(ctx context.Context, tx *sql.Tx, after uint64, limit int) ([]Hit, error) {
	columns, from, by := `'', NULL`, `accounts a`, `a.ledger`
	holder := `a.account_id`
	if w.permits {
		columns, from, by = `p.permit_id, p.state`, `permits p LEFT JOIN accounts a USING (account_id)`, `p.ledger`
		holder = `p.account_id`
	}
	var hits []Hit
	err := projections.Each(ctx, tx, func(scan func(...any) error) error {
		hit := Hit{Matched: w.matched}
		var person projections.Column[account.State]
		var held projections.Column[permit.State]
		err := scan(&hit.Account, &person, &hit.ID, &held, &hit.ledger)
		hit.Person, hit.Permit = person.State, held.State
		hits = append(hits, hit)
		return err
	}, `SELECT `+holder+`, a.state, `+columns+`, `+by+` FROM `+from+` WHERE `+w.where+` AND `+by+` > ? ORDER BY `+by+` LIMIT ?`,
		append(slices.Clone(w.args), after, limit)...)
	return hits, err
}

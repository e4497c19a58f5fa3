package audit

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"

	"permitledger/domain"
	"permitledger/projections"
)

// Query says which events are looked for. A zero field asks nothing; an event
// has to fit all the others.
type Query struct {
	Type    string           // exactly
	Actor   string           // exactly
	Account domain.AccountID // whom it concerns
	Permit  domain.PermitID
	From    time.Time // recorded then or later
	Until   time.Time // recorded before then
	// Text is what a person typed: every word of it has to be in the event's
	// words, the last may be the beginning of one. A word that is an id finds
	// the event, permit, account or actor of that id. What has no letter and
	// no digit in it is found nowhere.
	Text string
}

// place is after which event a list goes on.
type place struct {
	Before int64 `json:"before"` // its ledger number
}

// Search lists the events that fit, the newest first, and gives the cursor of
// the next page, empty at the end. What is recorded between two pages changes
// neither.
func (r Reader) Search(ctx context.Context, q Query, limit int, cursor string) (found []Entry, next string, err error) {
	at := place{Before: math.MaxInt64}
	if err := projections.DecodeCursor(cursor, &at); err != nil {
		return nil, "", err
	}
	if at.Before < 1 {
		return nil, "", projections.ErrCursor
	}
	err = r.p.View(ctx, func(tx *sql.Tx) error {
		s, err := q.plan(ctx, tx, at.Before)
		if err != nil || s.nowhere {
			return err
		}
		return projections.Each(ctx, tx, func(scan func(...any) error) error {
			e, err := scanFrom(scan)
			found = append(found, e)
			return err
		}, s.text(), append(s.args, sql.Named("limit", limit+1))...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("searching the ledger: %w", err)
	}
	if len(found) > limit {
		found = found[:limit]
		next, err = projections.EncodeCursor(place{Before: int64(found[limit-1].Ledger)})
	}
	return found, next, err
}

// statement is a search as SQLite is asked it.
type statement struct {
	from    string // the tables, the one that leads first
	by      string // the ledger number, in the table that leads
	where   []string
	args    []any
	nowhere bool // nothing can fit
}

func (s *statement) and(condition string, args ...any) {
	s.where = append(s.where, condition)
	s.args = append(s.args, args...)
}

func (s *statement) text() string {
	return `SELECT ` + columns + ` FROM ` + s.from + ` WHERE ` + strings.Join(s.where, " AND ") +
		` ORDER BY ` + s.by + ` DESC LIMIT :limit`
}

// plan decides which index leads; SQLite has no statistics to do so. What is
// about one permit, one account or one id is little, and is looked through
// for the words. Everything else goes down the log: through the full-text
// index where words are asked for, or both a type and an actor, for it is
// the only one that has these together; else through the index of the one
// thing that is asked for. A plus sign keeps SQLite from another index.
func (q Query) plan(ctx context.Context, tx *sql.Tx, before int64) (statement, error) {
	words, ids := parse(q.Text)
	s := statement{from: "events", by: "ledger"}
	s.nowhere = strings.TrimSpace(q.Text) != "" && len(words)+len(ids) == 0
	few := q.Permit != "" || q.Account != "" || len(ids) > 0
	led := few
	switch {
	case few && len(words) > 0:
		s.and(`EXISTS (SELECT 1 FROM search WHERE search MATCH :match AND search.rowid = events.ledger)`, sql.Named("match", allOf(words)))
	case !few && (len(words) > 0 || q.Type != "" && q.Actor != ""):
		led = true
		s.from, s.by = "search CROSS JOIN events ON events.ledger = search.rowid", "search.rowid"
		s.and(`search MATCH :match`, sql.Named("match", q.match(words)))
	}
	q.concerning(&s, ids)
	if q.Type != "" {
		s.and(unless(led, "type")+` = :type`, sql.Named("type", q.Type))
	}
	if q.Actor != "" {
		s.and(unless(led, "actor")+` = :actor`, sql.Named("actor", q.Actor))
	}
	first, last, err := q.span(ctx, tx)
	if err != nil {
		return s, err
	}
	s.nowhere = s.nowhere || first > last
	s.and(s.by+` BETWEEN :first AND :last`, sql.Named("first", first), sql.Named("last", min(last, before-1)))
	if !q.From.IsZero() {
		s.and(`recorded_at >= :from`, sql.Named("from", q.From.UnixMicro()))
	}
	if !q.Until.IsZero() {
		s.and(`recorded_at < :until`, sql.Named("until", q.Until.UnixMicro()))
	}
	return s, nil
}

// concerning adds what finds few events.
func (q Query) concerning(s *statement, ids []string) {
	led := false
	lead := func(column string) string {
		defer func() { led = true }()
		return unless(led, column)
	}
	if q.Permit != "" {
		s.and(lead("permit_id")+` = :permit`, sql.Named("permit", q.Permit))
	}
	if q.Account != "" {
		s.and(lead("ledger")+` IN (`+ofAccount(":account")+`)`, sql.Named("account", q.Account))
	}
	for i, id := range ids {
		name := fmt.Sprintf("id%d", i)
		s.and(lead("ledger")+` IN (SELECT ledger FROM events WHERE event_id = :`+name+
			` UNION ALL SELECT ledger FROM events WHERE permit_id = :`+name+
			` UNION ALL SELECT ledger FROM events WHERE actor = :`+name+
			` UNION ALL `+ofAccount(":"+name)+`)`, sql.Named(name, id))
	}
}

// ofAccount selects the events that concern an account.
func ofAccount(parameter string) string {
	return `SELECT ledger FROM events WHERE account_id = ` + parameter +
		` UNION ALL SELECT ledger FROM shown WHERE account_id = ` + parameter
}

func unless(led bool, column string) string {
	if led {
		return "+" + column
	}
	return column
}

// match writes the question to the full-text index: the words, and what else
// it knows.
func (q Query) match(words []string) string {
	var parts []string
	if len(words) > 0 {
		parts = append(parts, allOf(words))
	}
	if q.Type != "" {
		parts = append(parts, `what : `+quote(q.Type))
	}
	if hasWord(q.Actor) {
		parts = append(parts, `who : `+quote(q.Actor))
	}
	return strings.Join(parts, " AND ")
}

// allOf asks for every word, the last of which may be the beginning of one.
// Each is quoted, so that nothing a person types is an operator.
func allOf(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, quote(w))
	}
	return `words : (` + strings.Join(quoted, " AND ") + ` *)`
}

func quote(word string) string { return `"` + strings.ReplaceAll(word, `"`, `""`) + `"` }

// parse parts a text into words and ids. What has no letter and no digit in
// it is no word to the full-text index either.
func parse(text string) (words, ids []string) {
	for _, w := range strings.Fields(text) {
		switch lower := strings.ToLower(w); {
		case IsID(lower):
			ids = append(ids, lower)
		case hasWord(w):
			words = append(words, w)
		}
	}
	return words, ids
}

func hasWord(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
}

var idShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// IsID reports whether a word is an id: a UUID in lower case.
func IsID(word string) bool { return idShape.MatchString(word) }

// span gives the part of the log outside which nothing was recorded within the
// days that are asked for.
func (q Query) span(ctx context.Context, tx *sql.Tx) (first, last int64, err error) {
	from, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !q.From.IsZero() {
		from = dayOf(q.From)
	}
	if !q.Until.IsZero() {
		until = dayOf(q.Until)
	}
	row := tx.QueryRowContext(ctx, `SELECT coalesce(min(first), 1), coalesce(max(last), 0) FROM days WHERE day BETWEEN ? AND ?`, from, until)
	if err := row.Scan(&first, &last); err != nil {
		return 0, 0, fmt.Errorf("finding the days: %w", err)
	}
	return first, last, nil
}

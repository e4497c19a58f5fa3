package projections

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	json "github.com/go-json-experiment/json/v1"
)

// Load reads a folded state, kept as JSON, from the one column of the one row
// that a query gives. It is false when there is no row.
func Load[S any](ctx context.Context, tx *sql.Tx, query string, args ...any) (state S, found bool, err error) {
	var text []byte
	err = queryRow(ctx, tx, query, args...).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return state, false, nil
	}
	if err != nil {
		return state, false, err
	}
	return state, true, decode(text, &state)
}

// JSON writes a folded state for a row.
func JSON(state any) (string, error) {
	text, err := json.Marshal(state)
	if err != nil {
		return "", fmt.Errorf("writing a state: %w", err)
	}
	return string(text), nil
}

// Column reads a folded state when a row is scanned.
type Column[S any] struct{ State S }

// Scan implements sql.Scanner. NULL is the zero state.
func (c *Column[S]) Scan(value any) error {
	var none S
	c.State = none
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return decode([]byte(v), &c.State)
	case []byte:
		return decode(v, &c.State)
	}
	return fmt.Errorf("a state is kept as text, not as %T", value)
}

// decode hides what JSON says about a value: it may quote it.
func decode(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("a kept state is not of the shape %T", into)
	}
	return nil
}

// Each calls fn for every row of a query.
func Each(ctx context.Context, tx *sql.Tx, fn func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := queryRows(ctx, tx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Micros is how rows keep an instant; NULL for the zero time.
func Micros(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: true}
}

// Instant reads what Micros gave.
func Instant(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// ErrCursor is returned when a cursor was not given out by the query that it
// is handed to.
var ErrCursor = errors.New("not a cursor of this list; begin again without one")

// EncodeCursor makes an opaque cursor of the place after which a list goes on.
func EncodeCursor(place any) (string, error) {
	text, err := json.Marshal(place)
	if err != nil {
		return "", fmt.Errorf("making a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// DecodeCursor reads a cursor. An empty one leaves the place as it is, which
// is the beginning.
func DecodeCursor(cursor string, place any) error {
	if cursor == "" {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, place) != nil {
		return ErrCursor
	}
	return nil
}

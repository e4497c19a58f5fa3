package projections

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// comparison walks two files of one model, each in the order of its keys, and
// never holds more than one row of each.
type comparison struct {
	ctx           context.Context
	live, rebuilt *sql.Tx
	values        bool
	result        *Verification
}

// table is what is compared as one set of rows.
type table struct {
	name    string
	columns []string // the key first
	keys    int      // how many of the columns are the key
	keyless bool     // it has no key: the whole row stands for it
	query   string
}

// all compares what the files are made of, and then the rows of every table
// that both have in the same shape.
func (c *comparison) all() error {
	shape := table{name: "sqlite_schema", columns: []string{"type", "name", "sql"}, keys: 2,
		query: `SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type, name`}
	if err := c.table(shape); err != nil {
		return err
	}
	// All but whether it is live.
	mark := table{name: "projection", keys: 1,
		columns: []string{"only", "model", "schema", "ledger", "position", "stream", "revision", "event_id", "clock"}}
	mark.query = `SELECT ` + strings.Join(mark.columns, ", ") + ` FROM projection`
	if err := c.table(mark); err != nil {
		return err
	}
	wanted, err := tables(c.ctx, c.rebuilt)
	if err != nil {
		return err
	}
	found, err := tables(c.ctx, c.live)
	if err != nil {
		return err
	}
	for _, t := range wanted {
		if !slices.ContainsFunc(found, func(o table) bool { return o.query == t.query }) {
			continue // told by the schema
		}
		if err := c.table(t); err != nil {
			return fmt.Errorf("comparing the table %s: %w", t.name, err)
		}
	}
	return nil
}

// tables lists a file's tables by name. The inner tables of a virtual one are
// left out: they depend on where transactions ended, and what they hold is seen
// through it.
func tables(ctx context.Context, tx *sql.Tx) ([]table, error) {
	var all []table
	err := Each(ctx, tx, func(scan func(...any) error) error {
		var t table
		var kind string
		if err := scan(&t.name, &kind); err != nil {
			return err
		}
		if kind == "virtual" {
			t.columns, t.keys = []string{"rowid"}, 1
		}
		all = append(all, t)
		return nil
	}, `SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> 'projection' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].describe(ctx, tx); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// describe finds the columns and makes the query that reads the rows in the
// order of their keys.
func (t *table) describe(ctx context.Context, tx *sql.Tx) error {
	err := Each(ctx, tx, func(scan func(...any) error) error {
		var name string
		var key int
		if err := scan(&name, &key); err != nil {
			return err
		}
		t.columns = append(t.columns, name)
		if key > 0 {
			t.keys++
		}
		return nil
	}, `SELECT name, pk FROM pragma_table_info(?) ORDER BY pk = 0, pk, cid`, t.name)
	if err != nil {
		return err
	}
	if t.keys == 0 {
		t.keys, t.keyless = len(t.columns), true
	}
	quoted := make([]string, len(t.columns))
	for i, name := range t.columns {
		quoted[i] = quote(name)
	}
	order := make([]string, t.keys)
	for i := range order {
		order[i] = quoted[i] + " COLLATE BINARY"
	}
	t.query = `SELECT ` + strings.Join(quoted, ", ") + ` FROM ` + quote(t.name) + ` ORDER BY ` + strings.Join(order, ", ")
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// table walks both sides of a table at once.
func (c *comparison) table(t table) error {
	live, err := open(c.ctx, c.live, t)
	if err != nil {
		return err
	}
	defer live.close()
	rebuilt, err := open(c.ctx, c.rebuilt, t)
	if err != nil {
		return err
	}
	defer rebuilt.close()
	for live.row != nil || rebuilt.row != nil {
		order := 0
		switch {
		case live.row == nil:
			order = 1
		case rebuilt.row == nil:
			order = -1
		default:
			order = compareRows(live.row[:t.keys], rebuilt.row[:t.keys])
		}
		c.result.Rows++
		switch {
		case order < 0:
			c.add(t, RowUnexpected, live.row, nil)
		case order > 0:
			c.add(t, RowMissing, rebuilt.row, nil)
		default:
			if columns := c.columns(t, live.row, rebuilt.row); columns != nil {
				c.add(t, RowChanged, live.row, columns)
			}
		}
		if order <= 0 {
			err = live.next()
		}
		if order >= 0 && err == nil {
			err = rebuilt.next()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) add(t table, kind DifferenceKind, row []any, columns []ColumnDifference) {
	c.result.Differing++
	if len(c.result.Differences) == maxDifferences {
		return
	}
	d := Difference{Table: t.name, Kind: kind, Key: []KeyPart{}, Columns: columns}
	if !t.keyless || c.values {
		for i := range t.keys {
			d.Key = append(d.Key, KeyPart{t.columns[i], text(row[i])})
		}
	}
	c.result.Differences = append(c.result.Differences, d)
}

func (c *comparison) columns(t table, live, rebuilt []any) (differ []ColumnDifference) {
	for i := t.keys; i < len(t.columns); i++ {
		if compareValues(live[i], rebuilt[i]) == 0 {
			continue
		}
		d := ColumnDifference{Column: t.columns[i], Members: members(live[i], rebuilt[i])}
		if c.values {
			d.Live, d.Rebuilt = textOrNone(live[i]), textOrNone(rebuilt[i])
		}
		differ = append(differ, d)
	}
	return differ
}

// cursor is a walk over the rows of one side. row is nil at its end.
type cursor struct {
	rows *sql.Rows
	row  []any
}

func open(ctx context.Context, tx *sql.Tx, t table) (*cursor, error) {
	rows, err := tx.QueryContext(ctx, t.query)
	if err != nil {
		return nil, err
	}
	c := &cursor{rows: rows, row: make([]any, len(t.columns))}
	if err := c.next(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cursor) next() error {
	if !c.rows.Next() {
		c.row = nil
		return c.rows.Err()
	}
	row := make([]any, len(c.row))
	into := make([]any, len(row))
	for i := range row {
		into[i] = &row[i]
	}
	c.row = row
	return c.rows.Scan(into...)
}

func (c *cursor) close() { _ = c.rows.Close() }

func compareRows(a, b []any) int {
	for i := range a {
		if n := compareValues(a[i], b[i]); n != 0 {
			return n
		}
	}
	return 0
}

// compareValues orders as SQLite does: NULL, numbers, text, blobs.
func compareValues(a, b any) int {
	if n := cmp.Compare(class(a), class(b)); n != 0 {
		return n
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(float64(a), b.(float64))
	case float64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, float64(b))
		}
		return cmp.Compare(a, b.(float64))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	// What the driver makes of other declared types, which no model has.
	return strings.Compare(text(a), text(b))
}

func class(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case int64, float64:
		return 1
	case string:
		return 2
	case []byte:
		return 3
	}
	return 4
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	}
	return fmt.Sprint(v)
}

func textOrNone(v any) *string {
	if v == nil {
		return nil
	}
	s := text(v)
	return &s
}

// members names the places in two JSON objects that differ. It gives none for
// what is not JSON. The names are those of the ledger's own states, or short
// enough to be: a name that somebody typed in is not repeated.
func members(live, rebuilt any) []string {
	a, aok := live.(string)
	b, bok := rebuilt.(string)
	var x, y map[string]any
	if !aok || !bok || json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return nil
	}
	var differ []string
	walk("", x, y, &differ)
	slices.Sort(differ)
	return differ
}

func walk(path string, live, rebuilt map[string]any, differ *[]string) {
	for name, want := range rebuilt {
		got, there := live[name]
		if there && reflect.DeepEqual(got, want) {
			continue
		}
		g, gok := got.(map[string]any)
		w, wok := want.(map[string]any)
		if gok && wok {
			walk(path+name+".", g, w, differ)
			continue
		}
		*differ = append(*differ, path+name)
	}
	for name := range live {
		if _, there := rebuilt[name]; !there {
			*differ = append(*differ, path+"(unexpected)")
			break
		}
	}
}

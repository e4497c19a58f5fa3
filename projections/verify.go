package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
)

// Verification is how a live file compares with one that was made from the log
// beside it.
type Verification struct {
	Name   string `json:"name"`
	Ledger uint64 `json:"ledger"` // number of the last event that both have applied
	Rows   uint64 `json:"rows"`   // that were compared
	// Differing is how many rows differ; Differences are the first of them.
	Differing   uint64       `json:"differing"`
	Differences []Difference `json:"differences"`
}

// Difference is a row that is not as the log makes it.
type Difference struct {
	Table string `json:"table"`
	// Key is the row's primary key. Of a table that has none it is empty,
	// unless values were asked for: the whole row is its key then.
	Key []KeyPart `json:"key"`
	// Kind says whether the row was changed, is missing from the live file, or
	// stands there and should not.
	Kind DifferenceKind `json:"kind"`
	// Columns are those that differ, of a row that was changed.
	Columns []ColumnDifference `json:"columns,omitempty"`
}

// DifferenceKind is in which way a row differs.
type DifferenceKind string

// The kinds of difference.
const (
	RowChanged    DifferenceKind = "changed"
	RowMissing    DifferenceKind = "missing"
	RowUnexpected DifferenceKind = "unexpected"
)

// KeyPart is one column of a primary key.
type KeyPart struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

// ColumnDifference is a column that is not as it should be. Where it holds
// JSON, Members are the paths in it that differ. The values are only given when
// they were asked for, for they may be personal; a column that is NULL has none.
type ColumnDifference struct {
	Column  string   `json:"column"`
	Members []string `json:"members,omitempty"`
	Live    *string  `json:"live,omitempty"`
	Rebuilt *string  `json:"rebuilt,omitempty"`
}

// maxDifferences is how many differences a verification lists. Whoever has more
// rebuilds.
const maxDifferences = 100

// ErrReplaced is returned by Verify when the file that it looks at was replaced
// meanwhile.
var ErrReplaced = errors.New("the read model was made again meanwhile; verify it again")

// Verify folds the log into a scratch file and compares it, row by row, with
// the live one as both are after the same event. Nothing is changed, and the
// live file is followed and read as ever. With values, the differences say what
// stands in the columns. How far it has come is told by Status.
func (p *Projection) Verify(ctx context.Context, values bool) (Verification, error) {
	if err := p.runner.refusal(); err != nil {
		return Verification{}, err
	}
	ctx, done, err := p.runner.during(ctx)
	if err != nil {
		return Verification{}, err
	}
	defer done()
	at := new(atomic.Uint64)
	p.set(func() { p.verifying = at })
	defer p.set(func() {
		if p.verifying == at {
			p.verifying = nil
		}
	})
	target, file := p.Status().Position, p.fileNumber()
	scratch, _, err := p.scratch(ctx)
	if err != nil {
		return Verification{}, err
	}
	v, err := p.compareWith(ctx, scratch, func() error {
		return p.fill(ctx, scratch, upTo(target), at)
	}, func(live *sql.Tx) error {
		mark, err := readMark(ctx, live)
		if err != nil {
			return err
		}
		if mark.Position < target && p.fileNumber() != file {
			return ErrReplaced // by an empty one, for the old one was damaged
		}
		// What came in while the scratch file was made.
		return p.fill(ctx, scratch, upTo(mark.Position), at)
	}, values)
	return v, errors.Join(err, scratch.discard())
}

// compareWith makes the scratch file while nothing is held, and then holds one
// state of the live rows while that is caught up with and compared: as long as
// that takes, what was erased cannot leave the live file.
func (p *Projection) compareWith(ctx context.Context, scratch *file, build func() error, catchUp func(live *sql.Tx) error, values bool) (Verification, error) {
	if err := build(); err != nil {
		return Verification{}, fmt.Errorf("making it from the log: %w", err)
	}
	v := Verification{Name: p.Name(), Differences: []Difference{}}
	err := p.View(ctx, func(live *sql.Tx) error {
		if err := catchUp(live); err != nil {
			return err
		}
		rebuilt, err := scratch.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { _ = rebuilt.Rollback() }()
		v.Ledger = scratch.mark.Ledger
		c := comparison{ctx: ctx, live: live, rebuilt: rebuilt, values: values, result: &v}
		return c.all()
	})
	return v, err
}

func (p *Projection) fileNumber() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number
}

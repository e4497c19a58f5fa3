package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver

	"permitledger/eventstore"
)

// Mark is a place in history: the last event that a file has applied. Stream,
// revision and id say which event it was, so that a file beside another log
// is found out; they are empty, and the rest zero, before the first event.
type Mark struct {
	Ledger   uint64
	Position eventstore.Position
	Stream   string
	Revision uint64
	EventID  string
	Clock    time.Time
}

// bookkeeping is the runner's own table in every file. A file is live once it
// may be read: one that is built beside another is not, until it is swapped in.
const bookkeeping = `CREATE TABLE projection (
	only     INTEGER PRIMARY KEY CHECK (only = 1),
	model    TEXT    NOT NULL,
	schema   INTEGER NOT NULL,
	live     INTEGER NOT NULL,
	ledger   INTEGER NOT NULL,
	position INTEGER NOT NULL,
	stream   TEXT    NOT NULL,
	revision INTEGER NOT NULL,
	event_id TEXT    NOT NULL,
	clock    INTEGER NOT NULL  -- microseconds since 1970; 0 before the first event
) STRICT`

// file is one SQLite file of a model. Only one goroutine applies events to
// it; any number read.
type file struct {
	path   string
	writer *sql.DB // one connection
	reader *sql.DB // read only
	mark   Mark    // of the goroutine that applies events, as the next two
	known  *statements
	erased erasure // how far the last erasure has left the file
	// filling says that nothing is rolled back in this file, and later has the
	// indexes that it is still to be given.
	filling bool
	later   []string

	mu     sync.Mutex
	users  int  // reads under way, and one for whoever owns the file
	gone   bool // to be removed when the last user is done
	closed chan struct{}
}

// erasure is how far what was erased has left a file. Each step is kept in the
// file, as its user version, so that a crash in between is made good.
type erasure int

const (
	erasureDone   erasure = iota
	erasureInWAL          // old pages may lie in the WAL
	erasureInFile         // old bytes may lie between the cells of a page
)

// readers is how many reads of one model go on at the same time.
const readers = 4

// access is what a connection to a file is for.
type access int

const (
	reading   access = iota
	following        // writing to a file that is read and has to outlive a crash
	filling          // writing to a file that is thrown away if it is cut off
)

// pragmas is how SQLite is set up for each. secure_delete overwrites what is
// deleted, so that an erasure leaves nothing in free pages. NORMAL may lose the
// last commits in a power cut, never half of one: they are then applied again.
// A file that is being filled is thrown away when anything goes wrong: nothing
// of it has to be on the disk before it is whole, and nothing is rolled back.
// Its keys come in no order, and the cache holds the pages that they hit.
var pragmas = map[access][]string{
	reading:   {"query_only(1)"},
	following: {"journal_mode(WAL)", "synchronous(NORMAL)", "secure_delete(1)", "cache_size(-16384)"},
	filling:   {"journal_mode(OFF)", "synchronous(OFF)", "secure_delete(1)", "cache_size(-65536)"},
}

// connect opens a file for some use.
func connect(path string, use access) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(1000)"}, pragmas[use]...)}
	most := readers
	if use != reading {
		q.Set("_txlock", "immediate")
		most = 1
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// openFile opens a file as it is, for following or filling; it has to be there.
func openFile(ctx context.Context, path string, use access) (_ *file, err error) {
	f := &file{path: path, filling: use == filling, users: 1, closed: make(chan struct{})}
	if f.writer, err = connect(path, use); err != nil {
		return nil, err
	}
	f.known = newStatements(f.writer)
	if f.reader, err = connect(path, reading); err != nil {
		return nil, errors.Join(err, f.writer.Close())
	}
	if err = f.writer.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&f.erased); err != nil {
		return nil, errors.Join(err, f.shut())
	}
	return f, nil
}

// createFile makes an empty file for a model: a live one for following, or one
// for filling.
func createFile(ctx context.Context, path string, m Model, use access) (*file, error) {
	if err := removeFile(path); err != nil {
		return nil, err
	}
	// SQLite would make the file with the process's own mask; its WAL takes
	// over the mode that it finds here.
	h, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := h.Close(); err != nil {
		return nil, err
	}
	f, err := openFile(ctx, path, use)
	if err != nil {
		return nil, err
	}
	version, ddl := m.Schema()
	err = f.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, bookkeeping); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, ddl); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO projection VALUES (1, ?, ?, ?, 0, 0, '', 0, '', 0)`, m.Name(), version, use == following)
		if err == nil && use == filling {
			err = f.postpone(ctx, tx, m)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, f.shut(), removeFile(path))
	}
	return f, nil
}

// postpone takes out the indexes that no fold uses: made at once from all rows,
// they cost far less than kept up with each.
func (f *file) postpone(ctx context.Context, tx *sql.Tx, m Model) error {
	l, ok := m.(interface{ Lookups() []string })
	if !ok {
		return nil
	}
	for _, name := range l.Lookups() {
		var ddl string
		err := tx.QueryRowContext(ctx, `SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?`, name).Scan(&ddl)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DROP INDEX `+quote(name))
		}
		if err != nil {
			return fmt.Errorf("postponing the index %s: %w", name, err)
		}
		f.later = append(f.later, ddl)
	}
	return nil
}

// index makes the indexes that were postponed.
func (f *file) index(ctx context.Context) error {
	for _, ddl := range f.later {
		if _, err := f.writer.ExecContext(ctx, ddl); err != nil {
			return fmt.Errorf("making an index: %w", err)
		}
	}
	f.later = nil
	return nil
}

// load reads the mark, and what the file was made for.
func (f *file) load(ctx context.Context) (model string, version int, live bool, err error) {
	row := f.writer.QueryRowContext(ctx, `SELECT model, schema, live FROM projection`)
	if err := row.Scan(&model, &version, &live); err != nil {
		return "", 0, false, err
	}
	f.mark, err = readMark(ctx, f.writer)
	return model, version, live, err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readMark(ctx context.Context, q queryer) (Mark, error) {
	var m Mark
	var clock int64
	row := q.QueryRowContext(ctx, `SELECT ledger, position, stream, revision, event_id, clock FROM projection`)
	if err := row.Scan(&m.Ledger, &m.Position, &m.Stream, &m.Revision, &m.EventID, &clock); err != nil {
		return Mark{}, err
	}
	if clock != 0 {
		m.Clock = time.UnixMicro(clock).UTC()
	}
	return m, nil
}

// MarkOf tells, inside a read, up to which event the rows go that it sees.
func MarkOf(ctx context.Context, tx *sql.Tx) (Mark, error) { return readMark(ctx, tx) }

// update runs fn in one transaction of the writer.
func (f *file) update(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := f.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// forget makes what was erased leave the file for good. Overwriting the rows is
// not enough: when SQLite moves cells between pages, copies stay behind in the
// room between them, and the WAL has the pages as they were. So the file is
// written anew and the WAL emptied. A reader may stand in the way of the
// latter; then the step stays to be done, and that is no error.
func (f *file) forget(ctx context.Context) error {
	if f.erased == erasureInFile {
		if _, err := f.writer.ExecContext(ctx, `VACUUM`); err != nil {
			return fmt.Errorf("writing the file anew after an erasure: %w", err)
		}
		if err := setErasure(ctx, f.writer, erasureInWAL); err != nil {
			return err
		}
		f.erased = erasureInWAL
	}
	var busy, pages, moved int
	if err := f.writer.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("emptying the WAL after an erasure: %w", err)
	}
	if busy != 0 {
		return nil
	}
	if err := setErasure(ctx, f.writer, erasureDone); err != nil {
		return err
	}
	f.erased = erasureDone
	return nil
}

func setErasure(ctx context.Context, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, step erasure) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, step))
	return err
}

// acquire counts a user in; it fails when the last one has gone.
func (f *file) acquire() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users == 0 {
		return false
	}
	f.users++
	return true
}

// release counts a user out. The last one closes the file, and removes it
// when it has been replaced.
func (f *file) release() error {
	f.mu.Lock()
	f.users--
	last, gone := f.users == 0, f.gone
	f.mu.Unlock()
	if !last {
		return nil
	}
	defer close(f.closed)
	err := f.shut()
	if gone {
		err = errors.Join(err, removeFile(f.path))
	}
	return err
}

func (f *file) shut() error { return errors.Join(f.reader.Close(), f.writer.Close()) }

func removeFile(path string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// filePath names the n-th file of a model. A model that is made again gets a
// new number, so that whoever still reads the old file never meets the new one.
func filePath(dir, model string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.%d.db", model, n))
}

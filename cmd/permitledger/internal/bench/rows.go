package bench

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"net/url"
	"os"
)

// rowsName is the name by which the driver opens a file, with what a read
// model's own file is opened with.
func rowsName(path string) string {
	q := url.Values{"_pragma": {"busy_timeout(1000)", "journal_mode(WAL)", "synchronous(NORMAL)", "secure_delete(1)"}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func openRows(path string) (*sql.DB, error) { return sql.Open("sqlite", rowsName(path)) }

// tables makes a file with the empty tables of the model.
func (w *writes) tables(ctx context.Context, path string) error {
	db, err := openRows(path)
	if err != nil {
		return err
	}
	_, ddl := w.model.Schema()
	_, err = db.ExecContext(ctx, ddl)
	return errors.Join(err, db.Close())
}

func removeRows(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// noting opens connections that note every write before it is made. It has only
// what database/sql cannot do without: nothing is timed here.
type noting struct {
	driver driver.Driver
	name   string
	into   *writes
}

// Connect implements driver.Connector.
func (n noting) Connect(context.Context) (driver.Conn, error) {
	c, err := n.driver.Open(n.name)
	if err != nil {
		return nil, err
	}
	return notingConn{c, n.into}, nil
}

// Driver implements driver.Connector.
func (n noting) Driver() driver.Driver { return n.driver }

type notingConn struct {
	driver.Conn
	into *writes
}

// Prepare implements driver.Conn.
func (c notingConn) Prepare(query string) (driver.Stmt, error) {
	s, err := c.Conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	return notingStmt{s, query, c.into}, nil
}

type notingStmt struct {
	driver.Stmt
	query string
	into  *writes
}

// Exec implements driver.Stmt.
func (s notingStmt) Exec(args []driver.Value) (driver.Result, error) {
	noted := make([]any, len(args))
	for i, a := range args {
		noted[i] = a
	}
	s.into.sent = append(s.into.sent, sent{s.query, noted})
	//lint:ignore SA1019 the plain form is all that is wanted, and the driver has it
	return s.Stmt.Exec(args)
}

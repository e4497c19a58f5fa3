package vault

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"permitledger/domain"
)

// schema: a destroyed key keeps its row without the keyset, which distinguishes
// it from a key of another vault and keeps its person from getting a new one. A key
// that is lost has a row with a mark in place of the keyset, for the same two reasons.
const schema = `
CREATE TABLE IF NOT EXISTS vault (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	id      TEXT NOT NULL,
	wrapped BLOB NOT NULL -- the id under the key-encryption key
) STRICT;
CREATE TABLE IF NOT EXISTS keys (
	id      TEXT PRIMARY KEY,
	person  TEXT NOT NULL UNIQUE,
	wrapped BLOB -- the person's keyset; NULL: destroyed; 'lost': lost
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lost_documents (
	person TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	PRIMARY KEY (person, sha256)
) STRICT, WITHOUT ROWID;
`

// openDatabase opens the keys. Deleted content is overwritten, and a commit
// returns when it is on disk.
func openDatabase(path string, readOnly bool) (*sql.DB, error) {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)",
	}}
	if readOnly {
		// Not SQLite's read-only mode: that cannot read what a process that
		// was killed left in the write-ahead log.
		q["_pragma"] = []string{"busy_timeout(5000)", "query_only(ON)"}
	} else {
		// The write-ahead log takes over the mode of this file.
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		_ = f.Close()
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	// One connection: no commit of ours can wait for another of ours.
	db.SetMaxOpenConns(1)
	if readOnly {
		return db, nil
	}
	if _, err := db.Exec(schema); err != nil {
		return nil, errors.Join(fmt.Errorf("keys: %w", err), db.Close())
	}
	return db, nil
}

// identify reads the vault's id, or gives the new vault one. The id wrapped
// under the key-encryption key shows that the two files belong together.
func (v *Vault) identify() (string, error) {
	var id string
	var wrapped []byte
	err := v.db.QueryRow(`SELECT id, wrapped FROM vault`).Scan(&id, &wrapped)
	if errors.Is(err, sql.ErrNoRows) && !v.readOnly {
		id = uuid.NewString()
		if wrapped, err = v.kek.Encrypt([]byte(id), nil); err != nil {
			return "", err
		}
		_, err = v.db.Exec(`INSERT INTO vault (one, id, wrapped) VALUES (1, ?, ?)`, id, wrapped)
		return id, err
	}
	if err != nil {
		return "", fmt.Errorf("vault in %s: %w", v.dir, err)
	}
	if got, err := v.kek.Decrypt(wrapped, nil); err != nil || string(got) != id {
		return "", fmt.Errorf("%w: %s in %s is not the one that vault %s was made with", ErrIncomplete, kekFile, v.dir, id)
	}
	return id, nil
}

func (v *Vault) findByPerson(person domain.AccountID) (id string, wrapped []byte, err error) {
	err = v.db.QueryRow(`SELECT id, wrapped FROM keys WHERE person = ?`, string(person)).Scan(&id, &wrapped)
	return id, wrapped, err
}

func (v *Vault) findByID(id string) (person domain.AccountID, wrapped []byte, err error) {
	err = v.db.QueryRow(`SELECT person, wrapped FROM keys WHERE id = ?`, id).Scan(&person, &wrapped)
	return person, wrapped, err
}

func (v *Vault) insert(id string, person domain.AccountID, wrapped []byte) error {
	_, err := v.db.Exec(`INSERT INTO keys (id, person, wrapped) VALUES (?, ?, ?)`, id, string(person), wrapped)
	return err
}

// Erased lists the persons whose keys were destroyed, or who never get one.
func (v *Vault) Erased() ([]domain.AccountID, error) {
	rows, err := v.db.Query(`SELECT person FROM keys WHERE wrapped IS NULL ORDER BY person`)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []domain.AccountID
	for rows.Next() {
		var person domain.AccountID
		if err := rows.Scan(&person); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		all = append(all, person)
	}
	return all, rows.Err()
}

// bury destroys a person's keyset and leaves the tombstone. The write-ahead
// log still has earlier pages with the keyset in them, so it is emptied.
func (v *Vault) bury(person domain.AccountID) error {
	_, err := v.db.Exec(`INSERT INTO keys (id, person) VALUES (?, ?)
		ON CONFLICT (person) DO UPDATE SET wrapped = NULL`, uuid.NewString(), string(person))
	if err != nil {
		return err
	}
	var busy, logged, moved int
	if err := v.db.QueryRow(`PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &logged, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("the write-ahead log is being read and could not be emptied; try again")
	}
	return nil
}

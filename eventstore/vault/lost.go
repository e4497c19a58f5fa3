package vault

import (
	"database/sql"
	"errors"
	"fmt"

	"permitledger/domain"
)

// LostDocument is a document that the log names and the keep folder lacks.
type LostDocument struct {
	Person domain.AccountID
	SHA256 string
}

// lostMark is in the row of a lost key where a keyset would be. It is not empty
// because the driver reads an empty value back as NULL, which means destroyed.
var lostMark = []byte("lost")

// Has reports whether the vault has a key, or has noted that it was destroyed
// or is lost.
func (v *Vault) Has(keyID string) (bool, error) {
	_, _, err := v.findByID(keyID)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// NoteLost notes that the log uses a key which the vault lacks. Data sealed
// with it reads as lost from then on, and its person gets no second key. The
// person may be empty where the log does not name them.
func (v *Vault) NoteLost(keyID string, person domain.AccountID) error {
	return v.note(keyID, person, lostMark)
}

// NoteErased notes that a key which the vault lacks belonged to a person who
// was erased.
func (v *Vault) NoteErased(keyID string, person domain.AccountID) error {
	return v.note(keyID, person, nil)
}

// note adds a row for a key without a keyset. A person who has another key
// already keeps it, and the row then names nobody.
func (v *Vault) note(keyID string, person domain.AccountID, wrapped []byte) error {
	if v.readOnly {
		return ErrReadOnly
	}
	v.making.Lock()
	defer v.making.Unlock()
	if person != "" {
		if _, _, err := v.findByPerson(person); err == nil {
			person = ""
		} else if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("note key: %w", err)
		}
	}
	if person == "" {
		person = domain.AccountID("key " + keyID)
	}
	_, err := v.db.Exec(`INSERT INTO keys (id, person, wrapped) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`, keyID, string(person), wrapped)
	if err != nil {
		return fmt.Errorf("note key: %w", err)
	}
	return nil
}

// OnUnknown has Open note every key that it does not know as lost, in place of
// failing with ErrUnknownKey. person names whose key it is, from what the sealed
// part is bound to; empty where that does not say. It is called before the
// vault is used by several goroutines, by the primary only.
func (v *Vault) OnUnknown(person func(keyID string, aad []byte) domain.AccountID) { v.unknown = person }

func (v *Vault) noteUnknown(keyID string, aad []byte) error {
	if err := v.NoteLost(keyID, v.unknown(keyID, aad)); err != nil {
		return err
	}
	return ErrLost
}

// NoteLostDocuments notes documents that the log names and the keep folder
// lacks.
func (v *Vault) NoteLostDocuments(documents []LostDocument) error {
	for _, d := range documents {
		_, err := v.db.Exec(`INSERT INTO lost_documents (person, sha256) VALUES (?, ?) ON CONFLICT DO NOTHING`, string(d.Person), d.SHA256)
		if err != nil {
			return fmt.Errorf("note lost document: %w", err)
		}
	}
	return nil
}

// Lost lists what was noted as lost: how many keys, and which documents.
func (v *Vault) Lost() (keys int, documents []LostDocument, err error) {
	if err := v.db.QueryRow(`SELECT count(*) FROM keys WHERE wrapped = ?`, lostMark).Scan(&keys); err != nil {
		return 0, nil, fmt.Errorf("count lost keys: %w", err)
	}
	rows, err := v.db.Query(`SELECT person, sha256 FROM lost_documents`)
	if err != nil {
		return 0, nil, fmt.Errorf("list lost documents: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d LostDocument
		if err := rows.Scan(&d.Person, &d.SHA256); err != nil {
			return 0, nil, fmt.Errorf("list lost documents: %w", err)
		}
		documents = append(documents, d)
	}
	return keys, documents, rows.Err()
}

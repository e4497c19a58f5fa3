// Package documents keeps the evidence that residents send: each document in
// a file of its own, sealed with the person's key, outside the log.
//
// The ledger holds what a document is and its SHA-256; this package holds the
// bytes. It knows nothing of who may read them.
package documents

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/domain"
)

// MaxBytes is the size of the largest document that is taken.
const MaxBytes = 10 << 20

// ErrNotFound is returned when a document is not here: it never was, it was
// dropped, or the key that opens it was destroyed.
var ErrNotFound = errors.New("document not found")

// Sealer is what the store needs of the vault.
type Sealer interface {
	// Seal encrypts under the person's key and returns the key's id.
	Seal(person domain.AccountID, plaintext, aad []byte) (keyID string, sealed []byte, err error)
	// Open decrypts; erased says that the key was destroyed.
	Open(keyID string, sealed, aad []byte) (plaintext []byte, erased bool, err error)
}

// Store is a folder of sealed documents. It is safe for concurrent use.
type Store struct {
	dir    string
	sealer Sealer
}

// Open uses a folder, which is made when it is not there.
func Open(dir string, sealer Sealer) (*Store, error) {
	if err := folder.Make(dir); err != nil {
		return nil, fmt.Errorf("documents: %w", err)
	}
	return &Store{dir: dir, sealer: sealer}, nil
}

// Sum is the name by which the ledger knows a document: its SHA-256 in hex.
func Sum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Put seals a document and has it on disk before it returns. The same
// document again is written again, which changes nothing.
func (s *Store) Put(account domain.AccountID, body []byte) (sum string, err error) {
	sum = Sum(body)
	key, sealed, err := s.sealer.Seal(account, body, aad(account, sum))
	if err != nil {
		return "", fmt.Errorf("documents: seal: %w", err)
	}
	if len(key) > 255 {
		return "", fmt.Errorf("documents: key id of %d bytes", len(key))
	}
	file := append([]byte{byte(len(key))}, key...)
	path := s.path(account, sum)
	if err := folder.Make(filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("documents: %w", err)
	}
	if err := folder.WriteDurably(path, append(file, sealed...)); err != nil {
		return "", fmt.Errorf("documents: %w", err)
	}
	return sum, nil
}

// Get opens a document and checks that it is the one that was asked for.
func (s *Store) Get(account domain.AccountID, sum string) ([]byte, error) {
	file, err := os.ReadFile(s.path(account, sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("documents: %w", err)
	}
	if len(file) == 0 || len(file) < 1+int(file[0]) {
		return nil, fmt.Errorf("documents: %s is damaged: too short", sum)
	}
	key, sealed := string(file[1:1+file[0]]), file[1+file[0]:]
	body, erased, err := s.sealer.Open(key, sealed, aad(account, sum))
	if err != nil {
		return nil, fmt.Errorf("documents: %s is damaged or its key is not here: %w", sum, err)
	}
	if erased {
		return nil, ErrNotFound
	}
	if Sum(body) != sum {
		return nil, fmt.Errorf("documents: %s holds another document", sum)
	}
	return body, nil
}

// Has reports whether the file of a document is here, whatever is in it.
func (s *Store) Has(account domain.AccountID, sum string) bool {
	_, err := os.Stat(s.path(account, sum))
	return err == nil
}

// Drop removes a document. One that is not there is no error.
func (s *Store) Drop(account domain.AccountID, sum string) error {
	if err := os.Remove(s.path(account, sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("documents: %w", err)
	}
	return nil
}

// keptMark is added to the name of a document that is not dropped.
const keptMark = ".kept"

// Keep marks the documents that an account has, so that they are not dropped for
// want of an application that names them. An empty account is every account.
func (s *Store) Keep(account domain.AccountID) error {
	pattern := string(account)
	if pattern == "" {
		pattern = "*"
	}
	paths, err := filepath.Glob(filepath.Join(s.dir, pattern, "*"))
	if err != nil {
		return fmt.Errorf("documents: %w", err)
	}
	for _, path := range paths {
		if len(filepath.Base(path)) != 2*sha256.Size {
			continue // a mark, or a file that is being written
		}
		if err := folder.WriteDurably(path+keptMark, nil); err != nil {
			return fmt.Errorf("documents: %w", err)
		}
	}
	return nil
}

// Kept reports whether a document was marked by Keep.
func (s *Store) Kept(account domain.AccountID, sum string) bool {
	_, err := os.Stat(s.path(account, sum) + keptMark)
	return err == nil
}

// Erase removes all documents of a person. The key that opens them is
// destroyed elsewhere; what nobody can open need not lie about.
func (s *Store) Erase(account domain.AccountID) error {
	if name := string(account); name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("documents: %q is no account", name)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, string(account))); err != nil {
		return fmt.Errorf("documents: %w", err)
	}
	return nil
}

func (s *Store) path(account domain.AccountID, sum string) string {
	return filepath.Join(s.dir, string(account), sum)
}

// aad ties a sealed document to its account and its name, so that files
// cannot be swapped.
func aad(account domain.AccountID, sum string) []byte {
	return []byte("document\n" + string(account) + "\n" + sum)
}

// Package vault keeps what cannot be rebuilt from the log and makes erasure
// possible: one key for each person, with which the personal parts of events
// about them are sealed.
//
// It is no store of personal data: that lies, sealed, in the log. Destroying a
// person's key is what erases it. A backup of the log without this folder is
// unreadable, and a backup of this folder brings erased people back, so after
// a restore the erasures in the log are to be done again.
//
// Begin reading at Vault.Seal, then Vault.Destroy.
package vault

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"permitledger/domain"
)

var (
	// ErrLocked is returned by Open when another process is the primary.
	ErrLocked = errors.New("the keep folder is in use by another process")
	// ErrNoVault is returned by OpenReadOnly for a folder without a vault.
	ErrNoVault = errors.New("there is no vault here")
	// ErrIncomplete is returned for a folder from which a part is missing or
	// where the parts do not belong together.
	ErrIncomplete = errors.New("the keep folder is incomplete")
	// ErrReadOnly is returned for what only the primary may do.
	ErrReadOnly = errors.New("the vault is open for reading only")
	// ErrLost is returned for a key that was noted as lost: the log has events
	// that are sealed with it. It matches domain.ErrKeyLost.
	ErrLost = fmt.Errorf("the vault lacks it: %w", domain.ErrKeyLost)
	// ErrErased is returned when something is to be sealed for a person whose
	// key was destroyed.
	ErrErased = errors.New("the person was erased")
	// ErrUnknownKey is returned for a key that was never in this vault, which
	// means that it is the wrong one for this log.
	ErrUnknownKey = errors.New("a key that this vault never had")
	// ErrAltered is returned when sealed bytes do not open under their key:
	// they were changed or belong to another event.
	ErrAltered = errors.New("sealed data does not open under its key")
)

// maxCached bounds the opened keys held in memory. Beyond it any of them may
// have to be read and unwrapped again.
const maxCached = 8192

// Vault is the opened keep folder. It is safe for concurrent use.
type Vault struct {
	dir      string
	id       string
	pepper   []byte
	readOnly bool
	lock     *os.File // held by the primary; nil when read-only
	db       *sql.DB
	kek      tink.AEAD // wraps the keys in the database

	// mu keeps a key from being used or made while it is destroyed.
	mu     sync.RWMutex
	cached sync.Map // key id → tink.AEAD
	people sync.Map // domain.AccountID → key id
	most   int      // of cached
	count  int      // of cached, or more; guarded by making
	making sync.Mutex

	erasures atomic.Uint64
	mayMake  func() error // nil: a key may always be made

	// unknown names the person whose key an unknown one is: see OnUnknown.
	unknown func(keyID string, aad []byte) domain.AccountID
}

// Open opens the keep folder as its one owner, and creates what is missing in
// an empty one. Only one process can have it open so.
func Open(dir string) (*Vault, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = syncDir(filepath.Dir(dir)) // keys are no safer than the name of their folder
	}
	if err != nil {
		return nil, fmt.Errorf("keep folder: %w", err)
	}
	lock, err := takeLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	v, err := open(dir, false)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	v.lock = lock
	return v, nil
}

// OpenReadOnly opens the keep folder beside the process that owns it, for a
// sub-command that only reads. It creates nothing and seals nothing.
func OpenReadOnly(dir string) (*Vault, error) {
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoVault)
	}
	return open(dir, true)
}

func open(dir string, readOnly bool) (v *Vault, err error) {
	v = &Vault{dir: dir, readOnly: readOnly, most: maxCached}
	if v.pepper, err = secretFile(dir, pepperFile, readOnly, newPepper); err != nil {
		return nil, err
	}
	kek, err := secretFile(dir, kekFile, readOnly, newKEK)
	if err != nil {
		return nil, err
	}
	if v.kek, err = parseKEK(kek); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", filepath.Join(dir, kekFile), ErrIncomplete, err)
	}
	if v.db, err = openDatabase(filepath.Join(dir, databaseFile), readOnly); err != nil {
		return nil, err
	}
	if v.id, err = v.identify(); err == nil && !readOnly {
		err = syncDir(dir) // the database's own name in the folder
	}
	if err != nil {
		_ = v.db.Close()
		return nil, err
	}
	return v, nil
}

func newPepper() ([]byte, error) {
	b := make([]byte, 32)
	_, err := rand.Read(b)
	return b, err
}

// GuardKeys has a check pass before a key is made; its error refuses the key. The
// check must not wait. GuardKeys must be called before others use the vault.
func (v *Vault) GuardKeys(mayMake func() error) { v.mayMake = mayMake }

// ID names the vault. It is fixed when the vault is created and is written
// once to the log, so that a log and a vault know that they belong together.
func (v *Vault) ID() string { return v.id }

// Pepper is the 32 random bytes with which the ledger's hashes are keyed. The
// caller must not change them.
func (v *Vault) Pepper() []byte { return v.pepper }

// Seal encrypts plaintext under the person's key and binds it to aad. The key
// is made at first use, and is on disk before Seal returns: what is sealed can
// be opened after any crash. For an erased person it fails with ErrErased, and
// for one whose key is lost with ErrLost: nobody gets a second key.
func (v *Vault) Seal(person domain.AccountID, plaintext, aad []byte) (keyID string, sealed []byte, err error) {
	if v.readOnly {
		return "", nil, ErrReadOnly
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	keyID, key, err := v.keyOf(person)
	if err != nil {
		return "", nil, err
	}
	sealed, err = key.Encrypt(plaintext, aad)
	return keyID, sealed, err
}

// Open decrypts what Seal made under a key. erased says that the key was
// destroyed. A key that was noted as lost is ErrLost, and one that was never
// here ErrUnknownKey, unless OnUnknown notes it; bytes that do not open under a
// living key are ErrAltered.
func (v *Vault) Open(keyID string, sealed, aad []byte) (plaintext []byte, erased bool, err error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, err := v.keyByID(keyID)
	if errors.Is(err, ErrErased) {
		return nil, true, nil
	}
	if errors.Is(err, ErrUnknownKey) && v.unknown != nil {
		return nil, false, v.noteUnknown(keyID, aad)
	}
	if err != nil {
		return nil, false, err
	}
	if plaintext, err = key.Decrypt(sealed, aad); err != nil {
		return nil, false, ErrAltered
	}
	return plaintext, false, nil
}

// Destroy erases a person: their key is overwritten on disk, and what was
// sealed with it can never be opened again. It may be repeated, and it works
// for a person who has no key yet, who then never gets one.
func (v *Vault) Destroy(person domain.AccountID) error {
	if v.readOnly {
		return ErrReadOnly
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if id, ok := v.people.LoadAndDelete(person); ok {
		v.cached.Delete(id)
	}
	defer v.erasures.Add(1) // also when it failed: the key may be gone
	if err := v.bury(person); err != nil {
		return fmt.Errorf("destroy key: %w", err)
	}
	return nil
}

// Erasures counts how often a key was destroyed since the vault was opened. It
// has counted when Destroy returns, and nothing is opened with that key after
// it has.
func (v *Vault) Erasures() uint64 { return v.erasures.Load() }

// Close ends the use of the vault and gives up the lock.
func (v *Vault) Close() error {
	err := v.db.Close()
	if v.lock != nil {
		err = errors.Join(err, v.lock.Close())
	}
	return err
}

// keyOf finds a person's key, and makes it when there is none.
func (v *Vault) keyOf(person domain.AccountID) (string, tink.AEAD, error) {
	if id, ok := v.people.Load(person); ok {
		key, err := v.keyByID(id.(string))
		return id.(string), key, err
	}
	v.making.Lock()
	defer v.making.Unlock()
	id, wrapped, err := v.findByPerson(person)
	if errors.Is(err, sql.ErrNoRows) {
		return v.makeKey(person)
	}
	if err != nil {
		return "", nil, err
	}
	key, err := v.unwrap(id, wrapped)
	if err != nil {
		return "", nil, err
	}
	v.remember(person, id, key)
	return id, key, nil
}

// keyByID finds a key for opening.
func (v *Vault) keyByID(id string) (tink.AEAD, error) {
	if key, ok := v.cached.Load(id); ok {
		return key.(tink.AEAD), nil
	}
	person, wrapped, err := v.findByID(id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: vault %s, key %s", ErrUnknownKey, v.id, id)
	}
	if err != nil {
		return nil, err
	}
	key, err := v.unwrap(id, wrapped)
	if err != nil {
		return nil, err
	}
	v.making.Lock()
	defer v.making.Unlock()
	v.remember(person, id, key)
	return key, nil
}

// makeKey gives a person a key and puts it on disk.
func (v *Vault) makeKey(person domain.AccountID) (string, tink.AEAD, error) {
	if v.mayMake != nil {
		if err := v.mayMake(); err != nil {
			return "", nil, fmt.Errorf("make a key: %w", err)
		}
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", nil, err
	}
	id := uuid.NewString()
	var wrapped bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&wrapped), v.kek, []byte(id)); err != nil {
		return "", nil, err
	}
	if err := v.insert(id, person, wrapped.Bytes()); err != nil {
		return "", nil, fmt.Errorf("keep key: %w", err)
	}
	key, err := aead.New(handle)
	if err != nil {
		return "", nil, err
	}
	v.remember(person, id, key)
	return id, key, nil
}

// unwrap opens a key as it lies on disk; one without a keyset was destroyed,
// and one with the mark of a lost key is lost.
func (v *Vault) unwrap(id string, wrapped []byte) (tink.AEAD, error) {
	if wrapped == nil {
		return nil, ErrErased
	}
	if bytes.Equal(wrapped, lostMark) {
		return nil, ErrLost
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped)), v.kek, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", id, ErrAltered)
	}
	return aead.New(handle)
}

// remember caches an opened key. It is called with making held. When the cache
// is full it begins anew, which is simple and costs little.
func (v *Vault) remember(person domain.AccountID, id string, key tink.AEAD) {
	if v.count >= v.most {
		v.cached.Clear()
		v.people.Clear()
		v.count = 0
	}
	if _, had := v.cached.Swap(id, key); !had {
		v.count++
	}
	v.people.Store(person, id)
}

// Package projectiontest is what the tests of read models share: a log on a
// server that the test started, keys that can be destroyed, a runner over it
// that can be cut off anywhere, and a dump of all rows.
//
// It knows no server by itself: a test hands in a connection string.
package projectiontest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/eventstore"
)

// Log is a ledger that a test writes.
type Log struct {
	*eventstore.Ledger
	Keys *Keys

	revisions map[string]int64
	clock     time.Time
}

// Start connects to a server, whose log is empty, for the length of a test.
func Start(t testing.TB, connection string) *Log {
	t.Helper()
	store, err := eventstore.Connect(eventstore.Config{ConnectionString: connection})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	keys := &Keys{destroyed: make(map[domain.AccountID]bool)}
	return &Log{
		Ledger:    eventstore.NewLedger(store, eventstore.NewCodec(keys)),
		Keys:      keys,
		revisions: make(map[string]int64),
		clock:     time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
	}
}

// Append writes one event to the end of a stream, recorded at an instant, or,
// when that is zero, a minute after the last one.
func (l *Log) Append(t testing.TB, stream string, person domain.AccountID, at time.Time, body domain.Event) eventstore.Appended {
	t.Helper()
	if at.IsZero() {
		at = l.clock.Add(time.Minute)
	}
	l.clock = at
	proposed, err := l.Codec().Encode(eventstore.Envelope{
		ID: uuid.New(), Stream: stream, Actor: domain.System(), RecordedAt: at,
		Command: domain.CommandID(uuid.NewString()),
	}, person, body)
	if err != nil {
		t.Fatal(err)
	}
	return l.AppendRaw(t, stream, proposed)
}

// AppendRaw writes anything to the end of a stream.
func (l *Log) AppendRaw(t testing.TB, stream string, p eventstore.Proposed) eventstore.Appended {
	t.Helper()
	expected := eventstore.NoStream()
	if last, ok := l.revisions[stream]; ok {
		expected = eventstore.After(last)
	}
	done, err := l.Store().Append(t.Context(), stream, expected, []eventstore.Proposed{p})
	if err != nil {
		t.Fatal(err)
	}
	l.revisions[stream] = int64(done.Revision)
	return done
}

// Garbage writes an event that says it is of some type and cannot be decoded.
func (l *Log) Garbage(t testing.TB, stream, typ string) eventstore.Appended {
	t.Helper()
	return l.AppendRaw(t, stream, eventstore.Proposed{ID: uuid.New(), Type: typ, Data: []byte("{"), Metadata: []byte("garbage")})
}

// WithoutKey is the same log for a reader who never had a person's key.
func (l *Log) WithoutKey(persons ...domain.AccountID) *eventstore.Ledger {
	keys := &Keys{destroyed: make(map[domain.AccountID]bool)}
	for _, p := range persons {
		keys.destroyed[p] = true
	}
	return eventstore.NewLedger(l.Store(), eventstore.NewCodec(keys))
}

// Keys seals under a key that is made from the person's id. A key can be
// destroyed. The zero Keys is not usable; it comes with a Log.
type Keys struct {
	mu        sync.Mutex
	destroyed map[domain.AccountID]bool // guarded by mu
}

// Seal encrypts under the person's key.
func (k *Keys) Seal(person domain.AccountID, plaintext, aad []byte) (string, []byte, error) {
	if k.gone(person) {
		return "", nil, errors.New("the key was destroyed")
	}
	box, err := box(person)
	if err != nil {
		return "", nil, err
	}
	return string(person), box.Seal(nil, make([]byte, box.NonceSize()), plaintext, aad), nil
}

// Open decrypts.
func (k *Keys) Open(keyID string, sealed, aad []byte) ([]byte, bool, error) {
	if k.gone(domain.AccountID(keyID)) {
		return nil, true, nil
	}
	box, err := box(domain.AccountID(keyID))
	if err != nil {
		return nil, false, err
	}
	plain, err := box.Open(nil, make([]byte, box.NonceSize()), sealed, aad)
	return plain, false, err
}

// Erasures counts the destroyed keys.
func (k *Keys) Erasures() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return uint64(len(k.destroyed))
}

// Destroy erases a person.
func (k *Keys) Destroy(person domain.AccountID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.destroyed[person] = true
}

func (k *Keys) gone(person domain.AccountID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.destroyed[person]
}

// box is a cipher with a fixed nonce: good enough where nothing is secret, and
// the same log has the same bytes.
func box(person domain.AccountID) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte(person))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Soon bounds whatever a test waits for.
func Soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"permitledger/domain"
	"permitledger/eventstore/vault"
)

const alice, bob = domain.AccountID("alice"), domain.AccountID("bob")

func open(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func seal(t *testing.T, v *vault.Vault, who domain.AccountID, text, aad string) (string, []byte) {
	t.Helper()
	key, sealed, err := v.Seal(who, []byte(text), []byte(aad))
	if err != nil {
		t.Fatal(err)
	}
	return key, sealed
}

func TestSealedPartsOpenAfterRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keep with ?odd #name%20")
	v := open(t, dir)
	id, pepper := v.ID(), bytes.Clone(v.Pepper())
	key, sealed := seal(t, v, alice, "Alice, 12 High Street", "a")
	if bytes.Contains(sealed, []byte("Alice")) {
		t.Error("sealed bytes hold the plaintext")
	}
	if other, _ := seal(t, v, alice, "again", "b"); other != key {
		t.Errorf("a second key %s for the same person, first %s", other, key)
	}
	if other, _ := seal(t, v, bob, "again", "b"); other == key {
		t.Error("two people share a key")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}

	v = open(t, dir)
	if v.ID() != id || !bytes.Equal(v.Pepper(), pepper) || len(pepper) != 32 {
		t.Error("id or pepper changed with a restart")
	}
	plain, erased, err := v.Open(key, sealed, []byte("a"))
	if err != nil || erased || string(plain) != "Alice, 12 High Street" {
		t.Errorf("Open = %q, %v, %v", plain, erased, err)
	}
}

func TestAKeyIsOnDiskBeforeSealReturns(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	key, sealed := seal(t, v, alice, "text", "a")
	// What lies on disk now is what a crash would leave.
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	after := open(t, crashed)
	if plain, _, err := after.Open(key, sealed, []byte("a")); err != nil || string(plain) != "text" {
		t.Errorf("after the crash: %q, %v", plain, err)
	}
}

func TestWhatDoesNotOpen(t *testing.T) {
	v := open(t, t.TempDir())
	key, sealed := seal(t, v, alice, "text", "stream\nid")
	bobs, _ := seal(t, v, bob, "text", "stream\nid")
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name   string
		key    string
		sealed []byte
		aad    string
		want   error
	}{
		{"another event's associated data", key, sealed, "stream\nother", vault.ErrAltered},
		{"a changed byte", key, flipped, "stream\nid", vault.ErrAltered},
		{"another person's key", bobs, sealed, "stream\nid", vault.ErrAltered},
		{"cut short", key, sealed[:4], "stream\nid", vault.ErrAltered},
		{"a key of another vault", "5b1d0f0e-8f2a-4e7a-9d5c-000000000000", sealed, "stream\nid", vault.ErrUnknownKey},
	} {
		if _, erased, err := v.Open(c.key, c.sealed, []byte(c.aad)); !errors.Is(err, c.want) || erased {
			t.Errorf("%s: erased %v, error %v, want %v", c.name, erased, err, c.want)
		}
	}
}

func TestDestroy(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	key, sealed := seal(t, v, alice, "text", "a")
	bobs, bobSealed := seal(t, v, bob, "text", "a")
	for range 2 { // it may be repeated
		if err := v.Destroy(alice); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Destroy("never seen"); err != nil {
		t.Fatal(err)
	}
	check := func(v *vault.Vault) {
		t.Helper()
		if plain, erased, err := v.Open(key, sealed, []byte("a")); !erased || err != nil || plain != nil {
			t.Errorf("erased: %q, %v, %v", plain, erased, err)
		}
		if _, erased, err := v.Open(bobs, bobSealed, []byte("a")); erased || err != nil {
			t.Errorf("the other person: %v, %v", erased, err)
		}
		for _, who := range []domain.AccountID{alice, "never seen"} {
			if _, _, err := v.Seal(who, []byte("x"), nil); !errors.Is(err, vault.ErrErased) {
				t.Errorf("sealing for erased %s: %v", who, err)
			}
		}
	}
	check(v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir))
}

// The wrapped keyset must be gone from the files themselves, the write-ahead
// log included, while the vault is still open.
func TestDestroyLeavesNothingOnDisk(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	for i := range 50 {
		seal(t, v, domain.AccountID(fmt.Sprintf("person %d", i)), "text", "a")
	}
	wrapped, err := vault.Wrapped(v, "person 25")
	if err != nil {
		t.Fatal(err)
	}
	if !onDisk(t, dir, wrapped) {
		t.Fatal("the test does not find the keyset while it is there")
	}
	if err := v.Destroy("person 25"); err != nil {
		t.Fatal(err)
	}
	if onDisk(t, dir, wrapped) {
		t.Error("the destroyed keyset is still in a file")
	}
}

func onDisk(t *testing.T, dir string, what []byte) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, what) {
			return true
		}
	}
	return false
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keep")
	v := open(t, dir)
	seal(t, v, alice, "text", "a")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", f.Name(), mode)
		}
	}
}

func TestOnePrimary(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	key, sealed := seal(t, first, alice, "text", "a")
	if _, err := vault.Open(dir); !errors.Is(err, vault.ErrLocked) {
		t.Fatalf("a second primary: %v", err)
	}

	beside, err := vault.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	if plain, _, err := beside.Open(key, sealed, []byte("a")); err != nil || string(plain) != "text" {
		t.Errorf("beside the primary: %q, %v", plain, err)
	}
	if beside.ID() != first.ID() {
		t.Error("another id beside the primary")
	}
	if _, _, err := beside.Seal(bob, nil, nil); !errors.Is(err, vault.ErrReadOnly) {
		t.Errorf("sealing beside the primary: %v", err)
	}
	if err := beside.Destroy(alice); !errors.Is(err, vault.ErrReadOnly) {
		t.Errorf("destroying beside the primary: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // the lock is free again
}

func TestFoldersThatAreNoWholeVault(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	if _, err := vault.OpenReadOnly(empty); !errors.Is(err, vault.ErrNoVault) {
		t.Errorf("reading an empty folder: %v", err)
	}
	if _, err := os.Stat(empty); !os.IsNotExist(err) {
		t.Error("reading created something")
	}
	for _, missing := range []string{"kek", "pepper"} {
		dir := t.TempDir()
		if err := open(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, missing)); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(dir); !errors.Is(err, vault.ErrIncomplete) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		if err := open(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(two, "kek"), filepath.Join(one, "kek")); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(one); !errors.Is(err, vault.ErrIncomplete) {
		t.Errorf("with another vault's kek: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	v := open(t, t.TempDir())
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 20 {
				who := domain.AccountID(fmt.Sprintf("person %d", i%5))
				aad := fmt.Appendf(nil, "%d %d", g, i)
				key, sealed, err := v.Seal(who, []byte("text"), aad)
				if errors.Is(err, vault.ErrErased) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				plain, erased, err := v.Open(key, sealed, aad)
				if err != nil || !erased && string(plain) != "text" {
					t.Errorf("%q, %v, %v", plain, erased, err)
				}
				if g == 0 && i == 10 {
					if err := v.Destroy(who); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestTheCacheIsBounded(t *testing.T) {
	v := open(t, t.TempDir())
	vault.Uncache(v, 3)
	type part struct {
		key    string
		sealed []byte
	}
	var parts []part
	for i := range 10 {
		key, sealed := seal(t, v, domain.AccountID(fmt.Sprintf("person %d", i)), "text", "a")
		parts = append(parts, part{key, sealed})
	}
	if n := vault.Cached(v); n > 3 {
		t.Errorf("%d keys cached", n)
	}
	for i, p := range parts {
		if plain, _, err := v.Open(p.key, p.sealed, []byte("a")); err != nil || string(plain) != "text" {
			t.Errorf("person %d: %q, %v", i, plain, err)
		}
		if err := v.Destroy(domain.AccountID(fmt.Sprintf("person %d", i))); err != nil {
			t.Fatal(err)
		}
		if _, erased, err := v.Open(p.key, p.sealed, []byte("a")); !erased || err != nil {
			t.Errorf("person %d after Destroy: %v, %v", i, erased, err)
		}
	}
}

func TestLostKeyReadsAsLostAndIsNeverReplaced(t *testing.T) {
	const lostKey, erasedKey = "5b1d0f0e-8f2a-4e7a-9d5c-000000000001", "5b1d0f0e-8f2a-4e7a-9d5c-000000000002"
	const carol = domain.AccountID("carol")
	dir := t.TempDir()
	v := open(t, dir)
	bobs, _ := seal(t, v, bob, "text", "a")
	for range 2 { // noting may be repeated
		if err := errors.Join(v.NoteLost(lostKey, alice), v.NoteErased(erasedKey, carol), v.NoteLost("5b1d0f0e-8f2a-4e7a-9d5c-000000000003", bob),
			v.NoteLostDocuments([]vault.LostDocument{{Person: bob, SHA256: "ab"}})); err != nil {
			t.Fatal(err)
		}
	}
	check := func(v *vault.Vault) {
		t.Helper()
		if _, erased, err := v.Open(lostKey, []byte("sealed"), []byte("a")); erased || !errors.Is(err, domain.ErrKeyLost) {
			t.Errorf("opening with a lost key: %v, %v", erased, err)
		}
		if _, _, err := v.Seal(alice, []byte("text"), nil); !errors.Is(err, vault.ErrLost) {
			t.Errorf("sealing for a person whose key is lost: %v", err)
		}
		if _, erased, err := v.Open(erasedKey, []byte("sealed"), []byte("a")); !erased || err != nil {
			t.Errorf("opening with the key of an erased person: %v, %v", erased, err)
		}
		if key, _, err := v.Seal(bob, []byte("text"), nil); err != nil || key != bobs {
			t.Errorf("a person with another key seals under %s: %v, want %s", key, err, bobs)
		}
		keys, documents, err := v.Lost()
		if err != nil || keys != 2 || len(documents) != 1 {
			t.Errorf("lost: %d keys, %v, %v", keys, documents, err)
		}
	}
	check(v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = open(t, dir)
	check(v)
	if err := v.Destroy(alice); err != nil {
		t.Fatal(err)
	}
	if _, erased, err := v.Open(lostKey, []byte("sealed"), []byte("a")); !erased || err != nil {
		t.Errorf("after the erasure: %v, %v", erased, err)
	}
}

func TestUnknownKeyIsNotedWhenItIsMet(t *testing.T) {
	const key = "5b1d0f0e-8f2a-4e7a-9d5c-000000000001"
	v := open(t, t.TempDir())
	calls := 0
	v.OnUnknown(func(id string, aad []byte) domain.AccountID {
		if calls++; id != key || string(aad) != "stream" {
			t.Errorf("named %s, %s", id, aad)
		}
		return alice
	})
	for range 2 {
		if _, _, err := v.Open(key, []byte("sealed"), []byte("stream")); !errors.Is(err, domain.ErrKeyLost) {
			t.Errorf("opening: %v", err)
		}
	}
	if _, _, err := v.Seal(alice, []byte("text"), nil); !errors.Is(err, vault.ErrLost) || calls != 1 {
		t.Errorf("sealing: %v; noted %d times", err, calls)
	}
}

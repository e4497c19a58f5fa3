package vault_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"permitledger/eventstore/vault"
)

// A check may refuse a new key, and no key that is there.
func TestGuardRefusesNewKeysOnly(t *testing.T) {
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	if _, _, err := v.Seal("known", []byte("words"), nil); err != nil {
		t.Fatal(err)
	}
	no := errors.New("not now")
	v.GuardKeys(func() error { return no })
	if _, _, err := v.Seal("known", []byte("words"), nil); err != nil {
		t.Errorf("a key that is there: %v", err)
	}
	if _, _, err := v.Seal("new", []byte("words"), nil); !errors.Is(err, no) {
		t.Errorf("a new key: %v", err)
	}
	v.GuardKeys(func() error { return nil })
	if _, _, err := v.Seal("new", []byte("words"), nil); err != nil {
		t.Errorf("a new key that may be made: %v", err)
	}
}

// The home is the same for the same folder, and another for a copy of it.
func TestHomeNamesTheLock(t *testing.T) {
	if _, err := os.Stat("/proc/sys/kernel/random/boot_id"); err != nil {
		t.Skip("this system names no boot")
	}
	dir := t.TempDir()
	homeOf := func(dir string) string {
		v, err := vault.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		return v.Home()
	}
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	first := homeOf(one)
	if first == "" || homeOf(one) != first {
		t.Errorf("the home is %q and then %q", first, homeOf(one))
	}
	if err := os.CopyFS(two, os.DirFS(one)); err != nil {
		t.Fatal(err)
	}
	if homeOf(two) == first {
		t.Error("a copy has the same home")
	}
	v, err := vault.OpenReadOnly(one)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if v.Home() != "" {
		t.Error("a vault without the lock has a home")
	}
}

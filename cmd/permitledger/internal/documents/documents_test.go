package documents_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/eventstore/vault"
)

func open(t *testing.T) (*documents.Store, *vault.Vault, string) {
	t.Helper()
	keys, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	dir := filepath.Join(t.TempDir(), "documents")
	s, err := documents.Open(dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s, keys, dir
}

// files lists the documents' files.
func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestADocumentComesBackAsItWas(t *testing.T) {
	s, _, dir := open(t)
	body := []byte("%PDF-1.7 a bill")
	sum, err := s.Put("ann", body)
	if err != nil || sum != documents.Sum(body) {
		t.Fatalf("put: %s, %v", sum, err)
	}
	if again, err := s.Put("ann", body); err != nil || again != sum {
		t.Fatalf("put again: %s, %v", again, err)
	}
	got, err := s.Get("ann", sum)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("got %q, %v", got, err)
	}
	for _, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", path, info.Mode(), err)
		}
		if raw, err := os.ReadFile(path); err != nil || bytes.Contains(raw, []byte("a bill")) {
			t.Errorf("the document lies in clear in %s (%v)", path, err)
		}
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("there are %d files, want 1", n)
	}
}

func TestADocumentIsItsAccountsAlone(t *testing.T) {
	s, _, dir := open(t)
	body := []byte("%PDF-1.7 a bill")
	sum, err := s.Put("ann", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("bob", sum); !errors.Is(err, documents.ErrNotFound) {
		t.Errorf("another account's document: %v", err)
	}
	// Moved by hand into another account's folder it does not open.
	if err := os.Rename(filepath.Join(dir, "ann"), filepath.Join(dir, "bob")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("bob", sum); err == nil {
		t.Errorf("a moved document opens as %q", got)
	}
}

func TestADamagedDocumentIsToldAndNotServed(t *testing.T) {
	s, _, dir := open(t)
	sum, err := s.Put("ann", []byte("%PDF-1.7 a bill"))
	if err != nil {
		t.Fatal(err)
	}
	path := files(t, dir)[0]
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{nil, raw[:1], raw[:len(raw)/2], append(bytes.Clone(raw[:len(raw)-1]), raw[len(raw)-1]^1)} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get("ann", sum); err == nil || errors.Is(err, documents.ErrNotFound) {
			t.Errorf("%d of %d bytes: %q, %v", len(damaged), len(raw), got, err)
		}
	}
}

func TestDroppedAndErased(t *testing.T) {
	s, keys, _ := open(t)
	sum, err := s.Put("ann", []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Drop("ann", sum); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get("ann", sum); !errors.Is(err, documents.ErrNotFound) {
		t.Errorf("a dropped document: %v", err)
	}
	if sum, err = s.Put("bob", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := keys.Destroy("bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("bob", sum); !errors.Is(err, documents.ErrNotFound) {
		t.Errorf("an erased person's document: %v", err)
	}
}

package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// The files of a keep folder that belong to the vault.
const (
	databaseFile = "keys.db"
	kekFile      = "kek"
	pepperFile   = "pepper"
)

// secretFile reads a file of secret bytes. The primary makes it when it is
// missing and there is no database yet; beside a database a missing file means
// that the folder was restored in part, and a new secret would hide that.
func secretFile(dir, name string, readOnly bool, fresh func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(dir, name)
	content, err := os.ReadFile(path)
	if err == nil {
		return content, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); readOnly || err == nil {
		return nil, fmt.Errorf("%w: %s is missing; restore the whole folder", ErrIncomplete, path)
	}
	if content, err = fresh(); err != nil {
		return nil, err
	}
	return content, writeSecret(path, content)
}

// writeSecret puts a file on disk whole or not at all, readable by its owner
// only.
func writeSecret(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newKEK makes the key-encryption key. It lies in clear in a file of its own:
// the database can then be copied about without opening anything.
func newKEK() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&b))
	return b.Bytes(), err
}

func parseKEK(content []byte) (tink.AEAD, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(content)))
	if err != nil {
		return nil, err
	}
	return aead.New(handle)
}

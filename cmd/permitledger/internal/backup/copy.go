package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
)

// copyFile copies a file to a path where there is none, has it on disk, and
// gives the hash of what it copied.
func copyFile(from, to string) (_ File, err error) {
	src, err := os.Open(from)
	if err != nil {
		return File{}, err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return File{}, err
	}
	f, err := hash(io.TeeReader(src, dst))
	return f, errors.Join(err, dst.Sync(), dst.Close())
}

// syncAndHash has a file on disk and gives its hash.
func syncAndHash(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return File{}, err
	}
	return hash(f)
}

func hash(r io.Reader) (File, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return File{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

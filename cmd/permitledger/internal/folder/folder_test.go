package folder_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"permitledger/cmd/permitledger/internal/folder"
)

// A folder is made with those above it, once, and not in the place of a file.
func TestMake(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := folder.Make(deep); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range []string{filepath.Dir(deep), deep} {
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := folder.WriteDurably(file, nil); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{file, filepath.Join(file, "within")} {
		if err := folder.Make(wrong); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	t.Chdir(dir)
	if err := folder.Make("near"); err != nil {
		t.Error(err)
	}
}

package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/backup"
)

// A backup that fails, or whose asker has gone, leaves nothing behind.
func TestABackupThatFailsLeavesNothing(t *testing.T) {
	for name, failure := range map[string]error{"told to stop": nil, "disk full": syscall.ENOSPC} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			dir := filepath.Join(t.TempDir(), "backup")
			src := backup.Source{Data: t.TempDir(),
				Head: func(context.Context) (backup.Head, error) { return backup.Head{Position: "64"}, nil },
				Log: func(dir string) error {
					err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "part"), []byte("part"), 0o600))
					if err != nil {
						t.Fatal(err)
					}
					if failure == nil {
						stop()
					}
					return failure
				}}
			want := failure
			if want == nil {
				want = context.Canceled
			}
			if _, err := backup.Take(ctx, dir, src, time.Now()); !errors.Is(err, want) {
				t.Errorf("it ended with %v", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

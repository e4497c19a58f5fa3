package vault

import (
	"context"
	"fmt"
	"os"
)

// Snapshot writes the keys as they are at this moment to a new file, while the
// vault goes on; the secrets beside it never change and are copied as they
// are. What was destroyed is not in the copy, not even in free pages. It is
// the caller who has the file on disk.
func (v *Vault) Snapshot(ctx context.Context, path string) error {
	// SQLite takes an empty file for none, and would make its own readable to
	// others.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy the keys: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("copy the keys: %w", err)
	}
	if _, err := v.db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("copy the keys: %w", err)
	}
	return nil
}

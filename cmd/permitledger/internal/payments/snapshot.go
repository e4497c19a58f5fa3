package payments

import (
	"context"
	"fmt"
	"os"
)

// Snapshot writes the simulator's file as it is at this moment to a new one,
// while it goes on. It is the caller who has it on disk.
func (s *Simulator) Snapshot(ctx context.Context, path string) error {
	// SQLite takes an empty file for none, and would make its own readable to
	// others.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("payments: copy: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("payments: copy: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("payments: copy: %w", err)
	}
	return nil
}

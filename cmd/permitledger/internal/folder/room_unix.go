//go:build linux || darwin

package folder

import (
	"fmt"
	"syscall"
)

// CheckRoom refuses a disk that is as good as full. The store would try for
// ever to write what it has in memory when it opens, and say nothing else.
func CheckRoom(data string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(data, &s); err != nil {
		return fmt.Errorf("free space under %s: %w", data, err)
	}
	if free := uint64(s.Bavail) * uint64(s.Bsize); free < leastRoom {
		return fmt.Errorf("%s: %w: %d MB are free, and at least %d must be", data, syscall.ENOSPC, free>>20, leastRoom>>20)
	}
	return nil
}

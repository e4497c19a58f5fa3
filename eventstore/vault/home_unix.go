//go:build unix

package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// bootFile is where Linux names the present boot of the machine.
const bootFile = "/proc/sys/kernel/random/boot_id"

// Home names the lock that this process holds: the boot of the machine and the
// file. The process that had the same home before is dead. It is empty for a
// vault without the lock and where the system names no boot.
func (v *Vault) Home() string {
	boot, err := os.ReadFile(bootFile)
	if err != nil || v.lock == nil {
		return ""
	}
	return home(strings.TrimSpace(string(boot)), v.lock)
}

func home(boot string, lock *os.File) string {
	info, err := lock.Stat()
	if err != nil || boot == "" {
		return ""
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", boot, file.Dev, file.Ino))
	return hex.EncodeToString(sum[:])
}

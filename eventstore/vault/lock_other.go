//go:build !unix

package vault

import (
	"errors"
	"os"
)

// takeLock refuses: without a lock that ends with its process two primaries
// could seal at once.
func takeLock(string) (*os.File, error) {
	return nil, errors.New("the keep folder can only be opened on a Unix system")
}

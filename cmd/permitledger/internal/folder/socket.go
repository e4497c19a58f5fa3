package folder

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// The sockets on which a running service is reached.
const (
	NodeSocket  = "node.sock"  // the embedded node
	AdminSocket = "admin.sock" // what only the running service can do
)

// ErrPathTooLong is returned for a data folder in which no unix socket fits.
var ErrPathTooLong = errors.New("the path of the data folder is too long for a unix socket")

// maxSocketPath is what the system allows, less the byte that ends it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// CheckSockets says before anything is begun what the system would call an
// invalid argument.
func CheckSockets(data string) error {
	if path := filepath.Join(data, AdminSocket); len(path) > maxSocketPath {
		return fmt.Errorf("%w: %s has %d bytes, and the system allows %d; choose a shorter --data, for instance a symbolic link to the folder", ErrPathTooLong, path, len(path), maxSocketPath)
	}
	return nil
}

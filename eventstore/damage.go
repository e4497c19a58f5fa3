package eventstore

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// damage is what a server said of its own log, and when it first did.
type damage struct {
	since time.Time
	err   error
}

// Damage tells what damage was met in the log since the store was connected,
// and since when it is known; nil when none was. What is damaged stays so until
// a backup is restored, wherever it was met.
func (s *Store) Damage() (since time.Time, err error) {
	if d := s.damage.Load(); d != nil {
		return d.since, d.err
	}
	return time.Time{}, nil
}

// damaged gives an error that matches ErrDamaged when that is what the server
// says, and remembers it; else nil.
func (s *Store) damaged(err error) error {
	said := rootStatus(err)
	if status.Code(said) != codes.DataLoss {
		return nil
	}
	err = fmt.Errorf("%w: %s", ErrDamaged, status.Convert(said).Message())
	if s.damage.CompareAndSwap(nil, &damage{time.Now(), err}) {
		s.logger.Error("event store damaged", "error", err)
	}
	return err
}

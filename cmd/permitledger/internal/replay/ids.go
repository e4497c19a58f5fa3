package replay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/domain/audit"
)

// ids finds event ids that are used twice, exactly and in bounded memory: they
// are put aside in a file by their first byte, and each of the 256 parts is
// looked through by itself. Ids are hashes, so the parts are of one size.
type ids struct {
	file  *os.File
	parts [256]part
	end   int64 // of the file
}

// part is the ids that begin with one byte.
type part struct {
	chunks []int64 // where its full chunks lie in the file
	buffer []byte  // what is not in the file yet
}

const (
	idSize    = 16 + 8 // id and ledger number
	chunkSize = 170 * idSize
)

func newIDs(dir string) (*ids, error) {
	f, err := os.CreateTemp(dir, "permitledger-replay-")
	if err != nil {
		return nil, fmt.Errorf("put the event ids aside: %w", err)
	}
	_ = os.Remove(f.Name()) // where a file cannot be removed while it is open, close removes it
	return &ids{file: f}, nil
}

func (s *ids) close() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name()) // gone already, as a rule
}

func (s *ids) add(id uuid.UUID, ledger uint64) error {
	p := &s.parts[id[0]]
	p.buffer = append(p.buffer, id[:]...)
	p.buffer = binary.BigEndian.AppendUint64(p.buffer, ledger)
	if len(p.buffer) < chunkSize {
		return nil
	}
	if _, err := s.file.WriteAt(p.buffer, s.end); err != nil {
		return fmt.Errorf("put the event ids aside: %w", err)
	}
	p.chunks = append(p.chunks, s.end)
	s.end += chunkSize
	p.buffer = p.buffer[:0]
	return nil
}

// twice gives the ledger number of each event whose id was used before, with
// that of the first use.
func (s *ids) twice() (map[uint64]uint64, error) {
	found := map[uint64]uint64{}
	for _, p := range s.parts {
		all := make([]byte, len(p.chunks)*chunkSize, len(p.chunks)*chunkSize+len(p.buffer))
		for i, at := range p.chunks {
			if _, err := s.file.ReadAt(all[i*chunkSize:(i+1)*chunkSize], at); err != nil {
				return nil, fmt.Errorf("look through the event ids: %w", err)
			}
		}
		all = append(all, p.buffer...)
		records := slices.Collect(slices.Chunk(all, idSize))
		slices.SortFunc(records, bytes.Compare) // by id, then by ledger number
		first := 0
		for i := 1; i < len(records); i++ {
			if !bytes.Equal(records[i][:16], records[first][:16]) {
				first = i
				continue
			}
			found[number(records[i])] = number(records[first])
		}
	}
	return found, nil
}

func number(record []byte) uint64 { return binary.BigEndian.Uint64(record[16:]) }

// errChanged is returned when the log is not the one that was read before.
var errChanged = errors.New("the log changed while it was replayed: replay it again")

// duplicates reports event ids that were used twice. Only when there are any
// is the log read again, to say where.
func (r *run) duplicates(ctx context.Context) error {
	twice, err := r.ids.twice()
	if err != nil || len(twice) == 0 {
		return err
	}
	n, last := uint64(0), uint64(0)
	for again := range twice {
		last = max(last, again)
	}
	for rec, err := range r.ledger.Store().ReadAll(ctx, 0) {
		if err != nil {
			return err
		}
		n++
		if first, ok := twice[n]; ok {
			e := audit.Entry{Ledger: n, Stream: rec.Stream, Type: rec.Type,
				Meta: domain.Meta{ID: domain.EventID(rec.ID.String()), Revision: rec.Revision}}
			r.violation(audit.Found(e, audit.RuleEventID, fmt.Sprintf("the id was used before, by event %d", first)))
		}
		if n == last {
			break
		}
	}
	if n < last {
		return errChanged
	}
	slices.SortStableFunc(r.report.Violations, func(a, b audit.Violation) int { return cmp.Compare(a.Ledger, b.Ledger) })
	return nil
}

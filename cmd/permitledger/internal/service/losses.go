package service

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"permitledger/cmd/permitledger/internal/documents"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/eventstore"
	"permitledger/eventstore/vault"
)

// LostKeysError refuses a start: the log uses keys or documents that the keep
// folder lacks, so this folder is older than the log, or another copy of it.
type LostKeysError struct {
	Persons, Documents int
	Since              uint64 // ledger number of the first event that needs one of them
	Event              string // its id
}

// Error counts the losses and ends with the two possible next steps.
func (e *LostKeysError) Error() string {
	return fmt.Sprintf("the keep folder is older than the log: it lacks the keys of %s and %s that the log uses since ledger number %d (event %s). "+
		"Bring over the keep folder that was used last. Only if there is none, start once with --accept-lost-keys=%d: "+
		"the data of these persons then stays unreadable", counted(e.Persons, "person"), counted(e.Documents, "document"), e.Since, e.Event, e.number())
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// number is the number that an operator must name to go on.
func (e *LostKeysError) number() int { return e.Persons + e.Documents }

// losses collects the keys and documents that the log uses and the keep folder
// lacks, while the log is read forwards.
type losses struct {
	vault   *vault.Vault
	papers  *documents.Store
	noted   map[vault.LostDocument]bool // accepted before
	seen    map[string]bool             // keys that were looked for
	erased  map[domain.AccountID]bool
	keys    map[string]lostKey
	missing map[vault.LostDocument]*lostDocument
}

type lostKey struct {
	person domain.AccountID // empty while no event of the account's own stream has named it
	first  seenAt
}

type lostDocument struct {
	first    seenAt
	uploaded time.Time // when it came last
	named    bool      // an event other than its upload uses it
}

// seenAt is a place in the log.
type seenAt struct {
	ledger uint64
	event  string
}

func newLosses(v *vault.Vault, papers *documents.Store) (*losses, error) {
	l := &losses{vault: v, papers: papers, noted: map[vault.LostDocument]bool{}, seen: map[string]bool{},
		erased: map[domain.AccountID]bool{}, keys: map[string]lostKey{}, missing: map[vault.LostDocument]*lostDocument{}}
	_, noted, err := v.Lost()
	for _, d := range noted {
		l.noted[d] = true
	}
	return l, err
}

// see looks at one event of the log.
func (l *losses) see(r eventstore.Recorded, ledger uint64) error {
	at := seenAt{ledger, r.ID.String()}
	if key := eventstore.PersonalKey(r); key != "" {
		if err := l.useKey(key, personOf(r.Stream), at); err != nil {
			return err
		}
	}
	switch r.Type {
	case account.TypeAccountErased:
		l.erased[personOf(r.Stream)] = true
	case account.TypeDocumentUploaded, account.TypeDocumentDropped:
		var e account.DocumentUploaded // both have the member that is used here
		if json.Unmarshal(r.Data, &e) != nil {
			return nil // the read models name an event that cannot be read
		}
		d := vault.LostDocument{Person: personOf(r.Stream), SHA256: e.SHA256}
		if delete(l.missing, d); r.Type == account.TypeDocumentDropped || l.noted[d] || l.papers.Has(d.Person, d.SHA256) {
			return nil
		}
		recorded, err := eventstore.RecordedAt(r)
		if err != nil {
			return nil
		}
		l.missing[d] = &lostDocument{first: at, uploaded: recorded}
	default:
		l.useDocuments(r.Data)
	}
	return nil
}

func (l *losses) useKey(key string, person domain.AccountID, at seenAt) error {
	if lost, ok := l.keys[key]; ok && lost.person == "" {
		l.keys[key] = lostKey{person, lost.first}
		return nil
	}
	if l.seen[key] {
		return nil
	}
	l.seen[key] = true
	has, err := l.vault.Has(key)
	if err == nil && !has {
		l.keys[key] = lostKey{person, at}
	}
	return err
}

// useDocuments notes which of the missing documents an event names.
func (l *losses) useDocuments(data []byte) {
	if len(l.missing) == 0 {
		return
	}
	text := string(data)
	for d, m := range l.missing {
		m.named = m.named || strings.Contains(text, d.SHA256)
	}
}

// settle returns an error for the lost keys and documents, or notes them in the
// vault if the operator has named their number.
func (l *losses) settle(accepted int, now time.Time) error {
	refusal := &LostKeysError{}
	count := func(n *int, at seenAt) {
		*n++
		if refusal.Since == 0 || at.ledger < refusal.Since {
			refusal.Since, refusal.Event = at.ledger, at.event
		}
	}
	for key, lost := range l.keys {
		if l.erased[lost.person] {
			if err := l.vault.NoteErased(key, lost.person); err != nil {
				return err
			}
			delete(l.keys, key)
			continue
		}
		count(&refusal.Persons, lost.first)
	}
	var gone []vault.LostDocument
	for d, m := range l.missing {
		// The timekeeper removes the bytes of a document that nothing names
		// before it writes so: a crash in between is no loss.
		due := !m.named && !now.Before(m.uploaded.Add(account.KeepUnnamed))
		if !due && !l.erased[d.Person] {
			gone = append(gone, d)
			count(&refusal.Documents, m.first)
		}
	}
	if refusal.number() == 0 {
		return nil
	}
	if accepted != refusal.number() {
		return refusal
	}
	for key, lost := range l.keys {
		if err := l.vault.NoteLost(key, lost.person); err != nil {
			return err
		}
	}
	return l.vault.NoteLostDocuments(gone)
}

// lossReport has the lost keys and documents that /readyz reports.
type lossReport struct {
	mu        sync.Mutex
	keys      int
	documents []vault.LostDocument
	met       []string // keys that turned out unknown since the start, each with its event
}

// watchLosses begins to report the noted losses. It also reports, and treats in
// the same way, a key that turns out to be unknown later.
func (s *Service) watchLosses() (err error) {
	if s.losses.keys, s.losses.documents, err = s.vault.Lost(); err != nil {
		return err
	}
	s.vault.OnUnknown(func(key string, aad []byte) domain.AccountID {
		stream, event, _ := strings.Cut(string(aad), "\n") // as the codec binds a personal part
		s.cfg.Logger.Error("the vault lacks a key that the log uses", slog.String("key", key), slog.String("event", event))
		s.losses.mu.Lock()
		defer s.losses.mu.Unlock()
		s.losses.keys++
		if len(s.losses.met) < 10 {
			s.losses.met = append(s.losses.met, fmt.Sprintf("key %s, met in event %s", key, event))
		}
		return personOf(stream)
	})
	return nil
}

// reasons names what the keep folder lacks.
func (l *lossReport) reasons(papers *documents.Store) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := 0
	for _, d := range l.documents {
		if !papers.Has(d.Person, d.SHA256) {
			missing++
		}
	}
	if l.keys+missing == 0 {
		return nil
	}
	reason := fmt.Sprintf("the keep folder lacks the keys of %s and %s that the log uses", counted(l.keys, "person"), counted(missing, "document"))
	if len(l.met) > 0 {
		reason += "; since this start: " + strings.Join(l.met, "; ")
	}
	return []string{reason}
}

package eventstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// origin is the source of a client's configuration: a connection string, and
// the files with the credentials and the certificates that go with it.
type origin struct {
	cfg    Config
	logger *slog.Logger

	mu   sync.Mutex
	held [sha256.Size]byte // digest of the files in use; guarded by mu
	said string            // the last complaint, which is not repeated; guarded by mu
}

// newOrigin reads the configuration for the first time.
func newOrigin(cfg Config, logger *slog.Logger) (*origin, *esdb.Configuration, error) {
	o := &origin{cfg: cfg, logger: logger}
	conf, digest, err := o.read()
	o.held = digest
	return o, conf, err
}

// read gives the configuration that the files make now, and their digest.
func (o *origin) read() (conf *esdb.Configuration, digest [sha256.Size]byte, err error) {
	sum := sha256.New()
	for _, path := range o.files() {
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte(err.Error()) // the reader of the file reports it
		}
		one := sha256.Sum256(content)
		sum.Write(one[:])
	}
	sum.Sum(digest[:0])
	cfg := o.cfg
	if cfg.CredentialsFile != "" {
		if cfg.ConnectionString, err = WithCredentials(cfg.ConnectionString, cfg.CredentialsFile); err != nil {
			return nil, digest, err
		}
	}
	conf, err = clientConfig(cfg)
	return conf, digest, err
}

// files are those that the configuration is read from.
func (o *origin) files() []string {
	paths := []string{}
	if o.cfg.CredentialsFile != "" {
		paths = append(paths, o.cfg.CredentialsFile)
	}
	_, query, _ := strings.Cut(o.cfg.ConnectionString, "?")
	settings, _ := url.ParseQuery(query) // the client's parser has read it
	for _, name := range []string{"tlscafile", "usercertfile", "userkeyfile"} {
		for key, values := range settings {
			if strings.EqualFold(key, name) {
				paths = append(paths, values...)
			}
		}
	}
	return paths
}

// changedLocked gives another configuration than the one in use, where the
// files make one. A file that cannot be read keeps what is in use.
func (o *origin) changedLocked() (conf *esdb.Configuration, digest [sha256.Size]byte, ok bool) {
	conf, digest, err := o.read()
	if err != nil {
		o.complainLocked("event store credentials cannot be read again, those in use are kept", err)
		return nil, digest, false
	}
	if digest == o.held {
		o.said = ""
		return nil, digest, false
	}
	return conf, digest, true
}

// complainLocked logs why the files are not used, once for each reason.
func (o *origin) complainLocked(line string, err error) {
	if text := line + err.Error(); o.said != text {
		o.said = text
		o.logger.Warn(line, "error", err)
	}
}

func (o *origin) usedLocked(digest [sha256.Size]byte) {
	o.held, o.said = digest, ""
	o.logger.Info("event store credentials and certificates read again")
}

// errNotReached is the complaint where what the files hold makes no session.
var errNotReached = errors.New("no session can be made with them")

// Reload reads the credentials file and the certificates again. Where they have
// changed it goes on with them, in a new session and without an interruption.
// Where the server refuses them, or they cannot be read, it keeps those in use:
// they are read again once the server refuses these. It also has the server
// asked at once for what it refuses.
func (s *Store) Reload(ctx context.Context) {
	s.conn.reload(ctx, false)
	s.refused.hurry()
}

// reloadRefused is Reload when the server refuses the credentials in use.
func (s *Store) reloadRefused() {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.TryTimeout)
	defer cancel()
	s.conn.reload(ctx, true)
}

// reload takes what the files hold, if that has changed. Refused says that the
// server refuses what is in use. While there is no session it does nothing: the
// search for a node reads the files itself.
func (c *connector) reload(ctx context.Context, refused bool) {
	o := c.origin
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c.mu.Lock()
	old, closed := c.current, c.isClosed()
	c.mu.Unlock()
	if old == nil || closed {
		return
	}
	conf, digest, changed := o.changedLocked()
	if !changed {
		return
	}
	var s *session
	if c.search(*conf) == nil {
		s = c.settle(*conf)
	}
	if s == nil {
		o.complainLocked("event store credentials or certificates have changed and cannot be used, those in use are kept", errNotReached)
		return
	}
	if denied := accessError(s.asked(ctx), need{right: RightReadAll}.words()); errors.Is(denied, ErrCredentials) && !refused {
		_ = s.client.Close()
		o.complainLocked("event store refuses the credentials in the file, those in use are kept", denied)
		return
	}
	if c.exchange(old, s, conf) {
		o.usedLocked(digest)
	}
}

// asked reads the last event of the log in a session that nobody else uses.
func (s *session) asked(ctx context.Context) (err error) {
	defer func() {
		if recover() != nil {
			err = nil // it answered, if in a way that the client cannot read
		}
	}()
	return readLast(fromLeader(ctx), s.client)
}

// exchange puts a session in the place of one that is still in use, which its
// calls may finish on. It reports false when that one is gone meanwhile.
func (c *connector) exchange(old, s *session, conf *esdb.Configuration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != old || c.isClosed() {
		_ = s.client.Close()
		return false
	}
	since := c.since
	c.newer = conf
	c.installLocked(s)
	if !c.away {
		c.since = since // nothing was interrupted
	}
	old.retired = true
	c.closeIfIdleLocked(old)
	time.AfterFunc(c.grace, func() { close(old.ended) })
	return true
}

// takeFiles has the search for a node go on with what the files hold now.
func (c *connector) takeFiles() {
	o := c.origin
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if conf, digest, changed := o.changedLocked(); changed {
		c.mu.Lock()
		c.newer = conf
		c.mu.Unlock()
		o.usedLocked(digest)
	}
}

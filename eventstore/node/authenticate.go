package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// verifiedFor is how long a password that was found right is not hashed again.
const verifiedFor = 10 * time.Minute

// authenticator tells who calls. A password is hashed slowly on purpose, and
// credentials come with every call, so that what was verified is remembered: as
// a digest under a key that only this process has.
type authenticator struct {
	key [sha256.Size]byte
	now func() time.Time
	// hashing bounds how many passwords are hashed at once, so that guessing
	// cannot take all of the machine.
	hashing chan struct{}

	mu    sync.Mutex // guards the rest
	users map[string]*user
	// nobody is hashed against for an unknown or disabled name, which then
	// takes as long to be refused as a wrong password.
	nobody   *user
	verified map[string]verified // by name; one each, as one password is right
}

type verified struct {
	digest [sha256.Size]byte
	until  time.Time
}

func newAuthenticator(users map[string]*user, now func() time.Time) *authenticator {
	a := &authenticator{
		now:      now,
		hashing:  make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		verified: map[string]verified{},
	}
	rand.Read(a.key[:])
	a.replace(users)
	return a
}

// replace puts other users in the place of those known so far, and forgets what
// was verified of each one that changed or is gone. It returns their number,
// with that of the new ones.
func (a *authenticator) replace(users map[string]*user) (changed int) {
	nobody := &user{rounds: leastRounds, salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)}
	rand.Read(nobody.hash)
	for _, u := range users {
		nobody.rounds = max(nobody.rounds, u.rounds)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, u := range users {
		if old := a.users[name]; old != nil && old.same(u) {
			users[name] = old // a verification under way still counts
		} else {
			changed++
		}
	}
	for name := range a.users {
		if users[name] == nil {
			changed++
		}
	}
	for name := range a.verified {
		if users[name] != a.users[name] {
			delete(a.verified, name)
		}
	}
	a.users, a.nobody = users, nobody
	return changed
}

// socketUser is whoever connects by the unix socket, which only the node's own
// user can open.
var socketUser = &user{name: "the node's own socket", role: RoleAdmin}

// identify tells who makes a call; nil for somebody who does not say. Wrong
// credentials are an error even where none are needed.
func (a *authenticator) identify(ctx context.Context) (*user, error) {
	if p, ok := peer.FromContext(ctx); ok && p.Addr.Network() == "unix" {
		return socketUser, nil
	}
	given := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(given) == 0 {
		return nil, nil
	}
	name, password, ok := basic(given[0])
	if !ok || len(given) > 1 {
		return nil, fail(ctx, codes.Unauthenticated, "The credentials are not of the form that basic authentication has.")
	}
	u, err := a.verify(ctx, name, password)
	if err == nil && u == nil {
		err = fail(ctx, codes.Unauthenticated, "The user name or the password is wrong, or the user is disabled.")
	}
	return u, err
}

// basic reads the header of basic authentication.
func basic(header string) (name, password string, ok bool) {
	scheme, encoded, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "basic") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	name, password, ok = strings.Cut(string(decoded), ":")
	return name, password, ok && len(name) <= mostName && len(password) <= mostPassword
}

// verify gives the user whose password this is, or nil.
func (a *authenticator) verify(ctx context.Context, name, password string) (*user, error) {
	digest := a.digest(name, password)
	if u := a.remembered(name, digest); u != nil {
		return u, nil
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return nil, fail(ctx, codes.DeadlineExceeded, "The call ended before its password was checked.")
	}
	if u := a.remembered(name, digest); u != nil { // others waited with the same one
		return u, nil
	}
	u, known := a.lookUp(name)
	hash, err := u.derive(password)
	if err != nil {
		return nil, fail(ctx, codes.Internal, "The password could not be checked.")
	}
	if !hmac.Equal(hash, u.hash) || !known {
		return nil, nil
	}
	a.remember(u, digest)
	return u, nil
}

// lookUp returns the user to hash a password against, and whether that one is
// known and may call.
func (a *authenticator) lookUp(name string) (u *user, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[name]; u != nil && !u.disabled {
		return u, true
	}
	return a.nobody, false
}

// remember notes a password that was found right, unless the user changed while
// it was hashed: then only the call that brought it goes by the old line.
func (a *authenticator) remember(u *user, digest [sha256.Size]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users[u.name] == u {
		a.verified[u.name] = verified{digest, a.now().Add(verifiedFor)}
	}
}

// remembered returns the user whose password was verified a short time ago; nil
// if it was not.
func (a *authenticator) remembered(name string, digest [sha256.Size]byte) *user {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.verified[name]
	if !ok || !hmac.Equal(v.digest[:], digest[:]) || !a.now().Before(v.until) {
		return nil
	}
	return a.users[name]
}

// digest stands for credentials in memory. A name has no colon.
func (a *authenticator) digest(name, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, a.key[:])
	mac.Write([]byte(name + ":" + password))
	mac.Sum(sum[:0])
	return sum
}

// ReloadUsers reads the users file again. From then on each new call goes by it;
// calls that are open, such as subscriptions, go on. Where the file cannot be
// read the users stay as they were, and the error names the cause. Without a
// users file it does nothing.
func (n *Node) ReloadUsers() error {
	if n.callers == nil {
		return nil
	}
	users, err := readUsers(n.usersFile)
	if err != nil {
		return fmt.Errorf("the users stay as they were: %w", err)
	}
	changed := n.callers.replace(users)
	n.log.Info("users file read again", "file", n.usersFile, "users", len(users), "changed", changed)
	return nil
}

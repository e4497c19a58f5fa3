package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
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
	users map[string]*user
	key   [sha256.Size]byte
	now   func() time.Time
	// hashing bounds how many passwords are hashed at once, so that guessing
	// cannot take all of the machine.
	hashing chan struct{}
	// nobody is hashed against for an unknown name, which then takes as long
	// to be refused as a wrong password.
	nobody *user

	mu       sync.Mutex
	verified map[string]verified // by name; one each, as one password is right
}

type verified struct {
	digest [sha256.Size]byte
	until  time.Time
}

func newAuthenticator(users map[string]*user, now func() time.Time) *authenticator {
	a := &authenticator{
		users: users, now: now,
		hashing:  make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		nobody:   &user{rounds: leastRounds, salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)},
		verified: map[string]verified{},
	}
	rand.Read(a.key[:])
	rand.Read(a.nobody.hash)
	for _, u := range users {
		a.nobody.rounds = max(a.nobody.rounds, u.rounds)
	}
	return a
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
		err = fail(ctx, codes.Unauthenticated, "The user name or the password is wrong.")
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
	if a.remembers(name, digest) {
		return a.users[name], nil
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return nil, fail(ctx, codes.DeadlineExceeded, "The call ended before its password was checked.")
	}
	if a.remembers(name, digest) { // others waited with the same one
		return a.users[name], nil
	}
	u, known := a.users[name]
	if !known {
		u = a.nobody
	}
	hash, err := u.derive(password)
	if err != nil {
		return nil, fail(ctx, codes.Internal, "The password could not be checked.")
	}
	if !hmac.Equal(hash, u.hash) || !known {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verified[name] = verified{digest, a.now().Add(verifiedFor)}
	return u, nil
}

func (a *authenticator) remembers(name string, digest [sha256.Size]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.verified[name]
	return ok && hmac.Equal(v.digest[:], digest[:]) && a.now().Before(v.until)
}

// digest stands for credentials in memory. A name has no colon.
func (a *authenticator) digest(name, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, a.key[:])
	mac.Write([]byte(name + ":" + password))
	mac.Sum(sum[:0])
	return sum
}

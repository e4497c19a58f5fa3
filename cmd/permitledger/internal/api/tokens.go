package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"permitledger/domain"
)

// Grant is one line of a tokens file: a token, or its hash as HashToken gives
// it, for a subject in one role. A subject in two roles has two tokens.
type Grant struct {
	Token   string      `json:"token"`
	Subject string      `json:"subject"`
	Role    domain.Role `json:"role"`
}

// caller is who sent a request. The zero caller is nobody.
type caller struct {
	subject string
	role    domain.Role
}

func (c caller) known() bool { return c.subject != "" }

// Tokens says who may call. It holds hashes only; the zero Tokens know nobody.
type Tokens struct {
	byHash map[[sha256.Size]byte]caller
}

// grantable are the roles that a token can have. "system" is the ledger's own.
var grantable = []domain.Role{domain.RoleResident, domain.RoleOperator, domain.RoleReviewer, domain.RoleDisputes,
	domain.RoleEnforcement, domain.RoleAuditor, domain.RoleReporting, domain.RoleAdmin}

const hashPrefix = "sha256:"

// HashToken is how a token is written where the token itself shall not stand.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// NewTokens checks a list of grants.
func NewTokens(grants ...Grant) (Tokens, error) {
	t := Tokens{byHash: make(map[[sha256.Size]byte]caller, len(grants))}
	for i, g := range grants {
		sum, err := g.hash()
		switch {
		case err != nil:
			return Tokens{}, fmt.Errorf("token %d: %w", i+1, err)
		case strings.TrimSpace(g.Subject) == "" || len(g.Subject) > maxName:
			return Tokens{}, fmt.Errorf("token %d: the subject must have 1 to %d characters", i+1, maxName)
		case !slices.Contains(grantable, g.Role):
			return Tokens{}, fmt.Errorf("token %d: %q is no role that a token can have; there are %v", i+1, g.Role, grantable)
		}
		if _, twice := t.byHash[sum]; twice {
			return Tokens{}, fmt.Errorf("token %d: the same token stands above already; give every role a token of its own", i+1)
		}
		t.byHash[sum] = caller{subject: g.Subject, role: g.Role}
	}
	return t, nil
}

func (g Grant) hash() (sum [sha256.Size]byte, err error) {
	digits, hashed := strings.CutPrefix(g.Token, hashPrefix)
	if !hashed {
		if g.Token == "" || len(g.Token) > maxKey || !visibleASCII(g.Token) {
			return sum, fmt.Errorf("a token has 1 to %d visible ASCII characters, without spaces", maxKey)
		}
		return sha256.Sum256([]byte(g.Token)), nil
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(sum) {
		return sum, errors.New("sha256: must be followed by 64 hexadecimal digits")
	}
	return [sha256.Size]byte(raw), nil
}

// ReadTokens reads a tokens file: a JSON list of grants and nothing else.
func ReadTokens(path string) (Tokens, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Tokens{}, fmt.Errorf(`read the tokens file: %w; write one, a JSON list of {"token","subject","role"}, or leave out --tokens`, err)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("read the tokens file: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var grants []Grant
	if err := d.Decode(&grants); err != nil {
		return Tokens{}, fmt.Errorf(`tokens file %s: %s; it is a JSON list of {"token","subject","role"}`, path, withoutValue(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return Tokens{}, fmt.Errorf("tokens file %s: something follows the list", path)
	}
	t, err := NewTokens(grants...)
	if err != nil {
		return Tokens{}, fmt.Errorf("tokens file %s: %w", path, err)
	}
	return t, nil
}

// withoutValue says what is wrong with JSON and never what stands in it: that
// may be a token.
func withoutValue(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%q is of the wrong type", t.Field)
	}
	return err.Error()
}

// TokensFile writes what ReadTokens reads.
func TokensFile(grants ...Grant) []byte {
	raw, err := json.MarshalIndent(grants, "", "  ")
	if err != nil {
		panic("api: a grant is not plain text: " + err.Error()) // strings only: cannot fail
	}
	return append(raw, '\n')
}

// lookup finds who holds a token. Only hashes are compared, so that the time
// it takes tells nothing about a token.
func (t Tokens) lookup(token string) (caller, bool) {
	sum := sha256.Sum256([]byte(token))
	for known, c := range t.byHash {
		if subtle.ConstantTimeCompare(known[:], sum[:]) == 1 {
			return c, true
		}
	}
	return caller{}, false
}

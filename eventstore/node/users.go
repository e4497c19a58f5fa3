package node

import (
	"bufio"
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Role is what a user may do as far as no access list says otherwise.
type Role string

const (
	// RoleAdmin may do everything, like a member of $admins.
	RoleAdmin Role = "admin"
	// RoleLedger is an ordinary user: the access lists decide.
	RoleLedger Role = "ledger"
	// RoleReader is an ordinary user who never writes, whatever the access
	// lists say.
	RoleReader Role = "reader"
)

// Roles are all there are.
func Roles() []Role { return []Role{RoleAdmin, RoleLedger, RoleReader} }

const (
	groupAdmins   = "$admins"
	groupEveryone = "$all"

	// hashScheme begins a stored password. PBKDF2 is what the standard
	// library has; the rounds are what OWASP advises for it.
	hashScheme  = "pbkdf2-sha256"
	hashRounds  = 600_000
	leastRounds = 10_000
	mostRounds  = 10_000_000
	hashBytes   = sha256.Size
	saltBytes   = 16

	// markDisabled is the last field of a disabled user's line.
	markDisabled = "disabled"

	mostPassword = 1024
	mostName     = 64
)

// user is one line of the users file.
type user struct {
	name     string
	role     Role
	rounds   int
	salt     []byte
	hash     []byte
	disabled bool // may call nothing until the line says otherwise
}

// same reports whether two lines let the same caller do the same.
func (u *user) same(other *user) bool {
	return u.name == other.name && u.role == other.role && u.disabled == other.disabled &&
		u.rounds == other.rounds && bytes.Equal(u.salt, other.salt) && bytes.Equal(u.hash, other.hash)
}

// groups are the names under which access lists may mean this user. The role
// is none of them: it may be what another user is called.
func (u *user) groups() []string {
	groups := []string{groupEveryone, u.name}
	if u.role == RoleAdmin {
		groups = append(groups, groupAdmins)
	}
	return groups
}

// derive is the hash of a password under the user's salt. It takes long.
func (u *user) derive(password string) ([]byte, error) {
	return pbkdf2.Key(sha256.New, password, u.salt, u.rounds, hashBytes)
}

// UserLine makes a line for the users file, with the password only as a hash.
func UserLine(name string, role Role, password string) (string, error) {
	switch {
	case password == "":
		return "", errors.New("there is no password")
	case len(password) > mostPassword:
		return "", fmt.Errorf("the password has more than %d bytes", mostPassword)
	}
	return userLine(name, role, password, hashRounds)
}

func userLine(name string, role Role, password string, rounds int) (string, error) {
	if err := checkUser(name, role); err != nil {
		return "", err
	}
	u := user{salt: make([]byte, saltBytes), rounds: rounds}
	rand.Read(u.salt)
	hash, err := u.derive(password)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s:%s$%d$%s$%s:%s", name, hashScheme, rounds, encode(u.salt), encode(hash), role), nil
}

// UserLineDisabled returns a line of the users file with the user marked as
// disabled, or without that mark. Password and role stay as they are.
func UserLineDisabled(line string, disabled bool) (string, error) {
	u, err := parseUser(line)
	if err != nil || u.disabled == disabled {
		return line, err
	}
	if disabled {
		return line + ":" + markDisabled, nil
	}
	return strings.TrimSuffix(line, ":"+markDisabled), nil
}

// UserDisabled reports whether a line of the users file marks its user as
// disabled.
func UserDisabled(line string) bool {
	u, err := parseUser(line)
	return err == nil && u.disabled
}

// checkUser keeps names to what stands unharmed in a header, in a file and in
// an access list.
func checkUser(name string, role Role) error {
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.@", r))
	}
	switch {
	case name == "" || len(name) > mostName || strings.ContainsFunc(name, odd):
		return fmt.Errorf("a user's name has 1 to %d letters, digits or - _ . @", mostName)
	case !slices.Contains(Roles(), role):
		return fmt.Errorf("there is no such role; the roles are %v", Roles())
	}
	return nil
}

// readUsers reads the users file: one name:hash:role on each line, with
// :disabled behind it for a disabled user, and # for comments. Nobody but the file's owner may be able to read it.
func readUsers(path string) (map[string]*user, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("users file %s is open to others (mode %04o); make it private: chmod 600 %s", path, mode, path)
	}
	users := map[string]*user{}
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		u, err := parseUser(line)
		if err == nil && users[u.name] != nil {
			err = errors.New("this user has a line already")
		}
		if err != nil {
			return nil, fmt.Errorf("users file %s, line %d: %w", path, number, err)
		}
		users[u.name] = u
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("users file %s: %w", path, err)
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("users file %s names nobody; make a line with permitledger node user NAME --role admin", path)
	}
	return users, nil
}

// parseUser never repeats what it cannot read: it may be a password.
func parseUser(line string) (*user, error) {
	malformed := errors.New("it is not of the form name:" + hashScheme + "$rounds$salt$hash:role, with :" + markDisabled + " behind it for a disabled user; make it with permitledger node user NAME --role ROLE")
	fields := strings.Split(line, ":")
	disabled := len(fields) == 4 && fields[3] == markDisabled
	if len(fields) != 3 && !disabled {
		return nil, malformed
	}
	parts := strings.Split(fields[1], "$")
	if len(parts) != 4 || parts[0] != hashScheme {
		return nil, malformed
	}
	u := &user{name: fields[0], role: Role(fields[2]), disabled: disabled}
	if err := checkUser(u.name, u.role); err != nil {
		return nil, err
	}
	var err error
	if u.rounds, err = strconv.Atoi(parts[1]); err != nil {
		return nil, malformed
	}
	if u.rounds < leastRounds || u.rounds > mostRounds {
		return nil, fmt.Errorf("the password is hashed with %d rounds, not with %d to %d; make the line anew", u.rounds, leastRounds, mostRounds)
	}
	var saltErr, hashErr error
	u.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[2])
	u.hash, hashErr = base64.RawStdEncoding.DecodeString(parts[3])
	if saltErr != nil || hashErr != nil || len(u.salt) < saltBytes || len(u.hash) != hashBytes {
		return nil, malformed
	}
	return u, nil
}

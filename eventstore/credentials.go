package eventstore

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// WithCredentials puts the user and the password that stand in a file, as one
// line user:password, into a connection string that has none. Without a file it
// only sees that the connection string, if there is one, can be read. No error
// repeats a password.
func WithCredentials(connection, path string) (string, error) {
	switch {
	case path == "" && connection == "":
		return "", nil
	case path == "":
		_, err := parseConnection(connection)
		return seeds(connection), err
	}
	scheme, rest, ok := strings.Cut(connection, "://")
	hosts, _, _ := strings.Cut(rest, "?")
	switch {
	case !ok:
		return "", errors.New("a file of credentials goes with a connection string, esdb://host:2113?tls=true")
	case strings.Contains(hosts, "@"):
		return "", errors.New("credentials stand both in the connection string and in a file; leave out one of them")
	}
	if _, err := parseConnection(connection); err != nil {
		return "", err // here, where there is no password in it
	}
	if info, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("credentials file: %w", err)
	} else if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("the credentials file %s is open to others (mode %04o); make it private: chmod 600 %s", path, mode, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("credentials file: %w", err)
	}
	name, password, ok := strings.Cut(strings.TrimRight(string(content), "\r\n"), ":")
	if !ok || name == "" || password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("the credentials file %s is not one line user:password", path)
	}
	whole := seeds(scheme + "://" + percentEncode(name) + ":" + percentEncode(password) + "@" + rest)
	_, err = parseConnection(whole)
	return whole, err
}

// percentEncode leaves nothing that the client's parser could take for its
// own: it also splits at commas.
func percentEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Redacted is a connection string that may be shown: without the password.
func Redacted(connection string) string {
	scheme, rest, ok := strings.Cut(connection, "://")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return connection
	}
	name, _, _ := strings.Cut(rest[:at], ":")
	return scheme + "://" + name + ":xxxxx@" + rest[at+1:]
}

// parseConnection reads a connection string. The client's own error may hold
// the whole of it, so that it is only given for a string without credentials.
func parseConnection(raw string) (*esdb.Configuration, error) {
	raw = seeds(raw)
	conf, err := esdb.ParseConnectionString(raw)
	if err == nil {
		return conf, checkHosts(conf)
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return nil, fmt.Errorf("connection string: %v", err)
	}
	if _, err := esdb.ParseConnectionString(scheme + "://" + rest[at+1:]); err != nil {
		return nil, fmt.Errorf("connection string: %v", err)
	}
	return nil, errors.New("connection string: its user or password cannot be read; percent-encode every character in them that is not a letter or a digit")
}

// adminsRight marks a right that no access list gives to anybody else.
const adminsRight = "an admin's right"

// accessError says which right a refused request takes and what to do; nil
// when an error is not about that.
func accessError(err error, need string) error {
	root := rootStatus(err)
	said := status.Convert(root).Message()
	switch status.Code(root) {
	case codes.PermissionDenied:
		next := "An admin of the event store gives it with permitledger setup, or in the stream's access list or the default one, in $settings"
		if strings.Contains(need, adminsRight) {
			next = "Run it again with an admin's credentials; what serve itself needs of this is made by permitledger setup"
		}
		return fmt.Errorf("%w: it takes the right to %s. %s. The server said: %s", ErrDenied, need, next, said)
	case codes.Unauthenticated:
		return fmt.Errorf("%w; look at the connection string or the file that they come from. The server said: %s", ErrCredentials, said)
	}
	return nil
}

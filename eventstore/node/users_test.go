package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// passwordOf is a password long enough, another for each user.
func passwordOf(name string) string { return "the password of " + name + ": %/?#" }

// writeUsers makes a users file, hashed as cheaply as a node still takes it.
func writeUsers(t testing.TB, users map[string]Role) string {
	t.Helper()
	return writeUsersWith(t, users, passwordOf)
}

func writeUsersWith(t testing.TB, users map[string]Role, password func(name string) string) string {
	t.Helper()
	text := "# who may call\n\n"
	for name, role := range users {
		line, err := userLine(name, role, password(name), leastRounds)
		if err != nil {
			t.Fatal(err)
		}
		text += line + "\n"
	}
	return writeFile(t, "users", text)
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUserLineIsReadBack(t *testing.T) {
	line, err := UserLine("ledger", RoleLedger, "a password of some length")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(line, "password") || !strings.Contains(line, "$600000$") {
		t.Errorf("the line is %q", line)
	}
	users, err := readUsers(writeFile(t, "users", line))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := users["ledger"].derive("a password of some length")
	if err != nil || string(hash) != string(users["ledger"].hash) {
		t.Errorf("the password is not taken: %v", err)
	}
	again, _ := UserLine("ledger", RoleLedger, "a password of some length")
	if again == line {
		t.Error("the same password has the same line: there is no salt")
	}
}

func TestUserLineRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		role     Role
		password string
		want     string
	}{
		{"a", RoleAdmin, "", "no password"},
		{"a", RoleAdmin, strings.Repeat("x", 1025), "more than 1024"},
		{"", RoleAdmin, passwordOf("a"), "letters, digits"},
		{"a:b", RoleAdmin, passwordOf("a"), "letters, digits"},
		{"$admins", RoleAdmin, passwordOf("a"), "letters, digits"},
		{strings.Repeat("a", 65), RoleAdmin, passwordOf("a"), "letters, digits"},
		{"a", "root", passwordOf("a"), "no such role"},
	} {
		if _, err := UserLine(c.name, c.role, c.password); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q as %q: %v, want %q", c.name, c.role, err, c.want)
		}
	}
}

// What is wrong in a users file is said with its line, and never repeated: it
// may be a password.
func TestUsersFileRefuses(t *testing.T) {
	good, err := userLine("ann", RoleAdmin, passwordOf("ann"), leastRounds)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                                       "names nobody",
		"# nobody\n":                             "names nobody",
		"ann:secret-secret:admin":                "line 1: it is not of the form",
		good + "\nann:secret-secret":             "line 2: it is not of the form",
		good + "\n\n" + good:                     "line 3: this user has a line already",
		strings.Replace(good, ":admin", ":x", 1): "no such role",
		"ann:admin:secret-secret":                "it is not of the form",
		strings.Replace(good, "$10000$", "$1$", 1):           "1 rounds",
		strings.Replace(good, "$10000$", "$999999999$", 1):   "999999999 rounds",
		strings.Replace(good, "$10000$", "$a$", 1):           "it is not of the form",
		strings.Replace(good, "$10000$", "$10000$!", 1):      "it is not of the form",
		strings.Replace(good, "pbkdf2-sha256", "bcrypt", 1):  "it is not of the form",
		strings.Replace(good, ":admin", ":secret-secret", 1): "no such role",
	} {
		_, err := readUsers(writeFile(t, "users", text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	path := writeFile(t, "users", good)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readUsers(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := readUsers(path + "x"); err == nil || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("a missing file: %v", err)
	}
}

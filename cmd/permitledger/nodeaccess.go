package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"permitledger/cmd/permitledger/internal/folder"
	"permitledger/eventstore/node"
)

// nodeAccess says who may reach a node by TCP, and do what.
type nodeAccess struct {
	TLSCert        string `name:"tls-cert" help:"PEM file of the certificate that the node is served with by TCP, followed by those up to its authority." type:"path"`
	TLSKey         string `name:"tls-key" help:"PEM file of the certificate's key." type:"path"`
	Users          string `help:"File of the users who may call the node, made with permitledger node user. Without it whoever reaches the node may read and write everything." type:"path"`
	AnyoneMayWrite bool   `name:"insecure-anyone-may-write" help:"Let the node listen where other machines reach it, without users and, if no certificate is given, without TLS: anyone may read and write everything."`
}

// secure adds what the flags say to a node's options.
func (a nodeAccess) secure(o node.Options) node.Options {
	o.CertFile, o.KeyFile, o.UsersFile, o.AnyoneMayWrite = a.TLSCert, a.TLSKey, a.Users, a.AnyoneMayWrite
	return o
}

type nodeUserCommand struct {
	Name  string `arg:"" help:"Name of the user."`
	Role  string `help:"admin: may do everything. ledger: an ordinary user, for whom access lists decide. reader: an ordinary user who never writes." enum:"admin,ledger,reader" required:"" xor:"line"`
	Short bool   `name:"allow-short-password" help:"Take a password of fewer than 12 characters, such as the one that a new EventStoreDB server has: for tests only."`
	Users string `help:"Users file to put the line into, in the place of the one that this user has there; a disabled user stays disabled. Without it the line is printed." type:"path"`

	Disable bool `help:"Disable this user in --users: the node then refuses every new call. Password and role stay in the file." required:"" xor:"line"`
	Enable  bool `help:"Enable this user in --users again." required:"" xor:"line"`
}

// leastPassword is how many characters a password has that is not for a test.
const leastPassword = 12

// Run hashes the password and writes the line, or changes only the line's mark.
func (c nodeUserCommand) Run(p *program) error {
	if c.Disable || c.Enable {
		return c.mark(p)
	}
	password, err := readPassword(os.Stdin)
	if err != nil {
		return err
	}
	if n := len([]rune(password)); n > 0 && n < leastPassword && !c.Short {
		return fmt.Errorf("the password has fewer than %d characters; take a longer one, for instance from openssl rand -base64 24, or for a test say --allow-short-password", leastPassword)
	}
	line, err := node.UserLine(c.Name, node.Role(c.Role), password)
	if err != nil {
		return err
	}
	if c.Users == "" {
		fmt.Fprintln(p.stdout, line)
		return nil
	}
	disabled := false
	err = c.edit(func(old string) (string, error) {
		disabled = node.UserDisabled(old)
		return node.UserLineDisabled(line, disabled)
	})
	if err != nil {
		return err
	}
	if disabled {
		fmt.Fprintf(p.stderr, "%s has a new password and is still disabled; --enable changes that.\n", c.Name)
		return nil
	}
	fmt.Fprintf(p.stderr, "%s may call a node that is started with --users %s. %s\n", c.Name, c.Users, reloadHint)
	return nil
}

// reloadHint is the operator's next step after a change of the users file.
const reloadHint = "A node that runs reads the file again at SIGHUP."

// mark disables the user in the file, or enables the user again.
func (c nodeUserCommand) mark(p *program) error {
	if c.Users == "" {
		return errors.New("name the users file with --users")
	}
	err := c.edit(func(old string) (string, error) {
		if old == "" {
			return "", fmt.Errorf("the users file %s has no line for %s", c.Users, c.Name)
		}
		return node.UserLineDisabled(old, c.Disable)
	})
	if err != nil {
		return err
	}
	state := "enabled"
	if c.Disable {
		state = "disabled"
	}
	fmt.Fprintf(p.stderr, "%s is %s in %s. %s\n", c.Name, state, c.Users, reloadHint)
	return nil
}

// readPassword takes one line. On a terminal it would be shown as it is typed.
func readPassword(in *os.File) (string, error) {
	if info, err := in.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return "", errors.New("the password comes on stdin, and not from a terminal, which would show it; for instance: openssl rand -base64 24 | tee NAME.password | permitledger node user NAME --role ROLE --users users")
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password from stdin: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// edit replaces the user's line in the file by the one that change makes of it,
// or adds that. The old line is "" where there is none.
func (c nodeUserCommand) edit(change func(old string) (string, error)) error {
	content, err := os.ReadFile(c.Users)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var kept strings.Builder
	old := ""
	for text := range strings.Lines(string(content)) {
		if line := strings.TrimSpace(text); strings.HasPrefix(line, c.Name+":") {
			old = line
			continue
		}
		kept.WriteString(strings.TrimRight(text, "\r\n") + "\n")
	}
	line, err := change(old)
	if err != nil {
		return err
	}
	if err := folder.WriteDurably(c.Users, []byte(kept.String()+line+"\n")); err != nil {
		return fmt.Errorf("write the users file %s: %w; see that its folder is there and may be written", c.Users, err)
	}
	return nil
}

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
	Role  string `help:"admin: may do everything. ledger: an ordinary user, for whom access lists decide. reader: an ordinary user who never writes." enum:"admin,ledger,reader" required:""`
	Short bool   `name:"allow-short-password" help:"Take a password of fewer than 12 characters, such as the one that a new EventStoreDB server has: for tests only."`
	Users string `help:"Users file to put the line into, in the place of the one that this user has there. Without it the line is printed." type:"path"`
}

// leastPassword is how many characters a password has that is not for a test.
const leastPassword = 12

// Run hashes the password and writes the line.
func (c nodeUserCommand) Run(p *program) error {
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
	if err := c.put(line); err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "%s may call a node that is started with --users %s; one that runs must be restarted.\n", c.Name, c.Users)
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

// put replaces the user's line in the file, or adds it.
func (c nodeUserCommand) put(line string) error {
	old, err := os.ReadFile(c.Users)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var kept strings.Builder
	for text := range strings.Lines(string(old)) {
		if !strings.HasPrefix(strings.TrimSpace(text), c.Name+":") {
			kept.WriteString(strings.TrimRight(text, "\r\n") + "\n")
		}
	}
	if err := folder.WriteDurably(c.Users, []byte(kept.String()+line+"\n")); err != nil {
		return fmt.Errorf("write the users file %s: %w; see that its folder is there and may be written", c.Users, err)
	}
	return nil
}

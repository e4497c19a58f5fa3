// Package outbox keeps messages to people as files, for a mail system or a
// person to collect: one RFC 5322 message in each file that ends in .eml. It
// sends nothing by itself.
//
// The files hold personal data in clear, outside the vault. Whoever collects
// them removes them.
package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"permitledger/cmd/permitledger/internal/folder"
)

// Message is a letter in plain text to one address.
type Message struct {
	// ID names the message and its file: letters, digits and hyphens. The same
	// message again has the same one.
	ID      string
	From    string
	To      string
	Subject string
	Text    string
	At      time.Time
}

// Outbox is a folder of messages. It is safe for concurrent use.
type Outbox struct{ dir string }

// Open makes the folder when there is none. Only its owner may read it.
func Open(dir string) (*Outbox, error) {
	if err := folder.Make(dir); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return &Outbox{dir}, nil
}

// Send puts a message into the folder. It is on disk, whole and under its
// name, before Send returns; one that lies there already stays one.
func (o *Outbox) Send(_ context.Context, m Message) (err error) {
	text, err := m.format()
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	f, err := os.CreateTemp(o.dir, ".message-*") // mode 0600
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(o.dir, m.ID+".eml"))
	}
	if err == nil {
		err = folder.SyncDir(o.dir)
	}
	if err != nil {
		return fmt.Errorf("outbox: %w", errors.Join(err, ignoreGone(os.Remove(f.Name()))))
	}
	return nil
}

// format writes the message as it goes over the wire.
func (m Message) format() ([]byte, error) {
	if m.ID == "" || strings.Trim(m.ID, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return nil, errors.New("a message is named by letters, digits and hyphens")
	}
	var b bytes.Buffer
	for _, address := range []struct{ name, value string }{{"From", m.From}, {"To", m.To}} {
		a, err := mail.ParseAddress(address.value)
		if err != nil {
			return nil, fmt.Errorf("%s is no e-mail address", address.name) // which one is not said: it is somebody's
		}
		fmt.Fprintf(&b, "%s: %s\r\n", address.name, a)
	}
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", m.Subject))
	fmt.Fprintf(&b, "Date: %s\r\n", m.At.UTC().Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: <%s@permitledger.invalid>\r\n", m.ID)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	_, err := w.Write([]byte(m.Text))
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

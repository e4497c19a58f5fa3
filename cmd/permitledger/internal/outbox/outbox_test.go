package outbox_test

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/outbox"
)

func TestAMessageIsAFileThatItsOwnerReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	box, err := outbox.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := outbox.Message{ID: "one-1", From: "permits@council.example", To: "zoë@example.org", Subject: "Your account – £5",
		Text: "Dear Zoë,\n\n" + strings.Repeat("a long line = ", 20) + "\n", At: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	for range 2 { // the same message again is the same file
		if err := box.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "one-1.eml" {
		t.Fatalf("%v %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	f, err := os.Open(filepath.Join(dir, "one-1.eml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read, err := mail.ReadMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Errorf("%q %v", subject, err)
	}
	to, err := read.Header.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Address != m.To {
		t.Errorf("%v %v", to, err)
	}
	if at, err := read.Header.Date(); err != nil || !at.Equal(m.At) {
		t.Errorf("%v %v", at, err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(read.Body))
	if err != nil || strings.ReplaceAll(string(text), "\r\n", "\n") != m.Text {
		t.Errorf("%q %v", text, err)
	}
}

func TestWhatIsNoMessageIsNotKept(t *testing.T) {
	dir := t.TempDir()
	box, err := outbox.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	good := outbox.Message{ID: "one", From: "a@b.example", To: "c@d.example"}
	for name, spoil := range map[string]func(*outbox.Message){
		"a path":      func(m *outbox.Message) { m.ID = "../one" },
		"no name":     func(m *outbox.Message) { m.ID = "" },
		"no address":  func(m *outbox.Message) { m.To = "" },
		"two headers": func(m *outbox.Message) { m.To = "c@d.example\r\nBcc: e@f.example" },
	} {
		m := good
		spoil(&m)
		if err := box.Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "example") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%v lie in the outbox", files)
	}
}

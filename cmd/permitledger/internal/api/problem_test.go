package api

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
	"permitledger/domain/account"
	"permitledger/domain/notice"
	"permitledger/eventstore"
	"permitledger/projections"
)

func TestEveryErrorHasItsStatus(t *testing.T) {
	opens := domain.NewDate(2027, time.October, 31)
	for _, c := range []struct {
		err  error
		want int
		code string
	}{
		{bad("x", "no"), 400, "malformed"},
		{account.ErrNoName, 400, "malformed"},
		{notice.ErrNothingAsked, 400, "malformed"},
		{projections.ErrCursor, 400, "malformed"},
		{errNoToken, 401, "unauthorised"},
		{errForbidden, 403, "forbidden"},
		{desk.ErrNotFound, 404, "not-found"},
		{eventstore.ErrNoStream, 404, "not-found"},
		{errMethod, 405, "method-not-allowed"},
		{&domain.Refusal{Rule: domain.RuleRenewalWindow, Detail: "later", OpensOn: opens}, 409, "refused"},
		{account.ErrErased, 409, "refused"},
		{&eventstore.RevisionError{Actual: 3}, 412, "revision-mismatch"},
		{&eventstore.TooLargeError{Type: "Rejected", Size: 70000}, 413, "too-large"},
		{&fault{kind: wrongType}, 415, "wrong-media-type"},
		{eventstore.ErrKeyReused, 422, "key-reused"},
		{&account.TooManyDocumentsError{RetryAt: time.Now()}, 429, "too-many-requests"},
		{errors.New("disk on fire"), 500, "internal"},
		{errPanic, 500, "internal"},
		{eventstore.ErrUnavailable, 503, "unavailable"},
		{eventstore.ErrRefused, 503, "unavailable"},
		{eventstore.ErrDenied, 503, "unavailable"},
		{eventstore.ErrCredentials, 503, "unavailable"},
		{eventstore.ErrClosed, 503, "unavailable"},
		{projections.ErrStopped, 503, "unavailable"},
		{projections.ErrClosed, 503, "unavailable"},
		{context.DeadlineExceeded, 503, "unavailable"},
		{errBehind, 503, "unavailable"},
	} {
		p := problemOf(fmt.Errorf("deep down: %w", c.err))
		if p.Status != c.want || p.Code != c.code || p.Type != "urn:permitledger:problem:"+c.code || p.Title == "" || p.Detail == "" && p.Code != "wrong-media-type" {
			t.Errorf("%v: %+v, want %d %s", c.err, p, c.want, c.code)
		}
		if p.Status == 500 && strings.Contains(p.Detail, "fire") {
			t.Errorf("%v: its words are told to the caller", c.err)
		}
		if p.Status == 503 && p.retryAfter <= 0 {
			t.Errorf("%v: no time to try again", c.err)
		}
	}
	if p := problemOf(&domain.Refusal{Rule: domain.RuleRenewalWindow, OpensOn: opens}); p.Rule != domain.RuleRenewalWindow || p.OpensOn != opens {
		t.Errorf("%+v", p)
	}
	if p := problemOf(&eventstore.RevisionError{Actual: -1}); p.Revision != nil {
		t.Errorf("a revision of what is not there: %d", *p.Revision)
	}
}

func TestTokens(t *testing.T) {
	hash := HashToken("secret")
	tokens, err := NewTokens(Grant{hash, "ann", domain.RoleReviewer}, Grant{"plain", "ann", domain.RoleResident})
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]caller{
		"secret": {"ann", domain.RoleReviewer}, "plain": {"ann", domain.RoleResident}, hash: {}, "other": {}, "": {},
	} {
		if got, known := tokens.lookup(token); got != want || known != (want != caller{}) {
			t.Errorf("%q is %+v", token, got)
		}
	}
	for _, c := range []struct {
		grants []Grant
		says   string
	}{
		{[]Grant{{"", "ann", domain.RoleAdmin}}, "token 1"},
		{[]Grant{{"a b", "ann", domain.RoleAdmin}}, "visible ASCII"},
		{[]Grant{{"a", " ", domain.RoleAdmin}}, "subject"},
		{[]Grant{{"a", "ann", "boss"}}, `"boss"`},
		{[]Grant{{"a", "ann", domain.RoleSystem}}, `"system"`},
		{[]Grant{{"sha256:12", "ann", domain.RoleAdmin}}, "64 hexadecimal"},
		{[]Grant{{"secret", "ann", domain.RoleAdmin}, {hash, "bob", domain.RoleAdmin}}, "token 2: the same token"},
	} {
		if _, err := NewTokens(c.grants...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.grants, err, c.says)
		}
	}
}

func TestTokensFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	write := func(content string) error {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadTokens(path)
		return err
	}
	if err := write(string(TokensFile(Grant{HashToken("s"), "ann", domain.RoleAdmin}))); err != nil {
		t.Error(err)
	}
	for content, says := range map[string]string{
		``: "JSON list", `{}`: "JSON list", `[{"token":"a","subject":"b","role":"admin","name":"c"}]`: "unknown field",
		`[{"token":"t0ps3cret","subject":7,"role":"admin"}]`: "subject", `[] []`: "follows the list", `[{"token":"t0ps3cret","subject":"b","role":"x"}]`: "no role",
	} {
		err := write(content)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "t0ps3cret") {
			t.Errorf("%s: %v, want %q", content, err, says)
		}
	}
	if _, err := ReadTokens(path + ".none"); err == nil {
		t.Error("a file that is not there was read")
	}
}

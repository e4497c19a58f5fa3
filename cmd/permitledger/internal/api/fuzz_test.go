package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// FuzzBodies sends bodies that somebody made up to every command, over a whole
// desk. Whatever they hold, the answer is the caller's fault or the rules',
// never the program's.
func FuzzBodies(f *testing.F) {
	h := newHouse(f)
	account, pending, papers := h.permit("alex")
	sam, samPapers := h.account("sam")
	live := h.post("sam", "/api/v1/accounts/"+sam+"/permits", application(samPapers)).want(201).text("permitId")
	h.post("rita", "/api/v1/permits/"+live+"/approve", decided(samPapers)).want(200)

	type command struct{ token, path string }
	var commands []command
	for _, m := range may {
		if m.method != "POST" || strings.HasSuffix(m.path, "/evidence") {
			continue
		}
		ids := []string{pending, live}
		if !strings.Contains(m.path, "{permit}") {
			ids = ids[:1]
		}
		for _, id := range ids {
			path := strings.NewReplacer("{account}", account, "{permit}", id).Replace(m.path)
			token := "olga"
			switch m.who {
			case "w":
				token = "rita"
			case "a":
				token = "ada"
			}
			commands = append(commands, command{token, "/api/v1" + path})
		}
	}
	sha := papers[0]["sha256"].(string)
	words := strings.Repeat("£ and words ", 300)
	seeds := []string{
		`{}`, `null`, `[]`, `{"a":`, `{"name":"Ann"}`, `{"name":"Ann","email":"a@b.example","phone":""}`, goodApplication,
		strings.Replace(goodApplication, someSHA, sha, 1),
		`{"kind":"student","months":2147483647,"uprn":"1","vehicle":"Ä","evidence":[]}`,
		`{"kind":"resident","months":12,"uprn":"200000000017","vehicle":"AB12CDE","startsOn":"9999-12-31","evidence":[{"kind":"tenancy-agreement","sha256":"` + sha + `","tenancyFrom":"0001-01-01","tenancyMonths":2147483647,"signed":true},{"kind":"v5c","sha256":"` + sha + `"}]}`,
		`{"basis":"policy","considered":[{"check":"all","result":"good"}]}`,
		`{"basis":"discretion","reasons":[{"code":"other"}],"considered":[{"evidence":"` + sha + `","result":"r"}]}`,
		`{"basis":"policy","effectiveOn":"0001-01-01","considered":[{"check":"all","result":"good"}],"reasons":[{"code":"other","text":"x"}]}`,
		`{"basis":"policy","effectiveOn":"9999-12-31","considered":[{"check":"all","result":"good"}]}`,
		`{"basis":"policy","told":"t","considered":[{"check":"all","result":"good"}],"conditions":[` + strings.TrimSuffix(strings.Repeat(`"`+words+`",`, 50), ",") + `]}`,
		`{"what":"a bill","by":"2026-03-09"}`, `{"what":"a bill","by":"9999-12-31"}`, `{"evidence":[],"note":"n"}`, `{"evidence":[]}`,
		`{"evidence":[{"kind":"blue-badge","sha256":"` + sha + `","expiresOn":"0001-01-01"}]}`,
		`{"months":1}`, `{"months":2147483647,"autoRenewal":false}`, `{"vehicle":""}`, `{"vehicle":"CD34 EFG"}`, `{"uprn":"200000000025","evidence":[]}`,
		`{"uprn":"999999999999","evidence":[]}`, `{"reason":"` + words + `"}`, `{"advance":"1h"}`, `{"to":"9999-12-31T23:59:59Z"}`, `{"advance":"9223372036s"}`,
		`{"account":"` + account + `","next":["late"]}`, `{"\u0000":1}`, `{"name":"\ud800"}`, `{"months":1e400}`, `{"name":"` + "\u202e" + `"}`,
	}
	for i := range commands {
		for _, body := range seeds {
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		c := commands[int(which)%len(commands)]
		req := httptest.NewRequest("POST", c.path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+c.token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", uuid.NewString())
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Errorf("%s by %s: status %d for %s: %s", c.path, c.token, w.Code, body, w.Body)
		}
	})
}

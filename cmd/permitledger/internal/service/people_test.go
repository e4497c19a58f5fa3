package service_test

import (
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"permitledger/cmd/permitledger/internal/service"
	"permitledger/domain"
	"permitledger/eventstore"
)

// looks gives who looked at an account, the latest first.
func (c caller) looks(account string) []string {
	c.t.Helper()
	a := c.get("/accounts/" + account + "/access").want(200)
	var told []string
	for i := range a.at("items").([]any) {
		told = append(told, a.str(fmt.Sprintf("items.%d.role", i))+" "+a.str(fmt.Sprintf("items.%d.what", i)))
	}
	return told
}

func TestSearchFindsPeopleAndSaysSo(t *testing.T) {
	s := start(t)
	c := newClient(t, s)
	account, evidence := c.resident("alex")
	bought := c.as("alex").post("/accounts/"+account+"/permits", application(evidence)).want(201)
	id, reference := bought.str("permitId"), bought.str("reference")
	search := func(token, text string) answer {
		return c.as(token).with("Min-Position", bought.str("position")).get("/search?q=" + url.QueryEscape(text))
	}

	for text, matched := range map[string]string{
		strings.ToLower(strings.ReplaceAll(reference, "-", "")): "reference",
		"ab12 cde": "mark-exact", "AB-I2-CDE": "mark-folded", "le111aa": "postcode",
	} {
		found := search("olga", text).want(200).is("items.0.kind", "permit").is("items.0.matched", matched).is("items.0.id", id).is("next", nil)
		found.is("items.0.reference", reference).is("items.0.state", "pending").is("items.0.zone", "LB2").is("items.0.vehicle", "AB12CDE").is("items.0.name", "alex Example")
	}
	for text, matched := range map[string]string{"example ALEX": "name", "Alex@example.org": "email"} {
		search("dana", text).want(200).is("items.0.kind", "account").is("items.0.matched", matched).is("items.0.id", account).is("items.0.owned", true)
	}
	if items := search("rita", "nobody of that name").want(200).at("items").([]any); len(items) != 0 {
		t.Errorf("found %v", items)
	}
	for _, token := range []string{"alex", "aude", "ed", "ron", "ada"} {
		search(token, "alex").want(403)
	}
	for _, path := range []string{"/search", "/search?q=", "/search?q=a", "/search?q=%20%3F", "/search?q=" + strings.Repeat("a", 201), "/search?q=alex&limit=501"} {
		c.as("olga").wrong().get(path).want(400)
	}
	c.as("olga").get("/search?q=alex&cursor=nonsense").want(400)

	if got, want := c.as("alex").looks(account), 6; len(got) != want || slices.ContainsFunc(got, func(l string) bool { return !strings.HasSuffix(l, " search") }) {
		t.Errorf("alex is told of %q, want %d searches", got, want)
	}
	if raw := string(c.as("alex").get("/accounts/" + account + "/access").raw); strings.Contains(raw, "olga") || strings.Contains(raw, "dana") {
		t.Errorf("alex is told who of the staff looked: %s", raw)
	}
	var searches int
	for _, e := range everyEvent(t, s) {
		if e.Type == "PeopleSearched" {
			searches++
		}
	}
	if searches != 7 {
		t.Errorf("%d uses are recorded, want 7, the one that found nobody among them", searches)
	}

	// What cannot be recorded is not shown.
	if err := s.Ledger.Store().Close(); err != nil {
		t.Fatal(err)
	}
	if raw := string(c.as("olga").get("/search?q=alex").want(503).raw); strings.Contains(raw, account) {
		t.Errorf("shown without a record: %s", raw)
	}
}

func TestThePersonIsToldWhoLooked(t *testing.T) {
	c := newClient(t, start(t))
	account, evidence := c.resident("alex")
	id := c.as("alex").post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	everything := func() {
		for _, token := range []string{"alex", "olga", "rita", "dana", "aude"} {
			for _, path := range []string{"/accounts/" + account, "/accounts/" + account + "/permits", "/permits/" + id, "/permits/" + id + "/history"} {
				if a := c.as(token).get(path); a.status != 200 && a.status != 403 {
					a.want(200)
				}
			}
		}
	}
	everything()
	want := []string{
		"auditor history", "auditor permit", "disputes account", "disputes history", "disputes permit",
		"operator account", "operator account-permits", "operator history", "operator permit",
		"reviewer account", "reviewer account-permits", "reviewer history", "reviewer permit",
	}
	alex := c.as("alex")
	told := alex.looks(account)
	if slices.Sort(told); !slices.Equal(told, want) {
		t.Fatalf("looked\n%q, want\n%q", told, want)
	}
	everything()
	if again := alex.looks(account); len(again) != len(want) {
		t.Errorf("looking again on the same day is told again: %q", again)
	}
	c.walk("2026-03-03T00:00:00Z")
	c.as("olga").get("/permits/" + id).want(200)
	first := alex.get("/accounts/" + account + "/access?limit=1").want(200)
	first.is("items.0.role", "operator").is("items.0.what", "permit").is("items.0.permitId", id)
	if by, told := first.at("items.0").(map[string]any)["by"]; told {
		t.Errorf("the owner is told that it was %v", by)
	}
	if rest := alex.get("/accounts/" + account + "/access?cursor=" + first.str("next")).want(200); len(rest.at("items").([]any)) != len(want) {
		t.Errorf("the second page: %s", rest.raw)
	}
	c.as("aude").get("/accounts/"+account+"/access").want(200).is("items.0.by", "olga")
	c.as("aude").get("/permits/" + id + "/history?open=complaint").want(200)
	if told := alex.looks(account); told[0] != "auditor history-opened" || len(told) != len(want)+2 {
		t.Errorf("an opened history is told as %q", told[:2])
	}
	c.as("sam").get("/accounts/" + account + "/access").want(404)
	c.as("olga").get("/accounts/" + account + "/access").want(403)
}

// letters reads the texts of the messages in a service's outbox.
func letters(t *testing.T, data string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "outbox", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		texts = append(texts, "To: "+m.Header.Get("To")+"\n"+string(text))
	}
	return texts
}

var inLetter = regexp.MustCompile(`Invitation: (\S+)`)

func TestAnAccountIsClaimedByItsInvitation(t *testing.T) {
	data := folder(t)
	c := newClient(t, start(t, func(cfg *service.Config) { cfg.Data = data }))
	olga, alex, sam := c.as("olga").with("Channel", "phone"), c.as("alex"), c.as("sam")
	account := olga.post("/accounts", `{"name":"Alex Example"}`).want(201).str("accountId")
	invite, claim := "/accounts/"+account+"/invite", "/accounts/"+account+"/claim"
	refused := olga.post(invite, `{}`).want(409).is("code", "refused").is("field", "email")
	if _, named := refused.body["rule"]; named {
		t.Errorf("a rule of its own: %s", refused.raw)
	}
	olga.post("/accounts/"+account+"/change-details", `{"email":"alex@example.org"}`).want(200)

	key := olga.with("Idempotency-Key", uuid.NewString())
	invited := key.post(invite, `{}`).want(202).is("accountId", account)
	if again := key.post(invite, `{}`).want(202); string(again.raw) != string(invited.raw) {
		t.Errorf("repeated: %s, first %s", again.raw, invited.raw)
	}
	if ends := invited.str("expiresAt"); !strings.HasPrefix(ends, "2026-03-09T09:") {
		t.Errorf("it ends at %s, want 7 days later", ends)
	}
	sent := letters(t, data)
	if len(sent) != 1 || !strings.Contains(sent[0], "alex@example.org") || !strings.Contains(sent[0], account) {
		t.Fatalf("sent %q", sent)
	}
	token := inLetter.FindStringSubmatch(sent[0])[1]
	if strings.Contains(string(invited.raw), token) {
		t.Error("the operator is shown the token")
	}

	sam.post(claim, `{"token":"wrong"}`).want(404)
	sam.post("/accounts/"+uuid.NewString()+"/claim", fmt.Sprintf(`{"token":%q}`, token)).want(404)
	olga.post(claim, fmt.Sprintf(`{"token":%q}`, token)).want(403)
	alex.get("/accounts/" + account).want(404)
	mine := alex.with("Idempotency-Key", uuid.NewString())
	claimed := mine.post(claim, fmt.Sprintf(`{"token":%q}`, token)).want(200).is("owned", true).is("name", "Alex Example")
	if again := mine.post(claim, fmt.Sprintf(`{"token":%q}`, token)).want(200); string(again.raw) != string(claimed.raw) {
		t.Errorf("repeated: %s, first %s", again.raw, claimed.raw)
	}
	alex.with("Min-Position", claimed.str("position")).get("/accounts").want(200).is("items.0.accountId", account)
	sam.post(claim, fmt.Sprintf(`{"token":%q}`, token)).want(404) // used
	olga.post(invite, `{}`).want(409)                             // it is somebody's

	late := olga.post("/accounts", `{"name":"Sam Example","email":"sam@example.org"}`).want(201).str("accountId")
	olga.post("/accounts/"+late+"/invite", `{}`).want(202)
	var tokens []string
	for _, letter := range letters(t, data) {
		if strings.Contains(letter, late) {
			tokens = append(tokens, inLetter.FindStringSubmatch(letter)[1])
		}
	}
	sam.post(claim, fmt.Sprintf(`{"token":%q}`, tokens[0])).want(404) // another account's
	c.walk("2026-03-10T09:00:00Z")
	sam.post("/accounts/"+late+"/claim", fmt.Sprintf(`{"token":%q}`, tokens[0])).want(404)
}

// everyEvent reads the whole ledger.
func everyEvent(t *testing.T, s *service.Service) []eventstore.Event {
	t.Helper()
	var events []eventstore.Event
	for r, err := range s.Ledger.Store().ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if !eventstore.IsLedgerStream(r.Stream) {
			continue
		}
		e, err := s.Ledger.Codec().Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// Whatever an operator does for somebody says how it was asked for, and by
// whom, in each event that it leads to.
func TestOperatorsSayForWhomAndHowTheyWereAsked(t *testing.T) {
	s := start(t)
	c := newClient(t, s)
	olga, rita := c.as("olga").with("Channel", "phone"), c.as("rita")
	account := olga.post("/accounts", `{"name":"Ann Example","email":"ann@example.org"}`).want(201).str("accountId")
	paper := func(text string) string {
		return olga.upload("/accounts/"+account+"/evidence", []byte("%PDF-1.7 "+text)).want(201).str("sha256")
	}
	evidence := fmt.Sprintf(`[{"kind":"utility-bill","issuedOn":"2026-02-20","sha256":%q},{"kind":"v5c","sha256":%q}]`, paper("bill"), paper("v5c"))
	olga.post("/accounts/"+account+"/change-details", `{"phone":"01509 123456"}`).want(200)
	olga.post("/accounts/"+account+"/invite", `{}`).want(202)
	c.as("ada").post("/demo/payments", fmt.Sprintf(`{"account":%q,"next":["decline"]}`, account)).want(200)
	id := olga.post("/accounts/"+account+"/permits", application(evidence)).want(201).str("permitId")
	olga.post("/permits/"+id+"/pay", `{}`).want(200)
	rita.post("/permits/"+id+"/request-information", `{"what":"A newer bill.","by":"2026-03-09"}`).want(200)
	bill := fmt.Sprintf(`[{"kind":"utility-bill","issuedOn":"2026-02-20","sha256":%q}]`, paper("newer"))
	olga.post("/permits/"+id+"/supply-information", `{"evidence":`+bill+`}`).want(200)
	rita.post("/permits/"+id+"/approve", approval).want(200)
	olga.post("/permits/"+id+"/change-vehicle", `{"vehicle":"XY34 ZZZ"}`).want(200)
	olga.post("/permits/"+id+"/change-address", `{"uprn":"200000000018","evidence":`+bill+`}`).want(200)
	c.walk("2027-02-01T09:00:00Z")
	olga.post("/permits/"+id+"/renew", `{}`).want(200)
	olga.post("/permits/"+id+"/cancel-auto-renewal", `{}`).want(200)
	olga.post("/permits/"+id+"/cancel", `{}`).want(200)

	said := map[string]bool{}
	commands := map[string]bool{} // the correlations of what the operator asked for
	for _, e := range everyEvent(t, s) {
		if e.Actor.Role == domain.RoleOperator {
			commands[e.Correlation] = true
		}
	}
	for _, e := range everyEvent(t, s) {
		if !commands[e.Correlation] {
			continue
		}
		if e.Actor.Role != domain.RoleOperator || e.Actor.ID != "olga" || e.Actor.Channel != domain.ChannelPhone || string(e.Actor.OnBehalfOf) != account {
			t.Errorf("%s in %s is by %+v", e.Type, e.Stream, e.Actor)
		}
		said[e.Type] = true
	}
	for _, name := range []string{"AccountOpened", "DocumentUploaded", "AccountDetailsChanged", "AccountInvited", "Applied", "SlotTaken",
		"PaymentRequested", "PaymentFailed", "PaymentAuthorised", "InformationSupplied", "VehicleChanged", "AddressChanged", "Renewed",
		"AutoRenewalCancelled", "Cancelled"} {
		if !said[name] {
			t.Errorf("no %s is the operator's", name)
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// house is one household. It does one thing after the other, and always goes
// on from what it was answered last.
type house struct {
	town    *town
	name    string
	random  *rand.Rand
	n       int   // commands so far, which name them
	pending *deed // without an answer as yet

	mu      sync.Mutex
	account string // guarded by mu, as the town hall asks for it

	by        string // who acts for the account: its owner, or an operator
	age       int    // commands for this account
	bill, v5c document
	permits   []*parking
}

// parking is a permit as it was last answered.
type parking struct {
	PermitID    string `json:"permitId"`
	State       string `json:"state"`
	AutoRenewal bool   `json:"autoRenewal"`
	Revision    int64  `json:"revision"`
	zone        string
	bill        document
}

// document is what an account has sent, and when.
type document struct {
	sha256, text string
	sent         time.Time
}

// An account is left after so many commands: each folds the whole stream.
const longestAccount = 40

func (h *house) known() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.account
}

func (h *house) work() {
	for h.town.goOn(h.settle()) {
		if h.pending != nil {
			continue
		}
		if h.random.IntN(6) == 0 {
			h.look()
		}
		h.pending = h.next()
	}
}

// settle sends what is without an answer and learns from the answer.
func (h *house) settle() bool {
	if h.pending == nil {
		return true
	}
	if !h.town.give(h.pending) {
		return false
	}
	d := *h.pending
	h.pending = nil
	h.learn(d)
	return true
}

func (h *house) deed(by, path, writes, body string) *deed {
	h.n++
	h.age++
	return &deed{by: by, path: path, media: jsonMedia, body: body, writes: writes, key: fmt.Sprintf("%s-%d", h.name, h.n)}
}

func (h *house) upload(doc *document, what string) *deed {
	d := h.deed(h.by, "/accounts/"+h.account+"/evidence", "DocumentUploaded", "")
	d.media, d.body = "application/pdf", fmt.Sprintf("%%PDF-1.7 %s %d of %s", what, h.n, h.name)
	*doc = document{text: d.body, sent: h.town.clock()}
	return d
}

// next is what the house does next. What the service then refuses, because the
// clock has been moved meanwhile, does no harm.
func (h *house) next() *deed {
	r := h.random
	switch {
	case h.account == "" || h.age > longestAccount && len(h.permits) == 0:
		h.by, h.age, h.bill, h.v5c = h.name, 0, document{}, document{}
		if r.IntN(4) == 0 {
			h.by = "olga"
		}
		return h.deed(h.by, "/accounts", "AccountOpened", fmt.Sprintf(`{"name":"%s","email":"%s@example.org"}`, h.name, h.name))
	case h.age > longestAccount:
		p := h.permits[0]
		if r.IntN(4) == 0 { // this one goes on by itself
			h.permits = h.permits[1:]
		}
		return h.deed(h.by, "/permits/"+p.PermitID+"/cancel", "", `{"reason":"moved"}`)
	case h.bill.sha256 == "" || h.town.clock().Sub(h.bill.sent) > 60*24*time.Hour: // a proof may be three months old
		return h.upload(&h.bill, "bill")
	case h.v5c.sha256 == "":
		return h.upload(&h.v5c, "v5c")
	}
	switch n := r.IntN(10); {
	case n == 0:
		return h.deed(h.by, "/accounts/"+h.account+"/change-details", "AccountDetailsChanged", fmt.Sprintf(`{"phone":"01632 %06d"}`, h.n))
	case n == 1 && h.by == "olga":
		return h.deed(h.by, "/accounts/"+h.account+"/invite", "AccountInvited", `{}`)
	case n < 4 && len(h.permits) < 4 || len(h.permits) == 0:
		return h.apply()
	}
	p := h.permits[r.IntN(len(h.permits))]
	if p.State == "pending" {
		return h.whilePending(p)
	}
	return h.whileLive(p)
}

func (h *house) evidence() string {
	return fmt.Sprintf(`[{"kind":"utility-bill","issuedOn":"%s","sha256":"%s"},{"kind":"v5c","sha256":"%s"}]`,
		h.bill.sent.Format(time.DateOnly), h.bill.sha256, h.v5c.sha256)
}

// somewhere gives a property of a zone, of any when it is empty.
func (h *house) somewhere(zone string) (uprn, in string) {
	if zone == "" {
		var names []string
		for name := range h.town.zones {
			names = append(names, name)
		}
		slices.Sort(names)
		zone = names[h.random.IntN(len(names))]
	}
	all := h.town.zones[zone]
	return all[h.random.IntN(len(all))], zone
}

func (h *house) apply() *deed {
	kind, months := "resident", 12
	if h.random.IntN(2) == 0 { // such a one can soon be renewed
		kind, months = "student", 3
	}
	uprn, zone := h.somewhere("")
	h.permits = append(h.permits, &parking{zone: zone, bill: h.bill})
	return h.deed(h.by, "/accounts/"+h.account+"/permits", "Applied", fmt.Sprintf(
		`{"kind":"%s","months":%d,"uprn":"%s","vehicle":"AB%d","autoRenewal":%t,"evidence":%s}`,
		kind, months, uprn, h.n, h.random.IntN(2) == 0, h.evidence()))
}

func (h *house) whilePending(p *parking) *deed {
	path := "/permits/" + p.PermitID
	switch n := h.random.IntN(12); {
	case n == 0:
		return h.deed("rita", path+"/request-information", "InformationRequested", fmt.Sprintf(`{"what":"More of %d.","by":"%s"}`, h.n, h.town.day(10)))
	case n == 1:
		return h.deed(h.by, path+"/supply-information", "InformationSupplied", fmt.Sprintf(`{"evidence":[],"note":"Here is %d."}`, h.n))
	case n == 2:
		return h.deed(h.by, path+"/pay", "", `{}`)
	case n == 3:
		return h.deed(h.by, path+"/cancel", "", `{}`)
	case n < 6:
		return h.deed("rita", path+"/reject", "Rejected", `{"basis":"policy","reasons":[{"code":"name-mismatch","text":"The bill is another's."}],
			"considered":[{"check":"name","result":"differs"}],"told":"No."}`)
	}
	return h.deed("rita", path+"/approve", "Approved", `{"basis":"policy","considered":[{"check":"name","result":"match"}],"told":"Yes."}`)
}

func (h *house) whileLive(p *parking) *deed {
	path := "/permits/" + p.PermitID
	switch n := h.random.IntN(12); {
	case n == 0:
		return h.deed(h.by, path+"/cancel", "", `{"reason":"moved"}`)
	case n == 1:
		return h.deed("rita", path+"/withdraw", "", fmt.Sprintf(`{"basis":"policy","reasons":[{"code":"name-mismatch","text":"Found later."}],
			"considered":[{"check":"name","result":"differs"}],"told":"It ends.","effectiveOn":"%s"}`, h.town.day(20)))
	case n == 2:
		return h.deed(h.by, path+"/cancel-auto-renewal", "", `{}`)
	case n < 5:
		return h.deed(h.by, path+"/renew", "", `{}`)
	case n < 7:
		uprn, _ := h.somewhere(p.zone)
		return h.deed("olga", path+"/change-address", "AddressChanged", fmt.Sprintf(`{"uprn":"%s","evidence":%s}`, uprn, h.evidence()))
	}
	return h.deed(h.by, path+"/change-vehicle", "VehicleChanged", fmt.Sprintf(`{"vehicle":"CD%d"}`, h.n))
}

// learn takes over what a command was answered.
func (h *house) learn(d deed) {
	var told struct {
		parking
		AccountID string `json:"accountId"`
		SHA256    string `json:"sha256"`
	}
	_ = json.Unmarshal([]byte(d.answer), &told) // what is not told stays empty
	switch {
	case d.path == "/accounts":
		h.mu.Lock()
		h.account = told.AccountID
		h.mu.Unlock()
	case strings.HasSuffix(d.path, "/evidence"):
		if d.body == h.bill.text {
			h.bill.sha256 = told.SHA256
		} else {
			h.v5c.sha256 = told.SHA256
		}
	case strings.HasSuffix(d.path, "/permits"):
		p := h.permits[len(h.permits)-1]
		p.PermitID, p.State, p.AutoRenewal, p.Revision = told.PermitID, told.State, told.AutoRenewal, told.Revision
	case strings.HasPrefix(d.path, "/permits/"):
		for _, p := range h.permits {
			if strings.HasPrefix(d.path, "/permits/"+p.PermitID+"/") && d.status < 300 && told.State != "" {
				p.State, p.AutoRenewal, p.Revision = told.State, told.AutoRenewal, told.Revision
			}
		}
	}
	if d.status == http.StatusConflict && strings.Contains(d.answer, `"rule":"evidence"`) {
		// What no application names is dropped after a week, and not before.
		if h.town.clock().Sub(h.bill.sent) < 24*time.Hour && h.town.clock().Sub(h.v5c.sent) < 24*time.Hour {
			h.town.t.Errorf("a document was sent today, and %s says %s", d.path, d.answer)
		}
		h.bill, h.v5c = document{}, document{}
	}
	ended := d.status == http.StatusConflict && (strings.Contains(d.answer, `"ended"`) || strings.Contains(d.answer, `"not-live"`) || strings.Contains(d.answer, `"not-pending"`))
	h.permits = slices.DeleteFunc(h.permits, func(p *parking) bool {
		return p.PermitID == "" || ended && strings.HasPrefix(d.path, "/permits/"+p.PermitID+"/") || !slices.Contains([]string{"pending", "upcoming", "active"}, p.State)
	})
}

// look has somebody read something, which may be recorded. What was answered
// before is seen again: nothing goes back.
func (h *house) look() {
	if len(h.permits) == 0 {
		h.town.read("aude", "/audit/events?limit=5")
		return
	}
	p := h.permits[h.random.IntN(len(h.permits))]
	switch h.random.IntN(8) {
	case 7:
		h.town.read("aude", "/accounts/"+h.account+"/access")
	case 6:
		text, ok := h.town.read("rita", "/accounts/"+h.account+"/evidence/"+p.bill.sha256)
		if ok && text != p.bill.text {
			h.town.t.Errorf("the bill for permit %s is %q, and %q was sent", p.PermitID, text, p.bill.text)
		}
	case 0:
		h.town.read("olga", "/search?q="+url.QueryEscape(h.name))
	case 1:
		h.town.read("rita", "/reviews?limit=5")
	case 2:
		h.town.read("olga", "/accounts/"+h.account+"/permits")
	case 3:
		h.town.read("aude", "/permits/"+p.PermitID+"/history?open="+url.QueryEscape("check "+time.Now().Format(time.RFC3339Nano)))
	default:
		answer, ok := h.town.read("rita", "/permits/"+p.PermitID)
		var seen parking
		if ok && (json.Unmarshal([]byte(answer), &seen) != nil || seen.Revision < p.Revision) {
			h.town.t.Errorf("permit %s was at revision %d and is at %s", p.PermitID, p.Revision, answer)
		}
	}
}

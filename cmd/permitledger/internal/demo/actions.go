package demo

import (
	"context"
	"fmt"
	"time"

	"permitledger/cmd/permitledger/internal/desk"
	"permitledger/domain"
)

// entering is how long the commands of an application take together. It is
// shorter than the pause between two steps of an hour.
const entering = 4 * time.Minute

// apply opens the account when there is none, uploads the papers and applies.
func apply(a *application) action {
	return func(ctx context.Context, m moment) error {
		if err := m.open(ctx); err != nil {
			return err
		}
		if len(a.provider) > 0 {
			if err := m.Instruct(ctx, m.story.account, a.provider); err != nil {
				return err
			}
		}
		m = m.later(time.Minute)
		for i, item := range a.wanted(domain.DateOf(m.at)) {
			sum, err := m.upload(ctx, m.asks(fmt.Sprintf("document %d", i)), string(item.Kind))
			if err != nil {
				return err
			}
			item.SHA256 = sum
			a.papers = append(a.papers, item)
			m = m.later(20 * time.Second)
		}
		wish := desk.Application{Kind: a.kind, Months: a.months, UPRN: a.home.uprn, Vehicle: a.vehicle, StartsOn: a.startsOn,
			AutoRenewal: a.auto, Evidence: a.papers}
		if a.follows != nil {
			wish.FollowsPermit = a.follows.id
		}
		made, err := m.Desk.Apply(ctx, m.asks("apply"), m.story.account, wish)
		a.id = made.ID
		return err
	}
}

// open opens the story's account, once.
func (m moment) open(ctx context.Context) error {
	if m.story.account != "" {
		return nil
	}
	p := m.story.person
	details := desk.Details{Name: &p.name}
	if p.email != "" {
		details.Email = &p.email
	}
	if p.phone != "" {
		details.Phone = &p.phone
	}
	opened, err := m.Desk.OpenAccount(ctx, m.asks("open"), details)
	m.story.account = opened.ID
	return err
}

// upload makes a document and uploads it.
func (m moment) upload(ctx context.Context, c desk.Call, title string) (string, error) {
	doc, err := newPaper(m.story.props, title)
	if err != nil {
		return "", err
	}
	up, err := m.Desk.Upload(ctx, c, m.story.account, doc.mediaType, doc.body)
	return up.SHA256, err
}

// wanted is the papers that an application of a day needs, still without their
// hashes.
func (a *application) wanted(today domain.Date) []domain.Evidence {
	list := []domain.Evidence{a.residency(today), {Kind: domain.EvidenceV5C}}
	if a.kind == domain.KindDisabledResident {
		list = append(list, domain.Evidence{Kind: domain.EvidenceBlueBadge, ExpiresOn: today.AddDays(500 + a.proofAge)})
	}
	return list
}

// residency is the proof of residency as of a day.
func (a *application) residency(today domain.Date) domain.Evidence {
	e := domain.Evidence{Kind: a.proof, IssuedOn: today.AddDays(-a.proofAge)}
	if a.proof == domain.EvidenceTenancy {
		e.TenancyFrom, e.TenancyMonths, e.Signed = today.AddDays(-a.proofAge), 12, true
	}
	return e
}

// approve has a reviewer approve, on the policy's basis unless conditions are
// given.
func approve(a *application, conditions ...string) action {
	return func(ctx context.Context, m moment) error {
		d := a.decision("Your permit was approved. There is nothing to display.", "shows the name and the address")
		d.NotChecked = []string{"whether the vehicle is kept at the address"}
		if len(conditions) > 0 {
			d.Basis, d.Conditions = domain.BasisDiscretion, conditions
			d.Told = "We approved your permit as an exception, on the condition that is written beside it."
		}
		_, err := m.Desk.Approve(ctx, m.reviewer("approve"), a.id, d)
		return err
	}
}

// reject has a reviewer reject for a reason.
func reject(a *application, r rejection) action {
	return func(ctx context.Context, m moment) error {
		d := a.decision(r.told, r.finding)
		d.Reasons = []domain.Reason{{Code: r.code, Clause: r.clause, Text: r.text}}
		_, err := m.Desk.Reject(ctx, m.reviewer("reject"), a.id, d)
		return err
	}
}

// decision is a record that looks at every paper.
func (a *application) decision(told, finding string) domain.Decision {
	d := domain.Decision{Basis: domain.BasisPolicy, Told: told}
	for i, p := range a.papers {
		result := "good"
		if i == 0 {
			result = finding
		}
		d.Considered = append(d.Considered, domain.Considered{Evidence: p.SHA256, Result: result})
	}
	d.Considered = append(d.Considered, domain.Considered{Check: "gazetteer", Result: "the property lies in the zone"})
	return d
}

// ask refers an application back to the resident, with ten days to answer.
func ask(a *application, what string) action {
	return func(ctx context.Context, m moment) error {
		_, err := m.Desk.RequestInformation(ctx, m.reviewer("ask"), a.id, what, domain.DateOf(m.at).AddDays(10))
		return err
	}
}

// answer supplies another proof of residency.
func answer(a *application, note string) action {
	return func(ctx context.Context, m moment) error {
		sum, err := m.upload(ctx, m.asks("document"), "answer")
		if err != nil {
			return err
		}
		item := domain.Evidence{Kind: domain.EvidenceBankStatement, SHA256: sum, IssuedOn: domain.DateOf(m.at).AddDays(-9)}
		_, err = m.Desk.SupplyInformation(ctx, m.later(time.Minute).asks("answer"), a.id, []domain.Evidence{item}, note)
		a.papers = append(a.papers, item)
		return err
	}
}

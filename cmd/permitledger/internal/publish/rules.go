package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"permitledger/domain/policy"
)

// rules reads the figures of a policy. Every figure must be there: one that
// was forgotten would silently be nought.
func (f jsonFile) rules(raw map[string]json.RawMessage, path ...any) policy.Rules {
	var rules policy.Rules
	known := fieldsOf(rules)
	for _, name := range known {
		if _, ok := raw[name]; !ok {
			f.add("write every figure, also one that is 0", fmt.Sprintf("the rules lack %q", name), path...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !slices.Contains(known, name) {
			f.add(fmt.Sprintf("write one of %v", known), fmt.Sprintf("unknown rule %q", name), append(path, name)...)
			continue
		}
		// One field at a time, so that a bad value is told on its own line.
		one, err := json.Marshal(map[string]json.RawMessage{name: raw[name]})
		if err == nil {
			decoder := json.NewDecoder(bytes.NewReader(one))
			decoder.DisallowUnknownFields()
			err = decoder.Decode(&rules)
		}
		if err != nil {
			problem := err.Error()
			if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
				problem = "cannot be a JSON " + e.Value
			}
			f.add("write a value of the right type", name+": "+problem, append(path, name)...)
		}
	}
	f.checkRules(rules, path...)
	return rules
}

// fieldsOf lists the names of the JSON fields of a struct.
func fieldsOf(v any) []string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a struct of figures always encodes
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		panic(err)
	}
	return slices.Sorted(maps.Keys(fields))
}

// checkRules checks that figures are such as can be meant.
func (f jsonFile) checkRules(r policy.Rules, path ...any) {
	for _, figure := range []struct {
		name     string
		value    int
		min, max int
	}{
		{"permitsPerProperty", r.PermitsPerProperty, 1, 100},
		{"startAheadDays", r.StartAheadDays, 0, 366},
		{"renewalWindowDays", r.RenewalWindowDays, 1, 366},
		{"autoRenewalDays", r.AutoRenewalDays, 0, r.RenewalWindowDays},
		{"proofMonths", r.ProofMonths, 1, 120},
		{"temporaryTenancyMonths", r.TemporaryTenancyMonths, 1, 120},
		{"unpaidHours", r.UnpaidHours, 1, 24 * 90},
		{"lapsedDays", r.LapsedDays, 1, 366},
		{"holdMarginMinutes", r.HoldMarginMinutes, 0, 24 * 60},
		{"vehicleChangesPerTerm", r.VehicleChangesPerTerm, 0, 1000},
	} {
		if figure.value < figure.min || figure.value > figure.max {
			f.add(fmt.Sprintf("give %d to %d", figure.min, figure.max),
				fmt.Sprintf("%s cannot be %d", figure.name, figure.value), append(path, figure.name)...)
		}
	}
	for i, kind := range r.UncountedKinds {
		if !kind.Valid() {
			f.add("write a kind that the tariffs sell", fmt.Sprintf("unknown kind of permit %q", kind), append(path, "uncountedKinds", i)...)
		}
	}
	kinds := []string{policy.RefundNone, policy.RefundWholeMonths, policy.RefundProRataDays}
	if !slices.Contains(kinds, r.Refund.Kind) {
		f.add(fmt.Sprintf("write one of %v", kinds), fmt.Sprintf("unknown kind of refund %q", r.Refund.Kind), append(path, "refund", "kind")...)
	}
	if r.Refund.AdminFee < 0 {
		f.add("give whole pence", fmt.Sprintf("a fee cannot be %d pence", r.Refund.AdminFee), append(path, "refund", "adminFeePence")...)
	}
}

package api_test

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// Each body is as large as a body may be. The memory that a request allocates
// stands for its work: it does not depend on how busy the machine is.
func TestCommandBodyCostsInProportionToItsSize(t *testing.T) {
	h := newHouse(t)
	account, _ := h.account("alex")
	const most = 200 // bytes allocated for each byte of the body
	fill := func(before, unit, after string) string {
		return before + strings.Repeat(unit, (1<<20-len(before)-len(after))/len(unit)) + after
	}
	for name, body := range map[string]string{
		"a long name over many items":      fill(`{"`+strings.Repeat("n", 1000)+`":[0`, ",0", "]}"),
		"a good name over many items":      fill(`{"kind":[0`, ",0", "]}"),
		"many lists in a list":             fill(`{"kind":[[]`, ",[0,0,0,0]", "]}"),
		"lists nested deeply":              fill(`{"kind":`, "[", ""),
		"objects nested deeply":            fill(`{"kind":`, `{"a":`, ""),
		"many members":                     manyMembers(1 << 20),
		"many members of the same name":    fill(`{"kind":0`, `,"kind":0`, "}"),
		"one long string":                  fill(`{"kind":"`, "a", `"}`),
		"many escapes":                     fill(`{"kind":"`, `\ud83d\ude00`, `"}`),
		"half pairs":                       fill(`{"kind":"`, `\ud83d`, `"}`),
		"one long number":                  fill(`{"kind":`, "9", "}"),
		"one long fraction":                fill(`{"kind":0.`, "9", "}"),
		"white space":                      fill(`{`, " ", "}"),
		"no JSON":                          fill(``, "{", ""),
		"as many members as there may be":  wide(99, 499),
		"as many levels as there may be":   strings.Repeat(`{"a":`, 7) + wide(99, 499) + strings.Repeat("}", 7),
		"the longest names over all items": strings.ReplaceAll(wide(99, 499), `"m`, `"`+strings.Repeat("n", 58)),
	} {
		req := httptest.NewRequest("POST", "/api/v1/accounts/"+account+"/permits", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer alex")
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", uuid.NewString())
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.handler.ServeHTTP(w, req)
		runtime.ReadMemStats(&after)
		if w.Code != 400 && w.Code != 413 {
			t.Errorf("%s: status %d: %.200s", name, w.Code, w.Body)
		}
		if cost := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(body)); cost > most || w.Body.Len() > 1000 {
			t.Errorf("%s: %.0f bytes allocated for each of %d, and an answer of %d", name, cost, len(body), w.Body.Len())
		}
	}
}

func manyMembers(size int) string {
	var b strings.Builder
	b.WriteString(`{"m":0`)
	for i := 0; b.Len() < size-20; i++ {
		fmt.Fprintf(&b, `,"m%d":0`, i)
	}
	return b.String() + "}"
}

// wide is an object of lists.
func wide(members, items int) string {
	var b strings.Builder
	for i := range members {
		fmt.Fprintf(&b, `,"m%03d":[0%s]`, i, strings.Repeat(",0", items-1))
	}
	return "{" + b.String()[1:] + "}"
}

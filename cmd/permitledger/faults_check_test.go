package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// wellAgain is how long the program may take to be well again by itself. The
// pings of a silent connection take twenty seconds.
const wellAgain = time.Minute

// awaitWell waits until all is well again.
func (b *breaker) awaitWell(n int, what string) {
	b.t.Helper()
	began := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := b.well()
		if err == nil {
			break
		}
		select {
		case <-again.C:
		case <-b.service.silent:
			b.t.Fatalf("fault %d (%s): the service ended by itself with exit code %d:\n%s", n, what, b.service.wait(), b.service.said())
		case <-b.node.silent:
			b.t.Fatalf("fault %d (%s): the node ended by itself with exit code %d:\n%s", n, what, b.node.wait(), b.node.said())
		}
		if time.Since(began) > wellAgain {
			_ = b.service.cmd.Process.Signal(syscall.SIGQUIT) // it says what it hangs in
			<-b.service.silent
			b.t.Fatalf("fault %d (%s): not well after %s: %v\n%s", n, what, wellAgain, err, b.service.said())
		}
	}
	b.count[what]++
	b.longest[what] = max(b.longest[what], time.Since(began))
}

// well tells what is wrong: whether the service says so itself, does not take
// a command, or does not show it in every read model that can be asked.
func (b *breaker) well() error {
	if err := b.ready(); err != nil {
		return err
	}
	if b.song == nil {
		b.songs++
		b.song = &deed{by: "olga", path: "/accounts/" + b.canary + "/change-details", media: jsonMedia,
			key: fmt.Sprintf("canary-%d", b.songs), body: fmt.Sprintf(`{"phone":"01632 %06d"}`, b.songs), writes: "AccountDetailsChanged"}
	}
	if !b.town.give(b.song) {
		return fmt.Errorf("a command is answered %d %s", b.song.status, b.song.answer)
	}
	var done struct{ Position string }
	if err := json.Unmarshal([]byte(b.song.answer), &done); err != nil {
		return err
	}
	b.song = nil
	for _, shown := range []struct{ model, by, path string }{
		{"accounts", "olga", "/accounts/" + b.canary + "/permits"},
		{"access", "aude", "/accounts/" + b.canary + "/access"},
		{"audit", "aude", "/audit/events?limit=1"},
		{"reviews", "rita", "/reviews?limit=1"},
		{"search", "olga", "/search?q=nobody"},
	} {
		if err := b.see(shown.by, "/api/v1"+shown.path, done.Position, nil); err != nil {
			return fmt.Errorf("read model %s: %w", shown.model, err)
		}
	}
	return nil
}

// ready asks the service how it is.
func (b *breaker) ready() error {
	var told struct {
		State   string
		Because []string
	}
	if err := b.see("", "/readyz", "", &told); err != nil {
		return err
	}
	if told.State != "ok" {
		return fmt.Errorf("it is %s: %v", told.State, told.Because)
	}
	return nil
}

// see reads something as it is after a position.
func (b *breaker) see(by, path, position string, into any) error {
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://"+b.town.address+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+by)
	if position != "" {
		req.Header.Set("Min-Position", position)
	}
	res, err := b.town.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status + " " + string(text))
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// check has the town stop for a while and looks whether everything that was
// acknowledged is there.
func (b *breaker) check(faults int, last bool) {
	b.t.Helper()
	began := time.Now()
	close(b.town.stays)
	b.ended()
	b.town.settle()
	all := b.town.answered(0)
	b.allOnce(all, last)
	b.checkHistory(b.data, all, true)
	b.checkModels()
	if last {
		if code := b.service.terminate(); code != 0 {
			b.t.Errorf("stopped with exit code %d:\n%s", code, b.service.said())
		}
		b.heard(b.service)
		b.checkModels()
	}
	events := b.checkHistory(b.data, all, true)
	b.checked = len(all)
	b.t.Logf("%d faults: %d commands acknowledged, %d events, refused %v; %.1f s, of which this check %.1f s",
		faults, len(all), events, b.town.refused, time.Since(b.began).Seconds(), time.Since(began).Seconds())
	if !last {
		b.letWork()
	}
}

// report says what was done, and how long it took until all was well again.
func (b *breaker) report() {
	for _, what := range slices.Sorted(maps.Keys(b.count)) {
		b.t.Logf("%4d × %s: well again after %.2f s at most", b.count[what], what, b.longest[what].Seconds())
	}
	for kind, n := range b.proxy.Seen() {
		b.t.Logf("%7d calls %s", n, kind)
		if !slices.ContainsFunc(struckCalls, func(c struckCall) bool { return c.kind == kind }) {
			b.t.Errorf("the program makes calls %s: list them, so that they are struck, too", kind)
		}
	}
	select {
	case <-b.first.Struck():
	default:
		b.t.Errorf("no %s came that could meet a fault", b.first.Kind)
	}
	if code := b.node.terminate(); code != 0 {
		b.t.Errorf("the node stopped with exit code %d:\n%s", code, b.node.said())
	}
}

package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// callbook is a CallStore in memory.
type callbook struct {
	mu       sync.Mutex
	records  []accounting.Record    // guarded by mu; the newest first
	asked    []accounting.CallQuery // likewise
	replayed []accounting.ReplayQuery
	sums     []accounting.UsageQuery                           // what was asked for, likewise
	usage    func(accounting.UsageQuery) []accounting.UsageRow // nil: nothing was used
	fail     error
}

func (b *callbook) Calls(_ context.Context, q accounting.CallQuery) (found []accounting.Record, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, q)
	for _, r := range b.records {
		after := q.Before == (accounting.CallCursor{}) || r.Begun.Before(q.Before.Begun) || r.Begun.Equal(q.Before.Begun) && r.ID < q.Before.ID
		if (q.Org == "" || q.Org == r.Who.Org) && after && len(found) < q.Limit {
			r.Attempts, r.Decision, r.Prompt, r.Answer = nil, nil, nil, nil
			found = append(found, r)
		}
	}
	return found, b.fail
}

func (b *callbook) Call(_ context.Context, org, id tenancy.ID) (accounting.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.records {
		if r.ID == id && (org == "" || org == r.Who.Org) {
			return r, b.fail
		}
	}
	return accounting.Record{}, tenancy.ErrNotFound
}

func (b *callbook) CountCalls(_ context.Context, f accounting.CallFilter) (n int64, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.records {
		if f.Org == "" || f.Org == b.records[i].Who.Org {
			n++
		}
	}
	return n, b.fail
}

// Replay gives two calls a page.
func (b *callbook) Replay(_ context.Context, q accounting.ReplayQuery) (page []accounting.Record, next accounting.CallCursor, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replayed = append(b.replayed, q)
	for _, r := range slices.Backward(b.records) {
		if (q.Org == "" || q.Org == r.Who.Org) && r.Begun.After(q.After.Begun) {
			if page = append(page, r); len(page) == 2 {
				return page, accounting.CallCursor{Begun: r.Begun, ID: r.ID}, b.fail
			}
		}
	}
	return page, accounting.CallCursor{}, b.fail
}

func (b *callbook) Usage(_ context.Context, q accounting.UsageQuery) ([]accounting.UsageRow, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sums = append(b.sums, q)
	if b.usage == nil {
		return nil, b.fail
	}
	return b.usage(q), b.fail
}

func (b *callbook) lastAsked() accounting.CallQuery {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[len(b.asked)-1]
}

const (
	promptCanary = "canary-prompt"
	answerCanary = "canary-answer"
)

// called fills the book with five calls of acme, the newest of which has everything, and one of another organization.
func (w *world) called() {
	usage := adapters.Usage{adapters.Input: 100, adapters.CacheRead: 20, adapters.Output: 7, adapters.Reasoning: 3, adapters.Requests: 1}
	whole := accounting.Record{
		State: accounting.Ended, ID: "req_5", Begun: start.Add(5 * time.Second), Who: tenancy.Identity{Org: acme, Team: "team_red", User: "user_viewer", Key: "key_caller"},
		Route: "fast", Provider: "openai", Model: "gpt-4o", Endpoint: adapters.ChatCompletions, Stream: true, Status: 200, Class: adapters.ClassNone,
		Attempts: []accounting.Attempt{
			{Provider: "groq", Model: "gpt-oss", Total: 30 * time.Millisecond, Class: adapters.ClassOverloaded, Status: 503},
			{
				Provider: "openai", Model: "gpt-4o", Began: 130 * time.Millisecond, FirstByte: 250 * time.Millisecond, Total: time.Second, Status: 200,
				Executed: true, Usage: usage, Cost: 57_500, Price: "list 1",
			},
		},
		Waiting: 100 * time.Millisecond, FirstToken: 380 * time.Millisecond, Total: 1130500 * time.Microsecond, Usage: usage, Cost: 57_500, Estimate: 1_000_000, Saved: 2_000,
		Mirror: accounting.Mirror{Of: "req_4", Org: "org_acme", Provider: "groq", Model: "gpt-oss", Total: time.Second, TokensIn: 5, TokensOut: 6, Cost: 9, Finish: "stop", Compared: true},
		Tags:   []accounting.Tag{{Key: "feature", Value: "search"}, {Key: "=a", Value: "b"}}, Task: "task_1", Decision: []byte(`{"why":"first"}`), Dropped: []string{"seed"},
		Agent: "sdk/1", Cache: "miss",
		Prompt: []byte(w.Keyring.Seal([]byte(promptCanary), accounting.ContentPlace(acme, "req_5")...)),
		Answer: []byte(w.Keyring.Seal([]byte(answerCanary), accounting.ContentPlace(acme, "req_5")...)),
	}
	w.db.calls.records = []accounting.Record{whole}
	for i := 4; i > 0; i-- {
		w.db.calls.records = append(w.db.calls.records, accounting.Record{
			State: accounting.Interrupted, ID: tenancy.ID(fmt.Sprint("req_", i)), Begun: start.Add(time.Duration(i) * time.Second), Who: tenancy.Identity{Org: acme, Key: "key_gone"},
			Endpoint: adapters.Embeddings, Class: adapters.ClassDraining, Status: 502, Error: "=the provider failed", Unpriced: "no_usage",
		})
	}
	w.db.calls.records = append(w.db.calls.records, accounting.Record{State: accounting.Begun, ID: "req_far", Begun: start, Who: tenancy.Identity{Org: other, Key: "key_far"}})
}

func TestListCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	var page struct {
		Data []map[string]any
		Next *string
	}
	var ids []any
	var first map[string]any
	for path := "/api/calls?limit=2"; path != ""; {
		page.Data, page.Next = nil, nil
		w.do("viewer", "GET", path, nil).want(200).into(&page)
		if first == nil {
			first = page.Data[0]
		}
		for _, c := range page.Data {
			ids = append(ids, c["id"])
		}
		path = ""
		if page.Next != nil {
			path = "/api/calls?limit=2&after=" + *page.Next
		}
	}
	if diff := cmp.Diff([]any{"req_5", "req_4", "req_3", "req_2", "req_1"}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	units := map[string]any{
		"input": 100.0, "cached_input": 20.0, "cache_write": 0.0, "output": 7.0, "reasoning": 3.0, "audio_input": 0.0, "audio_output": 0.0, "image_input": 0.0, "image_output": 0.0,
		"audio_ms": 0.0, "images": 0.0, "searches": 0.0,
	}
	want := map[string]any{
		"id": "req_5", "organization": "org_acme", "begun": "2027-01-15T12:00:05Z", "state": "ended", "team": map[string]any{"id": "team_red", "name": "red"},
		"user": map[string]any{"id": "user_viewer", "name": "viewer"}, "key": map[string]any{"id": "key_caller", "name": "caller"},
		"route": "fast", "provider": "openai", "model": "gpt-4o", "endpoint": "chat/completions", "stream": true, "status": 200.0, "class": "none", "error": nil,
		"waiting_ms": 100.0, "first_token_ms": 380.0, "total_ms": 1130.5, "usage": units, "tokens_in": 120.0, "tokens_out": 10.0, "estimated": false,
		"cost_usd": "0.0000575", "unpriced": nil, "tags": map[string]any{"feature": "search", "=a": "b"}, "task": "task_1", "run": nil, "cache": "miss", "saved_usd": "0.000002",
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got := page.Data[0] // the last one
	gone := map[string]any{"id": "key_gone", "name": nil}
	if got["state"] != "interrupted" || got["error"] != "=the provider failed" || got["unpriced"] != "no_usage" || !cmp.Equal(got["key"], any(gone)) || got["team"] != nil || got["first_token_ms"] != nil {
		t.Errorf("%v", got)
	}
	for who, n := range map[string]int{"root": 6, "vel": 6, "outsider": 1} {
		page.Data = nil
		w.do(who, "GET", "/api/calls", nil).want(200).into(&page)
		if len(page.Data) != n {
			t.Errorf("%s sees %d calls", who, len(page.Data))
		}
	}
	w.do("outsider", "GET", "/api/calls?organization=org_acme", nil).problem(notFound)
}

func TestFiltersOfCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("viewer", "GET", "/api/calls?from=2027-01-01T00:00:00Z&to=2027-02-01T00:00:00Z&team=team_red&user=user_1&key=key_1&route=fast&provider=openai&model=gpt-4o"+
		"&endpoint=chat/completions&tag=feature:a=b&class=timeout&failed=true&unpriced=true&q=some+text&limit=3&after=1800000000000001.req_9", nil).want(200)
	want := accounting.CallQuery{
		CallFilter: accounting.CallFilter{
			Org: acme, From: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), Team: "team_red", User: "user_1", Key: "key_1",
			Route: "fast", Provider: "openai", Model: "gpt-4o", Endpoint: "chat/completions", Tag: accounting.Tag{Key: "feature", Value: "a=b"}, Class: "timeout",
			Failed: true, Unpriced: true, Text: "some text",
		},
		Before: accounting.CallCursor{Begun: time.UnixMicro(1800000000000001).UTC(), ID: "req_9"}, Limit: 4,
	}
	if diff := cmp.Diff(want, w.db.calls.lastAsked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	for text, tag := range map[string]accounting.Tag{"a": {Key: "a"}, "a=b:c": {Key: "a", Value: "b:c"}, "a:": {Key: "a"}} {
		w.do("root", "GET", "/api/calls?tag="+text, nil).want(200)
		if got := w.db.calls.lastAsked(); got.Tag != tag || got.Org != "" || got.Limit != 21 {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for _, query := range []string{
		"limit=0", "limit=101", "after=x", "from=yesterday", "from=2027-01-02T00:00:00Z&to=2027-01-02T00:00:00Z", "from=2027-01-03T00:00:00Z&to=2027-01-02T00:00:00Z",
		"tag=:x", "class=A", "failed=perhaps", "what=1", "q=",
	} {
		w.do("viewer", "GET", "/api/calls?"+query, nil).problem(invalid)
	}
	w.db.calls.fail = &tenancy.Unavailable{Cause: errors.New("away")}
	for _, path := range []string{"/api/calls", "/api/calls/export", "/api/usage", "/api/costs/summary"} {
		w.do("viewer", "GET", path, nil).problem(unavailable)
	}
}

func TestGetCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	v := w.do("viewer", "GET", "/api/calls/req_5", nil).want(200).object()
	attempts := v["attempts"].([]any)
	first := map[string]any{
		"provider": "groq", "model": "gpt-oss", "began_ms": 0.0, "first_byte_ms": nil, "total_ms": 30.0, "class": "overloaded", "status": 503.0, "executed": false,
		"usage": attempts[0].(map[string]any)["usage"], "estimated": false, "cost_usd": "0", "unpriced": nil, "price": nil,
	}
	if diff := cmp.Diff(first, attempts[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	second := attempts[1].(map[string]any)
	if second["began_ms"] != 130.0 || second["first_byte_ms"] != 250.0 || second["cost_usd"] != "0.0000575" || second["price"] != "list 1" || second["executed"] != true {
		t.Errorf("%v", second)
	}
	if v["estimate_usd"] != "0.001" || !cmp.Equal(v["dropped"], any([]any{"seed"})) || v["agent"] != "sdk/1" ||
		v["has_content"] != true || v["content"] != nil {
		t.Errorf("%v", v)
	}
	mirror := map[string]any{
		"of": "req_4", "organization": "org_acme", "provider": "groq", "model": "gpt-oss", "first_token_ms": nil, "total_ms": 1000.0, "tokens_in": 5.0, "tokens_out": 6.0,
		"cost_usd": "0.000000009", "finish_reason": "stop", "copy_finish_reason": nil, "same_text": false,
	}
	if diff := cmp.Diff(mirror, v["mirror"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.do("outsider", "GET", "/api/calls/req_5", nil).problem(notFound)
	w.do("viewer", "GET", "/api/calls/req_far", nil).problem(notFound)
	w.do("viewer", "GET", "/api/calls/req_none", nil).problem(notFound)
}

// What was said is shown to whoever may read it, when they ask, and only once that is written down.
func TestContentOfCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	says := func(a *answer) bool {
		return strings.Contains(string(a.body), promptCanary) || strings.Contains(string(a.body), answerCanary)
	}
	for _, path := range []string{"/api/calls", "/api/calls/req_5", "/api/calls/req_5?content=false", "/api/calls/export", "/api/calls/export?format=csv"} {
		if a := w.do("admin", "GET", path, nil).want(200); says(a) {
			t.Errorf("%s shows what was said", path)
		}
	}
	for _, who := range []string{"viewer", "manager"} {
		a := w.do(who, "GET", "/api/calls/req_5?content=true", nil)
		if p := a.problem(notAllowed); says(a) || !strings.Contains(p.Detail, "view_content") {
			t.Errorf("%s: %s", who, a.body)
		}
	}
	reads := func() (events []tenancy.AuditEvent) {
		for _, e := range w.db.audit.all() {
			if e.Action == tenancy.ActionReadContent {
				events = append(events, e)
			}
		}
		return events
	}
	if n := len(reads()); n != 0 {
		t.Errorf("%d reads are written down, and nobody read", n)
	}
	for i, who := range []string{"admin", "robot", "root"} {
		v := w.do(who, "GET", "/api/calls/req_5?content=true", nil).want(200).object()
		if want := map[string]any{"prompt": promptCanary, "answer": answerCanary, "unreadable": nil}; !cmp.Equal(v["content"], any(want)) {
			t.Errorf("%s: %v", who, v["content"])
		}
		list := reads()
		if len(list) != i+1 || list[i].Org != acme || list[i].Object.ID != "req_5" || list[i].By.Name != who {
			t.Errorf("%s: %+v", who, list)
		}
	}
	if v := w.do("admin", "GET", "/api/calls/req_4?content=true", nil).want(200).object(); v["content"] != nil || v["has_content"] != false || len(reads()) != 3 {
		t.Errorf("nothing is kept: %v", v)
	}
	w.db.audit.breaks(&tenancy.Unavailable{Cause: errors.New("away")})
	if a := w.do("admin", "GET", "/api/calls/req_5?content=true", nil); a.status != unavailable.status || says(a) {
		t.Errorf("not written down: %d %s", a.status, a.body)
	}
	w.db.audit.breaks(nil)

	// Moved to another call, or sealed by another key, it does not open.
	keyring, err := secrets.NewKeyring(secrets.New(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	r := &w.db.calls.records[0]
	r.Prompt = []byte(keyring.Seal([]byte(promptCanary), accounting.ContentPlace(acme, r.ID)...))
	r.Answer = []byte(w.Keyring.Seal([]byte(answerCanary), accounting.ContentPlace(acme, "req_4")...))
	a := w.do("admin", "GET", "/api/calls/req_5?content=true", nil).want(200)
	if c := a.object()["content"].(map[string]any); says(a) || c["prompt"] != nil || c["answer"] != nil || c["unreadable"] == nil {
		t.Errorf("%s", a.body)
	}
	if log := w.log.String(); strings.Contains(log, promptCanary) || strings.Contains(log, answerCanary) {
		t.Error("the log has what was said")
	}
}

func TestExportCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	a := w.do("viewer", "GET", "/api/calls/export", nil).want(200)
	var ids []string
	for line := range strings.Lines(string(a.body)) {
		var v struct{ ID string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, v.ID)
	}
	if !slices.Equal(ids, []string{"req_5", "req_4", "req_3", "req_2", "req_1"}) || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%v %v", ids, a.header)
	}
	a = w.do("root", "GET", "/api/calls/export?format=csv&failed=true", nil).want(200)
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	if err != nil || len(rows) != 7 || !w.db.calls.lastAsked().Failed {
		t.Fatalf("%q, %v", rows, err)
	}
	want := []string{
		"2027-01-15T12:00:05Z", "org_acme", "req_5", "ended", "team_red", "red", "user_viewer", "viewer", "key_caller", "caller", "fast", "openai", "gpt-4o", "chat/completions", "true",
		"200", "none", "", "100", "380", "1130.5", "120", "10", "false", "0.0000575", "", "'=a=b;feature=search", "0.000002",
	}
	if diff := cmp.Diff(want, rows[1]); diff != "" || len(rows[0]) != len(want) || rows[2][17] != "'=the provider failed" {
		t.Errorf("%q\n(-want +got):\n%s", rows[2], diff)
	}

	// More than one page.
	one := w.db.calls.records[5]
	w.db.calls.records = nil
	for i := range 2*exportPage + 1 {
		one.Begun, one.ID = start.Add(-time.Duration(i)*time.Second), tenancy.ID(fmt.Sprint("req_", i))
		w.db.calls.records = append(w.db.calls.records, one)
	}
	if n := strings.Count(string(w.do("root", "GET", "/api/calls/export", nil).want(200).body), "\n"); n != 2*exportPage+1 {
		t.Errorf("%d lines", n)
	}
	w.do("outsider", "GET", "/api/calls/export?organization=org_acme", nil).problem(notFound)
	w.do("viewer", "GET", "/api/calls/export?format=json", nil).problem(invalid)
}

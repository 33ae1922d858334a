package admin

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/routing/task"
	"github.com/vel-gateway/vel/tenancy"
)

// A decision is kept as codes and read as words, with the attempts that followed.
func TestGetCallRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	w.db.calls.records[0].Decision = []byte(`{"rev":7,"asked":"auto","route":"fast","by":"cheapest","tokens":12,"task":"code","told":true,"why":[["cue def",1.50]],"rules":[["auto",1]],` +
		`"targets":[["groq","gpt-oss",1,0,57500],["openai","gpt-4o",3,1795341605000],["local","x",1,0,-1],["private","y",7]]}`)
	if all := w.do("root", "GET", "/api/calls/req_5/route", nil).want(200).object()["decision"].(map[string]any)["candidates"].([]any); len(all) != 4 {
		t.Errorf("the platform sees %v", all)
	}
	v := w.do("viewer", "GET", "/api/calls/req_5/route", nil).want(200).object()
	score, measure := any(57500.0), any("0.0000575 USD for this call")
	candidate := func(provider, model string, chosen bool, reason string, until, score, measure any) any {
		return map[string]any{"provider": provider, "model": model, "chosen": chosen, "reason": reason, "until": until, "score": score, "measure": measure}
	}
	want := map[string]any{
		"asked": "auto", "route": "fast", "strategy": "cheapest", "tokens": 12.0, "task": "code", "task_from": "header", "refused": nil, "revision": 7.0,
		"features": []any{map[string]any{"name": "cue def", "weight": 1.5}}, "rules": []any{map[string]any{"route": "auto", "rule": 1.0}},
		"candidates": []any{
			candidate("groq", "gpt-oss", true, "chosen", nil, score, measure),
			candidate("openai", "gpt-4o", false, "breaker open", time.UnixMilli(1795341605000).UTC().Format(time.RFC3339), nil, nil),
			candidate("local", "x", true, "chosen", nil, nil, "no price is known"),
		},
	}
	if diff := cmp.Diff(want, v["decision"]); diff != "" || len(v["attempts"].([]any)) != 2 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.db.calls.records[0].Decision = []byte("\x01another form")
	if v := w.do("root", "GET", "/api/calls/req_5/route", nil).want(200).object(); v["decision"] != nil {
		t.Errorf("%v", v)
	}
	w.do("outsider", "GET", "/api/calls/req_5/route", nil).problem(notFound)
	w.do("viewer", "GET", "/api/calls/req_far/route", nil).problem(notFound)
}

// What is said of a call reaches routing, and the decision comes back.
func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got routing.Ask
	w.planned = func(a *routing.Ask, now time.Time) *routing.Decision {
		if got = *a; !now.Equal(start) {
			t.Errorf("planned at %s", now)
		}
		return &routing.Decision{
			Asked: a.Model, Route: "m", Strategy: routing.Fastest, Task: task.Code, Refusal: routing.NotServed,
			Candidates: routing.Explanation{{Provider: "p", Model: "m", Reason: routing.NotSpoken, Score: math.Inf(1)}},
		}
	}
	v := w.do("viewer", "POST", "/api/routes/dry-run", map[string]any{
		"model": "m", "endpoint": "responses", "user": "user_viewer", "task": "research", "tokens": 500, "max_tokens": 7, "stream": true, "tools": true, "images": true,
		"json_schema": true, "tags": map[string]string{"env": "prod"}, "headers": map[string]string{"User-Agent": "x"}, "session": "s", "id": "req_1",
	}).want(200).object()
	if v["refused"] != "no target of the route speaks this endpoint" || v["task_from"] != "judged" || v["route"] != "m" {
		t.Errorf("%v", v)
	}
	if got.Model != "m" || got.Endpoint != adapters.Responses || got.Who.Identity != (tenancy.Identity{Org: acme, User: "user_viewer"}) || got.Tokens() != 500 || got.MaxOutput != 7 ||
		!got.Stream || !got.Explain || string(got.Header.Peek("X-Vel-Task")) != "research" || string(got.Header.Peek("user-agent")) != "x" || string(got.Tags[0]) != "env=prod" ||
		string(got.Session) != "s" || got.Seed != routing.SeedOf("req_1") || !strings.Contains(string(got.Body), "json_schema") || !strings.Contains(string(got.Input), "image_url") {
		t.Errorf("%+v", got)
	}
	w.do("viewer", "POST", "/api/routes/dry-run", map[string]any{
		"body": map[string]any{"model": "x", "stream": true, "max_tokens": 9, "metadata": map[string]any{"Team": "A"}, "messages": []any{map[string]any{"role": "user", "content": "Hello"}}}, "key": "key_caller",
	}).want(200)
	if got.Model != "x" || !got.Stream || got.MaxOutput != 9 || !strings.Contains(string(got.Input), "Hello") || got.Who.Key != "key_caller" || got.Endpoint != adapters.ChatCompletions {
		t.Errorf("%+v", got)
	}
}

// What is wrong with a dry run is named.
func TestDryRunFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := map[string]any{"model": "x", "messages": []any{}}
	for at, body := range map[string]any{
		"body.model":         map[string]any{},
		"body.tokens":        map[string]any{"body": whole, "tokens": 1},
		"body.body.messages": map[string]any{"body": map[string]any{"model": "x"}},
		"body.key":           map[string]any{"model": "m", "key": "key_far"},
		"body.user":          map[string]any{"model": "m", "user": "user_outsider"},
		"body.team":          map[string]any{"model": "m", "team": "team_none"},
		"body.endpoint":      map[string]any{"model": "m", "endpoint": "chat"},
		"body.task":          map[string]any{"model": "m", "task": "codes"},
		"body.tags":          map[string]any{"model": "m", "tags": map[string]string{"a=b": "c"}},
	} {
		a := w.do("viewer", "POST", "/api/routes/dry-run", body).want(422)
		if !strings.Contains(string(a.body), `"`+at+`"`) {
			t.Errorf("%s is not named: %s", at, a.body)
		}
	}
	w.Planner = nil
	w.do("viewer", "POST", "/api/routes/dry-run", map[string]any{"model": "m"}).problem(unavailable)
}

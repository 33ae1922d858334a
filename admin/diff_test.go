package admin

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// flat is a price of so much for each call.
type flat money.Nano

func (f flat) Cost(*adapters.Usage, time.Time) (money.Nano, bool) { return money.Nano(f), true }
func (f flat) Version() string                                    { return "test" }

// tableOf has the route "auto" over some targets, each of a provider of its own, for 40000 nano-dollars a call.
func tableOf(t *testing.T, targets ...routing.TargetConfig) *routing.Table {
	t.Helper()
	cfg := routing.Defaults()
	cfg.Providers, cfg.Models = map[string]routing.ProviderConfig{}, map[string]routing.ModelConfig{"auto": {Targets: targets}}
	for _, target := range targets {
		cfg.Providers[target.Provider] = routing.ProviderConfig{Kind: "openai", APIKey: new(secrets.New("sk-test"))}
	}
	table, err := routing.Build(cfg, map[string]*adapters.Adapter{
		"openai": {Kind: "openai", BaseURL: "https://api.openai.com/v1", Codecs: map[adapters.Endpoint]adapters.Codec{adapters.ChatCompletions: struct{ adapters.Codec }{}}},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	table.Price(func(*routing.Provider, string) routing.Pricer { return flat(40_000) })
	return table
}

// Recorded calls are planned again by what is proposed, for whoever may see them.
func TestDiffRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	for i := range w.db.calls.records {
		if w.db.calls.records[i].ID == "req_5" {
			w.db.calls.records[i].Decision = []byte(`{"rev":1,"asked":"auto","route":"auto","targets":[["groq","gpt-oss",1],["openai","gpt-4o",1]],"facts":{"v":1}}`)
		}
	}
	groq, openai := routing.TargetConfig{Provider: "groq", Model: "gpt-oss"}, routing.TargetConfig{Provider: "openai", Model: "gpt-4o"}
	type proposal struct {
		With string
		Part bool
		Org  tenancy.ID
	}
	var got []proposal
	w.proposed = func(with string, part bool, org tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
		got = append(got, proposal{with, part, org})
		return tableOf(t, openai, groq), tableOf(t, groq, openai), nil, nil
	}
	v := w.do("root", "POST", "/api/routes/diff", map[string]any{"with": "a file"}).want(200).object()
	first, _ := v["shifts"].([]any)[0].(map[string]any)
	cost := map[string]any{"before_usd": "0.0000575", "after_usd": "0.00004", "change_usd": "-0.0000175", "known": 1.0, "unknown": 0.0}
	want := map[string]any{
		"asked": "auto", "from": "openai/gpt-4o", "to": "groq/gpt-oss", "refused": nil, "calls": 1.0, "by_configuration": 1.0, "cost": cost,
		"latency": map[string]any{"median_before_ms": nil, "median_after_ms": nil, "p95_before_ms": nil, "p95_after_ms": nil, "known": 0.0, "unknown": 1.0},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v["found"] != 6.0 || v["looked_at"] != 6.0 || v["every"] != 1.0 || v["move"] != 1.0 || v["since"] != start.Add(-24*time.Hour).Format(time.RFC3339) || !cmp.Equal(v["cost"], any(cost)) {
		t.Errorf("%v", v)
	}
	example, _ := v["examples"].([]any)[0].(map[string]any)
	if example["id"] != "req_5" || example["before_usd"] != "0.0000575" || example["to"] != "groq/gpt-oss" {
		t.Errorf("%v", example)
	}
	own := w.do("viewer", "POST", "/api/routes/diff", map[string]any{"with": "models", "tag": "env=prod", "limit": 2, "route": "fast"}).want(200).object()
	if own["found"] != 5.0 || own["every"] != 3.0 {
		t.Errorf("%v", own)
	}
	q := w.db.calls.replayed[len(w.db.calls.replayed)-1]
	if q.Org != acme || q.Tag.Value != "prod" || q.Route != "fast" || q.Every != 3 {
		t.Errorf("%+v", q)
	}
	if diff := cmp.Diff([]proposal{{"a file", false, ""}, {"models", true, acme}}, got); diff != "" {
		t.Error(diff)
	}
	w.do("viewer", "POST", "/api/routes/diff?organization=org_other", map[string]any{"with": "x"}).problem(notFound)
}

// What is wrong with a proposal is named, and a database that fails is no comparison.
func TestDiffRoutesFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for at, body := range map[string]map[string]any{
		"body.with":     {},
		"body.limit":    {"with": "x", "limit": 200_001},
		"body.examples": {"with": "x", "examples": 101},
		"body.until":    {"with": "x", "since": start, "until": start.Add(-time.Hour)},
		"body.tag":      {"with": "x", "tag": "="},
	} {
		if a := w.do("root", "POST", "/api/routes/diff", body).want(422); !strings.Contains(string(a.body), at[len("body."):]) {
			t.Errorf("%s is not named: %s", at, a.body)
		}
	}
	w.proposed = func(string, bool, tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
		return nil, nil, []Fault{{"body.with.models.m", "has no targets"}}, nil
	}
	if a := w.do("root", "POST", "/api/routes/diff", map[string]any{"with": "x"}).want(422); !strings.Contains(string(a.body), "body.with.models.m") {
		t.Errorf("%s", a.body)
	}
	w.proposed = func(string, bool, tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
		return tableOf(t), tableOf(t), nil, nil
	}
	w.db.calls.fail = errors.New("it is away")
	w.do("root", "POST", "/api/routes/diff", map[string]any{"with": "x"}).want(500)
	w.Proposer = nil
	w.do("root", "POST", "/api/routes/diff", map[string]any{"with": "x"}).problem(unavailable)
}

// One comparison runs at a time; who waits for it and leaves reads nothing.
func TestDiffRoutesInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.called()
	w.replaying <- struct{}{} // another one runs
	ctx, leave := context.WithCancel(t.Context())
	r := request(t, "POST", "/api/routes/diff", adminKey).WithContext(ctx)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"with":"x"}`)), int64(len(`{"with":"x"}`))
	r.Header.Set("Content-Type", "application/json")
	proposed, over := make(chan struct{}), make(chan struct{})
	w.proposed = func(string, bool, tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
		close(proposed)
		return tableOf(t), tableOf(t), nil, nil
	}
	go func() { defer close(over); w.ServeHTTP(httptest.NewRecorder(), r) }()
	<-proposed
	leave()
	<-over
	if n := len(w.db.calls.replayed); n != 0 || len(w.replaying) != 1 {
		t.Errorf("%d pages were read, %d comparisons run", n, len(w.replaying))
	}
	<-w.replaying
	w.proposed = func(string, bool, tenancy.ID) (now, then *routing.Table, faults []Fault, err error) {
		return tableOf(t), tableOf(t), nil, nil
	}
	if v := w.do("root", "POST", "/api/routes/diff", map[string]any{"with": "x"}).want(200).object(); v["looked_at"] != 6.0 || len(w.replaying) != 0 {
		t.Errorf("%v", v)
	}
}

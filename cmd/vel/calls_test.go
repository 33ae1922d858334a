package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// squeezed is a text with single spaces.
func squeezed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

func object(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTablesOfCalls(t *testing.T) {
	t.Parallel()
	call := object(t, `{"id": "req_1", "begun": "x", "key": {"id": "key_1", "name": "web"}, "route": "fast", "provider": "openai", "model": "gpt-4o", "status": 200, "class": "none",
		"state": "ended", "total_ms": 1130.5, "tokens_in": 1234567, "tokens_out": 10, "cost_usd": "0.5", "unpriced": null, "attempts": [{"provider": "openai", "model": "gpt-4o",
		"began_ms": 0, "first_byte_ms": null, "total_ms": 30, "status": 503, "class": "overloaded", "cost_usd": "0", "unpriced": "no_usage", "price": null}],
		"content": {"prompt": "what was asked", "answer": null, "unreadable": "it was sealed with the key x"}}`)
	refused := object(t, `{"id": "req_2", "begun": "x", "key": {"id": "key_2", "name": null}, "route": "fast", "provider": "", "model": "", "status": 429, "class": "rate_limit",
		"state": "interrupted", "total_ms": 1, "tokens_in": 0, "tokens_out": 0, "cost_usd": "0", "unpriced": "no_price"}`)
	want := `BEGUN CALL KEY ROUTE WENT TO STATUS ENDED MS TOKENS USD
x req_1 web fast openai/gpt-4o 200 none 1130.5 1234567 → 10 0.5
x req_2 key_2 fast - 429 interrupted 1 0 → 0 0 (no_price)
`
	if diff := cmp.Diff(want, squeezed(callsTable([]map[string]any{call, refused}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	sheet := squeezed(callSheet(call))
	for _, part := range []string{
		"id req_1\n", "key id=key_1 name=web\n", "\nATTEMPT BEGAN MS FIRST BYTE MS TOTAL MS STATUS ENDED USD PRICE\nopenai/gpt-4o 0 - 30 503 overloaded 0 (no_usage) -\n",
		"\nPROMPT\nwhat was asked\n", "\nUNREADABLE\nit was sealed with the key x\n",
	} {
		if !strings.Contains(sheet, part) {
			t.Errorf("%q is not in\n%s", part, sheet)
		}
	}
	if strings.Contains(sheet, "ANSWER") || strings.Contains(sheet, "content") {
		t.Errorf("what is not there is shown:\n%s", sheet)
	}
}

func TestTablesOfUsage(t *testing.T) {
	t.Parallel()
	v := usageAnswer{More: true, Data: []map[string]any{object(t, `{"from": "a day", "key": {"id": "key_1", "name": "web"}, "tag": "search", "calls": 10, "failed": 1, "tokens_in": 5,
		"tokens_out": 6, "cost_usd": "1.5", "p50_ms": 100, "p95_ms": 200, "p99_ms": null}`)}}
	want := `FROM KEY TAG:FEATURE CALLS FAILED TOKENS USD P50 MS P95 MS P99 MS
a day web search 10 1 5 → 6 1.5 100 200 -
There are more: raise --limit.
`
	if diff := cmp.Diff(want, squeezed(v.table(true, []string{"key", "tag:feature"}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	costs := squeezed(costsSheet(object(t, `{"today": {"cost_usd": "12.5", "calls": 7, "before_usd": "10", "change_percent": 20.5}, "week": {}, "month": {}, "last_month": {"cost_usd": "744"},
		"burn_rate": {"per_hour_usd": "1", "per_day_usd": "24"}, "projection": {"month_end_usd": "800"}, "unpriced_percent": 0.5,
		"models": [{"id": "openai/gpt-4o", "name": null, "cost_usd": "3", "percent": 24, "calls": 2}], "keys": [], "providers": [], "organizations": []}`)))
	for _, part := range []string{
		"today 12.5 7 10 20.5\n", "last month 744\n", "a day, in the last 7 24\n", "at the end of the month 800\n", "MODELS USD % CALLS\nopenai/gpt-4o 3 24 2\n",
		"Of a hundred calls 0.5 may have cost more than is known",
	} {
		if !strings.Contains(costs, part) {
			t.Errorf("%q is not in\n%s", part, costs)
		}
	}
	prices := squeezed(pricesTable(object(t, `{"general": {"source": "list", "version": "list/2026-11-20", "from": null, "usd": {"output": "10", "cached_input": "1", "input": "2"},
		"tiers": [{"above": 200000, "usd": {"input": "4"}}]}, "organizations": [{"organization": {"id": "org_1", "name": "acme"}, "source": "operator", "version": "own/1", "usd": {"image": "1"}}]}`)))
	want = `FOR ABOVE CLASS USD SOURCE VERSION FROM
everybody - input 2 list list/2026-11-20 -
everybody - output 10 list list/2026-11-20 -
everybody - cached_input 1 list list/2026-11-20 -
everybody 200000 input 4 list list/2026-11-20 -
acme - image 1 operator own/1 -
`
	if diff := cmp.Diff(want, prices); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPointInTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{"2027-01-31T01:00:00+01:00": "2027-01-31T00:00:00Z", "36h": "2027-02-28T00:00:00Z", "30d": "2027-01-30T12:00:00Z", "0d": "2027-03-01T12:00:00Z"} {
		if at, ok := pointInTime(text, now); !ok || at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v; want %s", text, at, ok, want)
		}
	}
	for _, text := range []string{"soon", "-1h", "-1d", "d", "1w", "99999999d"} {
		if at, ok := pointInTime(text, now); ok {
			t.Errorf("%s is %v", text, at)
		}
	}
}

package admin

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

func (b *callbook) lastSum() accounting.UsageQuery {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sums[len(b.sums)-1]
}

// used is what one group used.
func used(from time.Time, cost money.Nano, group ...string) accounting.UsageRow {
	return accounting.UsageRow{
		From: from, Group: group, Calls: 10, Failed: 1, Refused: 2, Estimated: 3, Unpriced: 4, Usage: adapters.Usage{adapters.Input: 100, adapters.CacheRead: 5, adapters.Output: 50},
		Cost: cost, Saved: 5_000, P50: 100 * time.Millisecond, P95: 200 * time.Millisecond, P99: 300 * time.Millisecond, FirstP95: 1500 * time.Microsecond,
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := start.Truncate(24 * time.Hour)
	w.db.calls.usage = func(q accounting.UsageQuery) []accounting.UsageRow {
		rows := []accounting.UsageRow{
			used(at, 1_500_000_000, "key_caller", "team_red", "user_viewer", "fast", "openai", "openai/gpt-4o", "=search"),
			used(at, 1, "key_gone", "", "", "", "", "/", ""), used(at, 0, "key_far", "", "", "", "", "", ""),
		}
		return rows[:min(len(rows), q.Limit)]
	}
	query := "/api/usage?by=key,team,user,route,provider,model,tag:feature&per=day&limit=2&from=2027-01-10T05:00:00Z&to=2027-01-15T12:00:01Z&team=team_red&user=user_1&key=key_1" +
		"&route=fast&provider=openai&model=gpt-4o&tag=feature=search"
	v := w.do("viewer", "GET", query, nil).want(200).object()
	want := accounting.UsageQuery{
		Org: acme, From: time.Date(2027, 1, 10, 0, 0, 0, 0, time.UTC), To: time.Date(2027, 1, 15, 12, 1, 0, 0, time.UTC), Team: "team_red", User: "user_1", Key: "key_1",
		Route: "fast", Provider: "openai", Model: "gpt-4o", Tag: accounting.Tag{Key: "feature", Value: "search"},
		By: []accounting.Dimension{"key", "team", "user", "route", "provider", "model", "tag:feature"}, Grain: accounting.Days, Limit: 3,
	}
	if diff := cmp.Diff(want, w.db.calls.lastSum()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	data := v["data"].([]any)
	if v["from"] != "2027-01-10T00:00:00Z" || v["to"] != "2027-01-15T12:01:00Z" || v["more"] != true || len(data) != 2 {
		t.Errorf("%v", v)
	}
	first := data[0].(map[string]any)
	units := first["usage"]
	whole := map[string]any{
		"from": "2027-01-15T00:00:00Z", "key": map[string]any{"id": "key_caller", "name": "caller"}, "team": map[string]any{"id": "team_red", "name": "red"},
		"user": map[string]any{"id": "user_viewer", "name": "viewer"}, "route": "fast", "provider": "openai", "model": "openai/gpt-4o", "tag": "=search",
		"calls": 10.0, "failed": 1.0, "refused": 2.0, "estimated": 3.0, "unpriced": 4.0, "tokens_in": 105.0, "tokens_out": 50.0, "usage": units, "cost_usd": "1.5", "saved_usd": "0.000005",
		"p50_ms": 100.0, "p95_ms": 200.0, "p99_ms": 300.0, "first_token_p50_ms": nil, "first_token_p95_ms": 1.5,
	}
	if diff := cmp.Diff(whole, first); diff != "" || units.(map[string]any)["cached_input"] != 5.0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if second := data[1].(map[string]any); !cmp.Equal(second["key"], any(map[string]any{"id": "key_gone", "name": nil})) || second["team"] != nil || second["tag"] != "" {
		t.Errorf("%v", second)
	}

	for _, how := range [][]string{{query + "&format=csv"}, {query, "Accept", "text/csv"}} {
		a := w.do("viewer", "GET", how[0], nil, how[1:]...).want(200)
		rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
		if err != nil || len(rows) != 3 || a.header.Get("Content-Type") != "text/csv; charset=utf-8" {
			t.Fatalf("%q, %v, %v", rows, err, a.header)
		}
		cells := map[string]string{}
		for i, name := range rows[0] {
			cells[name] = rows[1][i]
		}
		for name, want := range map[string]string{
			"from": "2027-01-15T00:00:00Z", "key": "key_caller", "key_name": "caller", "team_name": "red", "user": "user_viewer", "route": "fast", "model": "openai/gpt-4o",
			"tag:feature": "'=search", "calls": "10", "tokens_in": "105", "cached_input": "5", "cost_usd": "1.5", "p50_ms": "100", "first_token_p50_ms": "", "first_token_p95_ms": "1.5",
		} {
			if cells[name] != want {
				t.Errorf("column %s is %q, want %q", name, cells[name], want)
			}
		}
	}
}

func TestSpansOfUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	date := func(month, day, hour, minute int) time.Time {
		return time.Date(2027, time.Month(month), day, hour, minute, 0, 0, time.UTC)
	}
	for query, want := range map[string]accounting.UsageQuery{ // it is 2027-01-15 12:00
		"":                          {From: date(1, 15-30, 12, 0), To: date(1, 15, 12, 0)},
		"per=minute":                {From: date(1, 14, 12, 0), To: date(1, 15, 12, 0), Grain: accounting.Minutes},
		"per=hour":                  {From: date(1, 15-30, 12, 0), To: date(1, 15, 12, 0), Grain: accounting.Hours},
		"per=day":                   {From: date(1, 15-30, 0, 0), To: date(1, 15, 12, 0), Grain: accounting.Days},
		"per=month":                 {From: date(-11, 1, 0, 0), To: date(1, 15, 12, 0), Grain: accounting.Months},
		"from=2027-01-15T11:59:59Z": {From: date(1, 15, 11, 59), To: date(1, 15, 12, 0)},
		"from=2027-01-01T01:00:00%2B02:00&per=day": {From: date(1, 0, 0, 0), To: date(1, 15, 12, 0), Grain: accounting.Days},
		"to=2020-02-01T00:00:30Z":                  {From: time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2020, 2, 1, 0, 1, 0, 0, time.UTC)},
	} {
		v := w.do("root", "GET", "/api/usage?"+query, nil).want(200).object()
		want.Limit = 1001
		if diff := cmp.Diff(want, w.db.calls.lastSum()); diff != "" {
			t.Errorf("%s: asked (-want +got):\n%s", query, diff)
		}
		if data, ok := v["data"].([]any); !ok || len(data) != 0 || v["more"] != false {
			t.Errorf("%s: %v", query, v)
		}
	}
	for query, want := range map[string]string{
		"from=2027-01-16T00:00:00Z":                         "query.from is not in the past",
		"from=2027-01-16T00:00:00Z&to=2027-01-15T00:00:00Z": "query.to is not after from",
		"from=2027-01-12T00:00:00Z&per=minute":              "query.from is too far from the end: with per=minute it may be two days",
		"from=2026-01-01T00:00:00Z&per=hour":                "query.from is too far from the end: with per=hour it may be 93 days",
		"from=2020-01-01T00:00:00Z&per=day":                 "query.from is too far from the end: with per=day it may be 1100 days",
		"from=2020-01-01T00:00:00Z":                         "query.from is too far from the end",
		"by=key,what":                                       "query.by[1] is not organization, team",
		"by=key,key":                                        "query.by[1] is there twice",
		"by=tag:a,tag:b":                                    "query.by[1] is a second tag",
		"by=tag:a&tag=b:c":                                  "query.by[0] is another tag",
		"by=tag:":                                           "query.by[0] is not organization",
		"tag=a":                                             "query.tag expected string to match",
		"per=week":                                          "query.per expected value to be one of",
		"limit=10001":                                       "query.limit expected",
		"format=xml":                                        "query.format expected",
	} {
		p := w.do("viewer", "GET", "/api/usage?"+query, nil).problem(invalid)
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Location+" "+p.Errors[0].Message, want) {
			t.Errorf("%s: %+v, want %s", query, p.Errors, want)
		}
	}
}

// Everybody's usage tells whose it is if it is asked by organization.
func TestUsageOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.calls.usage = func(q accounting.UsageQuery) []accounting.UsageRow {
		if q.Org != "" {
			return nil
		}
		if len(q.By) == 1 {
			return []accounting.UsageRow{used(time.Time{}, 1, "team_far")}
		}
		return []accounting.UsageRow{used(time.Time{}, 1, "team_far", "org_other"), used(time.Time{}, 1, "team_x", "org_gone")}
	}
	rows := func(query string) []any {
		return w.do("root", "GET", "/api/usage?"+query, nil).want(200).object()["data"].([]any)
	}
	named := func(v any, member string) any { return v.(map[string]any)[member] }
	both := rows("by=team,organization")
	if !cmp.Equal(named(both[0], "team"), any(map[string]any{"id": "team_far", "name": "far"})) || !cmp.Equal(named(both[0], "organization"), any(map[string]any{"id": "org_other", "name": "other"})) ||
		!cmp.Equal(named(both[1], "organization"), any(map[string]any{"id": "org_gone", "name": nil})) || named(both[0], "from") != nil {
		t.Errorf("%v", both)
	}
	if alone := rows("by=team"); !cmp.Equal(named(alone[0], "team"), any(map[string]any{"id": "team_far", "name": nil})) {
		t.Errorf("%v", alone)
	}
	if few := rows("organization=org_other"); len(few) != 0 {
		t.Errorf("%v", few)
	}
	w.do("outsider", "GET", "/api/usage?organization=org_acme", nil).problem(notFound)
	w.do("root", "GET", "/api/usage?organization=org_deleted", nil).want(200) // it may have had calls
}

func TestCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.pass(30 * time.Minute) // 12:30 on Friday, 2027-01-15
	w.db.calls.usage = func(q accounting.UsageQuery) []accounting.UsageRow {
		switch {
		case !q.Plain:
			t.Errorf("latencies are asked for: %+v", q)
		case len(q.By) == 0: // a dollar an hour, and so for the half of this one
			r := used(time.Time{}, money.Nano(q.To.Sub(q.From)/time.Minute)*1_000_000_000/60)
			r.Calls, r.Unpriced, r.Estimated = 1000, 5, 250
			return []accounting.UsageRow{r}
		case q.By[0] == accounting.ByKey:
			return []accounting.UsageRow{used(time.Time{}, 174_250_000_000, "key_far", "org_other"), used(time.Time{}, 1, "", "org_acme")}
		case q.By[0] == accounting.ByOrg:
			return []accounting.UsageRow{used(time.Time{}, 34_850_000_000, "org_other")}
		}
		return []accounting.UsageRow{used(time.Time{}, 348_500_000_000, string(q.By[0]))}
	}
	v := w.do("root", "GET", "/api/costs/summary", nil).want(200).object()
	row := func(from, to, cost string, more map[string]any) map[string]any {
		m := map[string]any{"from": from, "to": to, "cost_usd": cost, "calls": 1000.0, "failed": 1.0, "unpriced": 5.0}
		for name, value := range more {
			m[name] = value
		}
		return m
	}
	period := func(from, cost, hours, before string, change any) map[string]any {
		m := row(from, "2027-01-15T12:30:00Z", cost, map[string]any{"whole_hours_usd": hours, "before_usd": before, "change_percent": change})
		m["calls"], m["failed"], m["unpriced"] = 2000.0, 2.0, 10.0 // of the hours that are over and of this one
		return m
	}
	share := func(id string, name any, cost string, percent float64) map[string]any {
		return map[string]any{"id": id, "name": name, "cost_usd": cost, "percent": percent, "calls": 10.0}
	}
	want := map[string]any{
		"organization": nil, "now": "2027-01-15T12:30:00Z", "timezone": "UTC",
		"today": period("2027-01-15T00:00:00Z", "12.5", "12", "12", 0.0), "week": period("2027-01-11T00:00:00Z", "108.5", "108", "108", 0.0),
		"month": period("2027-01-01T00:00:00Z", "348.5", "348", "348", 0.0), "last_month": row("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", "744", nil),
		"burn_rate":        map[string]any{"per_hour_usd": "1", "per_day_usd": "24"},
		"projection":       map[string]any{"month_end_usd": "744", "month_end": "2027-02-01T00:00:00Z", "method": projected}, // 31 days
		"unpriced_percent": 0.5, "estimated_percent": 25.0,
		"models": []any{share("model", nil, "348.5", 100)}, "providers": []any{share("provider", nil, "348.5", 100)},
		"keys":          []any{share("key_far", "far", "174.25", 50), share("", nil, "0.000000001", 0)},
		"organizations": []any{share("org_other", "other", "34.85", 10)},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	v = w.do("viewer", "GET", "/api/costs/summary?timezone=Europe/Berlin", nil).want(200).object()
	if today := v["today"].(map[string]any); today["from"] != "2027-01-14T23:00:00Z" || today["cost_usd"] != "13.5" || len(v["organizations"].([]any)) != 0 ||
		!cmp.Equal(v["organization"], any(map[string]any{"id": "org_acme", "name": "acme"})) {
		t.Errorf("%v", v)
	}
	for _, q := range w.db.calls.sums[len(w.db.calls.sums)-3:] {
		if q.Org != acme || !q.From.Equal(time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)) || q.Limit != 10 {
			t.Errorf("%+v", q)
		}
	}
	if v = w.do("viewer", "GET", "/api/costs/summary?timezone=Asia/Kolkata", nil).want(200).object(); v["month"].(map[string]any)["from"] != "2026-12-31T18:30:00Z" {
		t.Errorf("%v", v)
	}
	for _, zone := range []string{"Local", "Mars/Base", "../etc/passwd"} {
		w.do("viewer", "GET", "/api/costs/summary?timezone="+zone, nil).problem(invalid)
	}
	w.do("outsider", "GET", "/api/costs/summary?organization=org_acme", nil).problem(notFound)

	w.db.calls.usage = nil
	v = w.do("viewer", "GET", "/api/costs/summary", nil).want(200).object()
	if month := v["month"].(map[string]any); month["cost_usd"] != "0" || month["change_percent"] != nil || v["unpriced_percent"] != 0.0 || v["projection"].(map[string]any)["month_end_usd"] != "0" {
		t.Errorf("%v", v)
	}
}

package accounting_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

func TestScopeNames(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]accounting.Scope{
		"organization": {}, "team team_1": {Team: "team_1"}, "user user_1": {User: "user_1"}, "key key:acme/ci": {Key: "key:acme/ci"},
		"route gpt-4o": {Route: "gpt-4o"}, "tag env=prod": {Tag: accounting.Tag{Key: "env", Value: "prod"}},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v is called %s", s, got)
		}
	}
}

// faults are the fields that a Validate complains of, each once.
func faults(validate func(fault func(field, problem string))) []string {
	var fields []string
	validate(func(field, problem string) {
		if problem == "" {
			panic("no problem")
		}
		fields = append(fields, field)
	})
	slices.Sort(fields)
	return slices.Compact(fields)
}

func TestValidateLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		l    accounting.Limits
		want string
	}{
		"one number":    {accounting.Limits{InFlight: 1}, ""},
		"the largest":   {accounting.Limits{TPD: tenancy.MostUnits}, ""},
		"none":          {accounting.Limits{}, "rpm"},
		"a burst":       {accounting.Limits{TPM: 1, Burst: 1}, "burst"},
		"negative":      {accounting.Limits{RPM: -1, RPD: 1}, "rpm"},
		"too large":     {accounting.Limits{RPM: 1, TPH: tenancy.MostUnits + 1}, "tph"},
		"a failure":     {accounting.Limits{RPM: 1, OnStoreFailure: 9}, "on_store_failure"},
		"two scopes":    {accounting.Limits{RPM: 1, Scope: accounting.Scope{Team: "t", Key: "k", Route: "r"}}, "key route"},
		"a long route":  {accounting.Limits{RPM: 1, Scope: accounting.Scope{Route: strings.Repeat("r", 257)}}, "route"},
		"a strange one": {accounting.Limits{RPM: 1, Scope: accounting.Scope{Route: " r\n"}}, "route"},
	} {
		if got := strings.Join(faults(c.l.Validate), " "); got != c.want {
			t.Errorf("%s: faults of %q, want %q", name, got, c.want)
		}
	}
}

func TestValidateBudget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *accounting.Budget)
		want   string
	}{
		"good":          {func(*accounting.Budget) {}, ""},
		"nothing":       {func(b *accounting.Budget) { b.Max = 0 }, ""},
		"the largest":   {func(b *accounting.Budget) { b.Max = tenancy.MostMoney }, ""},
		"too large":     {func(b *accounting.Budget) { b.Max = tenancy.MostMoney + 1 }, "usd"},
		"negative":      {func(b *accounting.Budget) { b.Max = -1 }, "usd"},
		"no name":       {func(b *accounting.Budget) { b.Name = "" }, "name"},
		"a minute":      {func(b *accounting.Budget) { b.Per = ratelimit.Minute }, "per"},
		"no window":     {func(b *accounting.Budget) { b.Per = 0 }, "per"},
		"no zone":       {func(b *accounting.Budget) { b.Timezone = "Mars/Olympus" }, "timezone"},
		"a percent":     {func(b *accounting.Budget) { b.WarnAt = 101 }, "warn_at_percent"},
		"a failure":     {func(b *accounting.Budget) { b.OnStoreFailure = 9 }, "on_store_failure"},
		"half a tag":    {func(b *accounting.Budget) { b.Scope.Tag.Key = "env" }, "tag"},
		"a strange tag": {func(b *accounting.Budget) { b.Scope.Tag = accounting.Tag{Key: "a=b", Value: "c"} }, "tag"},
	} {
		b := accounting.Budget{Meta: tenancy.Meta{Name: "b"}, Max: 1, Per: ratelimit.Week, Timezone: "Europe/Berlin", WarnAt: 80, Hard: true}
		c.change(&b)
		if got := strings.Join(faults(b.Validate), " "); got != c.want {
			t.Errorf("%s: faults of %q, want %q", name, got, c.want)
		}
	}
}

// A budget's window begins where its own calendar says, also where clocks are changed.
func TestBudgetWindow(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 3, 28, 12, 0, 0, 0, time.UTC) // a Sunday of 23 hours in Berlin
	for _, c := range []struct {
		per        ratelimit.Per
		zone       string
		start, end string
	}{
		{ratelimit.Hour, "Europe/Berlin", "2027-03-28T12:00:00Z", "2027-03-28T13:00:00Z"},
		{ratelimit.Day, "Europe/Berlin", "2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"},
		{ratelimit.Week, "", "2027-03-22T00:00:00Z", "2027-03-29T00:00:00Z"},
		{ratelimit.Month, "Europe/Berlin", "2027-02-28T23:00:00Z", "2027-03-31T22:00:00Z"},
		{ratelimit.Total, "Europe/Berlin", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{ratelimit.Day, "of no land", "2027-03-28T00:00:00Z", "2027-03-29T00:00:00Z"},
	} {
		b := accounting.Budget{Per: c.per, Timezone: c.zone}
		start, end := b.Window(at)
		if s, e := start.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339); s != c.start || e != c.end {
			t.Errorf("a %s in %q: from %s to %s", c.per, c.zone, s, e)
		}
	}
}

func TestDeclared(t *testing.T) {
	t.Parallel()
	key := secrets.New("canary-0123456789-0123456789")
	c := tenancy.Config{Organizations: map[string]tenancy.OrgConfig{
		"b": {Limits: &tenancy.LimitsConfig{RPM: new(int64(1)), Burst: new(int64(2)), OnStoreFailure: "open"}},
		"a": {
			Budget:  &tenancy.BudgetConfig{USD: "500.5", Per: "month", Timezone: "Europe/Berlin", WarnAt: new(0.855), Hard: new(false), OnStoreFailure: "closed"},
			Budgets: map[string]tenancy.BudgetConfig{"z": {USD: "1", Per: "total"}, "hourly": {USD: "2", Per: "hour"}},
			Keys: map[string]tenancy.KeyConfig{"ci": {
				Key: &key, Limits: &tenancy.LimitsConfig{TPM: new(int64(3)), InFlight: new(int64(4))}, Budget: &tenancy.BudgetConfig{USD: "3", Per: "day"},
				Budgets: map[string]tenancy.BudgetConfig{"more": {USD: "4", Per: "week"}},
			}},
		},
	}}
	meta := func(id, org, name tenancy.ID) tenancy.Meta {
		return tenancy.Meta{ID: id, Org: org, Name: string(name), ManagedBy: tenancy.ByFile}
	}
	ci := accounting.Scope{Key: "key:a/ci"}
	if diff := cmp.Diff([]accounting.Limits{
		{Meta: meta("limit:a/ci", "org:a", "key key:a/ci"), Scope: ci, TPM: 3, InFlight: 4},
		{Meta: meta("limit:b", "org:b", "organization"), RPM: 1, Burst: 2, OnStoreFailure: ratelimit.Open},
	}, accounting.DeclaredLimits(&c)); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	budgets := accounting.DeclaredBudgets(&c)
	if diff := cmp.Diff([]accounting.Budget{
		{Meta: meta("budget:a", "org:a", "a"), Max: 500_500_000_000, Per: ratelimit.Month, Timezone: "Europe/Berlin", WarnAt: 86, OnStoreFailure: ratelimit.Closed},
		{Meta: meta("budget:a/ci", "org:a", "a/ci"), Scope: ci, Max: 3_000_000_000, Per: ratelimit.Day, WarnAt: 80, Hard: true},
		{Meta: meta("budget:a/ci:more", "org:a", "a/ci:more"), Scope: ci, Max: 4_000_000_000, Per: ratelimit.Week, WarnAt: 80, Hard: true},
		{Meta: meta("budget:a:hourly", "org:a", "a:hourly"), Max: 2_000_000_000, Per: ratelimit.Hour, WarnAt: 80, Hard: true},
		{Meta: meta("budget:a:z", "org:a", "a:z"), Max: 1_000_000_000, Per: ratelimit.Total, WarnAt: 80, Hard: true},
	}, budgets); diff != "" {
		t.Errorf("budgets (-want +got):\n%s", diff)
	}
	for _, b := range budgets {
		if !tenancy.IsID(b.ID) {
			t.Errorf("%s has not the form of an id", b.ID)
		}
	}
}

package tenancy

import (
	"slices"
	"testing"
	"time"

	"github.com/vel-gateway/vel/secrets"
)

func secret(text string) *secrets.Secret {
	s := secrets.New(text)
	return &s
}

const longEnough = "a-key-that-is-long-enough"

func TestKeysOfTheFile(t *testing.T) {
	t.Parallel()
	expires := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	c := Config{Organizations: map[string]OrgConfig{
		"b": {Keys: map[string]KeyConfig{"ci": {Key: secret(longEnough + "-2"), Models: []string{"m"}, Expires: expires, Disabled: true}}},
		"a": {Keys: map[string]KeyConfig{
			"ci":    {Key: secret(longEnough)},
			"unset": {Key: secret("")}, // a reference that leads nowhere: never a key that the empty text opens
		}},
	}}
	c.Validate(func(path, problem, _ string) { t.Errorf("%s %s", path, problem) })
	keys := c.Keys()
	var ids []ID
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	if !slices.Equal(ids, []ID{"key:a/ci", "key:b/ci"}) {
		t.Fatalf("keys %v", ids)
	}
	if k := keys[1]; k.Org != "org:b" || k.Name != "ci" || !k.Disabled || !k.Expires.Equal(expires) || !slices.Equal(k.Models, []string{"m"}) {
		t.Errorf("key %+v", k)
	}
	index, err := NewKeyIndex(keys)
	if err != nil {
		t.Fatal(err)
	}
	p, err := index.Lookup(HashKey([]byte(longEnough)), expires)
	if err != nil || p.Identity != (Identity{Org: "org:a", Key: "key:a/ci"}) {
		t.Errorf("principal %+v, %v", p, err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	number := func(n int64) *int64 { return &n }
	share := func(f float64) *float64 { return &f }
	for name, tt := range map[string]struct {
		org  OrgConfig
		want []string
	}{
		"whole": {org: OrgConfig{
			Budget: &BudgetConfig{USD: "19.99", Per: "month", Timezone: "Europe/Berlin", WarnAt: share(0.8)},
			Limits: &LimitsConfig{RPM: number(1), OnStoreFailure: "closed"},
		}},
		"short key":    {org: OrgConfig{Keys: map[string]KeyConfig{"k": {Key: secret("23-characters-are-short")}}}, want: []string{"organizations.o.keys.k.key"}},
		"no key":       {org: OrgConfig{Keys: map[string]KeyConfig{"k": {}}}, want: []string{"organizations.o.keys.k"}},
		"line break":   {org: OrgConfig{Keys: map[string]KeyConfig{"k": {Key: secret(longEnough + "\nx")}}}, want: []string{"organizations.o.keys.k.key"}},
		"name":         {org: OrgConfig{Keys: map[string]KeyConfig{"a/b": {Key: secret(longEnough)}}}, want: []string{"organizations.o.keys.a/b"}},
		"equal":        {org: OrgConfig{Keys: map[string]KeyConfig{"a": {Key: secret(longEnough)}, "b": {Key: secret(longEnough)}}}, want: []string{"organizations.o.keys.b.key"}},
		"no amount":    {org: OrgConfig{Budget: &BudgetConfig{Per: "day"}}, want: []string{"organizations.o.budget"}},
		"no window":    {org: OrgConfig{Budget: &BudgetConfig{USD: "1"}}, want: []string{"organizations.o.budget"}},
		"amount":       {org: OrgConfig{Budget: &BudgetConfig{USD: "1e3", Per: "day"}}, want: []string{"organizations.o.budget.usd"}},
		"window":       {org: OrgConfig{Budget: &BudgetConfig{USD: "1", Per: "moon"}}, want: []string{"organizations.o.budget.per"}},
		"local time":   {org: OrgConfig{Budget: &BudgetConfig{USD: "1", Per: "day", Timezone: "Local"}}, want: []string{"organizations.o.budget.timezone"}},
		"warn at all":  {org: OrgConfig{Budget: &BudgetConfig{USD: "1", Per: "day", WarnAt: share(0)}}, want: []string{"organizations.o.budget.warn_at"}},
		"too much":     {org: OrgConfig{Budget: &BudgetConfig{USD: "9007199.3", Per: "total"}}, want: []string{"organizations.o.budget.usd"}},
		"named budget": {org: OrgConfig{Budgets: map[string]BudgetConfig{"a b": {USD: "1", Per: "hour"}, "b": {USD: "1", Per: "day", OnStoreFailure: "x"}}}, want: []string{"organizations.o.budgets.a b", "organizations.o.budgets.b.on_store_failure"}},
		"bare burst":   {org: OrgConfig{Limits: &LimitsConfig{Burst: number(1)}}, want: []string{"organizations.o.limits.burst"}},
		"limits": {
			org:  OrgConfig{Limits: &LimitsConfig{RPM: number(1), TPM: number(0), TPH: number(1 << 60), Burst: number(-1), OnStoreFailure: "x"}},
			want: []string{"organizations.o.limits.tpm", "organizations.o.limits.tph", "organizations.o.limits.burst", "organizations.o.limits.on_store_failure"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{Organizations: map[string]OrgConfig{"o": tt.org}}
			var got []string
			c.Validate(func(path, problem, hint string) {
				got = append(got, path)
				if problem == "" || hint == "" {
					t.Errorf("%s: %q has hint %q", path, problem, hint)
				}
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults at %q, want %q", got, tt.want)
			}
		})
	}
}

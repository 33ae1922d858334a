package routing

import (
	"slices"
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// accountsForTest is a table of accounts, each with the organizations that may use it; none: all. A name with an x
// keeps no objects, one with a k has no credential. The route "m" goes to all of them in their order.
func accountsForTest(t *testing.T, accounts map[string][]tenancy.ID, order ...string) *Table {
	t.Helper()
	return tableForTest(t, configForTest(0, func(c *Config) {
		var m ModelConfig
		for _, name := range order {
			p := ProviderConfig{Kind: "openai", APIKey: key(), Organizations: accounts[name]}
			switch name[0] {
			case 'x':
				p.Kind = "perplexity"
			case 'k':
				p.APIKey = noKey()
			}
			c.Providers[name] = p
			m.Targets = append(m.Targets, TargetConfig{Provider: name})
		}
		c.Models["m"] = m
	}))
}

// An account that is open to all is that of the only organization, and stays open to one that is not known here yet.
func TestOwnedByTheOnlyOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		organizations []tenancy.ID
		alone, org    tenancy.ID
		owned, open   bool
	}{
		{nil, "", "acme", false, true},
		{nil, "", "", false, true},
		{nil, "acme", "acme", true, true},
		{nil, "acme", "new", false, true},
		{[]tenancy.ID{"acme"}, "acme", "new", false, false},
		{[]tenancy.ID{"acme"}, "", "acme", true, true},
		{[]tenancy.ID{"acme", "other"}, "acme", "acme", false, true},
	} {
		table := tableForTest(t, configForTest(1, func(cfg *Config) {
			change(cfg.Providers, "p0", func(p *ProviderConfig) { p.Organizations = c.organizations })
		}))
		table.OfOne(c.alone)
		p := table.Providers()[0]
		if p.OwnedBy(c.org) != c.owned || p.OpenTo(c.org) != c.open {
			t.Errorf("%+v: owned %t, open %t", c, p.OwnedBy(c.org), p.OpenTo(c.org))
		}
	}
}

func TestPlanObject(t *testing.T) {
	t.Parallel()
	acme, other := []tenancy.ID{"acme"}, []tenancy.ID{"other"}
	for name, c := range map[string]struct {
		accounts map[string][]tenancy.ID
		ask      Ask
		goes     string
		refused  error
		among    []string // after Ambiguous
	}{
		"nothing keeps objects":      {map[string][]tenancy.ID{"x": nil, "k": acme, "b": other}, Ask{}, "", NoAccount, nil},
		"the only one":               {map[string][]tenancy.ID{"a": nil, "b": other}, Ask{}, "a", nil, nil},
		"several":                    {map[string][]tenancy.ID{"a": nil, "b": nil}, Ask{}, "", Ambiguous, []string{"a", "b"}},
		"the chosen one":             {map[string][]tenancy.ID{"a": nil, "b": nil}, Ask{Account: "b"}, "b", nil, nil},
		"chosen, of others":          {map[string][]tenancy.ID{"a": nil, "b": other}, Ask{Account: "b"}, "", NoSuchAccount, nil},
		"chosen, keeps nothing":      {map[string][]tenancy.ID{"a": nil, "x": acme}, Ask{Account: "x"}, "", NoSuchAccount, nil},
		"the own one":                {map[string][]tenancy.ID{"a": nil, "b": acme, "c": nil}, Ask{}, "b", nil, nil},
		"several own ones":           {map[string][]tenancy.ID{"a": nil, "b": acme, "c": acme}, Ask{}, "", Ambiguous, []string{"b", "c"}},
		"a shared one beside":        {map[string][]tenancy.ID{"a": nil, "b": acme}, Ask{Account: "a"}, "a", nil, nil},
		"where it is":                {map[string][]tenancy.ID{"a": nil, "b": acme}, Ask{Holder: "a"}, "a", nil, nil},
		"where it was":               {map[string][]tenancy.ID{"a": nil, "b": acme}, Ask{Holder: "c"}, "", NotHeld, nil},
		"where it is, now of others": {map[string][]tenancy.ID{"a": nil, "b": other}, Ask{Holder: "b"}, "", NotHeld, nil},
		"where it is not":            {map[string][]tenancy.ID{"a": nil, "b": nil}, Ask{Holder: "a", Account: "b"}, "", NotHeld, nil},
		"nobody's":                   {map[string][]tenancy.ID{"a": nil}, Ask{Bound: true}, "", NotHeld, nil},
		"nobody's, at the own one":   {map[string][]tenancy.ID{"a": nil, "b": acme}, Ask{Bound: true}, "b", nil, nil},
		"nobody's, at several":       {map[string][]tenancy.ID{"b": acme, "c": acme}, Ask{Bound: true}, "", Ambiguous, []string{"b", "c"}},
		"nobody's, in a shared one":  {map[string][]tenancy.ID{"a": nil, "b": acme}, Ask{Bound: true, Account: "a"}, "", NotHeld, nil},
		"nobody's beside a known":    {map[string][]tenancy.ID{"a": nil, "b": acme}, Ask{Bound: true, Holder: "a"}, "", NotHeld, nil},
		"nobody's beside an own":     {map[string][]tenancy.ID{"b": acme, "c": acme}, Ask{Bound: true, Holder: "c"}, "c", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var order []string
			for account := range c.accounts {
				order = append(order, account)
			}
			table, plan := accountsForTest(t, c.accounts, order...), Plan{}
			c.ask.Who, c.ask.Endpoint = principal(t, "acme"), adapters.Objects
			err := table.PlanObject(&plan, &c.ask, &State{}, epoch)
			if err != c.refused {
				t.Fatalf("error %v, want %v", err, c.refused)
			}
			if c.goes != "" && (len(plan.Targets) != 1 || plan.Targets[0].Provider.Name != c.goes || plan.Attempts != 1 || !plan.Deadline.After(epoch)) {
				t.Errorf("goes to %v", plan.Why)
			}
			var among []string
			for _, w := range plan.Why {
				among = append(among, w.Provider)
			}
			if c.among != nil && !slices.Equal(among, c.among) {
				t.Errorf("to choose from: %v, want %v", among, c.among)
			}
		})
	}
}

func TestAloneAndShares(t *testing.T) {
	t.Parallel()
	acme, other := []tenancy.ID{"acme"}, []tenancy.ID{"other"}
	for name, c := range map[string]struct {
		accounts      map[string][]tenancy.ID
		account       string
		alone, shares bool
		model         bool // whether the route "m" has no other account
	}{
		"none":            {map[string][]tenancy.ID{"b": other}, "", false, false, false},
		"own":             {map[string][]tenancy.ID{"a": acme, "b": other}, "", true, false, true},
		"own, of two":     {map[string][]tenancy.ID{"a": acme, "b": acme}, "", false, false, false},
		"own and shared":  {map[string][]tenancy.ID{"a": acme, "b": nil}, "", false, false, false},
		"own and a mute":  {map[string][]tenancy.ID{"a": acme, "x": nil}, "", true, false, false},
		"shared":          {map[string][]tenancy.ID{"a": nil, "b": {"acme", "other"}}, "", false, true, false},
		"the own one":     {map[string][]tenancy.ID{"a": acme, "b": nil}, "a", true, false, false},
		"the shared one":  {map[string][]tenancy.ID{"a": acme, "b": nil}, "b", false, true, false},
		"one of nobody's": {map[string][]tenancy.ID{"a": acme, "b": nil}, "c", false, false, false},
	} {
		var order []string
		for account := range c.accounts {
			order = append(order, account)
		}
		table := accountsForTest(t, c.accounts, order...)
		ask := Ask{Who: principal(t, "acme"), Endpoint: adapters.Objects, Account: c.account}
		if alone, shares := table.Alone(&ask), table.Shares(&ask); alone != c.alone || shares != c.shares {
			t.Errorf("%s: alone %v, shares %v", name, alone, shares)
		}
		ask.Endpoint, ask.Model = adapters.ChatCompletions, "m"
		if model := table.Alone(&ask); model != c.model {
			t.Errorf("%s: the route is alone: %v", name, model)
		}
	}
	if (&Table{}).Alone(&Ask{Model: "none", Who: principal(t, "acme")}) {
		t.Error("a model that is not there")
	}
}

func TestPlanWhereObjectsAre(t *testing.T) {
	t.Parallel()
	acme, other := []tenancy.ID{"acme"}, []tenancy.ID{"other"}
	accounts := map[string][]tenancy.ID{"a": nil, "b": nil, "mine": acme, "theirs": other, "x": nil}
	table := accountsForTest(t, accounts, "a", "x", "b", "mine", "theirs")
	for name, c := range map[string]struct {
		ask     Ask
		goes    []string
		refused error
	}{
		"anywhere":                 {Ask{}, []string{"a", "b", "mine"}, nil},
		"where it is":              {Ask{Holder: "b"}, []string{"b"}, nil},
		"nobody's":                 {Ask{Bound: true}, []string{"mine"}, nil},
		"nobody's beside the own":  {Ask{Bound: true, Holder: "mine"}, []string{"mine"}, nil},
		"nobody's beside a shared": {Ask{Bound: true, Holder: "b"}, nil, NotHeld},
		"where no target is":       {Ask{Holder: "far"}, nil, HeldElsewhere},
		"where others are":         {Ask{Holder: "theirs"}, nil, HeldElsewhere},
	} {
		var plan Plan
		c.ask.Model, c.ask.Who, c.ask.Endpoint = "m", principal(t, "acme"), adapters.ChatCompletions
		err := table.Plan(&plan, &c.ask, &State{}, epoch)
		var goes []string
		for _, target := range plan.Targets {
			goes = append(goes, target.Provider.Name)
		}
		if !slices.Equal(goes, c.goes) || err != c.refused {
			t.Errorf("%s: %v, %v; %v", name, goes, err, plan.Why)
		}
		if len(plan.Why) != len(accounts) {
			t.Errorf("%s: %v", name, plan.Why)
		}
	}
}

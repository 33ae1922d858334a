package main

import (
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// TestPricesOfOrganizations asks the targets of a table what a million tokens cost whom and when.
func TestPricesOfOrganizations(t *testing.T) {
	t.Parallel()
	var p routing.ProviderConfig
	err := routing.DecodeSettings([]byte(`
kind: openai
prices:
  both: {input: "2", from: {2027-02-01: {input: "1.5"}}, organizations: {acme: {input: "1"}, other: {input: "3", from: {2027-02-01: {input: "4"}}}}}
  gpt-4o: {organizations: {acme: {input: "1"}}}
  mine: {organizations: {acme: {input: "1"}}}
`), &p)
	if err != nil {
		t.Fatal(err)
	}
	key := secrets.New("a key")
	p.APIKey = &key
	cfg := routing.Defaults()
	cfg.Providers = map[string]routing.ProviderConfig{"openai": p}
	cfg.Models = map[string]routing.ModelConfig{}
	for _, name := range []string{"both", "gpt-4o", "mine", "none"} {
		cfg.Models[name] = routing.ModelConfig{Targets: []routing.TargetConfig{{Provider: "openai"}}}
	}
	table, err := routing.Build(cfg, map[string]*adapters.Adapter{"openai": {Kind: "openai", BaseURL: "https://api.openai.com/v1"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &App{}
	if a.prices, err = accounting.NewPriceBook(); err != nil {
		t.Fatal(err)
	}
	if a.pricing, err = a.price(table, &cfg); err != nil {
		t.Fatal(err)
	}
	before, after := time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC), time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		model string
		org   tenancy.ID
		at    time.Time
		cost  money.Nano // -1: there is no price
	}{
		{"both", "anybody", before, 2e9},
		{"both", "anybody", after, 15e8},
		{"both", "acme", before, 1e9},
		{"both", "acme", after, 1e9},
		{"both", "other", before, 3e9},
		{"both", "other", after, 4e9},
		{"gpt-4o", "acme", after, 1e9},
		{"gpt-4o", "anybody", after, 25e8}, // as it is listed
		{"mine", "acme", after, 1e9},
		{"mine", "anybody", after, -1},
		{"none", "acme", after, -1},
	} {
		r, _ := table.Route(c.model)
		price, cost := r.Targets[0].PriceFor(c.org), money.Nano(-1)
		if price != nil {
			cost, _ = price.Cost(&adapters.Usage{adapters.Input: 1_000_000}, c.at)
		}
		if cost != c.cost {
			t.Errorf("%s for %s: %s, want %s", c.model, c.org, cost, c.cost)
		}
	}

	// What is in force is told as it is.
	if price, agreed, known := a.PricesOf("openai", "gpt-4o"); !known || !strings.HasPrefix(price.Version(), "list/") || len(agreed) != 1 || agreed["acme"].Now(after).Dollars["input"] != "1" {
		t.Errorf("%s %v %v", price.Version(), agreed, known)
	}
	if price, agreed, known := a.PricesOf("openai", "none"); !known || price != nil || agreed != nil {
		t.Errorf("%s %v %v", price.Version(), agreed, known)
	}
	if _, _, known := a.PricesOf("nobody", "gpt-4o"); known {
		t.Error("there is no such provider")
	}
}

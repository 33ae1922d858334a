package config

import (
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
)

// SimulatorProvider is the provider that exists when no other is configured. Its base URL is a name that
// resolves nowhere until the simulator listens and cmd/vel puts its address there.
const SimulatorProvider = "simulator"

const simulatorNowhere = "http://simulator.invalid/v1"

// wellKnown are the providers that need no file, and models that they offer for chat and that no announced
// shutdown takes away in the next weeks. Names as of 2026-11; others are declared under models.
// https://developers.openai.com/api/docs/models and /deprecations (gpt-4o, gpt-4o-mini, gpt-4.1 and
// gpt-4.1-mini end on 2027-01-14, gpt-5.1 on 2027-04-01), https://console.groq.com/docs/models and
// /docs/deprecations, https://docs.perplexity.ai (the four names of Sonar, as clients know them).
var wellKnown = [...]struct {
	provider, variable string
	models             []string
}{
	{"openai", "OPENAI_API_KEY", []string{
		"gpt-6-astra", "gpt-6.1-sol", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna",
		"gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.2", "gpt-5.1",
		"gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini",
	}},
	{"groq", "GROQ_API_KEY", []string{"openai/gpt-oss-20b", "openai/gpt-oss-120b"}},
	{"perplexity", "PERPLEXITY_API_KEY", []string{"sonar", "sonar-pro", "sonar-reasoning-pro", "sonar-deep-research"}},
}

// simulated are the models of the simulator that are offered when there is nothing else, with the prices that it bills.
var simulated = [...]struct {
	model string
	price routing.RatesConfig
}{
	{"sim-fast", routing.RatesConfig{Input: "0.59", Output: "0.79"}},
	{"sim-strong", routing.RatesConfig{Input: "2.5", Output: "7.5"}},
	{"sim-small", routing.RatesConfig{Input: "0.15", Output: "0.6"}},
	{"sim-search", routing.RatesConfig{Input: "1", Output: "1", Request: "0.005"}},
}

// wellKnown adds the providers whose keys the environment has and the file does not declare, with those of
// their models whose names the file does not give to something else. Without any provider it adds the
// simulator, and says so.
func (d *decoder) wellKnown(c *routing.Config) (onlySimulator bool) {
	if c.Providers == nil {
		c.Providers = map[string]routing.ProviderConfig{}
	}
	if c.Models == nil {
		c.Models = map[string]routing.ModelConfig{}
	}
	for _, known := range wellKnown {
		if _, declared := c.Providers[known.provider]; declared || d.env[known.variable] == "" {
			continue
		}
		key := secrets.New(d.env[known.variable])
		d.secrets = append(d.secrets, key)
		c.Providers[known.provider] = routing.ProviderConfig{Kind: known.provider, APIKey: &key}
		d.offer(c, known.provider, known.models)
	}
	if len(c.Providers) > 0 {
		return false
	}
	key := secrets.New(none)
	prices := make(map[string]routing.PriceConfig, len(simulated))
	models := make([]string, 0, len(simulated))
	for _, known := range simulated {
		prices[known.model] = routing.PriceOf(known.price)
		models = append(models, known.model)
	}
	c.Providers[SimulatorProvider] = routing.ProviderConfig{
		Kind: "openai", BaseURL: simulatorNowhere, APIKey: &key, AllowPrivate: true, Prices: prices,
	}
	d.offer(c, SimulatorProvider, models)
	return true
}

func (d *decoder) offer(c *routing.Config, provider string, models []string) {
	for _, model := range models {
		if _, declared := c.Models[model]; !declared {
			c.Models[model] = routing.ModelConfig{Targets: []routing.TargetConfig{{Provider: provider}}}
			d.offered = append(d.offered, model)
		}
	}
}

// DropSimulator takes the simulated provider and its models out again: there are others.
func (c *Config) DropSimulator() {
	delete(c.Routing.Providers, SimulatorProvider)
	for _, known := range simulated {
		delete(c.Routing.Models, known.model)
	}
}

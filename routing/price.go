package routing

import (
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Pricer knows what a model costs at a provider. accounting.Price is one.
type Pricer interface {
	// Cost is what an attempt that was executed at a time costs. If it is not whole, it is the part that is known.
	Cost(u *adapters.Usage, at time.Time) (cost money.Nano, whole bool)
	// Version says which price it is, for whoever asks later.
	Version() string
}

// Price gives every target of a route its price; of answers nil where there is none. It is called before the table is used.
func (t *Table) Price(of func(p *Provider, model string) Pricer) {
	for target := range t.targets() {
		target.Price = of(target.Provider, target.Model)
	}
}

// PriceAgreed gives every target the prices that hold for some organizations instead. It is called before the table is used.
func (t *Table) PriceAgreed(of func(p *Provider, model string) map[tenancy.ID]Pricer) {
	for target := range t.targets() {
		target.agreed = of(target.Provider, target.Model)
	}
}

func (t *Table) targets() iter.Seq[*Target] {
	return func(yield func(*Target) bool) {
		for r := range t.every() {
			for _, target := range r.Targets {
				if !yield(target) {
					return
				}
			}
		}
	}
}

// PriceFor is what the target costs an organization; nil: nobody knows.
func (t *Target) PriceFor(org tenancy.ID) Pricer {
	if p, ok := t.agreed[org]; ok {
		return p
	}
	return t.Price
}

// PriceConfig is the price of a model, and what holds instead for some organizations. Without terms of its own the general
// price is the listed one.
type PriceConfig struct {
	TermsConfig `yaml:",inline"`
	// Organizations has ids when a table is priced: package config puts them in place of the file's names.
	Organizations map[tenancy.ID]TermsConfig `yaml:"organizations" jsonschema:"description=What it costs calls of these organizations instead; as a whole."`
}

// TermsConfig is a price over all times.
type TermsConfig struct {
	PeriodConfig `yaml:",inline"`
	From         map[string]PeriodConfig `yaml:"from" jsonschema:"description=What it costs from a day on as 2027-01-31 in UTC; as a whole."`
}

// PeriodConfig is what holds at one time.
type PeriodConfig struct {
	RatesConfig `yaml:",inline"`
	Tiers       []TierConfig `yaml:"tiers" jsonschema:"description=What it costs a call that sends more; in ascending order."`
}

// TierConfig is what holds for a whole call that sends more input tokens than Above, all classes of them together. What it
// does not name is as below.
type TierConfig struct {
	Above       int64 `yaml:"above" jsonschema:"description=More than so many input tokens of all kinds.,minimum=1"`
	RatesConfig `yaml:",inline"`
}

// RatesConfig is dollars, as decimals so that no digit is lost: for a million tokens, for an hour of sound, or for one.
type RatesConfig struct {
	Input       string `yaml:"input" jsonschema:"description=Dollars per million tokens that are sent."`
	CachedInput string `yaml:"cached_input" jsonschema:"description=Dollars per million sent tokens that the provider had in its cache; as input if it is not written."`
	CacheWrite  string `yaml:"cache_write" jsonschema:"description=Dollars per million sent tokens that the provider put into its cache; as input if it is not written."`
	Output      string `yaml:"output" jsonschema:"description=Dollars per million tokens that come back."`
	Reasoning   string `yaml:"reasoning" jsonschema:"description=Dollars per million tokens of reasoning; as output if it is not written."`
	AudioInput  string `yaml:"audio_input" jsonschema:"description=Dollars per million tokens of sound that is sent; as input if it is not written."`
	AudioOutput string `yaml:"audio_output" jsonschema:"description=Dollars per million tokens of sound that comes back; as output if it is not written."`
	ImageInput  string `yaml:"image_input" jsonschema:"description=Dollars per million tokens of pictures that are sent; as input if it is not written."`
	ImageOutput string `yaml:"image_output" jsonschema:"description=Dollars per million tokens of pictures that come back; as output if it is not written."`
	AudioHour   string `yaml:"audio_hour" jsonschema:"description=Dollars per hour of sound where that is charged instead of tokens."`
	Image       string `yaml:"image" jsonschema:"description=Dollars per picture that is made."`
	Search      string `yaml:"search" jsonschema:"description=Dollars per search on the web."`
	Request     string `yaml:"request" jsonschema:"description=Dollars per answered request beside everything else."`
}

// PriceOf is a price that always holds, for everybody.
func PriceOf(rates RatesConfig) PriceConfig {
	return PriceConfig{TermsConfig: TermsConfig{PeriodConfig: PeriodConfig{RatesConfig: rates}}}
}

// Dollars is what is written, by the names of the file.
func (c *RatesConfig) Dollars() map[string]string {
	written := map[string]string{}
	for name, decimal := range map[string]string{
		"input": c.Input, "cached_input": c.CachedInput, "cache_write": c.CacheWrite, "output": c.Output, "reasoning": c.Reasoning,
		"audio_input": c.AudioInput, "audio_output": c.AudioOutput, "image_input": c.ImageInput, "image_output": c.ImageOutput,
		"audio_hour": c.AudioHour, "image": c.Image, "search": c.Search, "request": c.Request,
	} {
		if decimal != "" {
			written[name] = decimal
		}
	}
	return written
}

// priceForm has six decimals at most, so that a million tokens come out as whole pico-dollars a token, and so many digits
// that no price is too large to be counted.
var priceForm = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?$`)

func (k checker) prices(at string, p *ProviderConfig) {
	for _, model := range slices.Sorted(maps.Keys(p.Prices)) {
		price, here := p.Prices[model], at+"."+model
		k.text(here, "the model's name", model)
		if len(price.Organizations) == 0 || price.Says() {
			k.terms(here, &price.TermsConfig)
		}
		for _, org := range slices.Sorted(maps.Keys(price.Organizations)) {
			terms, place := price.Organizations[org], here+".organizations."+string(org)
			if len(p.Organizations) > 0 && !slices.Contains(p.Organizations, org) {
				k.fault(place, "may not use the provider", "add it to the provider's organizations, or remove its price")
			}
			k.terms(place, &terms)
		}
	}
}

// Says tells whether a price is written.
func (c *TermsConfig) Says() bool { return len(c.Dollars()) > 0 || len(c.Tiers) > 0 || len(c.From) > 0 }

func (k checker) terms(at string, c *TermsConfig) {
	k.period(at, &c.PeriodConfig)
	for _, day := range slices.Sorted(maps.Keys(c.From)) {
		period, here := c.From[day], at+".from."+day
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			k.fault(here, "is no day", "write it as 2027-01-31")
		}
		k.period(here, &period)
	}
}

func (k checker) period(at string, c *PeriodConfig) {
	if len(c.Dollars()) == 0 {
		k.fault(at, "has no price", `write at least one, as input: "0.10" for a million tokens`)
	}
	k.rates(at, &c.RatesConfig)
	for i := range c.Tiers {
		tier, here := &c.Tiers[i], fmt.Sprintf("%s.tiers[%d]", at, i)
		switch {
		case tier.Above < 1:
			k.fault(here+".above", "must be at least 1", "write above how many input tokens it holds")
		case i > 0 && tier.Above <= c.Tiers[i-1].Above:
			k.fault(here+".above", "is not more than the one before", "write the tiers in ascending order")
		}
		if len(tier.Dollars()) == 0 {
			k.fault(here, "has no price", "write what differs, or remove it")
		}
		k.rates(here, &tier.RatesConfig)
	}
}

func (k checker) rates(at string, c *RatesConfig) {
	dollars := c.Dollars()
	for _, name := range slices.Sorted(maps.Keys(dollars)) {
		k.form(at+"."+name, dollars[name], priceForm, `write dollars with at most six digits before and after the point, in quotes: "0.10"`)
	}
}

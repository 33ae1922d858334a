package routing

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

// Pricer knows what a model costs at a provider. accounting.Price is one.
type Pricer interface {
	// Cost is what an attempt that was executed at a time costs. If it is not whole, it is the part that is known.
	Cost(u *adapters.Usage, at time.Time) (cost money.Nano, whole bool)
}

// Price gives every target of a route its price; of answers nil where there is none. It is called before the table is used.
func (t *Table) Price(of func(p *Provider, model string) Pricer) {
	for r := range t.every() {
		for _, target := range r.Targets {
			target.Price = of(target.Provider, target.Model)
		}
	}
}

// PriceConfig is the price of a model in dollars, as decimals so that no digit is lost: for a million tokens, for an hour
// of sound, or for one.
type PriceConfig struct {
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

// Dollars is what is written, by the names of the file.
func (c *PriceConfig) Dollars() map[string]string {
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

func (k checker) prices(at string, prices map[string]PriceConfig) {
	for _, model := range slices.Sorted(maps.Keys(prices)) {
		price, here := prices[model], at+"."+model
		k.text(here, "the model's name", model)
		dollars := price.Dollars()
		if len(dollars) == 0 {
			k.fault(here, "has no price", `write at least one, as input: "0.10" for a million tokens`)
		}
		for _, name := range slices.Sorted(maps.Keys(dollars)) {
			k.form(fmt.Sprintf("%s.%s", here, name), dollars[name], priceForm, `write dollars with at most six digits before and after the point, in quotes: "0.10"`)
		}
	}
}

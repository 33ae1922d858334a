package routing

import (
	"time"

	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Config is the room's part of the file: where calls may go. A pointer or slice that is nil was not written
// and is inherited; what was written and is zero is checked as such.
type Config struct {
	Defaults  DefaultsConfig            `yaml:"defaults" jsonschema:"description=What holds for every provider and model that does not say otherwise."`
	Providers map[string]ProviderConfig `yaml:"providers" jsonschema:"description=Accounts at AI providers by the name that targets use."`
	Models    map[string]ModelConfig    `yaml:"models" jsonschema:"description=The model names that clients ask for."`
}

// DefaultsConfig is what providers and models inherit.
type DefaultsConfig struct {
	Timeouts TimeoutsConfig  `yaml:"timeouts" jsonschema:"description=How long each part of a call may take."`
	Attempts int             `yaml:"attempts" jsonschema:"description=Tries for one call at most; the first one counts.,minimum=1,maximum=10"`
	Backoff  []time.Duration `yaml:"backoff" jsonschema:"description=The wait before each repeat at the same target; the last value holds for all further ones."`
	Breaker  BreakerConfig   `yaml:"breaker" jsonschema:"description=When a failing target is left alone."`

	Unpriced     string `yaml:"unpriced" jsonschema:"description=What becomes of a call whose cost nobody knows and that a budget has to pay.,enum=flat,enum=refuse"`
	UnpricedHold string `yaml:"unpriced_hold" jsonschema:"description=What is held and charged for it with flat: dollars as a decimal."`
}

// TimeoutsConfig limits the parts of a call. Total is of the call and stands under defaults or a model; the
// others are of one attempt and may stand under a provider too.
type TimeoutsConfig struct {
	Connect   *time.Duration `yaml:"connect" jsonschema:"description=For a connection to stand with its TLS handshake."`
	FirstByte *time.Duration `yaml:"first_byte" jsonschema:"description=From the request sent to the first data of the answer."`
	Idle      *time.Duration `yaml:"idle" jsonschema:"description=Between two pieces of the answer."`
	Total     *time.Duration `yaml:"total" jsonschema:"description=For the whole call with all its attempts."`
}

// BreakerConfig says when a target is left alone: after Failures in Window that are also at least half of at
// least ten calls, for Cooldown.
type BreakerConfig struct {
	Failures *int           `yaml:"failures" jsonschema:"description=Failures within the window that open the breaker if they are also at least half of at least ten calls.,minimum=1"`
	Window   *time.Duration `yaml:"window" jsonschema:"description=How far back failures count."`
	Cooldown *time.Duration `yaml:"cooldown" jsonschema:"description=How long an open breaker keeps calls away before it lets one through to see."`
}

// ProviderConfig is one account at one endpoint.
type ProviderConfig struct {
	Kind    string `yaml:"kind" jsonschema:"description=What the endpoint speaks; every OpenAI-compatible server is openai.,enum=openai,enum=groq,enum=perplexity"`
	BaseURL string `yaml:"base_url" jsonschema:"description=Where the API begins; the kind's public endpoint if it is not written."`
	// APIKey is nil if it was not written, and points to an empty secret if its reference leads nowhere: then
	// the provider's targets are skipped with the reason "no credential".
	APIKey       *secrets.Secret `yaml:"api_key" jsonschema:"description=A reference as env:NAME or file:PATH; the word none for a server that wants no key."`
	API          string          `yaml:"api" jsonschema:"description=Which API of perplexity is used: responses unless written.,enum=responses,enum=chat"`
	AllowPrivate bool            `yaml:"allow_private" jsonschema:"description=Loopback and private addresses may be dialled."`
	// Organizations holds ids when Build reads it: package config puts them in place of the file's names.
	Organizations []tenancy.ID           `yaml:"organizations" jsonschema:"description=Who may use it; everybody if it is not written."`
	Timeouts      TimeoutsConfig         `yaml:"timeouts" jsonschema:"description=What differs from the defaults; total belongs to a model."`
	Breaker       BreakerConfig          `yaml:"breaker" jsonschema:"description=What differs from the defaults."`
	Limits        *AccountLimits         `yaml:"limits" jsonschema:"description=What the provider allows our account."`
	Probe         *time.Duration         `yaml:"probe" jsonschema:"description=How often a target that failed is tried with a small call of Vel's own; never unless written."`
	TLS           ProviderTLS            `yaml:"tls" jsonschema:"description=How the endpoint proves itself."`
	Proxy         string                 `yaml:"proxy" jsonschema:"description=A proxy as http://host:port; from the environment if it is not written."`
	Prices        map[string]PriceConfig `yaml:"prices" jsonschema:"description=What a model costs here by the provider's name of it."`
}

// AccountLimits is what a provider allows our account.
type AccountLimits struct {
	RPM      *int64 `yaml:"rpm" jsonschema:"description=Requests a minute.,minimum=1"`
	InFlight *int64 `yaml:"in_flight" jsonschema:"description=Requests at the same time.,minimum=1"`
}

// burstShare is which part of a minute's requests may come at once.
const burstShare = 10

// build makes the limits of an account, whose counters are called by it on every node.
func (a *AccountLimits) build(account string) (all []*ratelimit.Limit) {
	if a == nil {
		return nil
	}
	if n := a.RPM; n != nil {
		all = append(all, &ratelimit.Limit{
			Key: account + ":rpm", Kind: ratelimit.Rate, Max: *n, Per: ratelimit.Minute, Burst: max(1, *n/burstShare, (*n+59_999)/60_000),
		})
	}
	if n := a.InFlight; n != nil {
		all = append(all, &ratelimit.Limit{Key: account + ":in_flight", Kind: ratelimit.Slots, Max: *n})
	}
	return all
}

// ProviderTLS says whose certificate is believed.
type ProviderTLS struct {
	CA string `yaml:"ca" jsonschema:"description=A PEM file of authorities to believe instead of the system's."`
}

// ModelConfig is one public name and where its calls may go.
type ModelConfig struct {
	Strategy string          `yaml:"strategy" jsonschema:"description=How a target is chosen: in order (fallback) unless written.,enum=fallback,enum=weighted,enum=fastest,enum=cheapest,enum=least_request"`
	Optimize *OptimizeConfig `yaml:"optimize" jsonschema:"description=Weights by which cost and speed and quality choose the target; instead of a strategy."`
	Sticky   *StickyConfig   `yaml:"sticky" jsonschema:"description=Calls that belong together go to the same target."`
	Hedge    *HedgeConfig    `yaml:"hedge" jsonschema:"description=A second target is asked when the first is slow."`
	Cache    *CacheConfig    `yaml:"cache" jsonschema:"description=Equal calls get the answer that is kept."`
	Mirror   *MirrorConfig   `yaml:"mirror" jsonschema:"description=A share of the calls is also sent to another target whose answer nobody sees."`
	Rules    []RuleConfig    `yaml:"rules" jsonschema:"description=Conditions that choose other targets; the first match wins."`
	Targets  []TargetConfig  `yaml:"targets" jsonschema:"description=Where calls go in this order."`
	Timeouts TimeoutsConfig  `yaml:"timeouts" jsonschema:"description=What differs from the provider and the defaults."`
	Attempts *int            `yaml:"attempts" jsonschema:"description=Tries for one call at most; the first one counts.,minimum=1,maximum=10"`
	Backoff  []time.Duration `yaml:"backoff" jsonschema:"description=The wait before each repeat at the same target."`

	Strict         bool `yaml:"strict" jsonschema:"description=A call of which a provider would not get every field as it was meant is refused instead of answered with x-vel-dropped."`
	RepeatExecuted bool `yaml:"repeat_executed" jsonschema:"description=A call that the provider may have executed may be sent to it once more; it may be charged twice."`
}

// TargetConfig is a provider and its name of the model.
type TargetConfig struct {
	Provider string `yaml:"provider" jsonschema:"description=A name under providers."`
	Model    string `yaml:"model" jsonschema:"description=The provider's name of the model; the public name if it is not written."`
	Weight   *int   `yaml:"weight" jsonschema:"description=The share of calls with strategy weighted.,minimum=0"`
	Quality  *int   `yaml:"quality" jsonschema:"description=How good its answers are for optimize; 1 to 100.,minimum=1,maximum=100"`
}

// OptimizeConfig weighs what a route cares for. A weight that is not written is 0.
type OptimizeConfig struct {
	Cost    float64 `yaml:"cost" jsonschema:"description=How much the price of the call counts.,minimum=0"`
	Speed   float64 `yaml:"speed" jsonschema:"description=How much the time of an answer counts.,minimum=0"`
	Quality float64 `yaml:"quality" jsonschema:"description=How much the quality of the targets counts.,minimum=0"`
}

// StickyConfig keeps calls that belong together on one target.
type StickyConfig struct {
	By  string        `yaml:"by" jsonschema:"description=What makes calls belong together.,enum=key,enum=user,enum=session,enum=prefix"`
	TTL time.Duration `yaml:"ttl" jsonschema:"description=How long after the last call."`
}

// HedgeConfig asks a second target when the first is slow.
type HedgeConfig struct {
	After        string `yaml:"after" jsonschema:"description=How long the first target is waited for: a percentile of its usual time as p95 or a duration as 300ms.,pattern=^(p[1-9][0-9]?|([0-9]+(\\.[0-9]+)?(ms|s|m))+)$"`
	MaxExtraCost string `yaml:"max_extra_cost" jsonschema:"description=The share of the route's cost that second calls may add as 5%."`
	Tools        bool   `yaml:"tools" jsonschema:"description=Also calls that bring tools have a second target asked."`
}

// CacheConfig keeps answers.
type CacheConfig struct {
	TTL time.Duration `yaml:"ttl" jsonschema:"description=How long an answer is kept: at most 31 days; 24h for targets that search and 1h for others unless written."`
}

// MirrorConfig copies a share of the calls to another target.
type MirrorConfig struct {
	Percent float64             `yaml:"percent" jsonschema:"description=How many of a hundred calls.,minimum=0,maximum=100"`
	To      TargetConfig        `yaml:"to" jsonschema:"description=Where the copies go."`
	Budget  *MirrorBudgetConfig `yaml:"budget" jsonschema:"description=What the copies may cost; nothing else pays for them."`
}

// MirrorBudgetConfig is what copies may cost in a window of the calendar, in UTC.
type MirrorBudgetConfig struct {
	USD string `yaml:"usd" jsonschema:"description=Dollars as a decimal.,oneof_type=string;number"`
	Per string `yaml:"per" jsonschema:"description=The calendar window in UTC; total: for ever.,enum=hour,enum=day,enum=week,enum=month,enum=total"`
}

// RuleConfig sends the calls that match When to another model (Use) or to targets of its own, or refuses them.
type RuleConfig struct {
	When    string         `yaml:"when" jsonschema:"description=The condition."`
	Use     string         `yaml:"use" jsonschema:"description=The name of another model."`
	Targets []TargetConfig `yaml:"targets" jsonschema:"description=Where matching calls go in this order."`
	Refuse  string         `yaml:"refuse" jsonschema:"description=Matching calls are refused with this text."`
}

// Defaults is what holds without a file. Every call makes a value of its own. Who decodes a file over it must
// let a list replace the list: a shorter one must not keep the longer one's end.
func Defaults() Config {
	return Config{Defaults: DefaultsConfig{
		Timeouts: TimeoutsConfig{
			Connect:   new(2 * time.Second),
			FirstByte: new(120 * time.Second),
			Idle:      new(60 * time.Second),
			Total:     new(15 * time.Minute),
		},
		Attempts: 3,
		Backoff:  []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond},
		Breaker:  BreakerConfig{Failures: new(5), Window: new(60 * time.Second), Cooldown: new(30 * time.Second)},
		Unpriced: "flat", UnpricedHold: "0.05",
	}}
}

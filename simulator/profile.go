package simulator

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Price is what a model costs in nanodollars (a billionth of a dollar), so that sums are exact:
// $2.50 per million tokens is 2_500_000_000.
type Price struct {
	Input   int64 `json:"input"`   // nanodollars per million prompt tokens
	Output  int64 `json:"output"`  // nanodollars per million completion tokens
	Request int64 `json:"request"` // nanodollars per call
}

// cost is the bill for one call, in nanodollars, rounded down once at the end.
func (p Price) cost(input, output int) int64 {
	return p.Request + (p.Input*int64(input)+p.Output*int64(output))/1_000_000
}

// Profile is one model: how long it thinks, how fast it speaks, what it costs and how often it fails.
type Profile struct {
	// Model is the name that callers ask for.
	Model string `json:"model"`
	// Median and P95 of the time to the first token; between them the draw is log-normal. Zero: at once.
	Median time.Duration `json:"median_ns"`
	P95    time.Duration `json:"p95_ns"`
	// TokensPerSecond is the pace after the first token; 0 means without pause.
	TokensPerSecond float64 `json:"tokens_per_second"`
	// Context is the largest number of prompt tokens that the model takes; 0 means any.
	Context int `json:"context"`
	// Price is what a call is billed at in the statistics.
	Price Price `json:"price"`
	// ErrorRate is the share of calls, 0 to 1, that fail with 500, 503 or 429.
	ErrorRate float64 `json:"error_rate"`
	// Echo makes the model answer with exactly the last user message, markers removed.
	Echo bool `json:"echo,omitempty"`
	// Citations are sent as the extra member "citations", as search-backed providers do.
	Citations []string `json:"citations,omitempty"`
	// Reasoning makes the model show what it thought, where the dialect has a place for it.
	Reasoning bool `json:"reasoning,omitempty"`
	// NoDone ends this model's streams without [DONE], as some of Sonar's did.
	NoDone bool `json:"no_done,omitempty"`
	// Dimensions is the length of an embedding; 0 means 1536.
	Dimensions int `json:"dimensions,omitempty"`
	// EncodingFormat says what becomes of encoding_format in an embedding request: EncodingHonoured,
	// EncodingIgnored or EncodingRefused.
	EncodingFormat string `json:"encoding_format,omitempty"`
}

// What a provider does with encoding_format.
const (
	EncodingHonoured = ""        // base64 and float as asked
	EncodingIgnored  = "ignored" // always floats
	EncodingRefused  = "refused" // 400 when it is there
)

// Provider is one pretend provider: who it says it is, which key it takes and which models it has.
type Provider struct {
	// Name stands in owned_by and openai-organization; empty means "simulator".
	Name string
	// Dialect is one of OpenAI, Groq, Perplexity and PerplexityChat; empty means OpenAI.
	Dialect string
	// Key is the only bearer key accepted; empty means any key that is not empty. Each key is an account: what
	// is made with one is not there for another.
	Key string
	// Keys are further accepted keys, when Key is given.
	Keys []string
	// Profiles are the models; empty means those of the dialect, for OpenAI Profiles().
	Profiles []Profile
}

// Profiles returns the models of a provider that names none. The prices are those of well-known offers;
// the latencies keep their proportions but are shorter, so that a first try feels quick.
func Profiles() []Profile {
	const dollar = 1_000_000_000
	return []Profile{
		{
			Model: "sim-fast", Median: 40 * time.Millisecond, P95: 110 * time.Millisecond, TokensPerSecond: 400,
			Context: 131_072, Price: Price{Input: 0.59 * dollar, Output: 0.79 * dollar},
		},
		{
			Model: "sim-strong", Median: 600 * time.Millisecond, P95: 1600 * time.Millisecond, TokensPerSecond: 80,
			Context: 128_000, Price: Price{Input: 2.50 * dollar, Output: 7.50 * dollar},
		},
		{
			Model: "sim-small", Median: 200 * time.Millisecond, P95: 550 * time.Millisecond, TokensPerSecond: 150,
			Context: 128_000, Price: Price{Input: 0.15 * dollar, Output: 0.60 * dollar},
		},
		{
			Model: "sim-search", Median: 900 * time.Millisecond, P95: 2 * time.Second, TokensPerSecond: 100,
			Context: 127_072, Price: Price{Input: dollar, Output: dollar, Request: 0.005 * dollar},
			Citations: []string{"https://example.com/simulated/1", "https://example.com/simulated/2"},
		},
		{
			Model: "sim-flaky", Median: 40 * time.Millisecond, P95: 110 * time.Millisecond, TokensPerSecond: 400,
			Context: 131_072, Price: Price{Input: 0.10 * dollar, Output: 0.10 * dollar}, ErrorRate: 0.1,
		},
		{Model: "sim-echo", Echo: true},
	}
}

// Models returns the names of Profiles, in their order.
func Models() []string { return modelNames(Profiles()) }

func modelNames(profiles []Profile) []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Model
	}
	return names
}

// z95 is the 95th percentile of the standard normal distribution.
const z95 = 1.6448536269514722

// firstToken draws the time to the first token.
func (p *Profile) firstToken(r *rand.Rand) time.Duration {
	if p.Median <= 0 {
		return 0
	}
	sigma := 0.0
	if p.P95 > p.Median {
		sigma = math.Log(float64(p.P95)/float64(p.Median)) / z95
	}
	return time.Duration(float64(p.Median) * math.Exp(sigma*r.NormFloat64()))
}

// perToken is the pause between two tokens.
func (p *Profile) perToken() time.Duration {
	if p.TokensPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / p.TokensPerSecond)
}

// profile returns the model of that name.
func (p *Provider) profile(model string) (*Profile, bool) {
	i := slices.IndexFunc(p.Profiles, func(q Profile) bool { return q.Model == model })
	if i < 0 {
		return nil, false
	}
	return &p.Profiles[i], true
}

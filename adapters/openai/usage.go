package openai

import (
	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// counts are the numbers of a usage object as they stand there: overlapping.
type counts struct {
	prompt, cached, written, audioIn       int64
	completion, reasoning, audioOut, total int64
}

// readUsage replaces u by what a usage object says, and tells whether raw is one.
func readUsage(u *adapters.Usage, raw string) bool {
	if raw == "" || raw[0] != '{' {
		return false
	}
	var c counts
	gjson.Parse(raw).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "prompt_tokens":
			c.prompt = count(value)
		case "completion_tokens":
			c.completion = count(value)
		case "total_tokens":
			c.total = count(value)
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek, Moonshot
			c.cached = max(c.cached, count(value))
		case "prompt_tokens_details":
			c.promptDetails(value)
		case "completion_tokens_details":
			c.completionDetails(value)
		}
		return true
	})
	*u = c.disjoint()
	return true
}

func (c *counts) promptDetails(details gjson.Result) {
	details.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "cached_tokens":
			c.cached = max(c.cached, count(value))
		case "cache_write_tokens":
			c.written = count(value)
		case "audio_tokens":
			c.audioIn = count(value)
		}
		return true
	})
}

func (c *counts) completionDetails(details gjson.Result) {
	details.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "reasoning_tokens":
			c.reasoning = count(value)
		case "audio_tokens":
			c.audioOut = count(value)
		}
		return true
	})
}

// disjoint splits the two sums into classes that do not overlap. With OpenAI the details are parts of the sums.
// Some count a part beside them, which the total gives away: xAI its reasoning, Gemini's compatible endpoint
// its thoughts without naming them, proxies before Anthropic the cache. A part is never larger than its sum,
// and what is left is never negative, whatever the provider says.
func (c *counts) disjoint() adapters.Usage {
	if beside := c.total - c.prompt - c.completion; beside > 0 {
		if cache := c.cached + c.written; beside == cache && beside != c.reasoning {
			c.prompt += cache
		} else {
			c.completion += beside
			c.reasoning = max(c.reasoning, beside)
		}
	}
	var u adapters.Usage
	part := func(unit adapters.Unit, n int64, sum *int64) {
		u[unit] = min(n, *sum)
		*sum -= u[unit]
	}
	part(adapters.CacheRead, c.cached, &c.prompt)
	part(adapters.CacheWrite, c.written, &c.prompt)
	part(adapters.AudioIn, c.audioIn, &c.prompt)
	part(adapters.Input, c.prompt, &c.prompt)
	part(adapters.Reasoning, c.reasoning, &c.completion)
	part(adapters.AudioOut, c.audioOut, &c.completion)
	part(adapters.Output, c.completion, &c.completion)
	return u
}

// count reads a number of tokens. More than 2^40 of them is a mistake, and would overflow the sums.
func count(v gjson.Result) int64 {
	if v.Type != gjson.Number {
		return 0
	}
	return int64(min(max(v.Num, 0), 1<<40))
}

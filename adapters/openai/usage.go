package openai

import (
	"strings"

	"github.com/vel-gateway/vel/adapters"
)

// counts are the numbers of a usage object as they stand there: overlapping.
type counts struct {
	prompt, cached, written, audioIn, imageIn        int64
	cachedAudio, cachedImage                         int64 // which are in cached, and in audioIn and imageIn too
	completion, reasoning, audioOut, imageOut, total int64
	millis, searches                                 int64
}

// ReadUsage replaces u by what a usage object says, and tells whether raw is one. It knows the names of every
// endpoint: chat and embeddings count prompt and completion, the others input and output.
func ReadUsage(u *adapters.Usage, raw string) bool {
	if raw == "" || raw[0] != '{' {
		return false
	}
	var c counts
	for m := over(raw); m.next(); {
		switch m.key {
		case "prompt_tokens", "input_tokens":
			c.prompt = max(c.prompt, count(m.value))
		case "completion_tokens", "output_tokens":
			c.completion = max(c.completion, count(m.value))
		case "total_tokens":
			c.total = count(m.value)
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek, Moonshot
			c.cached = max(c.cached, count(m.value))
		case "prompt_tokens_details", "input_tokens_details", "input_token_details":
			c.promptDetails(m.value)
		case "completion_tokens_details", "output_tokens_details", "output_token_details":
			c.completionDetails(m.value)
		case "seconds": // of a transcription that is charged by time
			c.millis = decimal(m.value, 1000)
		case "num_search_queries": // Perplexity's chat
			c.searches = count(m.value)
		case "tool_calls_details": // Perplexity's responses
			c.toolCalls(m.value)
		}
	}
	*u = c.disjoint()
	return true
}

func (c *counts) promptDetails(details string) {
	for m := over(details); m.next(); {
		switch m.key {
		case "cached_tokens", "cache_read_input_tokens":
			c.cached = max(c.cached, count(m.value))
		case "cached_tokens_details":
			c.cachedDetails(m.value)
		case "cache_write_tokens", "cache_creation_input_tokens":
			c.written = count(m.value)
		case "audio_tokens":
			c.audioIn = count(m.value)
		case "image_tokens":
			c.imageIn = count(m.value)
		}
	}
}

func (c *counts) cachedDetails(details string) {
	for m := over(details); m.next(); {
		switch m.key {
		case "audio_tokens":
			c.cachedAudio = count(m.value)
		case "image_tokens":
			c.cachedImage = count(m.value)
		}
	}
}

func (c *counts) completionDetails(details string) {
	for m := over(details); m.next(); {
		switch m.key {
		case "reasoning_tokens":
			c.reasoning = count(m.value)
		case "audio_tokens":
			c.audioOut = count(m.value)
		case "image_tokens":
			c.imageOut = count(m.value)
		}
	}
}

// toolCalls reads {"search_web":{"invocation":2},…}.
func (c *counts) toolCalls(details string) {
	for m := over(details); m.next(); {
		if !strings.HasPrefix(m.key, "search_web") && m.key != "web_search" {
			continue
		}
		for call := over(m.value); call.next(); {
			if call.key == "invocation" {
				c.searches += count(call.value)
			}
		}
	}
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
	part(adapters.AudioIn, max(c.audioIn-c.cachedAudio, 0), &c.prompt)
	part(adapters.ImageIn, max(c.imageIn-c.cachedImage, 0), &c.prompt)
	part(adapters.Input, c.prompt, &c.prompt)
	part(adapters.Reasoning, c.reasoning, &c.completion)
	part(adapters.AudioOut, c.audioOut, &c.completion)
	part(adapters.ImageOut, c.imageOut, &c.completion)
	part(adapters.Output, c.completion, &c.completion)
	u[adapters.AudioMillis], u[adapters.Searches] = c.millis, c.searches
	return u
}

package routing

import (
	"strings"
	"time"
)

// How long answers are kept where it is not said, and at most.
const (
	keptBySearch = 24 * time.Hour
	keptByOthers = time.Hour
	longestKept  = 31 * 24 * time.Hour
)

// keeping says how long a route's answers are kept, and what they depend on.
func (b *builder) keeping(r *Route, c *CacheConfig) {
	if c == nil {
		return
	}
	if r.KeepFor = c.TTL; c.TTL == 0 {
		r.KeepFor = usuallyKept(r.Targets)
	}
	r.Recipe = recipe(r.Targets)
}

// usuallyKept is how long an answer of such targets is worth keeping: what was searched for a question is good for a day.
func usuallyKept(targets []*Target) time.Duration {
	for _, t := range targets {
		if t.Provider.Kind != "perplexity" {
			return keptByOthers
		}
	}
	return keptBySearch
}

// recipe is who answers: where any of it changes, answers that were kept before are of somebody else.
func recipe(targets []*Target) string {
	var all strings.Builder
	for _, t := range targets {
		all.WriteString(t.Provider.Base.String() + "\n" + t.Model + "\n")
	}
	return all.String()
}

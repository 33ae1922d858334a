package gateway

import (
	"cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// usualOutput is how many tokens an answer is taken to have at most if its request sets no limit.
const usualOutput = 4096

// expected is what a call may use before anything is known of it: the input by the length of what is asked, and as much
// output as its request allows, for each of the answers that it asks for.
func expected(in *adapters.Content, q *adapters.Question) (u adapters.Usage) {
	if !in.Endpoint.Charged() {
		return u
	}
	choices := int64(max(in.Choices, 1))
	u[adapters.Requests] = 1
	u[adapters.Input] = in.GuessInput(q.Input)
	switch in.Endpoint {
	case adapters.ChatCompletions, adapters.Completions, adapters.Responses:
		u[adapters.Output] = choices * cmp.Or(max(q.MaxTokens, q.MaxCompletionTokens), usualOutput)
	case adapters.ResponsesCompact:
		u[adapters.Output] = usualOutput
	case adapters.ImageGenerations, adapters.ImageEdits, adapters.ImageVariations:
		u[adapters.Images] = choices
	}
	return u
}

// estimate is what one attempt may come to at a target, as far as that has a price: what is held for it, and what the call is
// taken to have cost if this process does not live to see its end.
func (c *Call) estimate(at *routing.Target) (e accounting.Estimate) {
	if !c.Content.Endpoint.Charged() {
		return e
	}
	if !c.expecting {
		c.expected, c.expecting = expected(&c.Content, &c.question), true
	}
	in, out := c.expected.Tokens()
	e.Tokens = in + out
	price := at.PriceFor(c.Who.Org)
	if price == nil {
		e.Unpriced = true
		return e
	}
	cost, whole := price.Cost(&c.expected, c.begun)
	e.Cost, e.Unpriced = cost, !whole
	return e
}

package simulator

import "time"

// readChat understands POST /v1/chat/completions.
func readChat(c *call) (job, *apiError) {
	q, e := parseChat(c.body)
	if e != nil {
		return job{}, e
	}
	if check := c.server.dialect.chat; check != nil {
		if e := check(q, c.body); e != nil {
			return job{}, e
		}
	}
	if !q.store {
		q.raw = nil // thousands of open streams need not keep it
	}
	return job{
		model: q.model, words: q.words, param: "messages", tokens: q.promptTokens, stream: q.stream,
		make: func(c *call) (reply, *apiError) { return c.chatReply(q), nil },
	}, nil
}

// chatReply composes the answer.
func (c *call) chatReply(q *chatRequest) *chatReply {
	f := &c.faults
	r := &chatReply{
		dialect: c.server.dialect, request: q, id: "chatcmpl-" + randomName(29), model: c.profile.Model, created: time.Now().Unix(),
		choices: compose(q, c.profile, f), citations: c.profile.Citations, price: c.profile.Price,
		prompt: q.promptTokens, cached: min(f.cached.or(0), q.promptTokens), reasoning: f.reasoning.or(0),
	}
	if c.profile.Reasoning && c.server.dialect.reasoningField {
		r.thought = "The user asked about " + topicWord(q.prompt) + ", so I answer that."
		r.reasoning += countTokens(r.thought)
	}
	r.groqID = c.record.ID
	if q.store {
		r.keep = func() { c.storeCompletion(q, r) }
	}
	return r
}

package gateway

import (
	"bytes"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// How much text is kept to be counted. What is longer is taken to go on like its beginning.
const (
	answerSample = 8 << 10
	promptSample = 16 << 10
)

// untold is an attempt that was executed and whose provider did not tell what was used, or not all of it: a stream or an
// answer without usage, an answer that was broken off, or none at all.
type untold struct {
	at     int // in the record's attempts
	target *routing.Target
	prompt bool           // nothing is known of the prompt either
	answer adapters.Texts // in memory of its own
}

// untold tells what of the usage of the attempt under way is to be counted.
func (c *Call) untold() (prompt, answer bool) {
	if !c.Content.Endpoint.Countable() {
		return false, false
	}
	switch in, out := c.usage.Tokens(); {
	case in+out == 0:
		return true, true
	case out == 0 && c.stream != nil && c.failed != nil: // it told of the prompt, and would have told of the rest at its end
		return false, true
	}
	return false, false
}

// leaveToCount leaves the attempt under way to be counted when the call is settled.
func (c *Call) leaveToCount(prompt bool) {
	u := untold{at: c.tryAt, target: c.outcome.Target, prompt: prompt}
	switch {
	case c.stream != nil:
		u.answer = c.texts.Clone(answerSample)
	case c.ended:
		u.answer.Reset(answerSample)
		c.Content.Answer(&u.answer, bytes.Join(c.pieces, nil))
	default: // it flowed unread
		u.answer.Said.Unread(int(c.written))
	}
	c.untoldTries = append(c.untoldTries, u)
}

// metering is a call that ended, but for what is to be counted of it.
type metering struct {
	record *accounting.Record
	held   *accounting.Reservation
	client string
	trace  string // the id of its trace, or empty
	tries  []untold
	prompt adapters.Text
	hedged hedging
	copied *original // nil: no copy is made of it
}

// meter counts what providers did not tell, or leaves it to who counts beside the calls, and concludes the call.
func (p *Pipeline) meter(c *Call, trace string) {
	m := metering{record: &c.record, held: &c.reservation, client: c.Client, trace: trace, tries: c.untoldTries, prompt: adapters.Text{Limit: promptSample}, hedged: c.hedging(), copied: c.original()}
	c.Content.Prompt(&m.prompt)
	switch {
	case p.counter == nil, c.reservation.HasPlace(): // the place is not held while the call waits to be counted
		p.settleMetered(&m, guess)
	case c.waits:
		p.settleMetered(&m, p.counter.count)
	default:
		if own := m.own(); !p.counter.offer(own) {
			p.metrics.guessed.Inc()
			p.settleMetered(own, guess)
		}
	}
}

// guess is how many tokens a text has where nobody counts.
func guess(_ string, t *adapters.Text) int64 { return t.Guess() }

// settleMetered puts what was counted into the record and concludes it.
func (p *Pipeline) settleMetered(m *metering, tokens func(model string, t *adapters.Text) int64) {
	for i := range m.tries {
		u := &m.tries[i]
		a := &m.record.Attempts[u.at]
		a.Estimated = true
		if u.prompt {
			a.Usage[adapters.Input] = tokens(a.Model, &m.prompt)
		}
		a.Usage[adapters.Output] = tokens(a.Model, &u.answer.Said)
		a.Usage[adapters.Reasoning] = tokens(a.Model, &u.answer.Thought)
		p.charge(m.record, a, u.target)
	}
	p.tellRoute(m.hedged, m.record)
	p.conclude(m.record, m.held, m.client, m.trace)
	p.mirrors.offer(m.copied, m.record)
}

// own is the same in memory of its own: nothing in it belongs to the call or to its request.
func (m *metering) own() *metering {
	r := *m.record
	r.Attempts = slices.Clone(r.Attempts)
	r.Tags = slices.Clone(r.Tags)
	for i, tag := range r.Tags {
		r.Tags[i] = accounting.Tag{Key: strings.Clone(tag.Key), Value: strings.Clone(tag.Value)}
	}
	r.Dropped = slices.Clone(r.Dropped)
	for i, path := range r.Dropped {
		r.Dropped[i] = strings.Clone(path)
	}
	r.Agent, r.Error = strings.Clone(r.Agent), strings.Clone(r.Error)
	r.Decision, r.Holds = bytes.Clone(r.Decision), bytes.Clone(r.Holds)
	r.Prompt, r.Answer = bytes.Clone(r.Prompt), bytes.Clone(r.Answer)
	r.Bookings = slices.Clone(r.Bookings)
	held := &accounting.Reservation{}
	if m.held != nil {
		*held, *m.held = *m.held, *held
	}
	return &metering{record: &r, held: held, client: strings.Clone(m.client), trace: m.trace, tries: slices.Clone(m.tries), prompt: m.prompt, hedged: m.hedged, copied: m.copied}
}

// size is how much memory it needs.
func (m *metering) size() int64 {
	n := 2<<10 + m.prompt.Held() + len(m.record.Prompt) + len(m.record.Answer)
	for i := range m.tries {
		n += m.tries[i].answer.Said.Held() + m.tries[i].answer.Thought.Held()
	}
	return int64(n)
}

package gateway

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// How much of a text of others' is kept in a record.
const (
	longestAgent   = 256
	longestError   = 512
	longestDropped = 256
	longestAsked   = 256
	mostDropped    = 64
)

// begin writes down that the call is about to go to a provider, once. A call of which that can not be written down is not
// made: nobody would know what it cost.
func (p *Pipeline) begin(c *Call, to *routing.Target) error {
	if c.recorded || p.recorder == nil {
		return nil
	}
	c.recorded = true
	c.describe()
	r := &c.record
	r.State, r.Provider, r.Model = accounting.Begun, to.Provider.Name, to.Model
	r.Estimate = c.reservation.Worth(c.estimate(to))
	c.reservation.Book(r)
	if err := p.recorder.Begin(r); err != nil {
		return errUnrecorded(err)
	}
	return nil
}

// describe fills in who made the call, and what it is.
func (c *Call) describe() {
	r := &c.record
	if c.Who != nil {
		r.Who = c.Who.Identity
	}
	r.Endpoint, r.Stream, r.Task = c.Content.Endpoint, c.Content.Stream, c.Task
	r.Agent = readable(c.unkeyed(view(c.Agent)), longestAgent)
}

// close completes the record, but for what is still to be counted.
func (c *Call) close(class adapters.Class) {
	r := &c.record
	if r.State != accounting.Begun {
		c.describe()
	}
	r.State, r.Class, r.Status = accounting.Ended, class, c.status(class)
	r.Total = time.Since(c.begun)
	r.Provider, r.Model = c.answeredBy()
	if class != adapters.ClassNone {
		r.Error = c.said(class)
	}
	if c.plan.Decided() {
		if c.plan.Route == nil { // the name is a text of the client's and of nobody's configuration
			c.plan.Asked = readable(c.scrub(c.plan.Asked), longestAsked)
		}
		c.decide()
	}
	r.Dropped = dropped(c.request.Dropped)
	c.keepContent()
}

// decide writes down why the call went where it went, with what it takes to plan it again.
func (c *Call) decide() {
	r := &c.record
	if c.pipe.recorder != nil {
		body := c.Content.Body
		if c.Content.Boundary != nil { // a form is no JSON
			body = nil
		}
		c.plan.Note(c.asked(), body, c.pipe.judging.may(c.begun))
	}
	r.Decision = c.plan.AppendDecision(r.Decision[:0], c.snapshot.Rev)
	if c.plan.Named() {
		r.Decision = []byte(c.scrub(string(r.Decision)))
	}
}

// said is what the client was told, or would have been.
func (c *Call) said(class adapters.Class) string {
	err := c.failed
	if err == nil {
		err = endedError(class)
	}
	return readable(c.scrub(inWords(c, err).Message), longestError)
}

// conclude gives out what is known of a call that ended: to the recorder, the ledger, the metrics and the log. trace is the id of
// its trace, or empty.
func (p *Pipeline) conclude(r *accounting.Record, held *accounting.Reservation, client, trace string) {
	held.Book(r)
	if p.recorder != nil && r.Who != (tenancy.Identity{}) {
		p.recorder.End(r)
	}
	if p.ledger != nil {
		p.ledger.Settle(held, r)
	}
	p.metrics.call(r, trace)
	p.writeLine(r, client)
}

// tried is the record of the attempt under way.
func (c *Call) tried() *accounting.Attempt { return &c.record.Attempts[c.tryAt] }

// beginAttempt opens the record of an attempt.
func (c *Call) beginAttempt() {
	t := c.outcome.Target
	c.tryAt = len(c.record.Attempts)
	c.record.Attempts = append(c.record.Attempts, accounting.Attempt{Provider: t.Provider.Name, Model: t.Model, Began: c.tryBegun.Sub(c.begun)})
}

// endAttempt completes it, but for what it cost.
func (c *Call) endAttempt() {
	a := c.tried()
	a.Class, a.Total, a.FirstByte = c.outcome.Class, c.outcome.Total, c.outcome.FirstByte
	if a.FirstByte == 0 && a.Status != 0 {
		a.FirstByte = a.Total // it answered with its failure
	}
}

// dropped is what is kept of the names of the members that a provider did not get.
func dropped(paths []string) []string {
	paths = paths[:min(len(paths), mostDropped)]
	for i := range paths {
		paths[i] = readable(paths[i], longestDropped)
	}
	return paths
}

// readable is the beginning of a text, of at most so many bytes, without what no database takes and nobody can read. It is
// the text itself if there is nothing to mend.
func readable(text string, longest int) string {
	if len(text) > longest {
		for longest > 0 && !utf8.RuneStart(text[longest]) {
			longest--
		}
		text = text[:longest]
	}
	if plainText(text) || utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// plainText tells whether a text is ASCII that can be read, as almost every one is.
func plainText(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

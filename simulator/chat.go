package simulator

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// call is one chat completion on its way through the simulator. It belongs to its handler's goroutine.
type call struct {
	server  *Server
	w       http.ResponseWriter
	ctx     context.Context // ends when the client leaves or the server is cut
	conn    *conn
	record  *Request
	began   time.Time
	request *chatRequest
	profile *Profile
	faults  faults
	sent    bool // a byte of the answer went out
}

var (
	errBroken  = errors.New("a fault that was asked for ended the answer")
	errStopped = errors.New("the simulator stops")
)

// chat answers POST /v1/chat/completions. The body was read and the key accepted.
func (s *Server) chat(w http.ResponseWriter, r *http.Request, record *Request, body []byte) {
	c := &call{server: s, w: w, ctx: r.Context(), conn: connOf(r.Context()), record: record, began: time.Now()}
	s.tally.update(func(t *Stats) { t.Calls++; t.Open++ })
	end, done := refused, (*reply)(nil)
	defer func() { c.count(end, done) }()
	if e := c.read(body); e != nil {
		e.send(w)
		return
	}
	if e := c.refusal(); e != nil {
		if err := pause(c.ctx, c.began.Add(c.faults.latency.v)); err != nil {
			end = c.ending(err)
			return
		}
		e.send(w)
		return
	}
	done = c.reply()
	s.tally.update(func(t *Stats) {
		m := t.ByModel[c.profile.Model]
		m.Executed++
		t.ByModel[c.profile.Model] = m
		t.Executed++
		if c.request.stream {
			t.Streams++
			t.OpenStreams++
		}
	})
	end = c.ending(c.answer(done))
	if end == stopped {
		c.conn.reset() // else net/http would end the answer as if it were whole
	}
}

// read understands the request and its faults.
func (c *call) read(body []byte) *apiError {
	q, e := parseChat(body)
	if e != nil {
		return e
	}
	profile, ok := c.server.provider.profile(q.model)
	if !ok {
		return errModel(q.model)
	}
	if profile.Context > 0 && q.promptTokens > profile.Context {
		return errContext(profile.Context, q.promptTokens)
	}
	c.request, c.profile = q, profile
	c.faults = c.server.defaultFaults()
	if err := c.faults.apply(q.words); err != nil {
		return errValue("messages", "Invalid fault marker in the last user message: "+err.Error()+
			". GET /simulator/faults lists the words.")
	}
	if c.faults.fail.ok && c.faults.id == "" && len(q.words) > 0 {
		return errValue("messages", "Invalid fault marker in the last user message: \"fail\" needs an \"id\".")
	}
	if c.faults.id != "" {
		c.server.recorder.mark(c.record, c.faults.id)
	}
	return nil
}

// refusal decides whether the call fails with a status: because it was asked to, or by the error rate. It
// also ends the failures of a call whose first N tries have failed.
func (c *call) refusal() *apiError {
	f := &c.faults.failure
	if c.faults.fail.ok {
		if !c.server.tries.fails(c.faults.id, c.faults.fail.v) {
			*f = failure{}
			f.errorRate = opt[float64]{0, true}
		} else if *f == (failure{}) {
			f.status = opt[int]{500, true}
		}
	}
	status := f.status
	if !status.ok {
		status = c.server.drawError(f.errorRate.or(c.profile.ErrorRate))
	}
	if !status.ok {
		return nil
	}
	e := errStatus(status.v, c.profile.Model)
	if f.code != "" {
		e = e.withCode(f.code)
	}
	e.retryAfter = f.retryAfter
	return e
}

// reply composes the answer.
func (c *call) reply() *reply {
	q, f := c.request, &c.faults
	return &reply{
		id: "chatcmpl-" + randomName(29), model: c.profile.Model, created: time.Now().Unix(),
		choices: compose(q, c.profile, f), citations: c.profile.Citations,
		prompt: q.promptTokens, cached: min(f.cached.or(0), q.promptTokens), reasoning: f.reasoning.or(0),
	}
}

// answer waits as long as a model thinks and sends the reply.
func (c *call) answer(r *reply) error {
	f, h := &c.faults, c.w.Header()
	if c.request.stream {
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
	} else {
		h.Set("Content-Type", "application/json")
	}
	if f.gzip {
		h.Set("Content-Encoding", "gzip")
	}
	if f.close {
		h.Set("Connection", "close")
	}
	c.conn.tear.Store(int32(f.tear.or(0)))
	flush := http.NewResponseController(c.w).Flush
	if f.earlyHead && c.request.stream {
		c.sent = true
		if err := flush(); err != nil {
			return err
		}
	}
	latency := f.latency.v
	if !f.latency.ok {
		latency = c.server.drawLatency(c.profile)
	}
	if err := pause(c.ctx, c.began.Add(latency)); err != nil {
		return err
	}
	switch {
	case f.failure.empty:
		if !c.request.stream {
			h.Set("Content-Length", "0")
		}
		return errBroken
	case f.failure.twoAnswers:
		return c.twice(r)
	case !c.request.stream:
		return c.whole(r, flush)
	}
	if f.failure.wrongLength {
		// More than any answer has, so that a stream never reaches it.
		h.Set("Content-Length", strconv.Itoa(math.MaxInt32))
	}
	err := newStream(c, r, newSink(c.w, flush, f), true).run()
	if err == nil && f.failure.wrongLength {
		return errBroken
	}
	return err
}

// strike lets the fault strike on the connection that was asked for after as many chunks as were sent.
func (c *call) strike(sent int, last bool) error {
	f := &c.faults.failure
	switch {
	case due(f.die, sent, last):
		c.conn.reset()
		return errBroken
	case due(f.half, sent, last):
		if err := c.conn.closeWrite(); err != nil {
			return err
		}
		<-c.ctx.Done()
		return errBroken
	case due(f.stall, sent, last):
		<-c.ctx.Done()
		return context.Cause(c.ctx)
	}
	return nil
}

// ending tells how a call ended from the error of its answer.
func (c *call) ending(err error) outcome {
	switch {
	case err == nil:
		return completed
	case errors.Is(err, errBroken):
		return broken
	case errors.Is(context.Cause(c.ctx), errStopped):
		return stopped
	}
	return left
}

// count books how the call ended; r is nil if no model worked on it.
func (c *call) count(end outcome, r *reply) {
	c.server.tally.update(func(t *Stats) {
		t.Open--
		switch end {
		case completed:
			t.Completed++
		case refused:
			t.Refused++
		case broken:
			t.Broken++
		case left:
			t.Left++
			if !c.sent {
				t.LeftBeforeFirstByte++
			}
		case stopped:
			t.Stopped++
		}
		if r == nil {
			return
		}
		if c.request.stream {
			t.OpenStreams--
		}
		m := t.ByModel[c.profile.Model]
		m.PromptTokens += int64(r.prompt)
		m.CompletionTokens += int64(r.completion + r.reasoning)
		m.BilledNano += r.bill(c.profile.Price)
		if end == completed {
			m.Completed++
		}
		if end == left {
			m.Left++
		}
		t.ByModel[c.profile.Model] = m
	})
}

// bearer returns the key of an Authorization header; ok is false if there is none.
func bearer(h http.Header) (key string, ok bool) {
	scheme, key, _ := strings.Cut(h.Get("Authorization"), " ")
	key = strings.TrimSpace(key)
	return key, strings.EqualFold(scheme, "bearer") && key != ""
}

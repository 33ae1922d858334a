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

// call is one API call on its way through the simulator. It belongs to its handler's goroutine.
type call struct {
	server  *Server
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context // ends when the client leaves or the server is cut
	conn    *conn
	record  *Request
	account string   // digest of the bearer key: who owns what is made
	path    []string // what the route's wildcards stood for
	body    []byte
	began   time.Time
	job     job
	profile *Profile
	faults  faults
	sent    bool // a byte of the answer went out
}

// job is a request that was understood: what the machinery around the answer must know of it, and how the
// answer is made.
type job struct {
	model  string   // "" for a call that no model works on
	words  []string // the fault words in its text
	param  string   // the parameter in which they stood
	tokens int      // of the input, against the model's context
	stream bool
	kind   string // content type; empty means JSON, or events in a stream
	// make composes the answer. An error refuses the call: an object that is not there.
	make func(c *call) (reply, *apiError)
}

// reply is an answer on its way, with the count of what was sent of it.
type reply interface {
	// whole renders the answer as one body and tells in how many pieces a model would have spoken it.
	whole(f *faults) (body []byte, pieces int)
	// events sends the answer as a stream.
	events(s *stream) error
	// units are the tokens taken in and the tokens made so far.
	units() (input, output int)
}

// failing is a reply with a way of its own to say that the model failed.
type failing interface {
	// failedWhole is the body that says it.
	failedWhole() []byte
	// failedEvent is the event that says it, begun with nothing sent before when first is true.
	failedEvent(s *stream, first bool) []byte
}

var (
	errBroken  = errors.New("a fault that was asked for ended the answer")
	errStopped = errors.New("the simulator stops")
)

// run answers a call. The body was read and the key accepted.
func (c *call) run(name string, read func(*call) (job, *apiError)) {
	s := c.server
	s.tally.update(func(t *Stats) { t.Calls++; t.Open++; t.ByEndpoint[name]++ })
	end, done := refused, reply(nil)
	defer func() { c.count(end, done) }()
	e := c.read(read)
	if e == nil {
		if e = c.refusal(); e != nil {
			if err := pause(c.ctx, c.began.Add(c.faults.latency.v)); err != nil {
				end = c.ending(err)
				return
			}
		}
	}
	if e == nil {
		done, e = c.job.make(c)
	}
	if e != nil {
		done = nil
		s.fail(c.w, e)
		return
	}
	s.tally.update(func(t *Stats) {
		if c.profile.Model != "" {
			m := t.ByModel[c.profile.Model]
			m.Executed++
			t.ByModel[c.profile.Model] = m
			t.Executed++
		}
		if c.job.stream {
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
func (c *call) read(read func(*call) (job, *apiError)) *apiError {
	c.profile = &Profile{} // no model: at once and for nothing
	var e *apiError
	if c.job, e = read(c); e != nil {
		return e
	}
	c.body = nil // thousands of open streams need not keep it
	if c.job.model != "" {
		profile, ok := c.server.provider.profile(c.job.model)
		if !ok {
			return errModel(c.job.model)
		}
		if profile.Context > 0 && c.job.tokens > profile.Context {
			return errContext(c.job.param, profile.Context, c.job.tokens)
		}
		c.profile = profile
	}
	c.faults = c.server.defaultFaults()
	if err := c.faults.apply(c.job.words); err != nil {
		return errValue(c.job.param, "Invalid fault marker in '"+c.job.param+"': "+err.Error()+
			". GET /simulator/faults lists the words.")
	}
	if c.faults.fail.ok && c.faults.id == "" && len(c.job.words) > 0 {
		return errValue(c.job.param, "Invalid fault marker in '"+c.job.param+"': \"fail\" needs an \"id\".")
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
	e := c.server.dialect.status(status.v, c.profile.Model)
	if f.code != "" {
		e = e.withCode(f.code)
	}
	e.retryAfter = f.retryAfter
	return e
}

// answer waits as long as a model thinks and sends the reply.
func (c *call) answer(r reply) error {
	f, h := &c.faults, c.w.Header()
	switch {
	case c.job.kind != "":
		h.Set("Content-Type", c.job.kind)
	case c.job.stream:
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
	default:
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
	if f.earlyHead && c.job.stream {
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
		if !c.job.stream {
			h.Set("Content-Length", "0")
		}
		return errBroken
	case f.failure.twoAnswers:
		return c.twice(r)
	case !c.job.stream:
		return c.whole(r, flush)
	}
	if f.failure.wrongLength {
		// More than any answer has, so that a stream never reaches it.
		h.Set("Content-Length", strconv.Itoa(math.MaxInt32))
	}
	err := newStream(c, newSink(c.w, flush, f), true).run(r)
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

// count books how the call ended; r is nil if nothing was answered but an error.
func (c *call) count(end outcome, r reply) {
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
		if c.job.stream {
			t.OpenStreams--
		}
		if c.profile.Model == "" {
			return
		}
		input, output := r.units()
		m := t.ByModel[c.profile.Model]
		m.PromptTokens += int64(input)
		m.CompletionTokens += int64(output)
		m.BilledNano += c.profile.Price.cost(input, output)
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

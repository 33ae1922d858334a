package gateway

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// A client that leaves ends the call at the provider at once, whatever the call waits for, and is settled as gone.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	leave := map[string]func(*client){
		"closes":      func(c *client) { _ = c.Close() },
		"half-closes": func(c *client) { _ = c.CloseWrite() },
		"resets":      func(c *client) { _ = c.SetLinger(0); _ = c.Close() },
	}
	for how, leave := range leave {
		for when, c := range map[string]struct{ body, sent string }{
			"before the first byte":        {chatBody, ""},
			"before the stream's first":    {streamBody, streamHead},
			"in a whole answer":            {chatBody, strings.TrimSuffix(jsonAnswer(200, completion), completion)},
			"in the middle of a stream":    {streamBody, streamHead + chunk(piece)},
			"in the middle of a large one": {chatBody, strings.TrimSuffix(jsonAnswer(200, large), large) + large[:len(large)/2]},
		} {
			t.Run(when+", "+how, func(t *testing.T) {
				t.Parallel()
				reached, cancelled := make(chan struct{}), make(chan struct{})
				h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
					a.send(c.sent)
					close(reached)
					a.gone()
					close(cancelled)
					return false
				}, wellBehaved})
				conn := h.dial()
				conn.post(c.body)
				within(t, "the provider to be reached", reached)
				if strings.HasPrefix(when, "in the middle") {
					if r := conn.head("POST"); r.StatusCode != 200 {
						t.Fatalf("status %d", r.StatusCode)
					}
				}
				leave(conn)
				within(t, "the provider to see that the call was given up", cancelled)
				line := h.settled(1)
				if line["status"] != 499.0 || line["class"] != "client_gone" || h.metric("vel_calls_total", "status", "499") != 1 {
					t.Errorf("line %v", line)
				}
				if n := h.metric("vel_attempts_total", "outcome", "client_gone"); n != 1 || h.metric("vel_upstream_errors_total") != 0 {
					t.Errorf("%v attempts that the client left, %v errors of the provider", n, h.metric("vel_upstream_errors_total"))
				}
				if n := h.backends[1].calls.Load(); n != 0 {
					t.Errorf("the second target was called %d times for nobody", n)
				}
				eventually(t, "no connection is left", func() bool { return how == "half-closes" || h.Connections() == 0 })
			})
		}
	}
}

// busy is a house whose calls wait an hour before they are tried again.
func busy(t *testing.T) *house {
	return newHouse(t, []func(*asked) bool{answers(jsonAnswer(503, "{}"))}, func(h *house) {
		h.routing.Defaults.Backoff = []time.Duration{time.Hour}
		h.routing.Defaults.Timeouts.Total = new(2 * time.Hour)
	})
}

func TestClientLeavesDuringBackoff(t *testing.T) {
	t.Parallel()
	h := busy(t)
	c := h.dial()
	c.post(chatBody)
	eventually(t, "the first attempt is over", func() bool { return h.metric("vel_attempts_total") == 1 })
	_ = c.Close()
	if line := h.settled(1); line["status"] != 499.0 || line["class"] != "client_gone" || line["attempts"] != 1.0 {
		t.Errorf("line %v", line)
	}
}

// A drain lets nothing hang: what waits is refused, what streams gets an event and a proper end.
func TestDrain(t *testing.T) {
	t.Parallel()
	t.Run("during backoff", func(t *testing.T) {
		t.Parallel()
		h := busy(t)
		c := h.dial()
		c.post(chatBody)
		eventually(t, "the first attempt is over", func() bool { return h.metric("vel_attempts_total") == 1 })
		h.listener.drain()
		g := c.answer()
		if g.StatusCode != 503 || errorOf(t, g.body).code() != "shutting_down" || g.Header.Get("Retry-After") != "1" {
			t.Errorf("status %d, head %v, body %s", g.StatusCode, g.Header, g.body)
		}
		if line := h.settled(1); line["status"] != 503.0 || line["class"] != "draining" {
			t.Errorf("line %v", line)
		}
	})
	t.Run("in a stream", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, []func(*asked) bool{func(a *asked) bool { a.send(streamHead + chunk(piece)); a.gone(); return false }})
		c := h.dial()
		c.post(streamBody)
		r := c.head("POST")
		h.listener.drain()
		all, err := io.ReadAll(r.Body)
		if err != nil || !strings.HasPrefix(string(all), piece) || !strings.Contains(string(all), `"shutting_down"`) || strings.Contains(string(all), "[DONE]") {
			t.Errorf("%q, error %v", all, err)
		}
		if line := h.settled(1); line["status"] != 200.0 || line["class"] != "draining" {
			t.Errorf("line %v", line)
		}
	})
	t.Run("a call that begins after it", func(t *testing.T) {
		t.Parallel()
		h := quiet(t)
		c := h.dial()
		c.write("POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + goodKey + "\r\nContent-Length: 57\r\n\r\n")
		eventually(t, "the connection is there", func() bool { return h.Connections() == 1 })
		h.listener.drain()
		c.write(chatBody)
		if g := c.answer(); g.StatusCode != 503 || errorOf(t, g.body).code() != "shutting_down" {
			t.Errorf("status %d, body %s", g.StatusCode, g.body)
		}
		h.settled(1)
	})
}

func gather(into *strings.Builder) func([]byte) error {
	return func(p []byte) error { into.Write(p); return nil }
}

func (h *house) as(n int) tenancy.Identity {
	return tenancy.Identity{Org: "org", Key: tenancy.ID([]string{"key-1", "key-2"}[n-1])}
}

func (h *house) run(ctx context.Context, body string, each func([]byte) error) (*tasks.Result, error) {
	return h.pipe.Execute(ctx, &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(body)}, each)
}

// A whole call without a connection: the same phases, the same record.
func TestExecute(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{chatBody: completion, streamBody: piece + finish + done} {
		h := quiet(t)
		var all strings.Builder
		res, err := h.run(t.Context(), body, gather(&all))
		if err != nil || all.String() != want || res.Provider != "p1" || res.Model != "upstream-model" || res.Attempts != 1 {
			t.Fatalf("%+v, error %v, answer %q", res, err, all.String())
		}
		if in, out := res.Usage.Tokens(); body == chatBody && (in != 3 || out != 5) {
			t.Errorf("usage %d and %d", in, out)
		}
		if line := h.settled(1); line["status"] != 200.0 || line["class"] != "none" || line["key"] != "key-1" {
			t.Errorf("line %v", line)
		}
	}
}

func TestExecuteFails(t *testing.T) {
	t.Parallel()
	refused := errors.New("each refuses")
	for name, c := range map[string]struct {
		script func(*asked) bool
		body   string
		as     int
		each   func([]byte) error
		status float64
		class  adapters.Class
		is     error
	}{
		"a bad body":           {wellBehaved, "x", 1, nil, 400, adapters.ClassInvalid, nil},
		"not allowed":          {wellBehaved, chatBody, 2, nil, 403, adapters.ClassInvalid, nil},
		"the provider fails":   {answers(jsonAnswer(500, "{}")), chatBody, 1, nil, 500, adapters.ClassServer, nil},
		"each refuses":         {wellBehaved, streamBody, 1, func([]byte) error { return refused }, 499, adapters.ClassInternal, refused},
		"the stream is broken": {answers(streamHead + chunk(piece) + lastChunk), streamBody, 1, nil, 200, adapters.ClassTruncated, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{c.script})
			var all strings.Builder
			each := c.each
			if each == nil {
				each = gather(&all)
			}
			_, err := h.pipe.Execute(t.Context(), &tasks.Request{As: h.as(c.as), Endpoint: adapters.ChatCompletions, Body: []byte(c.body)}, each)
			if err == nil || classOf(err) != c.class || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v", err)
			}
			if line := h.settled(1); line["status"] != c.status || line["class"] == "none" {
				t.Errorf("line %v, want the status %v", line, c.status)
			}
		})
	}
}

// A key that was revoked after the task was stored opens nothing.
func TestExecuteWithARevokedKey(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	if _, err := h.run(t.Context(), chatBody, gather(&strings.Builder{})); err != nil {
		t.Fatal(err)
	}
	h.publish(h.pipe)
	_, err := h.run(t.Context(), chatBody, gather(&strings.Builder{}))
	if !errors.Is(err, tenancy.ErrUnknownKey) || h.backends[0].calls.Load() != 1 {
		t.Errorf("error %v, %d calls of the provider", err, h.backends[0].calls.Load())
	}
	if line := h.settled(2); line["status"] != 401.0 || line["class"] != "invalid" {
		t.Errorf("line %v", line)
	}
}

func TestExecuteIsCancelled(t *testing.T) {
	t.Parallel()
	t.Run("in a stream", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, []func(*asked) bool{func(a *asked) bool { a.send(streamHead + chunk(piece)); a.gone(); return false }})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := h.run(ctx, streamBody, func([]byte) error { cancel(); return nil })
		if classOf(err) != adapters.ClassGone {
			t.Errorf("error %v", err)
		}
		h.settled(1)
	})
	t.Run("during backoff", func(t *testing.T) {
		t.Parallel()
		h := busy(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { _, err := h.run(ctx, chatBody, gather(&strings.Builder{})); ended <- err }()
		eventually(t, "the first attempt is over", func() bool { return h.metric("vel_attempts_total") == 1 })
		cancel()
		if err := within(t, "the call", ended); classOf(err) != adapters.ClassGone {
			t.Errorf("error %v", err)
		}
		h.settled(1)
	})
	t.Run("before it began", func(t *testing.T) {
		t.Parallel()
		h := busy(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.run(ctx, chatBody, gather(&strings.Builder{})); classOf(err) != adapters.ClassGone {
			t.Errorf("error %v", err)
		}
		h.settled(1)
	})
}

package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// trouble is one way in which a target fails before our answer began, and what the client sees if no other is left.
type trouble struct {
	script  func(*asked) bool
	stream  bool
	brief   bool // a short first_byte
	refused bool // nobody listens
	status  int
	code    string
	stops   bool // no other target is tried
	repeats int  // how often the only target is called
}

// executed is how often a target is called that may have done the work: once, and never again.
const executed = 1

func troubles() map[string]trouble {
	said := func(status int, code string) func(*asked) bool {
		return answers(jsonAnswer(status, `{"error":{"message":"said so","type":"t","param":null,"code":"`+code+`"}}`))
	}
	all := map[string]trouble{
		"refused":            {refused: true, status: 502, code: "provider_unreachable"},
		"reset":              {script: func(a *asked) bool { a.reset(); return false }, status: 502, code: "provider_connection_lost", repeats: executed},
		"closed":             {script: func(*asked) bool { return false }, status: 502, code: "provider_connection_lost", repeats: executed},
		"silent":             {script: func(a *asked) bool { a.gone(); return false }, brief: true, status: 504, code: "provider_timeout", repeats: executed},
		"408":                {script: said(408, "slow"), status: 504, code: "slow", repeats: executed},
		"429":                {script: said(429, "rate"), status: 429, code: "rate", repeats: 3},
		"quota":              {script: said(429, "insufficient_quota"), status: 429, code: "insufficient_quota", repeats: 1},
		"500":                {script: said(500, "oops"), status: 500, code: "oops", repeats: executed},
		"503":                {script: said(503, "busy"), status: 503, code: "busy", repeats: 3},
		"529":                {script: said(529, "overloaded"), status: 503, code: "overloaded", repeats: 3},
		"401":                {script: said(401, "bad key "+ourSecret), status: 502, code: "provider_credential", repeats: 1},
		"HTML":               {script: answers(page(502)), status: 502, code: "provider_error", repeats: executed},
		"HTML with 200":      {script: answers(page(200)), status: 502, code: "provider_invalid_answer", repeats: executed},
		"garbage":            {script: answers(jsonAnswer(200, `{"id":`)), status: 502, code: "provider_invalid_answer", repeats: executed},
		"empty":              {script: answers(jsonAnswer(200, "")), status: 502, code: "provider_invalid_answer", repeats: executed},
		"an empty object":    {script: answers(jsonAnswer(200, "{}")), status: 502, code: "provider_invalid_answer", repeats: executed},
		"shorter than said":  {script: short, status: 502, code: "provider_answer_truncated", repeats: executed},
		"malformed chunks":   {script: answers(streamHead + "zz\r\n"), status: 502, code: "provider_answer_truncated", repeats: executed},
		"error with 200":     {script: answers(jsonAnswer(200, `{"error":{"message":"said so","type":"server_error","param":null,"code":"oops"}}`)), status: 500, code: "oops", repeats: executed},
		"error first":        {script: answers(streamHead + chunk(errorEvent) + lastChunk), stream: true, status: 503, code: "overloaded_error", repeats: 3},
		"stream of nothing":  {script: answers(streamHead + lastChunk), stream: true, status: 502, code: "provider_invalid_answer", repeats: executed},
		"stream of HTML":     {script: answers(page(200)), stream: true, status: 502, code: "provider_invalid_answer", repeats: executed},
		"stream closed":      {script: func(a *asked) bool { a.send(streamHead); return false }, stream: true, status: 502, code: "provider_answer_truncated", repeats: executed},
		"stream stays empty": {script: func(a *asked) bool { a.send(streamHead + chunk(": ping\n\n")); a.gone(); return false }, stream: true, brief: true, status: 504, code: "provider_timeout", repeats: executed},
		"400":                {script: said(400, "bad"), status: 400, code: "bad", stops: true, repeats: 1},
		"404":                {script: said(404, "none"), status: 404, code: "none", stops: true, repeats: 1},
		"413":                {script: said(413, "large"), status: 413, code: "large", stops: true, repeats: 1},
		"422":                {script: said(422, "odd"), status: 422, code: "odd", stops: true, repeats: 1},
	}
	return all
}

const errorEvent = `data: {"error":{"message":"said so","type":"server_error","param":null,"code":"overloaded_error"}}` + "\n\n"

func page(status int) string {
	return strings.Replace(jsonAnswer(status, "<html><body>no</body></html>"), "application/json", "text/html", 1)
}

func short(a *asked) bool {
	a.send(strings.Replace(jsonAnswer(200, completion), "Content-Length: ", "Content-Length: 9", 1))
	return false
}

func (c *trouble) plan(h *house) {
	if c.brief {
		h.routing.Defaults.Timeouts.FirstByte = new(100 * time.Millisecond)
	}
	if c.refused {
		p := h.routing.Providers["p1"]
		p.BaseURL = "http://" + closedAddress(h.t) + "/v1"
		h.routing.Providers["p1"] = p
	}
}

func (c *trouble) ask() string {
	if c.stream {
		return streamBody
	}
	return chatBody
}

func TestTroubleWithoutAnotherTarget(t *testing.T) {
	t.Parallel()
	for name, c := range troubles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{c.script}, c.plan)
			g := h.call(c.ask())
			if e := errorOf(t, g.body); g.StatusCode != c.status || e.code() != c.code {
				t.Errorf("status %d, body %s; want %d, %s", g.StatusCode, g.body, c.status, c.code)
			}
			if g.Header.Get("Content-Type") != "application/json" || strings.Contains(g.body, ourSecret) || strings.Contains(g.body, "127.0.0.1") {
				t.Errorf("head %v, body %s", g.Header, g.body)
			}
			if n := int(h.backends[0].calls.Load()); n != c.repeats {
				t.Errorf("the target was called %d times, want %d", n, c.repeats)
			}
			line := h.settled(1)
			if line["status"] != float64(c.status) || line["class"] == "none" {
				t.Errorf("line %v", line)
			}
		})
	}
}

func TestTroubleWithAnotherTarget(t *testing.T) {
	t.Parallel()
	for name, c := range troubles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{c.script, wellBehaved}, c.plan)
			g := h.call(c.ask())
			first, second := int(h.backends[0].calls.Load()), int(h.backends[1].calls.Load())
			if c.refused != (first == 0) || first > 1 {
				t.Errorf("the first target was called %d times", first)
			}
			if c.stops {
				if g.StatusCode != c.status || second != 0 {
					t.Errorf("status %d, the second target was called %d times", g.StatusCode, second)
				}
				return
			}
			want := completion
			if c.stream {
				want = piece + finish + done
			}
			if g.StatusCode != 200 || g.body != want || g.Header.Get("X-Vel-Provider") != "p2" || g.Header.Get("X-Vel-Attempts") != "2" || second != 1 {
				t.Errorf("status %d, head %v, body %s, the second target was called %d times", g.StatusCode, g.Header, g.body, second)
			}
			line := h.settled(1)
			if line["status"] != 200.0 || line["class"] != "none" || line["provider"] != "p2" || line["attempts"] != 2.0 {
				t.Errorf("line %v", line)
			}
			if h.metric("vel_attempts_total") != 2 || h.metric("vel_upstream_errors_total", "provider", "p1") != 1 {
				t.Errorf("%v attempts, %v errors counted", h.metric("vel_attempts_total"), h.metric("vel_upstream_errors_total"))
			}
		})
	}
}

func wellBehaved(a *asked) bool {
	if strings.Contains(a.body, `"stream":true`) {
		a.send(streamHead + chunk(piece) + chunk(finish) + chunk(done) + lastChunk)
		return true
	}
	a.send(jsonAnswer(200, completion))
	return true
}

// With repeat_executed the same target is asked again for what it may have done.
func TestRepeatExecuted(t *testing.T) {
	t.Parallel()
	for name, c := range troubles() {
		if c.repeats != executed || c.stops || c.brief || name == "401" || name == "quota" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{c.script}, c.plan, func(h *house) {
				m := h.routing.Models["m"]
				m.RepeatExecuted = true
				h.routing.Models["m"] = m
			})
			g := h.call(c.ask())
			if n := h.backends[0].calls.Load(); n != 3 || g.StatusCode != c.status || g.Header.Get("X-Vel-Attempts") != "3" {
				t.Errorf("status %d, the target was called %d times, head %v", g.StatusCode, n, g.Header)
			}
		})
	}
}

// Every attempt starts from the client's own request, whatever the one before made of it.
func TestEachAttemptStartsFromTheOriginal(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 3)
	see := func(then func(*asked) bool) func(*asked) bool {
		return func(a *asked) bool { bodies <- a.body; return then(a) }
	}
	bad := see(answers(jsonAnswer(500, "{}")))
	h := newHouse(t, []func(*asked) bool{bad, bad, see(wellBehaved)}, func(h *house) {
		for i, name := range []string{"first-long-name", `q"uoted`, "m"} {
			h.routing.Models["m"].Targets[i].Model = name
		}
	})
	if g := h.call(chatBody); g.StatusCode != 200 {
		t.Fatalf("status %d, body %s", g.StatusCode, g.body)
	}
	for _, name := range []string{"first-long-name", `q\"uoted`, "m"} {
		if body, want := <-bodies, strings.Replace(chatBody, `"m"`, `"`+name+`"`, 1); body != want {
			t.Errorf("body %s, want %s", body, want)
		}
	}
}

// What a model says about time holds for its calls, not what its provider says.
func TestTimeoutsOfTheModel(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(*asked) bool{
		"first byte": func(a *asked) bool { a.gone(); return false },
		"idle":       func(a *asked) bool { a.send(streamHead + chunk(piece)); a.gone(); return false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{script}, func(h *house) {
				m := h.routing.Models["m"]
				m.Timeouts.FirstByte, m.Timeouts.Idle = new(500*time.Millisecond), new(100*time.Millisecond)
				h.routing.Models["m"] = m
			})
			g := h.call(streamBody)
			if name == "first byte" && g.StatusCode != http.StatusGatewayTimeout || name == "idle" && !strings.Contains(g.body, "provider_timeout") {
				t.Errorf("status %d, body %s", g.StatusCode, g.body)
			}
		})
	}
}

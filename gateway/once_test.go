package gateway

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/vel-gateway/vel/gateway/replay"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// requests is a Requests in memory.
type requests struct {
	mu   sync.Mutex
	all  map[string]tenancy.Kept // guarded by mu
	away bool                    // likewise
}

func (r *requests) Claim(_ context.Context, org tenancy.ID, id, request string) (tenancy.Kept, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return tenancy.Kept{}, false, &tenancy.Unavailable{Cause: errors.New("gone")}
	}
	if kept, ok := r.all[string(org)+id]; ok {
		return kept, false, nil
	}
	r.all[string(org)+id] = tenancy.Kept{Request: request}
	return tenancy.Kept{}, true, nil
}

func (r *requests) HoldClaim(context.Context, tenancy.ID, string) error { return nil }

func (r *requests) Keep(_ context.Context, org tenancy.ID, id string, status int, answer string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.all[string(org)+id]
	kept.Status, kept.Answer = status, answer
	r.all[string(org)+id] = kept
	return nil
}

func (r *requests) Unclaim(_ context.Context, org tenancy.ID, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, string(org)+id)
	return nil
}

func (r *requests) holds(answer string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range r.all {
		if strings.Contains(kept.Answer, answer) {
			return true
		}
	}
	return false
}

// once makes the house heed Idempotency-Key.
func (r *requests) once(h *house) {
	r.all = map[string]tenancy.Kept{}
	h.before = append(h.before, func(s *Server) {
		ring, err := secrets.NewKeyring(secrets.New("a seed of at least 32 characters, for tests"))
		if err != nil {
			h.t.Fatal(err)
		}
		o := NewOnce(r, ring, 4<<10, s.log)
		s.pipe.MakeOnce(o)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); o.Hold(ctx) }()
		h.t.Cleanup(func() { stop(); <-ended })
	})
}

const keyed = "Idempotency-Key: 1"

// Whoever repeats a call with its key gets its answer, which is made and paid once; the same key with another request is refused.
func TestOnce(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"whole": chatBody, "a stream": streamBody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, r := &ledger{}, &requests{}
			h := newHouse(t, []func(*asked) bool{eachAnother()}, priced, r.once, l.into)
			first, again := h.call(body, keyed), h.call(strings.Replace(body, `{"model"`, `{ "model"`, 1), keyed)
			if first.StatusCode != 200 || again.StatusCode != 200 || first.body != again.body || first.body == "" || again.Header.Get("Idempotency-Replayed") != "true" ||
				first.Header.Get("Idempotency-Replayed") != "" || first.Header.Get("Content-Type") != again.Header.Get("Content-Type") {
				t.Errorf("%d %v %s\n%d %v %s", first.StatusCode, first.Header, first.body, again.StatusCode, again.Header, again.body)
			}
			other := h.call(strings.Replace(body, "hi", "ho", 1), keyed)
			if e := errorOf(t, other.body); other.StatusCode != 422 || e.code() != "idempotency_key_reused" {
				t.Errorf("another request: %d %s", other.StatusCode, other.body)
			}
			if fresh := h.call(body, "Idempotency-Key: 2"); fresh.body == first.body {
				t.Error("another key got the same answer")
			}
			if stranger := h.callAs(otherKey, body, keyed); stranger.body == first.body {
				t.Error("another organization got the same answer")
			}
			h.settled(5)
			if n := h.backends[0].calls.Load(); n != 3 {
				t.Errorf("the provider was asked %d times", n)
			}
			if l.ended[1].Cache != "replay" || l.ended[1].Cost != 0 || len(l.ended[1].Attempts) != 0 || l.ended[0].Cost == 0 {
				t.Errorf("%+v", l.ended[1])
			}
			if r.holds("hello") {
				t.Error("an answer is kept in clear")
			}
		})
	}
}

// A hundred equal calls at once are one; a stream is joined while it runs, and goes on when its client leaves.
func TestOnceAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		a.send(streamHead + chunk(piece))
		<-release
		a.send(chunk(finish+usageEvent+done) + lastChunk)
		return true
	}}, (&requests{}).once)
	first := h.dial()
	first.post(streamBody, keyed)
	if r := first.head("POST"); r.StatusCode != 200 {
		t.Fatal(r.StatusCode)
	}
	joined := h.dial()
	joined.post(streamBody, keyed)
	r := joined.head("POST")
	begin := make([]byte, len(piece))
	if _, err := io.ReadFull(r.Body, begin); err != nil || string(begin) != piece || r.Header.Get("Idempotency-Replayed") != "true" {
		t.Fatalf("while it runs: %q, %v", begin, err)
	}
	_ = first.Close()
	answers := make(chan got, 98)
	for range cap(answers) {
		go func() { answers <- h.call(streamBody, keyed) }()
	}
	close(release)
	rest, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasSuffix(string(rest), done) {
		t.Errorf("the rest: %q, %v", rest, err)
	}
	for range cap(answers) {
		if g := within(t, "an answer", answers); g.StatusCode != 200 || g.body != string(begin)+string(rest) {
			t.Errorf("%d %q", g.StatusCode, g.body)
		}
	}
	if n := h.backends[0].calls.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// A call that comes to nothing leaves its key free; one whose answer is too large is not made again; without the database nobody
// knows.
func TestOnceFails(t *testing.T) {
	t.Parallel()
	n, r := 0, &requests{}
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		switch n++; {
		case n == 1:
			a.send(jsonAnswer(400, `{"error":{"message":"no"}}`))
		case strings.Contains(a.body, "much"):
			a.send(jsonAnswer(200, strings.Replace(completion, "hello", strings.Repeat("hello ", 1<<10), 1)))
		default:
			a.send(jsonAnswer(200, completion))
		}
		return true
	}}, r.once)
	if g := h.call(chatBody, keyed); g.StatusCode != 400 {
		t.Fatal(g.StatusCode)
	}
	if g := h.call(chatBody, keyed); g.StatusCode != 200 || g.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("after a failure: %d %v", g.StatusCode, g.Header)
	}
	much := strings.Replace(chatBody, "hi", "much", 1)
	if g := h.call(much, "Idempotency-Key: 2"); g.StatusCode != 200 {
		t.Fatal(g.StatusCode)
	}
	if g := h.call(much, "Idempotency-Key: 2"); g.StatusCode != 409 || errorOf(t, g.body).code() != "idempotency_answer_too_large" || g.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("a large answer: %d %s", g.StatusCode, g.body)
	}
	if g := h.call(chatBody, "Idempotency-Key: "+strings.Repeat("x", 256)); g.StatusCode != 400 {
		t.Errorf("a long key: %d %s", g.StatusCode, g.body)
	}
	r.mu.Lock()
	r.away = true
	r.mu.Unlock()
	if g := h.call(chatBody, "Idempotency-Key: 3"); g.StatusCode != 503 || errorOf(t, g.body).code() != "database_unavailable" {
		t.Errorf("without a database: %d %s", g.StatusCode, g.body)
	}
	if g := h.call(chatBody); g.StatusCode != 200 {
		t.Errorf("without a key: %d %s", g.StatusCode, g.body)
	}
}

// A call whose answer the cache has is made once as well.
func TestOnceOverTheCache(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{eachAnother()}, caching, (&requests{}).once)
	h.call(chatBody)
	h.settled(1)
	hit, again := h.call(chatBody, keyed), h.call(chatBody, keyed)
	if hit.Header.Get("X-Vel-Cache") != "hit" || again.Header.Get("Idempotency-Replayed") != "true" || hit.body != again.body {
		t.Errorf("%v %s\n%v %s", hit.Header, hit.body, again.Header, again.body)
	}
}

var _ Marker = (*secrets.Keyring)(nil)

var _ replay.Sealer = (*secrets.Keyring)(nil)

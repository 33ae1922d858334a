package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/ratelimit"
)

// budgeted is a limiter on a Redis of its own with a budget in it.
type budgeted struct {
	*testing.T
	server *server
	redis  *ratelimit.Redis
	budget *ratelimit.Limit
	ids    atomic.Int64
}

func newBudgeted(t *testing.T, most int64, o ratelimit.RedisOptions, settings ...string) *budgeted {
	s := newServer(t, settings...)
	b := &budgeted{T: t, server: s, redis: limiter(t, "redis://"+s.Addr(), o), budget: amount("usd", ratelimit.Total, most)}
	b.seed(0)
	return b
}

func (b *budgeted) seed(spent int64) {
	b.Helper()
	if err := b.redis.Seed(b.Context(), "org", b.budget, time.Now(), spent); err != nil {
		b.Fatal(err)
	}
}

func (b *budgeted) take(n int64) (*ratelimit.Hold, ratelimit.Decision, error) {
	h := &ratelimit.Hold{ID: fmt.Sprint("req_", b.ids.Add(1)), Tag: "org", Takes: []ratelimit.Take{{Limit: b.budget, N: n}}}
	d, err := b.redis.Take(b.Context(), h)
	return h, d, err
}

// must takes n, and tries again while the machine is too busy to answer in time.
func (b *budgeted) must(n int64) (taken *ratelimit.Hold) {
	b.Helper()
	until(b, "a take", func() bool {
		h, d, err := b.take(n)
		taken = h
		return err == nil && d.OK
	})
	return taken
}

func (b *budgeted) use() (u ratelimit.Use) {
	b.Helper()
	until(b, "redis says what is used", func() bool {
		all, err := b.redis.Uses(b.Context(), "org", []*ratelimit.Limit{b.budget})
		if err == nil {
			u = all[0]
		}
		return err == nil
	})
	return u
}

// away waits until the limiter has noticed that Redis is away.
func (b *budgeted) away() {
	b.Helper()
	until(b, "redis is away", func() bool {
		_, _, err := b.take(1)
		if err != nil && !errors.Is(err, ratelimit.ErrAway) {
			b.Fatal(err)
		}
		return b.redis.Status().Away
	})
}

func TestRedisThatIsKilledIsAwayAndComesBackCold(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 1000, ratelimit.RedisOptions{})
	h := b.must(100)
	b.server.End(syscall.SIGKILL)
	b.away()
	b.redis.Settle(h, []int64{70})
	if err := b.server.Start(); err != nil { // with nothing in it
		t.Fatal(err)
	}
	until(t, "a cold answer", func() bool {
		_, d, err := b.take(1)
		return err == nil && d.Cold == b.budget
	})
	drain(t, b.redis) // it is booked although the hold is forgotten
	b.seed(0)
	if u := b.use(); u.Used != 70 || u.Held != 0 || u.Overrun != 70 || u.Cold {
		t.Errorf("%+v", u)
	}
	b.must(930)
}

func TestRedisThatKeepsItsDataLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 1000, ratelimit.RedisOptions{}, "appendonly", "yes", "appendfsync", "always")
	h := b.must(100)
	b.must(200)
	b.server.End(syscall.SIGKILL)
	b.away()
	b.redis.Settle(h, []int64{70})
	if err := b.server.Start(); err != nil {
		t.Fatal(err)
	}
	drain(t, b.redis)
	until(t, "what was taken without an answer is given back", func() bool {
		u := b.use()
		return u.Used == 70 && u.Held == 200 && u.Overrun == 0
	})
}

// A Redis that hangs is away; what it takes when it wakes is void, because nobody waits for the answer any more.
func TestRedisThatHangsTakesNothingLater(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 1000, ratelimit.RedisOptions{})
	h := b.must(100)
	b.server.signal(t, syscall.SIGSTOP)
	b.away()
	b.redis.Settle(h, []int64{60})
	b.server.signal(t, syscall.SIGCONT)
	drain(t, b.redis)
	if u := b.use(); u.Used != 60 || u.Held != 0 {
		t.Errorf("%+v", u)
	}
	until(t, "redis is back", func() bool {
		_, d, err := b.take(940)
		return err == nil && d.OK
	})
}

// signal sends a signal to Redis itself.
func (s *server) signal(t testing.TB, by syscall.Signal) {
	t.Helper()
	if err := s.Signal(by); err != nil {
		t.Fatal(err)
	}
}

func TestRedisThatWasFlushedIsCold(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 1000, ratelimit.RedisOptions{Timeout: patient})
	b.must(100)
	c := redis.NewClient(&redis.Options{Addr: b.server.Addr()})
	defer func() { _ = c.Close() }()
	if err := c.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, d, err := b.take(1); err != nil || d.OK || d.Cold != b.budget {
		t.Errorf("%+v %v", d, err)
	}
}

func TestRedisThatForgotItsScriptsIsGivenThem(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 1000, ratelimit.RedisOptions{Timeout: patient})
	c := redis.NewClient(&redis.Options{Addr: b.server.Addr()})
	defer func() { _ = c.Close() }()
	for range 3 {
		h := b.must(100)
		if err := c.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		b.redis.Settle(h, []int64{100})
		drain(t, b.redis)
	}
	if u := b.use(); u.Used != 300 || u.Held != 0 {
		t.Errorf("%+v", u)
	}
}

func TestSettlementsThatFindNoPlaceAreCounted(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 100_000, ratelimit.RedisOptions{Queue: 3, Timeout: patient})
	var holds []*ratelimit.Hold
	for range 2 * 128 {
		holds = append(holds, b.must(1))
	}
	b.server.signal(t, syscall.SIGSTOP)
	for _, h := range holds {
		b.redis.Settle(h, []int64{1})
	}
	if b.redis.Status().Lost == 0 {
		t.Error("256 settlements found place in a queue of 3")
	}
	b.server.signal(t, syscall.SIGCONT)
	until(t, "the rest arrives", func() bool { return b.redis.Status().Waiting == 0 })
	if u, lost := b.use(), b.redis.Status().Lost; u.Held != lost || u.Used != int64(len(holds))-lost {
		t.Errorf("%+v, %d lost", u, lost)
	}
}

func TestCloseGivesUpWhenItIsTold(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := ratelimit.NewRedis(client(t, "redis://"+s.Addr()), ratelimit.RedisOptions{})
	s.End(syscall.SIGKILL)
	r.Settle(&ratelimit.Hold{ID: "a", Tag: "org"}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if r.Status().Lost != 1 {
		t.Errorf("%+v", r.Status())
	}
}

func TestNodesAreCounted(t *testing.T) {
	t.Parallel()
	c := newClock(noon)
	var nodes []*ratelimit.Redis
	for i := range 3 {
		o := ratelimit.RedisOptions{Node: fmt.Sprint("node", i), Clock: c.now, Prefix: "counted"}
		nodes = append(nodes, limiter(t, "redis://"+shared.Addr(), o))
	}
	for i, want := range []int{3, 3} {
		for _, n := range nodes {
			n.Beat(t.Context())
		}
		nodes[0].Beat(t.Context())
		if got := nodes[0].Nodes(); got != want {
			t.Errorf("%d: %d nodes live, want %d", i, got, want)
		}
	}
	c.advance(time.Minute)
	nodes[0].Beat(t.Context())
	if got := nodes[0].Nodes(); got != 1 {
		t.Errorf("%d nodes live, want only this one", got)
	}
}

func TestRedisThatMayForgetIsWarnedOf(t *testing.T) {
	t.Parallel()
	s := newServer(t, "maxmemory-policy", "allkeys-lru")
	var log locked
	r := limiter(t, "redis://"+s.Addr(), ratelimit.RedisOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		r.Beat(t.Context())
	}
	if n := strings.Count(log.String(), "maxmemory_policy=allkeys-lru"); n != 1 || r.Status().Policy != "allkeys-lru" {
		t.Errorf("it warned %d times:\n%s", n, log.String())
	}
}

// locked is a buffer that goroutines share.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Whoever asks and leaves says nothing about Redis.
func TestCallersThatLeaveDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 1000, ratelimit.RedisOptions{Timeout: patient})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 20 {
		h := ratelimit.Hold{ID: fmt.Sprint("gone", i), Tag: "org", Takes: []ratelimit.Take{{Limit: b.budget, N: 1}}}
		if _, err := b.redis.Take(gone, &h); !errors.Is(err, context.Canceled) || errors.Is(err, ratelimit.ErrAway) {
			t.Fatalf("take: %v", err)
		}
	}
	if b.redis.Status().Away {
		t.Error("it believes that redis is away")
	}
	b.must(1000)
}

// The law holds at any moment, whatever callers do: they settle more than they held, leave without settling, and come back.
func TestTheLawHoldsAtAnyMoment(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 100_000, ratelimit.RedisOptions{Timeout: patient})
	done := make(chan struct{})
	var all sync.WaitGroup
	for caller := range 16 {
		all.Go(func() {
			for i := range 100 {
				h, d, err := b.take(int64(50 + caller))
				if err != nil {
					t.Error(err)
					return
				}
				if d.OK && i%7 != 0 {
					b.redis.Settle(h, []int64{int64(i * 2)})
				}
			}
		})
	}
	go func() { all.Wait(); close(done) }()
	for looks := 0; ; looks++ {
		u := b.use()
		if u.Used+u.Held > b.budget.Max+u.Overrun {
			t.Fatalf("the law is broken: %+v", u)
		}
		select {
		case <-done:
			if looks < 3 {
				t.Errorf("it was looked at %d times only", looks)
			}
			return
		default:
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	cases := []struct {
		url     string
		addrs   string
		cluster bool
		tls     bool
		ok      bool
	}{
		{"redis://localhost:6380", "localhost:6380", false, false, true},
		{"redis://localhost", "localhost:6379", false, false, true},
		{"rediss://user:p%40ss@redis.example/2", "redis.example:6379", false, true, true},
		{"redis://:secret@a:1,b,c:3", "a:1 b:6379 c:3", true, false, true},
		{"rediss://a,b", "a:6379 b:6379", true, true, true},
		{"redis://a,b/1", "", false, false, false},
		{"http://a", "", false, false, false},
		{"a:6379", "", false, false, false},
	}
	for _, c := range cases {
		o, err := ratelimit.Options(c.url)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if err != nil {
			continue
		}
		if got := strings.Join(o.Addrs, " "); got != c.addrs || o.IsClusterMode != c.cluster || (o.TLSConfig != nil) != c.tls || o.MaxRetries != -1 {
			t.Errorf("%s: %s, cluster %v, tls %v, %d retries", c.url, got, o.IsClusterMode, o.TLSConfig != nil, o.MaxRetries)
		}
	}
	if _, err := ratelimit.Options("redis://:very-secret@a:b:c"); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("a URL that is wrong: %v", err)
	}
}

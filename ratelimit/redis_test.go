package ratelimit_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/ratelimit"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, makeRedis)
		})
	}
}

// Three nodes on one Redis take exactly what there is.
func TestRedisIsExactInARace(t *testing.T) {
	t.Parallel()
	var nodes []store
	for range 3 {
		nodes = append(nodes, limiter(t, "redis://"+shared.Addr(), ratelimit.RedisOptions{Timeout: patient}))
	}
	race(t, func(caller int) store { return nodes[caller%len(nodes)] })
}

// BenchmarkRedis takes everything that a call does and settles it, one call after the other. It tells how long half of the
// calls waited at most, and what the pair costs Redis.
func BenchmarkRedis(b *testing.B) {
	s := newServer(b)
	r := limiter(b, "redis://"+s.Addr(), ratelimit.RedisOptions{Timeout: patient})
	takes := everything()
	seedAll(b, r, "org", takes, time.Now())
	h := ratelimit.Hold{Tag: "org", Takes: takes}
	var waits []time.Duration
	before := s.cpu(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.ID = "req_" + strconv.Itoa(i)
		began := time.Now()
		if d, err := r.Take(b.Context(), &h); err != nil || !d.OK {
			b.Fatalf("%+v %v", d, err)
		}
		waits = append(waits, time.Since(began))
		r.Settle(&h, settlement)
	}
	drain(b, r)
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
	b.ReportMetric((s.cpu(b)-before)/float64(len(waits))*1e6, "redis-µs/op")
}

// cpu is how many seconds of a processor a server has used.
func (s *server) cpu(t testing.TB) (seconds float64) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer func() { _ = c.Close() }()
	text, err := c.Info(t.Context(), "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			seconds += n
		}
	}
	return seconds
}

package ratelimit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/ratelimit/redistest"
)

// shared is the Redis of the tests that leave it as it is.
var shared *server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	redis.SetLogger(&logging.VoidLogger{}) // Redis is ended on purpose
	dir, err := os.MkdirTemp("", "vel-redis-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	shared = &server{&redistest.Server{Dir: filepath.Join(dir, "redis"), Port: redistest.FreePort()}}
	if err := shared.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	shared.End(syscall.SIGTERM)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// server is a private Redis.
type server struct{ *redistest.Server }

// newServer starts a Redis for the length of a test.
func newServer(t testing.TB, settings ...string) *server {
	t.Helper()
	return &server{redistest.New(t, settings...)}
}

// client is a client as Vel makes it, for the length of a test.
func client(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	o, err := ratelimit.Options(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// limiter is a limiter on a Redis, for the length of a test.
func limiter(t testing.TB, url string, o ratelimit.RedisOptions) *ratelimit.Redis {
	t.Helper()
	r := ratelimit.NewRedis(client(t, url), o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // its Redis may be gone for good
		defer cancel()
		_ = r.Close(ctx)
	})
	return r
}

// patient is how long a call waits for Redis in tests that are not about that, on a busy machine.
const patient = 10 * time.Second

// makeRedis makes a limiter on the shared Redis that follows a clock of the test.
func makeRedis(t testing.TB, c *clock) (store, func()) {
	r := limiter(t, "redis://"+shared.Addr(), ratelimit.RedisOptions{Clock: c.now, Timeout: patient})
	return r, func() { drain(t, r) }
}

// drain waits until what was settled has arrived.
func drain(t testing.TB, r *ratelimit.Redis) {
	t.Helper()
	until(t, "settlements arrive", func() bool { return r.Status().Waiting == 0 })
	if lost := r.Status().Lost; lost != 0 {
		t.Fatalf("%d settlements were lost", lost)
	}
}

// latest is when what a test waits for must have come, on a busy machine.
const latest = 60 * time.Second

// until waits for a condition.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(latest)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, latest)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

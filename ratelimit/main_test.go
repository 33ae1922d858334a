package ratelimit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/vel-gateway/vel/ratelimit"
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
	shared = &server{dir: filepath.Join(dir, "redis"), port: freePort()}
	if err := shared.start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	shared.end(syscall.SIGTERM)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// server is a private Redis, tests/services/redis, that can be started again on the same port and files.
type server struct {
	dir      string
	port     int
	settings []string

	cmd  *exec.Cmd
	done chan struct{}
}

// startLimit is how long a server may take to come up on a busy machine.
const startLimit = 60 * time.Second

// newServer starts a Redis for the length of a test.
func newServer(t testing.TB, settings ...string) *server {
	t.Helper()
	s := &server{dir: filepath.Join(t.TempDir(), "redis"), port: freePort(), settings: settings}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(syscall.SIGTERM) })
	return s
}

func (s *server) start() error {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "../tests/services/redis")
	s.cmd = exec.Command(script, append([]string{s.dir, strconv.Itoa(s.port)}, s.settings...)...)
	log, err := os.OpenFile(s.dir+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start redis: %w", err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() { // ends with the process
		_ = cmd.Wait() // how it ends is not what is tested
		close(done)
	}()
	return s.wait()
}

// wait waits until it answers.
func (s *server) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: s.addr()})
	defer func() { _ = c.Close() }()
	for c.Ping(ctx).Err() != nil {
		select {
		case <-s.done:
			log, _ := os.ReadFile(s.dir + ".log")
			return fmt.Errorf("redis ended before it answered\n%s", log)
		case <-ctx.Done():
			return fmt.Errorf("redis did not answer: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// end ends it by a signal and waits for its end.
func (s *server) end(by syscall.Signal) {
	_ = s.cmd.Process.Signal(by) // it may be gone already
	<-s.done
}

func (s *server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

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
	r := limiter(t, "redis://"+shared.addr(), ratelimit.RedisOptions{Clock: c.now, Timeout: patient})
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

// until waits for a condition.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(startLimit)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, startLimit)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

// Ports that no system gives to outgoing connections or to listeners that ask for any; with those 10,000 above them.
const lowestPort, ports = 12_000, 10_000

// freePort is a port that nobody listens on, and nobody on the one of its cluster bus.
func freePort() int {
	for {
		port := lowestPort + rand.IntN(ports)
		if free(port) && free(port+10_000) {
			return port
		}
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

package replay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/vel-gateway/vel/ratelimit/redistest"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{}) // Redis is ended on purpose
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// onRedis is a shelf in a Redis, at work for the length of a test.
func onRedis(t *testing.T, s *redistest.Server) *Redis {
	t.Helper()
	ring, err := secrets.NewKeyring(secrets.New("a seed of at least 32 characters, for tests"))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{s.Addr()}, MaxRetries: -1})
	r := NewRedis(client, ring, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; _ = client.Close() })
	return r
}

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

func answered(org tenancy.ID, route string, tags ...string) *Answer {
	now := time.Now().Truncate(time.Microsecond).UTC()
	return &Answer{
		Org: org, Route: route, Tags: tags, Kept: now, Until: now.Add(time.Hour), Status: 200, Type: "application/json",
		Provider: "p", Model: "m", Cost: 57, Body: []byte("{\"a\": \"\n\"}\n"),
	}
}

func named(s string) Name {
	n := Begin()
	n.Text(s)
	return n.Name()
}

// Both shelves give what was put there, as it was, and nothing that was purged.
func TestShelf(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	for name, shelf := range map[string]Shelf{"memory": NewMemory(1<<20, time.Now), "redis": onRedis(t, server)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			all := map[string]*Answer{"1": answered("a", "r"), "2": answered("a", "s", "k=v"), "3": answered("b", "r", "k=v", "l=w"), "4": answered("b", "s")}
			for key, a := range all {
				if err := shelf.Put(ctx, named(key), a); err != nil {
					t.Fatal(err)
				}
			}
			for key, want := range all {
				var got *Answer
				until(t, "an answer is kept", func() bool {
					got, _ = shelf.Get(ctx, named(key))
					return got != nil
				})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: %s", key, diff)
				}
			}
			if got, err := shelf.Get(ctx, named("5")); got != nil || err != nil {
				t.Errorf("what was never put is %v, %v", got, err)
			}
			left := func(want ...string) {
				t.Helper()
				var found []string
				for _, key := range []string{"1", "2", "3", "4"} {
					got, err := shelf.Get(ctx, named(key))
					if err != nil {
						t.Fatal(err)
					}
					if got != nil {
						found = append(found, key)
					}
				}
				if diff := cmp.Diff(want, found); diff != "" {
					t.Errorf("left: %s", diff)
				}
			}
			for _, purge := range []struct {
				which Which
				left  []string
			}{
				{Which{Org: "c"}, []string{"1", "2", "3", "4"}},
				{Which{Org: "b", Tag: "l=w"}, []string{"1", "2", "4"}},
				{Which{Org: "a", Route: "r"}, []string{"2", "4"}},
				{Which{Tag: "k=v"}, []string{"4"}},
				{Which{}, nil},
			} {
				if err := shelf.Purge(ctx, purge.which); err != nil {
					t.Fatal(err)
				}
				left(purge.left...)
			}
		})
	}
}

// Memory has a bound, forgets first what was asked for least recently, and gives nothing after its time.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := NewMemory(10*answered("a", "r").size(), func() time.Time { return now })
	put := func(i int) { _ = m.Put(t.Context(), named(fmt.Sprint(i)), answered("a", "r")) }
	has := func(i int) bool { a, _ := m.Get(t.Context(), named(fmt.Sprint(i))); return a != nil }
	for i := range 10 {
		put(i)
	}
	if !has(0) {
		t.Fatal("the first one is gone before the shelf is full")
	}
	put(10)
	if has(1) || !has(0) || !has(10) {
		t.Error("not the least recently used one made room")
	}
	if n, bytes := m.Held(); n != 10 || bytes != 10*answered("a", "r").size() {
		t.Errorf("%d answers, %d bytes", n, bytes)
	}
	large := answered("a", "r")
	large.Body = make([]byte, 1<<20)
	_ = m.Put(t.Context(), named("0"), large)
	if has(0) || !has(10) {
		t.Error("what does not fit took the place of others, or left what it replaces")
	}
	if now = now.Add(2 * time.Hour); has(10) {
		t.Error("an answer is given after its time")
	}
}

// A purge reaches other nodes; what Redis has is sealed; and a Redis that is gone is an error that costs no time.
func TestRedisIsShared(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	one, two := onRedis(t, server), onRedis(t, server)
	if err := one.Put(t.Context(), named("1"), answered("a", "secretive")); err != nil {
		t.Fatal(err)
	}
	has := func(r *Redis) bool { a, _ := r.Get(t.Context(), named("1")); return a != nil }
	until(t, "both nodes have it", func() bool { return has(one) && has(two) })
	raw, err := one.client.Get(t.Context(), answerPrefix+named("1").String()).Bytes()
	if err != nil || bytes.Contains(raw, []byte("secretive")) {
		t.Errorf("it lies in Redis as %q, %v", raw, err)
	}
	if left := one.client.TTL(t.Context(), answerPrefix+named("1").String()).Val(); left <= 0 || left > time.Hour {
		t.Errorf("Redis keeps it for %v", left)
	}
	if err := one.Purge(t.Context(), Which{Org: "a"}); err != nil {
		t.Fatal(err)
	}
	if has(one) {
		t.Error("it is still given by the node that was told to purge it")
	}
	until(t, "the other node hears of it", func() bool { return !has(two) })
	server.End(syscall.SIGKILL)
	until(t, "Redis is known to be away", func() bool { _, err := one.Get(t.Context(), named("1")); return err != nil })
	until(t, "nobody asks it", func() bool { _, err := one.Get(t.Context(), named("1")); return err == ErrAway }) // with no cause: it was not asked
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "Redis is asked again", func() bool { _, err := one.Get(t.Context(), named("1")); return err == nil })
}

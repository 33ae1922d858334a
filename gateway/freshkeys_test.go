package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// finder is a Finder that counts.
type finder struct {
	find  func(ctx context.Context, hash tenancy.Hash) (*tenancy.Principal, error)
	looks atomic.Int64
}

func (f *finder) FindKey(ctx context.Context, hash tenancy.Hash) (*tenancy.Principal, error) {
	f.looks.Add(1)
	return f.find(ctx, hash)
}

func nobody(context.Context, tenancy.Hash) (*tenancy.Principal, error) {
	return nil, tenancy.ErrUnknownKey
}

func numbered(n int) (h tenancy.Hash) {
	binary.BigEndian.PutUint64(h[:], uint64(n))
	return h
}

// indexOf is an index of keys of the database.
func indexOf(t testing.TB, keys ...string) *tenancy.KeyIndex {
	t.Helper()
	var all []tenancy.APIKey
	for _, k := range keys {
		all = append(all, tenancy.APIKey{Meta: tenancy.Meta{ID: tenancy.ID("id of " + k), Org: "org", Name: k}, Hash: tenancy.HashKey([]byte(k))})
	}
	index, err := tenancy.NewKeyIndex(all)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

var errDown = &tenancy.Unavailable{Cause: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}

func TestFreshKeysAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		someone := new(tenancy.Principal)
		for name, c := range map[string]struct {
			who   *tenancy.Principal
			err   error
			holds time.Duration
		}{
			"found":    {someone, nil, foundFor},
			"unknown":  {nil, tenancy.ErrUnknownKey, missingFor},
			"disabled": {nil, tenancy.ErrKeyDisabled, missingFor},
			"away":     {nil, errDown, foundFor},
		} {
			f := &finder{find: func(context.Context, tenancy.Hash) (*tenancy.Principal, error) { return c.who, c.err }}
			fresh := newFreshKeys(f)
			expect := func(looks int64) {
				t.Helper()
				if who, err := fresh.find(numbered(1), time.Now()); who != c.who || err != c.err || f.looks.Load() != looks {
					t.Errorf("%s: %v, error %v, %d look-ups, want %d", name, who, err, f.looks.Load(), looks)
				}
			}
			expect(1)
			time.Sleep(c.holds - 1)
			expect(1)
			time.Sleep(time.Nanosecond)
			expect(2)
			fresh.forget() // the index changed
			expect(3)
		}
	})
}

// A look-up of a key serves all who wait for it.
func TestFreshKeysOnceAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		someone := new(tenancy.Principal)
		f := &finder{find: func(context.Context, tenancy.Hash) (*tenancy.Principal, error) {
			time.Sleep(time.Second)
			return someone, nil
		}}
		fresh := newFreshKeys(f)
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(func() {
				if who, err := fresh.find(numbered(1), time.Now()); who != someone || err != nil {
					t.Errorf("%v, error %v", who, err)
				}
			})
		}
		synctest.Wait()
		if _, err := fresh.recall(numbered(1), time.Now()); err != tenancy.ErrUnknownKey {
			t.Errorf("while it is looked up: %v", err)
		}
		asking.Wait()
		if n := f.looks.Load(); n != 1 {
			t.Errorf("%d look-ups", n)
		}
	})
}

// What is being looked up while the index changes may be out of date by then: it serves those who wait, and no others.
func TestFreshKeysForgetWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		someone := new(tenancy.Principal)
		revoked := false
		fresh := newFreshKeys(&finder{find: func(context.Context, tenancy.Hash) (*tenancy.Principal, error) {
			if revoked {
				return nil, tenancy.ErrUnknownKey
			}
			time.Sleep(time.Second)
			return someone, nil
		}})
		var asking sync.WaitGroup
		asking.Go(func() {
			if who, err := fresh.find(numbered(1), time.Now()); who != someone || err != nil {
				t.Errorf("%v, error %v", who, err)
			}
		})
		synctest.Wait()
		revoked = true
		fresh.forget()
		asking.Wait()
		if who, err := fresh.find(numbered(1), time.Now()); err != tenancy.ErrUnknownKey {
			t.Errorf("after it was revoked: %v, error %v", who, err)
		}
	})
}

// Strangers take so many look-ups a second and no more, and the memory of them is bounded.
func TestFreshKeysAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &finder{find: nobody}
		fresh := newFreshKeys(f)
		key := 0
		for second := range 60 {
			for range 10 * findRate {
				key++
				if _, err := fresh.find(numbered(key), time.Now()); err != tenancy.ErrUnknownKey {
					t.Fatal(err)
				}
				if len(fresh.looks) > sweepAbove {
					t.Fatalf("%d look-ups are remembered", len(fresh.looks))
				}
			}
			if n := f.looks.Load(); n != int64((second+1)*findRate) {
				t.Fatalf("%d look-ups in %d seconds", n, second)
			}
			time.Sleep(time.Second)
		}
	})
}

// While the database is away nobody is refused, also those who are too many to be looked up; after it all are again.
func TestFreshKeysWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := true
		f := &finder{find: func(ctx context.Context, _ tenancy.Hash) (*tenancy.Principal, error) {
			if away { // it says nothing at all
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, tenancy.ErrUnknownKey
		}}
		fresh := newFreshKeys(f)
		var asking sync.WaitGroup
		begun := time.Now()
		for i := range 2 * findRate {
			if i == 1 {
				asking.Wait() // the first one brings the news
			}
			asking.Go(func() {
				if _, err := fresh.find(numbered(i), time.Now()); !unavailable(err) {
					t.Errorf("key %d: %v", i, err)
				}
			})
		}
		asking.Wait()
		if d := time.Since(begun); d > 2*findWithin {
			t.Errorf("they waited for %s", d)
		}
		if _, err := fresh.recall(numbered(1000), time.Now()); !unavailable(err) {
			t.Errorf("without a look-up: %v", err)
		}
		away = false
		if _, err := fresh.find(numbered(1001), time.Now()); err != tenancy.ErrUnknownKey {
			t.Errorf("once it is back: %v", err)
		}
		if _, err := fresh.recall(numbered(1000), time.Now()); err != tenancy.ErrUnknownKey {
			t.Errorf("once it is back, without a look-up: %v", err)
		}
	})
}

// The news that the database is away do not hold for ever.
func TestFreshKeysForgetThatItIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fresh := newFreshKeys(&finder{find: func(context.Context, tenancy.Hash) (*tenancy.Principal, error) { return nil, errDown }})
		_, _ = fresh.find(numbered(1), time.Now())
		time.Sleep(awayFor)
		if _, err := fresh.recall(numbered(2), time.Now()); err != tenancy.ErrUnknownKey {
			t.Error(err)
		}
	})
}

// A look-up that panics fails one call; others for the same key do not wait for ever.
func TestFreshKeysSurviveAPanic(t *testing.T) {
	t.Parallel()
	fresh := newFreshKeys(&finder{find: func(context.Context, tenancy.Hash) (*tenancy.Principal, error) { panic("boom") }})
	func() {
		defer func() { _ = recover() }()
		_, _ = fresh.find(numbered(1), time.Now())
	}()
	if who, err := fresh.find(numbered(1), time.Now()); who != nil || err != errInternal {
		t.Errorf("%v, error %v", who, err)
	}
}

// What every way in says of a key, by what index and database say of it.
func TestKeysOfTheDatabase(t *testing.T) {
	t.Parallel()
	const fresh = "sk-vel-fresh"
	fetched := indexOf(t, fresh)
	find := func(ctx context.Context, hash tenancy.Hash) (*tenancy.Principal, error) {
		return fetched.Lookup(hash, time.Now())
	}
	down := func(context.Context, tenancy.Hash) (*tenancy.Principal, error) { return nil, errDown }
	for name, c := range map[string]struct {
		find   func(context.Context, tenancy.Hash) (*tenancy.Principal, error)
		key    string
		stale  bool
		status int
		large  int // of a body that is refused before any look-up
	}{
		"known":                  {find, goodKey, false, 200, 200},
		"made a moment ago":      {find, fresh, false, 200, 401},
		"known to nobody":        {find, "sk-vel-x", false, 401, 401},
		"without a finder":       {nil, "sk-vel-x", false, 401, 401},
		"known, database away":   {down, goodKey, false, 200, 200},
		"unknown, database away": {down, "sk-vel-x", false, 503, 503},
		"no longer believed":     {down, goodKey, true, 503, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := quiet(t, func(h *house) {
				h.before = append(h.before, func(s *Server) {
					if c.find != nil {
						s.pipe.FindKeys(&finder{find: c.find})
					}
					s.pipe.SetKeys(s.pipe.Snapshot().Keys.Stale(c.stale))
				})
			})
			ask := func(what string, status int, raw string) {
				t.Helper()
				conn := h.dial()
				conn.write(raw)
				g := conn.answer()
				if g.StatusCode != status {
					t.Errorf("%s: status %d, want %d, body %s", what, g.StatusCode, status, g.body)
				}
				code := map[int]string{401: "invalid_api_key", 503: "database_unavailable"}[g.StatusCode]
				if code != "" && errorOf(t, g.body).code() != code {
					t.Errorf("%s: body %s", what, g.body)
				}
				if g.StatusCode == 503 && (g.Header.Get("Retry-After") != "1" || g.Header.Get("X-Should-Retry") != "") {
					t.Errorf("%s: head %v", what, g.Header)
				}
			}
			key := "Authorization: Bearer " + c.key
			if c.status == 200 && c.large == 401 {
				ask("a large call before", c.large, request("POST", "/v1/chat/completions", padded(largeBody+1), key))
			}
			ask("a call", c.status, request("POST", "/v1/chat/completions", chatBody, key))
			ask("the models", c.status, request("GET", "/v1/models", "", key))
			if c.status == 200 && c.large == 401 {
				c.large = 200 // it is known by now
			}
			ask("a large call", c.large, request("POST", "/v1/chat/completions", padded(largeBody+1), key))
			if c.status == 503 {
				if class := h.log.lines(t, "call")[0]["class"]; class != "overloaded" {
					t.Errorf("class %v", class)
				}
			}
		})
	}
}

// A task whose key is no longer believed is not refused either.
func TestExecuteWithAStaleKey(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	h.pipe.SetKeys(h.pipe.Snapshot().Keys.Stale(true))
	_, err := h.pipe.Execute(t.Context(), &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(chatBody)}, func([]byte) error { return nil })
	if !errors.Is(err, tenancy.ErrKeyStale) || classOf(err) != adapters.ClassOverloaded {
		t.Errorf("error %v, class %s", err, classOf(err))
	}
	if line := h.settled(1); line["status"] != float64(http.StatusServiceUnavailable) || line["class"] != "overloaded" {
		t.Errorf("line %v", line)
	}
}

// Keys change alone: routes stay the very same, revisions only grow, and a key that was found but is revoked by now
// opens nothing at once.
func TestSetKeys(t *testing.T) {
	t.Parallel()
	const other = "sk-vel-other"
	found := indexOf(t, other)
	var revoked atomic.Bool
	h := quiet(t, func(h *house) {
		h.before = append(h.before, func(s *Server) {
			s.pipe.FindKeys(&finder{find: func(_ context.Context, hash tenancy.Hash) (*tenancy.Principal, error) {
				if revoked.Load() {
					return nil, tenancy.ErrUnknownKey
				}
				return found.Lookup(hash, time.Now())
			}})
		})
	})
	status := func(key string) int {
		c := h.dial()
		c.write(request("GET", "/v1/models", "", "Authorization: Bearer "+key))
		return c.answer().StatusCode
	}
	before := h.pipe.Snapshot()
	if status(goodKey) != 200 || status(other) != 200 {
		t.Fatal("a key that exists is refused")
	}
	revoked.Store(true)
	h.pipe.SetKeys(indexOf(t, "sk-vel-third"))
	if g, o, third := status(goodKey), status(other), status("sk-vel-third"); g != 401 || o != 401 || third != 200 {
		t.Errorf("status %d, %d and %d", g, o, third)
	}
	after := h.pipe.Snapshot()
	if after.Routes != before.Routes || after.Redactor != before.Redactor || after.Rev != before.Rev+1 {
		t.Errorf("the snapshot changed from %+v to %+v", before, after)
	}
	h.publish(h.pipe, goodKey) // with the revision that it had at first
	if rev := h.pipe.Snapshot().Rev; rev != after.Rev+1 || status(goodKey) != 200 {
		t.Errorf("revision %d after %d", rev, after.Rev)
	}
	var changing sync.WaitGroup
	last := h.pipe.Snapshot().Rev
	for i := range 8 {
		changing.Go(func() {
			for range 100 {
				if next := *before; i%2 == 0 {
					h.pipe.Publish(&next)
				} else {
					h.pipe.SetKeys(found)
				}
			}
		})
	}
	changing.Wait()
	if rev := h.pipe.Snapshot().Rev; rev != last+800 {
		t.Errorf("%d revisions were given to 800 snapshots", rev-last)
	}
}

// A call and a list of models note that their key is used; a refused one does not.
func TestUseOfAKeyIsNoted(t *testing.T) {
	t.Parallel()
	h := quiet(t)
	used := func() string {
		var ids []string
		for id, at := range h.pipe.Snapshot().Keys.UsedSince(time.Unix(0, 0)) {
			if time.Since(at) > patience {
				t.Errorf("%s was used at %s", id, at)
			}
			ids = append(ids, string(id))
		}
		return strings.Join(ids, " ")
	}
	h.get("GET", "/healthz", "Authorization: Bearer "+goodKey)
	if ids := used(); ids != "" {
		t.Errorf("used before any call: %s", ids)
	}
	h.call(chatBody)
	if ids := used(); ids != "key-1" {
		t.Errorf("used after a call: %s", ids)
	}
}

// To note the use of a key, and to look for a mounted path, costs no memory and next to no time.
func TestIdentifyAllocatesNothing(t *testing.T) {
	h := quiet(t, mounting(func(http.ResponseWriter, *http.Request) {}))
	c := h.pipe.acquire(newID())
	defer h.pipe.release(c)
	var head fasthttpHead
	head.read(t, request("POST", "/v1/chat/completions", chatBody, "Authorization: Bearer "+goodKey))
	n := testing.AllocsPerRun(1000, func() {
		c.Who, c.Key = nil, presentedKey(&head.RequestHeader)
		if err := h.pipe.identify(c); err != nil || h.mounted(&head.RequestHeader) != nil {
			t.Fatal(fmt.Errorf("identify: %w", err))
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

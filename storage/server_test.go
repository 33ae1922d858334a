package storage_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/storage/storagetest"
	"github.com/vel-gateway/vel/tenancy"
)

// TestServer does to a server what no other test could bear.
func TestServer(t *testing.T) {
	t.Parallel()
	own, err := storagetest.StartPostgres()
	if own != nil {
		t.Cleanup(own.Close)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a login that may not create roles", func(t *testing.T) { plainLogin(t, own) })
	t.Run("roles that nothing binds", func(t *testing.T) { mightyRoles(t, own) })
	t.Run("outage", func(t *testing.T) { outage(t, own, func(d storagetest.Database) string { return d.URL }) })
	t.Run("outage behind a pooler", func(t *testing.T) { outage(t, own, func(d storagetest.Database) string { return d.Pooled }) })
}

// plainLogin comes first: no role has been made yet.
func plainLogin(t *testing.T, own *storagetest.Postgres) {
	d := own.Database(t)
	own.Exec(t, d.Admin, `create role "plain login" login; grant all on schema public to "plain login"`)
	cfg := storage.Config{URL: secrets.New(strings.Replace(d.URL, "vel@", "plain%20login@", 1))}
	_, err := storage.Open(t.Context(), cfg, quiet)
	for _, says := range []string{"vel_app", "plain login", "administrator", "vel migrate roles"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Fatalf("got %v, want it to say %q", err, says)
		}
	}
	if errors.As(err, new(*tenancy.Unavailable)) {
		t.Errorf("%v is no outage", err)
	}
	own.Exec(t, d.Admin, storage.RolesSQL(cfg))
	db := open(t, cfg)
	if _, err := db.Orgs().Create(t.Context(), tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: "a"}}); err != nil {
		t.Error(err)
	}
}

func mightyRoles(t *testing.T, own *storagetest.Postgres) {
	d := own.Database(t)
	open(t, storage.Config{URL: secrets.New(d.URL)})
	for _, role := range []string{"vel_app", "vel_system", "vel_ingest"} {
		for _, might := range []string{"bypassrls", "superuser"} {
			own.Exec(t, d.Admin, "alter role "+role+" "+might)
			_, err := storage.Open(t.Context(), storage.Config{URL: secrets.New(d.URL)}, quiet)
			if err == nil || !strings.Contains(err.Error(), "alter role "+role+" nosuperuser nobypassrls") {
				t.Errorf("%s with %s: %v", role, might, err)
			}
			own.Exec(t, d.Admin, "alter role "+role+" nosuperuser nobypassrls")
		}
	}
	open(t, storage.Config{URL: secrets.New(d.URL)})
}

// told is what a follower was told, with a signal for each.
type told struct {
	changed chan storage.Changes
	away    chan time.Time
	back    chan struct{}
}

func follow(t *testing.T, db *storage.DB) told {
	t.Helper()
	f := told{make(chan storage.Changes, 100), make(chan time.Time, 100), make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		db.Follow(ctx, 0, storage.Follower{
			Changed: func(c storage.Changes) { f.changed <- c },
			Away: func(since time.Time, cause error) {
				if !errors.As(cause, new(*tenancy.Unavailable)) {
					t.Errorf("away because of %v", cause)
				}
				f.away <- since
			},
			Back: func() { f.back <- struct{}{} },
		})
	})
	t.Cleanup(func() {
		cancel()
		following.Wait()
	})
	return f
}

// outage stops the server under load and starts it again.
func outage(t *testing.T, own *storagetest.Postgres, way func(storagetest.Database) string) {
	ctx := t.Context()
	d := own.Database(t)
	cfg := storage.Config{URL: secrets.New(way(d)), Direct: secrets.New(d.URL)}
	db := open(t, cfg)
	org, err := db.Orgs().Create(ctx, tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	key := tenancy.APIKey{Meta: tenancy.Meta{Org: org.ID, Name: "k"}, Hash: tenancy.HashKey([]byte("k"))}
	if key, err = db.Keys().Create(ctx, tenancy.Vel(), key); err != nil {
		t.Fatal(err)
	}
	f := follow(t, db)
	<-f.changed
	asks := map[string]func() error{
		"Get":       func() error { _, err := db.Keys().Get(ctx, org.ID, key.ID); return err },
		"KeyByHash": func() error { _, err := db.KeyByHash(ctx, key.Hash); return err },
		"Update":    func() error { _, err := db.Orgs().Update(ctx, tenancy.Vel(), org); return err },
		"KeysUsed":  func() error { return db.KeysUsed(ctx, map[tenancy.ID]time.Time{key.ID: time.Now()}) },
		"Ping":      func() error { return db.Ping(ctx) },
	}
	org.Rev = 0
	stop := load(t, asks)
	own.Stop()
	since := <-f.away
	var asking sync.WaitGroup
	for name, ask := range asks {
		asking.Go(func() {
			began := time.Now()
			if err := ask(); !errors.As(err, new(*tenancy.Unavailable)) {
				t.Errorf("%s while the server is away: %v", name, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s took %s to say that the server is away", name, took)
			}
		})
	}
	asking.Wait()
	if _, err := storage.Open(ctx, cfg, quiet); !errors.As(err, new(*tenancy.Unavailable)) {
		t.Errorf("a start while the server is away: %v", err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	<-f.back
	for {
		c := <-f.changed
		if len(c.Keys) == 1 && c.Whole {
			break // everything anew
		}
	}
	stop()
	eventually(t, "the server to be well again", func() bool { return db.Ping(ctx) == nil })
	for name, ask := range asks {
		if err := ask(); err != nil {
			t.Errorf("%s when the server is back: %v", name, err)
		}
	}
	if since.After(time.Now()) || len(f.away) > 0 || len(f.back) > 0 {
		t.Errorf("away since %s, and told %d times more", since, len(f.away)+len(f.back))
	}
	for len(f.changed) > 0 {
		<-f.changed
	}
	if err := db.Keys().Delete(ctx, tenancy.Vel(), org.ID, key.ID, 0); err != nil {
		t.Fatal(err)
	}
	storagetest.Hears(t, f.changed, key.ID, 2*time.Second)
}

// load asks all the time, by many at once, until it is stopped. Nobody may be told anything but that it is well or away.
func load(t *testing.T, asks map[string]func() error) (stop func()) {
	over := make(chan struct{})
	var loading sync.WaitGroup
	for name, ask := range asks {
		for range 4 {
			loading.Go(func() {
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Millisecond):
					}
					if err := ask(); err != nil && !errors.As(err, new(*tenancy.Unavailable)) {
						t.Errorf("%s under load: %v", name, err)
					}
				}
			})
		}
	}
	return func() {
		close(over)
		loading.Wait()
	}
}

// TestCallsDoNotStandBehindPeople fills the pool of the control plane with changes that wait for each other.
func TestCallsDoNotStandBehindPeople(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), server.Database(t)
	db := open(t, storage.Config{URL: secrets.New(d.URL)})
	key, err := db.Keys().Create(ctx, tenancy.Vel(), tenancy.APIKey{Meta: tenancy.Meta{Org: "org:a", Name: "k"}, Hash: tenancy.HashKey([]byte("k"))})
	if err != nil {
		t.Fatal(err)
	}
	other, watch := connect(t, d.Admin), connect(t, d.Admin)
	executes(t, other, "begin")
	executes(t, other, "update config_rev set rev = rev")
	var changing sync.WaitGroup
	for i := range 8 {
		changing.Go(func() {
			if _, err := db.Teams().Create(ctx, tenancy.Vel(), tenancy.Team{Meta: tenancy.Meta{Org: "org:a", Name: string(rune('a' + i))}}); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all changes to wait", func() bool {
		return texts(t, watch, `select count(*)::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)[0] == "8"
	})
	if found, err := db.KeyByHash(ctx, key.Hash); err != nil || found.ID != key.ID {
		t.Errorf("a call found %+v, %v", found, err)
	}
	if c, err := db.Changes(ctx, 0); err != nil || len(c.Keys) != 1 {
		t.Errorf("a poll found %+v, %v", c, err)
	}
	if err := db.Ping(ctx); !errors.As(err, new(*tenancy.Unavailable)) {
		t.Errorf("a ping in the crowd: %v", err)
	}
	executes(t, other, "commit")
	changing.Wait()
}

func TestTwoNodes(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(storagetest.Database) storage.Config{
		"direct": func(d storagetest.Database) storage.Config { return storage.Config{URL: secrets.New(d.URL)} },
		"pooled": func(d storagetest.Database) storage.Config { return storage.Config{URL: secrets.New(d.Pooled)} },
		"pooled beside": func(d storagetest.Database) storage.Config {
			return storage.Config{URL: secrets.New(d.Pooled), Direct: secrets.New(d.URL)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(server.Database(t))
			one, other := open(t, cfg), open(t, cfg)
			hears := storagetest.Following(t, other)
			for i := range 3 {
				secret := tenancy.HashKey([]byte{byte(i)})
				key, err := one.Keys().Create(t.Context(), tenancy.Vel(), tenancy.APIKey{Meta: tenancy.Meta{Org: "org:a", Name: string(rune('a' + i))}, Hash: secret})
				if err != nil {
					t.Fatal(err)
				}
				storagetest.Hears(t, hears, key.ID, 2*time.Second)
			}
		})
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	d := server.Database(t)
	db := open(t, storage.Config{URL: secrets.New(d.URL)})
	ctx, cancel := context.WithCancel(t.Context())
	woken, ended := make(chan struct{}, 100), make(chan error)
	go func() { ended <- storage.Listen(ctx, db, func() { woken <- struct{}{} }) }()
	<-woken // it listens
	if _, err := db.Orgs().Create(ctx, tenancy.Vel(), tenancy.Org{Meta: tenancy.Meta{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	<-woken
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	pooled := open(t, storage.Config{URL: secrets.New(d.Pooled)})
	if err := storage.Listen(t.Context(), pooled, func() {}); !errors.Is(err, storage.ErrPooled) {
		t.Errorf("behind a pooler: %v", err)
	}
}

func TestUnreadableURL(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	for _, url := range []string{"postgres://vel:" + canary + "@[::1/x", "postgres://vel:" + canary + "@host:x/vel", "postgres://vel:" + canary + "@127.0.0.1:1/vel?connect_timeout=1"} {
		_, err := storage.Open(t.Context(), storage.Config{URL: secrets.New(url)}, slog.New(slog.DiscardHandler))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

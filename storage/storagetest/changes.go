package storagetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

func changes(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := fill(t, db, "a")
	whole, err := db.Changes(ctx, 0)
	must(t, err)
	k, err := db.Keys().Get(ctx, a.org, a.key.ID)
	must(t, err)
	k.LastUsed = time.Time{} // no news: it changes with every call
	o, err := db.Orgs().Get(ctx, a.org, a.org)
	must(t, err)
	same(t, "everything", whole, storage.Changes{
		Rev: whole.Rev, Whole: true, Orgs: []tenancy.Org{o}, Keys: []tenancy.APIKey{k},
		Providers: []routing.ManagedProvider{a.provider}, Routes: []routing.ManagedRoute{a.route},
		Limits: []accounting.Limits{a.limits}, Budgets: []accounting.Budget{a.budget},
	})
	c, err := db.Changes(ctx, whole.Rev)
	must(t, err)
	same(t, "nothing new", c, storage.Changes{Rev: whole.Rev})

	for what, change := range map[string]func() error{
		"update":   func() error { _, err := db.Keys().Update(ctx, vel, k); return err },
		"rotation": func() error { _, err := db.RotateKey(ctx, vel, a.org, k.ID, 0, hash("new"), at); return err },
	} {
		k.Rev = 0
		must(t, change())
		c, err = db.Changes(ctx, c.Rev)
		must(t, err)
		if len(c.Keys) != 1 || c.Keys[0].ID != k.ID || c.Keys[0].Deleted || len(c.Orgs) != 0 || c.Whole {
			t.Errorf("after an %s: %+v", what, c)
		}
	}
	must(t, db.Keys().Delete(ctx, vel, a.org, k.ID, 0))
	c, err = db.Changes(ctx, c.Rev)
	must(t, err)
	if len(c.Keys) != 1 || c.Keys[0].ID != k.ID || !c.Keys[0].Deleted {
		t.Errorf("after a deletion: %+v", c)
	}
	// A follower that has seen more than there is follows another database.
	c, err = db.Changes(ctx, c.Rev+1000)
	must(t, err)
	if !c.Whole || len(c.Orgs) != 1 || len(c.Keys) != 0 {
		t.Errorf("after a revision to come: %+v", c)
	}
}

// writers checks that of many writers at once each makes a revision of its own, and that these become visible in their
// order: who reads up to one has missed nothing before it.
func writers(t *testing.T, db *storage.DB) {
	const each, many = 8, 16
	ctx := t.Context()
	a := org(t, db, "a")
	start, err := db.Changes(ctx, 0)
	must(t, err)
	var writing sync.WaitGroup
	for w := range many {
		writing.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d-%d", w, i)
				if _, err := db.Keys().Create(ctx, vel, tenancy.APIKey{Meta: meta(a, name), Hash: hash(name)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		writing.Wait()
		close(done)
	}()
	seen, rev := map[tenancy.ID]bool{}, start.Rev
	for over := false; !over; {
		select {
		case <-done:
			over = true // and read once more
		default:
		}
		c, err := db.Changes(ctx, rev)
		must(t, err)
		if int64(len(c.Keys)) != c.Rev-rev {
			t.Fatalf("from revision %d to %d there are %d keys", rev, c.Rev, len(c.Keys))
		}
		for _, k := range c.Keys {
			seen[k.ID] = true
		}
		rev = c.Rev
	}
	same(t, "keys seen", len(seen), each*many)
	same(t, "revisions", rev, start.Rev+each*many)
}

// Following runs a follower for the length of a test and gives what it is told.
func Following(t *testing.T, db *storage.DB) <-chan storage.Changes {
	t.Helper()
	told := make(chan storage.Changes, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.Follow(ctx, 0, storage.Follower{
			Changed: func(c storage.Changes) { told <- c },
			Away:    func(_ time.Time, cause error) { t.Errorf("the database is away: %v", cause) },
			Back:    func() {},
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return told
}

// Hears waits until a follower was told of a key, and fails after a limit.
func Hears(t *testing.T, told <-chan storage.Changes, key tenancy.ID, limit time.Duration) {
	t.Helper()
	over := time.After(limit)
	for {
		select {
		case c := <-told:
			for _, k := range c.Keys {
				if k.ID == key {
					return
				}
			}
		case <-over:
			t.Fatalf("nothing was told of %s for %s", key, limit)
		}
	}
}

func following(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := fill(t, db, "a")
	told := Following(t, db)
	first := <-told
	if !first.Whole || len(first.Keys) != 1 || len(first.Orgs) != 1 {
		t.Fatalf("first of all: %+v", first)
	}
	k := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a.org, "new"), Hash: hash("new")})
	c := <-told
	if c.Whole || len(c.Keys) != 1 || c.Keys[0].ID != k.ID || c.Rev <= first.Rev {
		t.Errorf("then: %+v", c)
	}
	// A burst is told in a few pieces, and nothing of it is lost.
	rev := c.Rev
	for i := range 100 {
		name := fmt.Sprint("burst", i)
		_, err := db.Keys().Create(ctx, vel, tenancy.APIKey{Meta: meta(a.org, name), Hash: hash(name)})
		must(t, err)
	}
	for got := 0; got < 100; {
		c := <-told
		if c.Rev <= rev {
			t.Fatalf("revision %d after %d", c.Rev, rev)
		}
		rev, got = c.Rev, got+len(c.Keys)
	}
}

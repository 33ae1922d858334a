package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

func rotation(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	k := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "key"), Hash: hash("1")})
	rotated, err := db.RotateKey(ctx, vel, a, k.ID, 1, hash("2"), at)
	must(t, err)
	k.Hash, k.OldHash, k.OldUntil, k.Rev, k.Updated = hash("2"), hash("1"), at, 2, rotated.Updated
	same(t, "the rotated key", rotated, k)
	for _, secret := range []string{"1", "2"} {
		found, err := db.KeyByHash(ctx, hash(secret))
		must(t, err)
		same(t, "by secret "+secret, found, k)
	}
	_, err = db.RotateKey(ctx, vel, a, k.ID, 1, hash("3"), at)
	wants(t, "a stale rotation", err, tenancy.ErrStale)

	k, err = db.RotateKey(ctx, vel, a, k.ID, 0, hash("3"), time.Time{})
	must(t, err)
	if k.OldHash != (tenancy.Hash{}) || !k.OldUntil.IsZero() {
		t.Errorf("without an overlap: %+v", k)
	}
	for _, secret := range []string{"1", "2", "x"} {
		_, err := db.KeyByHash(ctx, hash(secret))
		wants(t, "by secret "+secret, err, tenancy.ErrNotFound)
	}
	_, err = db.KeyByHash(ctx, tenancy.Hash{}) // what a key without an old secret has in its place
	wants(t, "by the zero hash", err, tenancy.ErrNotFound)
	k.Hash = hash("4")
	k, err = db.Keys().Update(ctx, vel, k)
	must(t, err)
	if k.Hash != hash("3") {
		t.Error("an update has changed the secret")
	}
	must(t, db.Keys().Delete(ctx, vel, a, k.ID, 0))
	_, err = db.KeyByHash(ctx, hash("3"))
	wants(t, "the secret of a deleted key", err, tenancy.ErrNotFound)
	_, err = db.RotateKey(ctx, vel, a, k.ID, 0, hash("5"), at)
	wants(t, "a deleted key", err, tenancy.ErrNotFound)
}

func orgOfKey(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := create(t, db.Orgs(), tenancy.Org{Meta: tenancy.Meta{Name: "a"}, Disabled: true})
	k := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a.ID, "key"), Hash: hash("1")})
	found, err := db.OrgOf(ctx, k)
	must(t, err)
	same(t, "the organization", found, a)
	must(t, db.Orgs().Delete(ctx, vel, a.ID, a.ID, 0))
	_, err = db.OrgOf(ctx, k)
	wants(t, "a deleted organization", err, tenancy.ErrNotFound)
}

func usesOfKeys(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	used := map[tenancy.ID]time.Time{"key_gone": at}
	var last tenancy.APIKey
	for i := range 250 { // more than are written at once
		last = create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, fmt.Sprint(i)), Hash: hash(fmt.Sprint(i))})
		used[last.ID] = at
	}
	must(t, db.KeysUsed(ctx, used))
	must(t, db.KeysUsed(ctx, nil))
	must(t, db.KeysUsed(ctx, map[tenancy.ID]time.Time{last.ID: at.Add(-time.Minute)}))
	list, err := db.Keys().List(ctx, a, tenancy.Page{Limit: 1000})
	must(t, err)
	for _, k := range list {
		if !k.LastUsed.Equal(at) || k.Rev != 1 {
			t.Fatalf("key %s, revision %d, was last used %s", k.Name, k.Rev, k.LastUsed)
		}
	}
	must(t, db.KeysUsed(ctx, map[tenancy.ID]time.Time{last.ID: at.Add(time.Minute)}))
	last, err = db.Keys().Get(ctx, a, last.ID)
	must(t, err)
	if !last.LastUsed.Equal(at.Add(time.Minute)) {
		t.Errorf("last used %s", last.LastUsed)
	}
	// Nodes note the same keys at the same time.
	for _, err := range together(8, func() error { return db.KeysUsed(ctx, used) }) {
		must(t, err)
	}
}

func claims(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	claim := func(request string, wantWon bool, want tenancy.Kept) {
		t.Helper()
		kept, won, err := db.Claim(ctx, a, "id", request)
		must(t, err)
		same(t, "won", won, wantWon)
		same(t, "kept", kept, want)
	}
	claim("r", true, tenancy.Kept{})
	claim("r", false, tenancy.Kept{Request: "r"})
	claim("other", false, tenancy.Kept{Request: "r"})
	must(t, db.HoldClaim(ctx, a, "id"))
	wants(t, "a claim that nobody made", db.HoldClaim(ctx, a, "other"), tenancy.ErrNotFound)
	must(t, db.Unclaim(ctx, a, "id"))
	claim("r", true, tenancy.Kept{})
	must(t, db.Keep(ctx, a, "id", 201, `{"id":"é"}`))
	claim("r", false, tenancy.Kept{Request: "r", Status: 201, Answer: `{"id":"é"}`})
	must(t, db.Unclaim(ctx, a, "id")) // too late: it has an answer
	wants(t, "a second answer", db.Keep(ctx, a, "id", 500, ""), tenancy.ErrNotFound)
	claim("r", false, tenancy.Kept{Request: "r", Status: 201, Answer: `{"id":"é"}`})
	wants(t, "an answer to nothing", db.Keep(ctx, a, "other", 201, ""), tenancy.ErrNotFound)
}

func claimsAtOnce(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	winners := make(chan bool, 16)
	for _, err := range together(16, func() error {
		_, won, err := db.Claim(t.Context(), a, "id", "r")
		winners <- won
		return err
	}) {
		must(t, err)
	}
	n := 0
	for range 16 {
		if <-winners {
			n++
		}
	}
	same(t, "winners", n, 1)
}

func clean(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	u := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com"})
	for range 250 { // more than go at once
		begin(t, db, u, time.Now().Add(-25*time.Hour))
	}
	live := begin(t, db, u, time.Now())
	_, _, err := db.Claim(ctx, a, "id", "r")
	must(t, err)
	must(t, db.Clean(ctx))
	_, _, err = db.FindSession(ctx, live.Hash)
	must(t, err)
	_, won, err := db.Claim(ctx, a, "id", "r")
	must(t, err)
	same(t, "the claim is as it was", won, false)
	over := begin(t, db, u, time.Now().Add(-25*time.Hour))
	must(t, db.EndSession(ctx, vel, a, over.ID)) // as long as nobody cleans, it is there
	over = begin(t, db, u, time.Now().Add(-25*time.Hour))
	must(t, db.Clean(ctx))
	wants(t, "an expired session", db.EndSession(ctx, vel, a, over.ID), tenancy.ErrNotFound)
}

func firstStart(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	is, err := db.IsNew(ctx)
	must(t, err)
	same(t, "new", is, true)
	def := tenancy.Org{Meta: tenancy.Meta{ID: "org_default", Name: "default"}}
	root := tenancy.APIKey{Meta: meta(tenancy.Platform, "admin"), Hash: hash("root"), Role: tenancy.PlatformAdmin}
	mine := tenancy.APIKey{Meta: meta("org_default", "first"), Hash: hash("mine"), Role: tenancy.OrgAdmin}
	winners := make(chan bool, 8)
	for _, err := range together(8, func() error {
		won, err := db.FirstStart(ctx, def, []tenancy.APIKey{root, mine})
		winners <- won
		return err
	}) {
		must(t, err)
	}
	n := 0
	for range 8 {
		if <-winners {
			n++
		}
	}
	same(t, "winners", n, 1)
	is, err = db.IsNew(ctx)
	must(t, err)
	same(t, "new", is, false)
	c, err := db.Changes(ctx, 0)
	must(t, err)
	if len(c.Orgs) != 1 || c.Orgs[0].ID != "org_default" || len(c.Keys) != 2 {
		t.Errorf("after the first start: %+v", c)
	}
	for _, k := range []tenancy.APIKey{root, mine} {
		found, err := db.KeyByHash(ctx, k.Hash)
		must(t, err)
		if found.Org != k.Org || found.Role != k.Role || found.Rev != 1 {
			t.Errorf("%+v", found)
		}
	}
	// What was deleted has been there all the same.
	must(t, db.Orgs().Delete(ctx, vel, "org_default", "org_default", 0))
	is, err = db.IsNew(ctx)
	must(t, err)
	same(t, "new", is, false)
}

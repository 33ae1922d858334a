package storagetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// Run proves that an engine keeps what package storage promises. open gives a new database, and closes it at the end of
// the test.
func Run(t *testing.T, open func(t *testing.T) *storage.DB) {
	for name, f := range map[string]func(*testing.T, *storage.DB){
		"organizations":    organizations,
		"teams":            teams,
		"roles":            roles,
		"users":            users,
		"keys":             keys,
		"providers":        providers,
		"routes":           routes,
		"in use":           inUse,
		"sealed":           sealed,
		"contents":         sealedContents,
		"shown accounts":   shownAccounts,
		"references":       references,
		"deletions":        deletions,
		"tenants":          tenants,
		"strange ids":      strangeIDs,
		"candidates":       candidates,
		"sessions":         sessions,
		"subjects":         subjects,
		"passwords":        passwords,
		"rotation":         rotation,
		"org of a key":     orgOfKey,
		"use of keys":      usesOfKeys,
		"claims":           claims,
		"claims at once":   claimsAtOnce,
		"clean":            clean,
		"first start":      firstStart,
		"changes":          changes,
		"writers":          writers,
		"follower":         following,
		"traces":           traces,
		"events":           shown,
		"audit queries":    queries,
		"sealing":          sealing,
		"sealer":           sealer,
		"records":          records,
		"replays":          replays,
		"interruptions":    interruptions,
		"batches":          batches,
		"sums":             sums,
		"call pages":       callPages,
		"one call":         oneCall,
		"replayed calls":   replayedCalls,
		"strange calls":    strangeRecords,
		"retention":        retention,
		"ping":             ping,
		"limits":           limits,
		"budgets":          budgets,
		"unlimited":        unlimited,
		"shown limits":     shownLimits,
		"ledger":           ledger,
		"settlements":      settlements,
		"forgiveness":      forgiveness,
		"notices":          notices,
		"tasks":            taskLives,
		"late workers":     lateWorkers,
		"task limit":       taskLimit,
		"task pages":       taskPages,
		"tasks once":       tasksOnce,
		"stopped tasks":    stoppedTasks,
		"tasks of gone":    tasksOfTheGone,
		"patrols":          patrols,
		"tasks gone":       tasksGone,
		"batches of tasks": batchLives,
		"batch items":      batchItems,
		"stopped batch":    stoppedBatch,
		"running batches":  runningBatches,
		"webhooks":         webhooks,
		"agents":           agents,
		"deliveries":       deliveries,
		"batch at once":    batchAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t))
		})
	}
}

var vel = tenancy.Vel()

// at is a time that is kept exactly.
var at = time.Date(2027, 1, 31, 12, 0, 0, 123456000, time.UTC)

func hash(text string) tenancy.Hash { return tenancy.HashKey([]byte(text)) }

// must fails the test on an error that nobody asked for.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create stores an object that must be taken.
func create[T any](t *testing.T, in tenancy.Store[T], v T) T {
	t.Helper()
	v, err := in.Create(t.Context(), vel, v)
	must(t, err)
	return v
}

// wants checks that err is what was wanted: that value, or one of that type that says the same.
func wants(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) && !reflect.DeepEqual(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func org(t *testing.T, db *storage.DB, name string) tenancy.ID {
	t.Helper()
	return create(t, db.Orgs(), tenancy.Org{Meta: tenancy.Meta{Name: name}}).ID
}

func meta(org tenancy.ID, name string) tenancy.Meta { return tenancy.Meta{Org: org, Name: name} }

// resource walks the life of objects of one kind. one makes a whole one, change changes everything that can be.
func resource[T any, P interface {
	*T
	tenancy.Object
}](t *testing.T, in tenancy.Store[T], one func(name string) T, change func(*T)) {
	ctx := t.Context()
	get := func(v T) (T, error) {
		m := tenancy.MetaOf(P(&v))
		return in.Get(ctx, m.Org, m.ID)
	}
	first := create(t, in, one("first"))
	m := tenancy.MetaOf(P(&first))
	if m.Rev != 1 || m.Created.IsZero() || !m.Updated.Equal(m.Created) || m.ManagedBy != tenancy.ByAPI {
		t.Errorf("a new object has %+v", m)
	}
	found, err := get(first)
	must(t, err)
	same(t, "what was created is found", found, first)

	_, err = in.Create(ctx, vel, one("first"))
	wants(t, "the same name", err, &tenancy.Taken{Field: "name"})
	again := one("again")
	tenancy.MetaOf(P(&again)).ID = m.ID
	_, err = in.Create(ctx, vel, again)
	wants(t, "the same id", err, &tenancy.Taken{Field: "id"})

	changed := found
	change(&changed)
	stored, err := in.Update(ctx, vel, changed)
	must(t, err)
	n := tenancy.MetaOf(P(&stored))
	if n.Rev != 2 || n.Updated.Before(m.Created) || !n.Created.Equal(m.Created) {
		t.Errorf("a changed object has %+v", n)
	}
	tenancy.MetaOf(P(&changed)).Rev, tenancy.MetaOf(P(&changed)).Updated = n.Rev, n.Updated
	same(t, "what was changed is given back", stored, changed)
	found, err = get(first)
	must(t, err)
	same(t, "what was changed is found", found, changed)

	_, err = in.Update(ctx, vel, first) // of revision 1
	wants(t, "a stale change", err, tenancy.ErrStale)
	wants(t, "a stale deletion", in.Delete(ctx, vel, m.Org, m.ID, 1), tenancy.ErrStale)
	second := create(t, in, one("second"))
	tenancy.MetaOf(P(&second)).Name = n.Name
	_, err = in.Update(ctx, vel, second)
	wants(t, "a change to a name that is taken", err, &tenancy.Taken{Field: "name"})

	must(t, in.Delete(ctx, vel, m.Org, m.ID, 2))
	_, err = get(first)
	wants(t, "what was deleted", err, tenancy.ErrNotFound)
	wants(t, "what was deleted, again", in.Delete(ctx, vel, m.Org, m.ID, 0), tenancy.ErrNotFound)
	tenancy.MetaOf(P(&changed)).Rev = 0
	_, err = in.Update(ctx, vel, changed)
	wants(t, "a change to what was deleted", err, tenancy.ErrNotFound)
	_, err = in.Update(ctx, vel, second)
	must(t, err) // the name is free again, and revision 1 stood
}

// pages checks that a list comes whole and in order, whatever its pages are, and can be narrowed by a name.
func pages[T any, P interface {
	*T
	tenancy.Object
}](t *testing.T, in tenancy.Store[T], org tenancy.ID, one func(name string) T) {
	var want []tenancy.ID
	for i := range 7 {
		v := create(t, in, one(fmt.Sprintf("page-%d", i)))
		want = append(want, tenancy.MetaOf(P(&v)).ID)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 3, 7, 100} {
		var got []tenancy.ID
		for p := (tenancy.Page{Limit: limit}); ; {
			list, err := in.List(t.Context(), org, p)
			must(t, err)
			if len(list) > limit {
				t.Fatalf("%d objects on a page of %d", len(list), limit)
			}
			for _, v := range list {
				got = append(got, tenancy.MetaOf(P(&v)).ID)
			}
			if len(list) < limit {
				break
			}
			p.After = got[len(got)-1]
		}
		same(t, fmt.Sprintf("the list in pages of %d", limit), got, want)
	}
	list, err := in.List(t.Context(), org, tenancy.Page{Limit: 10, Name: "page-3"})
	must(t, err)
	if len(list) != 1 || tenancy.MetaOf(P(&list[0])).Name != "page-3" {
		t.Errorf("by name: %+v", list)
	}
}

func organizations(t *testing.T, db *storage.DB) {
	one := func(name string) tenancy.Org { return tenancy.Org{Meta: tenancy.Meta{Name: name}} }
	pages(t, db.Orgs(), "", one)
	resource(t, db.Orgs(), one, func(o *tenancy.Org) { o.Name, o.Disabled, o.KeepContent = "other", true, true })
}

func teams(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	one := func(name string) tenancy.Team { return tenancy.Team{Meta: meta(a, name)} }
	pages(t, db.Teams(), a, one)
	resource(t, db.Teams(), one, func(v *tenancy.Team) { v.Name = "other" })
}

func roles(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	one := func(name string) tenancy.Role {
		return tenancy.Role{Meta: meta(a, name), Permissions: tenancy.Allow(tenancy.ViewOrganization, tenancy.ApproveWorkflow)}
	}
	pages(t, db.Roles(), a, one)
	resource(t, db.Roles(), one, func(v *tenancy.Role) { v.Name, v.Permissions = "other", 0 })
}

func users(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	team := create(t, db.Teams(), tenancy.Team{Meta: meta(a, "team")})
	role := create(t, db.Roles(), tenancy.Role{Meta: meta(a, "role")})
	one := func(name string) tenancy.User {
		return tenancy.User{
			Meta: meta(a, name), Email: name + "@example.com", Password: "hash", Roles: []tenancy.ID{tenancy.OrgAdmin, role.ID}, Teams: []tenancy.ID{team.ID},
			Issuer: "https://id.example.com", Subject: "subject of " + name,
		}
	}
	// Nothing but the address must be unique.
	v := create(t, db.Users(), one("name"))
	same := one("name")
	same.Subject = "other"
	_, err := db.Users().Create(t.Context(), vel, same)
	wants(t, "the same address", err, &tenancy.Taken{Field: "email"})
	same.Email = "other@example.com"
	namesake := create(t, db.Users(), same)
	must(t, db.Users().Delete(t.Context(), vel, a, v.ID, 0))
	must(t, db.Users().Delete(t.Context(), vel, a, namesake.ID, 0))

	pages(t, db.Users(), a, one)
	list, err := db.Users().List(t.Context(), a, tenancy.Page{Limit: 2, Email: "page-2@example.com"})
	must(t, err)
	if len(list) != 1 || list[0].Email != "page-2@example.com" {
		t.Errorf("by address: %+v", list)
	}

	u := create(t, db.Users(), one("changing"))
	u.Name, u.Email, u.Roles, u.Teams, u.Disabled = "Zoë 'O''Hara' \\", "new@example.com", nil, nil, true
	u.Issuer, u.Subject = "", ""
	u.Password, u.LastLogin = "not by this way", at
	changed, err := db.Users().Update(t.Context(), vel, u)
	must(t, err)
	u.Password, u.LastLogin, u.Rev, u.Updated = "hash", time.Time{}, 2, changed.Updated
	if diff := cmp.Diff(u, changed); diff != "" {
		t.Errorf("a changed user (-want +got):\n%s", diff)
	}
	u.Rev = 1
	_, err = db.Users().Update(t.Context(), vel, u)
	wants(t, "a stale change", err, tenancy.ErrStale)
}

func keys(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	team := create(t, db.Teams(), tenancy.Team{Meta: meta(a, "team")})
	user := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com"})
	n := 0
	one := func(name string) tenancy.APIKey {
		n++
		return tenancy.APIKey{
			Meta: meta(a, name), Team: team.ID, User: user.ID, Hash: hash(fmt.Sprint(name, n)),
			Models: []string{"gpt-4o", `odd "name", [with] ünicode`}, Role: tenancy.Viewer, Expires: at,
		}
	}
	pages(t, db.Keys(), a, one)
	resource(t, db.Keys(), one, func(k *tenancy.APIKey) {
		k.Name, k.Team, k.User, k.Models, k.Role, k.Expires, k.Disabled = "other", "", "", nil, "", time.Time{}, true
	})
	// What is given back is what is kept: times to the microsecond, and no empty lists.
	fine := one("fine")
	fine.Expires, fine.Models = at.Add(time.Nanosecond).In(time.FixedZone("east", 3600)), []string{}
	fine = create(t, db.Keys(), fine)
	if !fine.Expires.Equal(at) || fine.Expires.Location() != time.UTC || fine.Models != nil {
		t.Errorf("given back: %s, %#v", fine.Expires, fine.Models)
	}
	mine := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "mine"), Hash: hash("mine"), User: user.ID})
	for what, p := range map[string]tenancy.Page{"team": {Team: team.ID}, "user": {User: user.ID}, "both": {Team: team.ID, User: user.ID}} {
		p.Limit = 100
		list, err := db.Keys().List(t.Context(), a, p)
		must(t, err)
		if has := slices.ContainsFunc(list, func(k tenancy.APIKey) bool { return k.ID == mine.ID }); has != (what == "user") || len(list) < 7 {
			t.Errorf("by %s: %d keys, the one of no team among them: %v", what, len(list), has)
		}
	}
	_, err := db.Keys().Create(t.Context(), vel, tenancy.APIKey{Meta: meta(a, "thief"), Hash: hash("mine")})
	wants(t, "the same secret", err, &tenancy.Taken{Field: "hash"})
}

// references checks that nothing names what is not there, and that nothing goes that is named.
func references(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a, b := org(t, db, "a"), org(t, db, "b")
	team := create(t, db.Teams(), tenancy.Team{Meta: meta(a, "team")})
	role := create(t, db.Roles(), tenancy.Role{Meta: meta(a, "role")})
	user := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com", Roles: []tenancy.ID{role.ID}, Teams: []tenancy.ID{team.ID}})
	key := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "key"), Hash: hash("key"), Team: team.ID, User: user.ID, Role: role.ID})

	for field, u := range map[string]tenancy.User{
		"roles": {Roles: []tenancy.ID{tenancy.Viewer, role.ID}},
		"teams": {Teams: []tenancy.ID{team.ID}},
	} {
		id := append(u.Teams, role.ID)[0]
		u.Meta, u.Email = meta(b, "user"), "u@example.com"
		_, err := db.Users().Create(ctx, vel, u)
		wants(t, "another organization's "+field, err, &tenancy.Missing{Field: field, ID: id})
	}
	for field, k := range map[string]tenancy.APIKey{"role": {Role: role.ID}, "team": {Team: team.ID}, "user": {User: user.ID}} {
		id := k.Role + k.Team + k.User
		k.Meta, k.Hash = meta(b, "key"), hash("b")
		_, err := db.Keys().Create(ctx, vel, k)
		wants(t, "another organization's "+field, err, &tenancy.Missing{Field: field, ID: id})
	}
	key.Role = tenancy.PlatformAdmin
	_, err := db.Keys().Update(ctx, vel, key)
	wants(t, "a role of the platform's", err, &tenancy.Missing{Field: "role", ID: tenancy.PlatformAdmin})
	create(t, db.Keys(), tenancy.APIKey{Meta: meta(tenancy.Platform, "root"), Hash: hash("root"), Role: tenancy.PlatformAdmin})

	wants(t, "a team of a key and a user", db.Teams().Delete(ctx, vel, a, team.ID, 0), &tenancy.InUse{By: "a key"})
	wants(t, "a role of a key and a user", db.Roles().Delete(ctx, vel, a, role.ID, 0), &tenancy.InUse{By: "a key"})
	must(t, db.Keys().Delete(ctx, vel, a, key.ID, 0))
	wants(t, "a team of a user", db.Teams().Delete(ctx, vel, a, team.ID, 0), &tenancy.InUse{By: "a user"})
	wants(t, "a role of a user", db.Roles().Delete(ctx, vel, a, role.ID, 0), &tenancy.InUse{By: "a user"})
	must(t, db.Users().Delete(ctx, vel, a, user.ID, 0))
	must(t, db.Teams().Delete(ctx, vel, a, team.ID, 0))
	must(t, db.Roles().Delete(ctx, vel, a, role.ID, 0))

	must(t, db.Orgs().Delete(ctx, vel, b, b, 0))
	_, err = db.Teams().Create(ctx, vel, tenancy.Team{Meta: meta(b, "late")})
	wants(t, "a team of an organization that is gone", err, &tenancy.Missing{Field: "organization", ID: b})
	create(t, db.Teams(), tenancy.Team{Meta: meta("org:of-the-file", "team")})
}

// deletions checks that what belongs to an organization or a user goes with it, and that nodes hear of the keys.
func deletions(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a, b := fill(t, db, "a"), fill(t, db, "b")
	before, err := db.Changes(ctx, 0)
	must(t, err)
	must(t, db.Users().Delete(ctx, vel, a.org, a.user.ID, 0))
	c, err := db.Changes(ctx, before.Rev)
	must(t, err)
	if len(c.Keys) != 1 || c.Keys[0].ID != a.key.ID || !c.Keys[0].Deleted || len(c.Orgs) != 0 || c.Whole || len(c.Limits) != 1 || !c.Limits[0].Deleted {
		t.Errorf("after a user of one key was deleted: %+v", c)
	}
	_, _, err = db.FindSession(ctx, a.session.Hash)
	wants(t, "a session of a user who is gone", err, tenancy.ErrNotFound)

	must(t, db.Orgs().Delete(ctx, vel, b.org, b.org, 0))
	c, err = db.Changes(ctx, c.Rev)
	must(t, err)
	if len(c.Keys) != 1 || c.Keys[0].ID != b.key.ID || !c.Keys[0].Deleted || len(c.Orgs) != 1 || !c.Orgs[0].Deleted ||
		len(c.Limits) != 1 || !c.Limits[0].Deleted || len(c.Budgets) != 1 || !c.Budgets[0].Deleted {
		t.Errorf("after an organization was deleted: %+v", c)
	}
	for what, find := range map[string]func() error{
		"team":    func() error { _, err := db.Teams().Get(ctx, b.org, b.team.ID); return err },
		"role":    func() error { _, err := db.Roles().Get(ctx, b.org, b.role.ID); return err },
		"user":    func() error { _, err := db.Users().Get(ctx, b.org, b.user.ID); return err },
		"key":     func() error { _, err := db.Keys().Get(ctx, b.org, b.key.ID); return err },
		"secret":  func() error { _, err := db.KeyByHash(ctx, b.key.Hash); return err },
		"session": func() error { _, _, err := db.FindSession(ctx, b.session.Hash); return err },
		"limits":  func() error { _, err := db.Limits().Get(ctx, b.org, b.limits.ID); return err },
		"budget":  func() error { _, err := db.Budgets().Get(ctx, b.org, b.budget.ID); return err },
	} {
		wants(t, "the "+what+" of an organization that is gone", find(), tenancy.ErrNotFound)
	}
	c, err = db.Changes(ctx, 0)
	must(t, err)
	if len(c.Keys) != 0 || len(c.Orgs) != 1 || c.Orgs[0].ID != a.org || !c.Whole {
		t.Errorf("everything that is left: %+v", c)
	}
}

// strangeIDs checks that what can not be an id is the id of nothing.
func strangeIDs(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	for _, id := range []tenancy.ID{"", "'", "\x00", "\xff", "a'; reset role; --", "%", a + "'"} {
		_, err := db.Teams().Get(t.Context(), a, id)
		wants(t, fmt.Sprintf("a team %q", id), err, tenancy.ErrNotFound)
		_, err = db.Orgs().Get(t.Context(), id, id)
		wants(t, fmt.Sprintf("an organization %q", id), err, tenancy.ErrNotFound)
		wants(t, fmt.Sprintf("a team of the organization %q", id), db.Teams().Delete(t.Context(), vel, id, a, 0), tenancy.ErrNotFound)
		if id != "" {
			_, err = db.Teams().Create(t.Context(), vel, tenancy.Team{Meta: meta(id, "team")})
			wants(t, fmt.Sprintf("a new team of the organization %q", id), err, tenancy.ErrNotFound)
		}
	}
}

func ping(t *testing.T, db *storage.DB) {
	must(t, db.Ping(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Ping(ctx); err == nil {
		t.Error("a ping that nobody waits for is answered")
	}
}

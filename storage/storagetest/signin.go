package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// session is one of a user that begins at a time.
func session(u tenancy.User, began time.Time) tenancy.Session {
	id := tenancy.NewID("session")
	return tenancy.Session{
		ID: id, Org: u.Org, User: u.ID, Hash: hash(string(id)), Began: began.UTC().Truncate(time.Microsecond),
		Created: began.UTC().Truncate(time.Microsecond), Expires: began.Add(tenancy.SessionLife).UTC().Truncate(time.Microsecond),
		Address: "192.0.2.1", Agent: "Mozilla/5.0 (\"quoted\")",
	}
}

func begin(t *testing.T, db *storage.DB, u tenancy.User, began time.Time) tenancy.Session {
	t.Helper()
	s := session(u, began)
	must(t, db.BeginSession(t.Context(), vel, s))
	return s
}

func candidates(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	var all []tenancy.ID
	member := func(o tenancy.ID, disabled bool) tenancy.User {
		u := create(t, db.Users(), tenancy.User{Meta: meta(o, "user"), Email: "u@example.com", Password: "hash", Disabled: disabled})
		all = append(all, u.ID)
		return u
	}
	a, b := org(t, db, "a"), org(t, db, "b")
	inA, inB, inFile, root := member(a, false), member(b, true), member("org:file", false), member(tenancy.Platform, false)
	create(t, db.Users(), tenancy.User{Meta: meta(a, "another"), Email: "another@example.com"})

	found, err := db.Candidates(ctx, "u@example.com", "")
	must(t, err)
	same(t, "all", found, []tenancy.User{inA, inB, inFile, root})
	found, err = db.Candidates(ctx, "u@example.com", a)
	must(t, err)
	same(t, "those of one organization", found, []tenancy.User{inA})
	found, err = db.Candidates(ctx, "nobody@example.com", "")
	must(t, err)
	same(t, "nobody", found, nil)

	_, err = db.Orgs().Update(ctx, vel, tenancy.Org{Meta: tenancy.Meta{ID: a, Org: a, Name: "a"}, Disabled: true})
	must(t, err)
	found, err = db.Candidates(ctx, "u@example.com", a)
	must(t, err)
	if len(found) != 1 || !found[0].Disabled {
		t.Errorf("of a disabled organization: %+v", found)
	}
	for i := range 10 {
		member(tenancy.ID(fmt.Sprintf("org:file-%d", i)), false)
	}
	found, err = db.Candidates(ctx, "u@example.com", "")
	must(t, err)
	if len(found) != 8 {
		t.Errorf("%d candidates", len(found))
	}
}

func sessions(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	u := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com"})
	now := time.Now()
	first := begin(t, db, u, now.Add(-time.Hour))
	second := begin(t, db, u, now)
	over := begin(t, db, u, now.Add(-25*time.Hour))

	s, who, err := db.FindSession(ctx, first.Hash)
	must(t, err)
	same(t, "the session", s, first)
	if who.ID != u.ID || who.Rev != 1 || !who.LastLogin.Equal(over.Created) {
		t.Errorf("its user: %+v", who)
	}
	list, err := db.Sessions(ctx, a, u.ID)
	must(t, err)
	same(t, "the list", list, []tenancy.Session{second, first})
	for what, h := range map[string]tenancy.Hash{"expired": over.Hash, "unknown": hash("x")} {
		_, _, err := db.FindSession(ctx, h)
		wants(t, what, err, tenancy.ErrNotFound)
	}

	next := session(u, now)
	must(t, db.SwapSession(ctx, vel, first.ID, next))
	wants(t, "a session that was swapped", db.SwapSession(ctx, vel, first.ID, session(u, now)), tenancy.ErrNotFound)
	_, _, err = db.FindSession(ctx, first.Hash)
	wants(t, "a session that was swapped", err, tenancy.ErrNotFound)
	_, _, err = db.FindSession(ctx, next.Hash)
	must(t, err)

	must(t, db.EndSession(ctx, vel, a, next.ID))
	wants(t, "a session that has ended", db.EndSession(ctx, vel, a, next.ID), tenancy.ErrNotFound)

	key := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "key"), User: u.ID, Hash: hash("key of the user")})
	before, err := db.Changes(ctx, 0)
	must(t, err)
	u.Disabled = true
	u, err = db.Users().Update(ctx, vel, u)
	must(t, err)
	shut := func(want bool) {
		t.Helper()
		c, err := db.Changes(ctx, before.Rev)
		must(t, err)
		if i := slices.IndexFunc(c.Keys, func(k tenancy.APIKey) bool { return k.ID == key.ID }); i < 0 || c.Keys[i].Shut != want {
			t.Errorf("nodes do not hear that the key is shut: %v; they hear of %+v", want, c.Keys)
		}
		before = c
	}
	shut(true)
	another := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "another key"), User: u.ID, Hash: hash("another key of the user")})
	if !another.Shut {
		t.Error("a key that is made for a disabled user is open")
	}
	another.User = ""
	if another, err = db.Keys().Update(ctx, vel, another); err != nil || another.Shut {
		t.Errorf("a key that is taken from a disabled user is %+v, error %v", another, err)
	}
	_, _, err = db.FindSession(ctx, second.Hash)
	wants(t, "a session of a disabled user", err, tenancy.ErrNotFound)
	wants(t, "a disabled user's sign-in", db.BeginSession(ctx, vel, session(u, now)), tenancy.ErrNotFound)

	// Of many refreshes at once one wins.
	u.Disabled, u.Rev = false, 0
	_, err = db.Users().Update(ctx, vel, u)
	must(t, err)
	shut(false)
	old := begin(t, db, u, now)
	won := together(16, func() error { return db.SwapSession(ctx, vel, old.ID, session(u, now)) })
	if n := count(won, nil); n != 1 || count(won, tenancy.ErrNotFound) != 15 {
		t.Errorf("%d refreshes of one session have won: %v", n, won)
	}
}

func passwords(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	u := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com", Password: "old"})
	other := create(t, db.Users(), tenancy.User{Meta: meta(a, "other"), Email: "o@example.com"})
	kept := begin(t, db, other, time.Now())
	ended := begin(t, db, u, time.Now())
	must(t, db.SetPassword(ctx, vel, a, u.ID, "new"))
	u, err := db.Users().Get(ctx, a, u.ID)
	must(t, err)
	if u.Password != "new" || u.Rev != 2 {
		t.Errorf("the user is %+v", u)
	}
	_, _, err = db.FindSession(ctx, ended.Hash)
	wants(t, "a session before the change", err, tenancy.ErrNotFound)
	_, _, err = db.FindSession(ctx, kept.Hash)
	must(t, err)
	wants(t, "the password of nobody", db.SetPassword(ctx, vel, a, "user_x", "new"), tenancy.ErrNotFound)

	// Who checked a password that is changed meanwhile does not get in by it.
	late := session(u, time.Now())
	late.Password = "old"
	wants(t, "a sign-in with the password before", db.BeginSession(ctx, vel, late), tenancy.ErrNotFound)
	late.Password = "new"
	must(t, db.BeginSession(ctx, vel, late))

	// No refresh slips through beside a change of the password.
	for range 300 {
		old := begin(t, db, u, time.Now())
		failed := together(2,
			func() error { return db.SwapSession(ctx, vel, old.ID, session(u, time.Now())) },
			func() error { return db.SetPassword(ctx, vel, a, u.ID, "newer") })
		if failed[1] != nil {
			t.Fatal(failed[1])
		}
		list, err := db.Sessions(ctx, a, u.ID)
		must(t, err)
		if len(list) > 0 {
			t.Fatalf("a session has outlived the password: %+v", list)
		}
	}
}

// together runs functions at the same time, n in all, and gives their errors.
func together(n int, f ...func() error) []error {
	failed := make([]error, n)
	start, done := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			<-start
			failed[i] = f[i%len(f)]()
			done <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-done
	}
	return failed
}

func count(errs []error, err error) int {
	return len(slices.DeleteFunc(slices.Clone(errs), func(e error) bool { return e != err }))
}

func subjects(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	const issuer, subject = "https://id.example.com", "248289761001"
	a, b := org(t, db, "a"), org(t, db, "b")
	of := func(o tenancy.ID, email, subject string) tenancy.User {
		return tenancy.User{Meta: meta(o, "user"), Email: email, Issuer: issuer, Subject: subject}
	}
	inA, inB := create(t, db.Users(), of(a, "a@example.com", subject)), create(t, db.Users(), of(b, "b@example.com", subject))
	plain := create(t, db.Users(), tenancy.User{Meta: meta(a, "plain"), Email: "plain@example.com"})
	create(t, db.Users(), tenancy.User{Meta: meta(a, "plain too"), Email: "plain-too@example.com"})
	for o, want := range map[tenancy.ID]tenancy.User{a: inA, b: inB} {
		u, err := db.FindSubject(ctx, o, issuer, subject)
		must(t, err)
		same(t, "the user of "+string(o), u, want)
	}
	for _, x := range []struct {
		org             tenancy.ID
		issuer, subject string
	}{{a, issuer, "another"}, {a, "https://other.example.com", subject}, {"org_none", issuer, subject}, {a, "", ""}, {a, issuer, strings.ToUpper("x" + subject)}} {
		_, err := db.FindSubject(ctx, x.org, x.issuer, x.subject)
		wants(t, fmt.Sprint(x), err, tenancy.ErrNotFound)
	}

	_, err := db.Users().Create(ctx, vel, of(a, "thief@example.com", subject))
	wants(t, "the same subject", err, &tenancy.Taken{Field: "subject"})
	plain.Issuer, plain.Subject = issuer, subject
	_, err = db.Users().Update(ctx, vel, plain)
	wants(t, "a change to the same subject", err, &tenancy.Taken{Field: "subject"})
	plain.Subject = "its own"
	plain, err = db.Users().Update(ctx, vel, plain)
	must(t, err)
	u, err := db.FindSubject(ctx, a, issuer, "its own")
	must(t, err)
	same(t, "who was bound later", u, plain)

	_, err = db.Orgs().Update(ctx, vel, tenancy.Org{Meta: tenancy.Meta{ID: a, Org: a, Name: "a"}, Disabled: true})
	must(t, err)
	if u, err := db.FindSubject(ctx, a, issuer, subject); err != nil || !u.Disabled {
		t.Errorf("of a disabled organization: %+v, %v", u, err)
	}
	must(t, db.Orgs().Delete(ctx, vel, b, b, 0))
	_, err = db.FindSubject(ctx, b, issuer, subject)
	wants(t, "of a deleted organization", err, tenancy.ErrNotFound)
}

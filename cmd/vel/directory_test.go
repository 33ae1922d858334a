package main

import (
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

func storedOrg(id tenancy.ID) tenancy.Org { return tenancy.Org{Meta: tenancy.Meta{ID: id, Org: id}} }

func storedKey(org, id tenancy.ID, secret string) tenancy.APIKey {
	return tenancy.APIKey{Meta: tenancy.Meta{ID: id, Org: org}, Hash: tenancy.HashKey([]byte(secret))}
}

// opens tells whose key a secret is, or nothing.
func (d *directory) opens(secret string) tenancy.ID {
	p, err := d.index.Lookup(tenancy.HashKey([]byte(secret)), time.Now())
	if err != nil {
		return ""
	}
	return p.Key
}

// TestDirectory walks through the news that may come, one after the other.
func TestDirectory(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	file := declared{
		orgs: []tenancy.Org{{Meta: tenancy.Meta{ID: "org:a", Org: "org:a", ManagedBy: tenancy.ByFile}}},
		keys: []tenancy.APIKey{{Meta: tenancy.Meta{ID: "key:a/k", Org: "org:a", ManagedBy: tenancy.ByFile}, Hash: tenancy.HashKey([]byte("file"))}},
	}
	closed, gone := storedOrg("org_1"), storedOrg("org_1")
	closed.Disabled, gone.Deleted = true, true
	lost := storedKey("org_1", "key_1", "one")
	lost.Deleted = true
	for _, step := range []struct {
		what    string
		declare *declared
		learn   storage.Changes
		orgs    bool // that organizations changed
		opens   map[string]tenancy.ID
	}{
		{what: "a file", declare: &file, opens: map[string]tenancy.ID{"file": "key:a/k", "one": ""}},
		{
			what:  "everything in the database",
			learn: storage.Changes{Whole: true, Orgs: []tenancy.Org{storedOrg("org_1")}, Keys: []tenancy.APIKey{storedKey("org_1", "key_1", "one"), storedKey("org:a", "key_a", "a"), storedKey("nobody", "key_n", "n")}},
			orgs:  true, opens: map[string]tenancy.ID{"file": "key:a/k", "one": "key_1", "a": "key_a", "n": ""},
		},
		{what: "a key of the platform", learn: storage.Changes{Keys: []tenancy.APIKey{storedKey(tenancy.Platform, "key_p", "p")}}, opens: map[string]tenancy.ID{"p": "key_p"}},
		{what: "another secret", learn: storage.Changes{Keys: []tenancy.APIKey{storedKey("org_1", "key_1", "two")}}, opens: map[string]tenancy.ID{"one": "", "two": "key_1"}},
		{what: "the file's secret in the database", learn: storage.Changes{Keys: []tenancy.APIKey{storedKey("org_1", "key_f", "file")}}, opens: map[string]tenancy.ID{"file": "key:a/k"}},
		{what: "an organization that is closed", learn: storage.Changes{Orgs: []tenancy.Org{closed}}, orgs: true, opens: map[string]tenancy.ID{"two": "", "file": "key:a/k"}},
		{what: "a key in it", learn: storage.Changes{Keys: []tenancy.APIKey{storedKey("org_1", "key_2", "three")}}, opens: map[string]tenancy.ID{"three": ""}},
		{what: "that is open again", learn: storage.Changes{Orgs: []tenancy.Org{storedOrg("org_1")}}, orgs: true, opens: map[string]tenancy.ID{"two": "key_1", "three": "key_2"}},
		{what: "a key that is deleted", learn: storage.Changes{Keys: []tenancy.APIKey{lost}}, opens: map[string]tenancy.ID{"two": "", "three": "key_2"}},
		{what: "a file without the organization", declare: &declared{}, opens: map[string]tenancy.ID{"file": "key_f", "a": "", "three": "key_2"}},
		{what: "an organization that is deleted", learn: storage.Changes{Orgs: []tenancy.Org{gone}}, orgs: true, opens: map[string]tenancy.ID{"three": "", "p": "key_p"}},
	} {
		if step.declare != nil {
			if err := d.declare(*step.declare); err != nil {
				t.Fatal(err)
			}
		} else if orgs, err := d.learn(step.learn); err != nil || orgs != step.orgs {
			t.Errorf("%s: organizations changed: %v, error %v", step.what, orgs, err)
		}
		for secret, want := range step.opens {
			if got := d.opens(secret); got != want {
				t.Errorf("%s: %q opens %q, want %q", step.what, secret, got, want)
			}
		}
	}
}

// TestDirectoryKeepsContent: what an organization wants kept is known with each of its keys, wherever either is declared.
func TestDirectoryKeepsContent(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	keeps := func(id tenancy.ID, keeps bool) tenancy.Org {
		o := storedOrg(id)
		o.KeepContent = keeps
		return o
	}
	fileKey := tenancy.APIKey{Meta: tenancy.Meta{ID: "key:a/k", Org: "org:a"}, Hash: tenancy.HashKey([]byte("file")), KeepContent: true}
	for _, step := range []struct {
		what    string
		declare *declared
		learn   storage.Changes
		keeps   map[string]bool
	}{
		{what: "a file", declare: &declared{orgs: []tenancy.Org{keeps("org:a", true)}, keys: []tenancy.APIKey{fileKey}}, keeps: map[string]bool{"file": true}},
		{
			what:  "everything in the database",
			learn: storage.Changes{Whole: true, Orgs: []tenancy.Org{keeps("org_1", true)}, Keys: []tenancy.APIKey{storedKey("org_1", "key_1", "one"), storedKey("org:a", "key_a", "a")}},
			keeps: map[string]bool{"file": true, "one": true, "a": true},
		},
		{what: "a new key", learn: storage.Changes{Keys: []tenancy.APIKey{storedKey("org_1", "key_2", "two"), storedKey(tenancy.Platform, "key_p", "p")}}, keeps: map[string]bool{"two": true, "p": false}},
		{what: "no more", learn: storage.Changes{Orgs: []tenancy.Org{keeps("org_1", false)}}, keeps: map[string]bool{"one": false, "two": false, "a": true}},
		{what: "again", learn: storage.Changes{Orgs: []tenancy.Org{keeps("org_1", true)}}, keeps: map[string]bool{"one": true, "two": true}},
		{what: "another file", declare: &declared{orgs: []tenancy.Org{keeps("org:a", false)}}, keeps: map[string]bool{"one": true, "a": false}},
	} {
		if step.declare != nil {
			if err := d.declare(*step.declare); err != nil {
				t.Fatal(err)
			}
		} else if _, err := d.learn(step.learn); err != nil {
			t.Fatal(err)
		}
		for org, want := range map[tenancy.ID]bool{"org_1": d.keeps("org_1"), "org:a": d.keeps("org:a")} { // who is signed in has no key
			if p, err := d.index.Resolve(tenancy.Identity{Org: org, User: "user_1"}, time.Now()); err != nil || p.KeepContent != want {
				t.Errorf("%s: a person of %s: %+v, %v; want %v", step.what, org, p, err, want)
			}
		}
		for secret, want := range step.keeps {
			p, err := d.index.Lookup(tenancy.HashKey([]byte(secret)), time.Now())
			if err != nil || p.KeepContent != want {
				t.Errorf("%s: %q: %+v, %v; want %v", step.what, secret, p, err, want)
			}
		}
	}
}

// TestDirectoryAlone: the accounts of a gateway with one organization are that one's.
func TestDirectoryAlone(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	learn := func(c storage.Changes) {
		if _, err := d.learn(c); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := d.only(); ok {
		t.Error("nobody is the only one")
	}
	learn(storage.Changes{Whole: true, Orgs: []tenancy.Org{storedOrg("org_1")}})
	if org, ok := d.only(); !ok || org != "org_1" {
		t.Errorf("%q %v", org, ok)
	}
	if err := d.declare(declared{orgs: []tenancy.Org{storedOrg("org:a")}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.only(); ok {
		t.Error("one of two is the only one")
	}
}

// TestDirectoryRefuses: a file that can not be takes nothing away from what holds.
func TestDirectoryRefuses(t *testing.T) {
	t.Parallel()
	d := newDirectory()
	one := tenancy.APIKey{Meta: tenancy.Meta{ID: "key:a/k", Org: "org:a"}, Hash: tenancy.HashKey([]byte("file"))}
	two := one
	two.ID = "key:a/other"
	if err := d.declare(declared{keys: []tenancy.APIKey{one}}); err != nil {
		t.Fatal(err)
	}
	if err := d.declare(declared{keys: []tenancy.APIKey{one, two}}); err == nil {
		t.Error("two keys are one secret")
	}
	if d.opens("file") != "key:a/k" {
		t.Error("the key that held opens nothing")
	}
}

package tenancy

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func aKey(id ID, secret string) APIKey {
	return APIKey{Meta: Meta{ID: id, Org: "org_1"}, Hash: HashKey([]byte(secret))}
}

func index(t *testing.T, keys ...APIKey) *KeyIndex {
	t.Helper()
	x, err := NewKeyIndex(keys)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *KeyIndex) of(secret string, now time.Time) (ID, error) {
	p, err := x.Lookup(HashKey([]byte(secret)), now)
	if err != nil {
		return "", err
	}
	return p.Key, nil
}

// TestRotation: the old secret opens until the overlap is over, then only the new one does.
func TestRotation(t *testing.T) {
	t.Parallel()
	x := index(t, aKey("key_1", "old"))
	rotated := aKey("key_1", "new")
	rotated.OldHash, rotated.OldUntil = HashKey([]byte("old")), noon
	x = x.With([]APIKey{rotated})
	for _, tt := range []struct {
		secret string
		at     time.Time
		want   error
	}{
		{"new", noon, nil},
		{"old", noon.Add(-time.Nanosecond), nil},
		{"old", noon, ErrKeyExpired},
	} {
		if id, err := x.of(tt.secret, tt.at); !errors.Is(err, tt.want) || err == nil && id != "key_1" {
			t.Errorf("%s at %v opens %q, error %v", tt.secret, tt.at, id, err)
		}
	}
	gone := rotated
	gone.Deleted = true
	x = x.With([]APIKey{gone})
	for _, secret := range []string{"old", "new"} {
		if _, err := x.of(secret, noon.Add(-time.Hour)); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s of a deleted key: %v", secret, err)
		}
	}
	if x.Len() != 0 {
		t.Errorf("%d keys are left", x.Len())
	}
}

// TestSecretOfAnotherKey: a secret that a key has can not be taken over by another one.
func TestSecretOfAnotherKey(t *testing.T) {
	t.Parallel()
	x := index(t, aKey("key:a/k", "same")).With([]APIKey{aKey("key_2", "same")})
	if id, err := x.of("same", noon); err != nil || id != "key:a/k" {
		t.Errorf("it opens %q, error %v", id, err)
	}
}

// TestStaleIndex: what the database told of is no longer believed, what the file says always is, and what is known to be
// closed stays closed.
func TestStaleIndex(t *testing.T) {
	t.Parallel()
	file, closed := aKey("key:a/k", "file"), aKey("key_2", "closed")
	file.ManagedBy, closed.Disabled = ByFile, true
	x := index(t, file, aKey("key_1", "stored"), closed).Stale(true)
	for secret, want := range map[string]error{"file": nil, "stored": ErrKeyStale, "closed": ErrKeyDisabled, "nobody's": ErrUnknownKey} {
		if _, err := x.of(secret, noon); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", secret, err, want)
		}
	}
	if _, err := x.Stale(false).of("stored", noon); err != nil {
		t.Errorf("the database is back: %v", err)
	}
}

// TestUses: the last use of a key survives its changes and a new index, and only keys of the database are noted.
func TestUses(t *testing.T) {
	t.Parallel()
	file := aKey("key:a/k", "file")
	file.ManagedBy = ByFile
	x := index(t, file, aKey("key_1", "one"), aKey("key_2", "two"))
	for _, secret := range []string{"file", "one"} {
		p, err := x.Lookup(HashKey([]byte(secret)), noon)
		if err != nil {
			t.Fatal(err)
		}
		p.Touch(noon)
		p.Touch(noon.Add(-time.Hour)) // a clock that goes back takes nothing away
	}
	renamed := aKey("key_1", "one")
	renamed.Name = "new"
	for name, y := range map[string]*KeyIndex{
		"as it was": x, "changed": x.With([]APIKey{renamed}), "anew": index(t, renamed, aKey("key_2", "two")).UsesOf(x), "stale": x.Stale(true),
	} {
		for _, after := range []time.Time{{}, noon.Add(-time.Second)} {
			if used := y.UsedSince(after); len(used) != 1 || !used["key_1"].Equal(noon) {
				t.Errorf("%s: used since %v: %v", name, after, used)
			}
		}
		if used := y.UsedSince(noon); len(used) != 0 {
			t.Errorf("%s: used since then: %v", name, used)
		}
	}
}

// TestPlatformKeys: a key of those who run the house calls no models.
func TestPlatformKeys(t *testing.T) {
	t.Parallel()
	k := aKey("key_1", "one")
	k.Org, k.Role = Platform, PlatformAdmin
	p, err := index(t, k).Lookup(k.Hash, noon)
	if err != nil || p.MayUse("gpt-4o") || p.Role != PlatformAdmin {
		t.Errorf("%+v, error %v", p, err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	names := AllPermissions.Names()
	set, err := PermissionsOf(names)
	if err != nil || set != AllPermissions || len(names) != int(permissionCount) {
		t.Errorf("%v become %b, error %v", names, set, err)
	}
	if _, err := PermissionsOf([]string{"view_organization", "fly"}); err == nil {
		t.Error("fly is a permission")
	}
	few := Allow(ViewOrganization, ManageKeys)
	if !AllPermissions.Covers(few) || few.Covers(AllPermissions) || !few.Covers(few) || few.Has(ManageUsers) {
		t.Errorf("%v", few.Names())
	}
	if got := slices.Collect(few.All()); !slices.Equal(got, []Permission{ViewOrganization, ManageKeys}) {
		t.Errorf("%v", got)
	}
}

// TestBuiltInRoles: nobody but the platform has a role that reaches every organization.
func TestBuiltInRoles(t *testing.T) {
	t.Parallel()
	for org, want := range map[ID]bool{Platform: true, "org_1": false} {
		has := slices.ContainsFunc(BuiltInRoles(org), func(r Role) bool { return r.Permissions.Has(ManagePlatform) })
		if has != want {
			t.Errorf("%s: a role with everything: %v", org, has)
		}
		for _, r := range BuiltInRoles(org) {
			if r.Org != org || r.ManagedBy != ByVel || r.Name != string(r.ID) {
				t.Errorf("%+v", r)
			}
		}
	}
}

// A person has no key, and what they made is run as theirs. Nobody at all is nobody.
func TestResolveWithoutAKey(t *testing.T) {
	t.Parallel()
	x, err := NewKeyIndex(nil)
	if err != nil {
		t.Fatal(err)
	}
	person := Identity{Org: "org_1", User: "user_1"}
	if p, err := x.Resolve(person, time.Now()); err != nil || p.Identity != person || !p.MayUse("any") {
		t.Errorf("%+v, %v", p, err)
	}
	for _, id := range []Identity{{Org: "org_1"}, {Org: Platform, User: "user_1"}, {Org: "org_1", User: "user_1", Key: "key_1"}} {
		if _, err := x.Resolve(id, time.Now()); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%+v: %v", id, err)
		}
	}
}

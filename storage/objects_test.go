package storage

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

func objectsForTest(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{SQLite: filepath.Join(t.TempDir(), "vel.db")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

var epoch = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// made is an object that was made some seconds after the epoch.
func made(org tenancy.ID, kind, id string, at int) routing.StoredObject {
	return routing.StoredObject{Org: org, ID: id, Provider: "shared", Kind: kind, Created: epoch.Add(time.Duration(at) * time.Second)}
}

func keep(t *testing.T, db *DB, objects ...routing.StoredObject) []routing.StoredObject {
	t.Helper()
	others, err := db.KeepObjects(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	return others
}

func owners(t *testing.T, db *DB, org tenancy.ID, ids ...string) map[string]string {
	t.Helper()
	found, err := db.ObjectOwners(t.Context(), org, ids)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestObjectsHaveOneOwner(t *testing.T) {
	t.Parallel()
	db := objectsForTest(t)
	if others := keep(t, db, made("a", "file", "file-1", 1), made("a", "file", "file-1", 1), made("b", "file", "file-2", 2)); len(others) > 0 {
		t.Errorf("others %v", others)
	}
	others := keep(t, db, made("b", "file", "file-1", 3), made("a", "batch", "file-1", 4), made("b", "file", "file-3", 5))
	if len(others) != 1 || others[0].ID != "file-1" || others[0].Org != "b" {
		t.Errorf("others %v", others)
	}
	all := []string{"file-1", "file-2", "file-3", "file-4"}
	for org, want := range map[tenancy.ID][]string{"a": {"file-1"}, "b": {"file-2", "file-3"}, "c": nil} {
		got := owners(t, db, org, all...)
		if len(got) != len(want) {
			t.Errorf("%s has %v, want %v", org, got, want)
		}
		for _, id := range want {
			if got[id] != "shared" {
				t.Errorf("%s: %s is at %q", org, id, got[id])
			}
		}
	}
	if got := owners(t, db, "a"); len(got) > 0 {
		t.Errorf("nothing is %v", got)
	}
	elsewhere := made("b", "file", "file-1", 6) // another provider has an object of the same id
	elsewhere.Provider = "other"
	keep(t, db, elsewhere)
	if a, b := owners(t, db, "a", "file-1")["file-1"], owners(t, db, "b", "file-1")["file-1"]; a != "shared" || b != "other" {
		t.Errorf("a's is at %q, b's at %q", a, b)
	}
	again := made("a", "file", "file-1", 7)
	again.Provider = "other"
	if others := keep(t, db, again); len(others) != 1 {
		t.Errorf("others %v", others)
	}
}

func TestManyObjects(t *testing.T) {
	t.Parallel()
	db := objectsForTest(t)
	var many []routing.StoredObject
	var ids []string
	for i := range 3 * fewParameters {
		ids = append(ids, fmt.Sprintf("file-%d", i))
		many = append(many, made("a", "file", ids[i], i))
	}
	keep(t, db, many...)
	if got := owners(t, db, "a", ids...); len(got) != len(ids) {
		t.Errorf("%d of %d", len(got), len(ids))
	}
}

func TestObjectsInPages(t *testing.T) {
	t.Parallel()
	db := objectsForTest(t)
	at := made("a", "file", "elsewhere", 4)
	at.Provider = "other"
	keep(t, db, made("a", "file", "f3", 3), made("a", "file", "f1", 1), made("a", "file", "f2", 2), made("a", "file", "f3b", 3), at,
		made("a", "batch", "b1", 2), made("b", "file", "theirs", 2))
	gone := made("a", "file", "f2", 0)
	for name, c := range map[string]struct {
		page routing.ObjectPage
		want []string
		err  error
	}{
		"newest first":      {routing.ObjectPage{Limit: 9}, []string{"elsewhere", "f3b", "f3", "f2", "f1"}, nil},
		"oldest first":      {routing.ObjectPage{Limit: 9, Ascending: true}, []string{"f1", "f2", "f3", "f3b", "elsewhere"}, nil},
		"a part":            {routing.ObjectPage{Limit: 2}, []string{"elsewhere", "f3b"}, nil},
		"the next part":     {routing.ObjectPage{Limit: 2, After: "f3b"}, []string{"f3", "f2"}, nil},
		"the end":           {routing.ObjectPage{Limit: 2, After: "f1"}, nil, nil},
		"behind, ascending": {routing.ObjectPage{Limit: 2, After: "f3", Ascending: true}, []string{"f3b", "elsewhere"}, nil},
		"of one account":    {routing.ObjectPage{Limit: 9, Provider: "other"}, []string{"elsewhere"}, nil},
		"behind another's":  {routing.ObjectPage{Limit: 9, After: "theirs"}, nil, tenancy.ErrNotFound},
		"behind nothing":    {routing.ObjectPage{Limit: 9, After: "x"}, nil, tenancy.ErrNotFound},
	} {
		c.page.Org, c.page.Kind = "a", "file"
		list, err := db.Objects(t.Context(), c.page)
		if got := ids(list); err != c.err || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, err, c.want, c.err)
		}
	}
	if err := db.ForgetObjects(t.Context(), []routing.StoredObject{gone, made("b", "file", "f1", 0)}); err != nil {
		t.Fatal(err)
	}
	if got := owners(t, db, "a", "f1", "f2"); len(got) != 1 || got["f1"] == "" {
		t.Errorf("after a deletion and an attempt at another's: %v", got)
	}
	keep(t, db, gone) // an answer that came late does not bring it back
	list, err := db.Objects(t.Context(), routing.ObjectPage{Org: "a", Kind: "file", After: "f2", Limit: 9, Ascending: true})
	if got := ids(list); err != nil || !slices.Equal(got, []string{"f3", "f3b", "elsewhere"}) {
		t.Errorf("behind what was deleted: %v, %v", got, err)
	}
}

func ids(list []routing.StoredObject) (all []string) {
	for _, o := range list {
		all = append(all, o.ID)
	}
	return all
}

func TestCleanObjects(t *testing.T) {
	t.Parallel()
	db := objectsForTest(t)
	old := int(time.Now().Add(-objectLife-time.Minute).Sub(epoch) / time.Second)
	fresh := int(time.Now().Add(time.Minute-objectLife).Sub(epoch) / time.Second)
	keep(t, db, made("a", "response", "old", old), made("a", "response", "new", fresh), made("b", "response.item", "item", old), made("a", "file", "file", old), made("a", "file", "gone", old))
	for i := range 2*atOnce + 1 {
		keep(t, db, made("b", "upload", fmt.Sprintf("upload_%d", i), old))
	}
	if err := db.ForgetObjects(t.Context(), []routing.StoredObject{made("a", "file", "gone", 0)}); err != nil {
		t.Fatal(err)
	}
	if err := db.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := owners(t, db, "a", "old", "new", "file"); len(got) != 2 || got["old"] != "" {
		t.Errorf("left are %v", got)
	}
	if got := owners(t, db, "b", "item", "upload_0", fmt.Sprintf("upload_%d", 2*atOnce)); len(got) > 0 {
		t.Errorf("left are %v", got)
	}
	if _, err := db.Objects(t.Context(), routing.ObjectPage{Org: "a", Kind: "file", After: "gone", Limit: 1}); err != tenancy.ErrNotFound {
		t.Errorf("the mark of what was deleted is still there: %v", err)
	}
}

package tests

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// TestPages: a list is read in pages while others come and go. What was there all the time is seen, and once.
func TestPages(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	var stay, leave []string
	for i := range 250 {
		id := n.fresh(t, "team")
		if i%5 == 0 {
			leave = append(leave, id)
		} else {
			stay = append(stay, id)
		}
	}
	for name, limit := range map[string]int{"": 20, "&limit=7": 7, "&limit=100": 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			churn := n.churn(t, leave[:10])
			leave = leave[10:]
			defer churn()
			seen := n.pages(t, "/api/teams", name, limit)
			if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
				t.Errorf("not in order, or twice: %v", seen)
			}
			for _, id := range stay {
				if !slices.Contains(seen, id) {
					t.Errorf("%s was passed over", id)
				}
			}
		})
	}
	t.Run("after what is gone", func(t *testing.T) {
		list := read[page](t, n.admin.do(t, "GET", "/api/teams?limit=3", nil)).Data
		if list[0]["id"] != n.team {
			t.Fatalf("the oldest is not the first: %v", list)
		}
		second := list[1]["id"].(string)
		n.admin.do(t, "DELETE", "/api/teams/"+second, nil).want(t, http.StatusNoContent)
		after := read[page](t, n.admin.do(t, "GET", "/api/teams?limit=1&after="+second, nil)).Data
		if len(after) != 1 || after[0]["id"] != list[2]["id"] {
			t.Errorf("%v, want %v", after, list[2])
		}
	})
	for _, wrong := range []string{"limit=0", "limit=101", "limit=x", "after=no/../id%20", "limit=1&limit=2", "offset=3"} {
		n.admin.do(t, "GET", "/api/teams?"+wrong, nil).problem(t, http.StatusUnprocessableEntity, "invalid")
	}
}

// pages reads a list to its end and returns the ids.
func (n *tenant) pages(t *testing.T, path, query string, limit int) (ids []string) {
	t.Helper()
	for after := ""; ; {
		p := read[page](t, n.admin.do(t, "GET", path+within(n.org)+query+after, nil).want(t, http.StatusOK))
		for _, v := range p.Data {
			ids = append(ids, v["id"].(string))
		}
		if p.Next == nil {
			return ids
		}
		if len(p.Data) != limit || *p.Next != ids[len(ids)-1] {
			t.Fatalf("a page of %d, and next is %s", len(p.Data), *p.Next)
		}
		after = "&after=" + url.QueryEscape(*p.Next)
	}
}

// churn deletes some teams and makes others until it is stopped; what went wrong is an error of the test.
func (n *tenant) churn(t *testing.T, gone []string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() {
		for ctx.Err() == nil {
			a, err := n.office.root.send(ctx, "POST", "/api/teams", members{"organization": n.org, "name": n.word()})
			if len(gone) > 0 && err == nil {
				a, err = n.office.root.send(ctx, "DELETE", "/api/teams/"+gone[0]+within(n.org), nil)
				gone = gone[1:]
			}
			if ctx.Err() == nil && (err != nil || a.status > 299) {
				t.Errorf("status %d, %v\n%s", a.status, err, a.body)
			}
		}
	})
	return func() {
		cancel()
		working.Wait()
	}
}

// TestFilters: each filter of each list finds what it names, and nothing else.
func TestFilters(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	n.fresh(t, "team")
	n.fresh(t, "role")
	member := o.root.create(t, "/api/users", members{"organization": n.org, "name": "Ada", "email": "ada@example.com", "teams": []string{n.team}})
	user := member["id"].(string)
	one := func(kind string, body members) string {
		body["organization"] = n.org
		return o.root.create(t, "/api/"+kind, body)["id"].(string)
	}
	ofTeam, ofUser, ofKey := one("limits", members{"team": n.team, "rpm": 1}), one("limits", members{"user": user, "rpm": 1}), one("limits", members{"key": n.key, "rpm": 1})
	spend := func(by string, id string) string {
		return one("budgets", members{"name": "of the " + by, by: id, "usd": "1", "per": "day"})
	}
	spentByTeam, spentByUser, spentByKey := spend("team", n.team), spend("user", user), spend("key", n.key)
	find := map[string]map[string]struct {
		value string
		id    string // of what is found
	}{
		"list-organizations": {"name": {n.name, n.org}},
		"list-teams":         {"name": {n.name + "-1", n.team}},
		"list-users":         {"name": {"Ada", user}, "email": {"ADA@example.com", user}, "team": {n.team, user}},
		"list-roles":         {"name": {n.name + "-2", n.role}},
		"list-keys":          {"name": {n.name + "-4", n.key}, "team": {n.team, n.key}, "user": {n.user, n.key}},
		"list-limits":        {"name": {"team " + n.team, ofTeam}, "team": {n.team, ofTeam}, "user": {user, ofUser}, "key": {n.key, ofKey}},
		"list-budgets":       {"name": {"of the team", spentByTeam}, "team": {n.team, spentByTeam}, "user": {user, spentByUser}, "key": {n.key, spentByKey}},
	}
	n.robot(t, "")
	for id, filters := range find {
		operation := o.document.Operation(id)
		for _, p := range operation.Parameters {
			if p.In != "query" || slices.Contains([]string{"organization", "limit", "after"}, p.Name) {
				continue
			}
			t.Run(id+" "+p.Name, func(t *testing.T) {
				by, ok := filters[p.Name]
				if !ok {
					t.Fatal("the test does not know this filter")
				}
				list := read[page](t, n.admin.do(t, "GET", operation.Path+"?"+url.Values{p.Name: {by.value}}.Encode(), nil).want(t, http.StatusOK)).Data
				if len(list) != 1 || list[0]["id"] != by.id {
					t.Errorf("found %v, want %s", list, by.id)
				}
			})
		}
	}
}

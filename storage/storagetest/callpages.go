package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// callPages checks that each filter finds what it says, in pages of any length. Most of it is the table of filters.
func callPages(t *testing.T, db *storage.DB) {
	var all []accounting.Record
	for i := range 24 {
		r := called([]tenancy.ID{"org_a", "org_b"}[i%2], i/3) // three at a time
		r.ID = tenancy.ID(fmt.Sprintf("req_%02d", (7*i)%24))
		r.Who.Team, r.Who.User, r.Who.Key = tenancy.ID(fmt.Sprint("team_", i%3)), tenancy.ID(fmt.Sprint("user_", i%4)), tenancy.ID(fmt.Sprint("key_", i%5))
		r.Route, r.Provider, r.Model = fmt.Sprint("route-", i%3), fmt.Sprint("provider-", i%4), fmt.Sprint("model-", i%5)
		r.Tags = []accounting.Tag{{Key: "env", Value: []string{"prod", "Test", "pro"}[i%3]}, {Key: "note", Value: fmt.Sprint("a b_", i%6, " 50% [\"x\"]")}}
		if i%4 == 0 {
			r.Class, r.Error, r.Endpoint = adapters.ClassServer, fmt.Sprint("Failed: upstream-", i%8, " (status 500)."), adapters.Embeddings
		}
		if i%6 == 0 {
			r.Unpriced = "no_usage"
		}
		all = append(all, r)
	}
	(&shipped{node: "node_1"}).append(t, db, all...)
	slices.SortFunc(all, func(a, b accounting.Record) int {
		if c := b.Begun.Compare(a.Begun); c != 0 {
			return c
		}
		return strings.Compare(string(b.ID), string(a.ID))
	})
	tagged := func(key, value string) func(*accounting.Record) bool {
		return func(r *accounting.Record) bool {
			return slices.ContainsFunc(r.Tags, func(t accounting.Tag) bool { return t.Key == key && (value == "" || t.Value == value) })
		}
	}
	has := func(words ...string) func(*accounting.Record) bool {
		return func(r *accounting.Record) bool {
			text := " " + r.Error
			for _, tag := range r.Tags {
				text += " " + tag.Value
			}
			for _, w := range words {
				if !strings.Contains(strings.ToLower(text), " "+w) {
					return false
				}
			}
			return true
		}
	}
	for name, f := range map[string]struct {
		ask  accounting.CallFilter
		want func(r *accounting.Record) bool
	}{
		"everything":          {accounting.CallFilter{}, func(*accounting.Record) bool { return true }},
		"a time":              {accounting.CallFilter{From: at.Add(2 * time.Second), To: at.Add(4 * time.Second)}, func(r *accounting.Record) bool { d := r.Begun.Sub(at); return d >= 2*time.Second && d < 4*time.Second }},
		"a team":              {accounting.CallFilter{Team: "team_1"}, func(r *accounting.Record) bool { return r.Who.Team == "team_1" }},
		"a user":              {accounting.CallFilter{User: "user_1"}, func(r *accounting.Record) bool { return r.Who.User == "user_1" }},
		"a key":               {accounting.CallFilter{Key: "key_1"}, func(r *accounting.Record) bool { return r.Who.Key == "key_1" }},
		"a route":             {accounting.CallFilter{Route: "route-1"}, func(r *accounting.Record) bool { return r.Route == "route-1" }},
		"a provider":          {accounting.CallFilter{Provider: "provider-1"}, func(r *accounting.Record) bool { return r.Provider == "provider-1" }},
		"a model":             {accounting.CallFilter{Model: "model-1"}, func(r *accounting.Record) bool { return r.Model == "model-1" }},
		"an endpoint":         {accounting.CallFilter{Endpoint: "embeddings"}, func(r *accounting.Record) bool { return r.Endpoint == adapters.Embeddings }},
		"a class":             {accounting.CallFilter{Class: "server"}, func(r *accounting.Record) bool { return r.Class == adapters.ClassServer }},
		"failed":              {accounting.CallFilter{Failed: true}, func(r *accounting.Record) bool { return r.Class != adapters.ClassNone }},
		"unpriced":            {accounting.CallFilter{Unpriced: true}, func(r *accounting.Record) bool { return r.Unpriced != "" }},
		"a tag":               {accounting.CallFilter{Tag: accounting.Tag{Key: "env", Value: "prod"}}, tagged("env", "prod")},
		"a tag in capitals":   {accounting.CallFilter{Tag: accounting.Tag{Key: "env", Value: "Test"}}, tagged("env", "Test")},
		"another case":        {accounting.CallFilter{Tag: accounting.Tag{Key: "env", Value: "test"}}, tagged("env", "test")},
		"a tag with signs":    {accounting.CallFilter{Tag: accounting.Tag{Key: "note", Value: "a b_1 50% [\"x\"]"}}, tagged("note", "a b_1 50% [\"x\"]")},
		"a part of a tag":     {accounting.CallFilter{Tag: accounting.Tag{Key: "note", Value: "a b_1"}}, tagged("note", "a b_1")},
		"any value of a tag":  {accounting.CallFilter{Tag: accounting.Tag{Key: "note"}}, tagged("note", "")},
		"another tag's value": {accounting.CallFilter{Tag: accounting.Tag{Key: "note", Value: "prod"}}, tagged("note", "prod")},
		"what is no pattern":  {accounting.CallFilter{Tag: accounting.Tag{Key: "%", Value: "%"}}, tagged("%", "%")},
		"a word of a tag":     {accounting.CallFilter{Text: "PROD"}, func(r *accounting.Record) bool { return r.Tags[0].Value == "prod" }},
		"words of an error":   {accounting.CallFilter{Text: "upstream-4, status"}, has("upstream-4", "(status")},
		"of both":             {accounting.CallFilter{Text: "b_2 failed"}, has("b_2", "failed:")},
		"a word of nothing":   {accounting.CallFilter{Text: "nowhere"}, func(*accounting.Record) bool { return false }},
		"text without a word": {accounting.CallFilter{Text: " - "}, func(*accounting.Record) bool { return true }},
		"many":                {accounting.CallFilter{Team: "team_0", Failed: true, Text: "status", Tag: accounting.Tag{Key: "env", Value: "prod"}, Unpriced: true}, func(r *accounting.Record) bool { return r.Who.Team == "team_0" && r.Error != "" && r.Unpriced != "" }},
	} {
		for _, org := range []tenancy.ID{"org_a", ""} {
			var want []string
			for i := range all {
				if f.want(&all[i]) && (org == "" || all[i].Who.Org == org) {
					want = append(want, string(all[i].ID))
				}
			}
			for _, limit := range []int{1, 5, 100} {
				var got []string
				q := accounting.CallQuery{CallFilter: f.ask, Limit: limit}
				q.Org = org
				for {
					list, err := db.Calls(t.Context(), q)
					must(t, err)
					for i := range list {
						got = append(got, string(list[i].ID))
					}
					if len(list) < limit {
						break
					}
					q.Before = accounting.CallCursor{Begun: list[limit-1].Begun, ID: list[limit-1].ID}
				}
				same(t, fmt.Sprintf("%s of %q, in pages of %d", name, org, limit), got, want)
			}
		}
	}
}

// oneCall checks that a call is found by its id alone, whether that tells its time or not, and only by who may see it.
func oneCall(t *testing.T, db *storage.DB) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	r := called("org_a", 1)
	r.ID, r.Begun = tenancy.NewID("req"), now
	foreign := called("org_a", 2)
	foreign.ID = tenancy.ID("req_" + strings.ReplaceAll(uuid.NewString(), "-", "")) // of version 4, which tells no time
	(&shipped{node: "node_1"}).append(t, db, r, foreign)
	for _, want := range []accounting.Record{r, foreign} {
		got, err := db.Call(t.Context(), "org_a", want.ID)
		must(t, err)
		same(t, "a call", got, want)
		_, err = db.Call(t.Context(), "org_b", want.ID)
		wants(t, "somebody else's call", err, tenancy.ErrNotFound)
	}
	_, err := db.Call(t.Context(), "org_a", tenancy.NewID("req"))
	wants(t, "a call that is not there", err, tenancy.ErrNotFound)
}

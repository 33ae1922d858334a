package storagetest

import (
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// limitsOf are limits with everything in them.
func limitsOf(org tenancy.ID, of accounting.Scope) accounting.Limits {
	return accounting.Limits{
		Meta: meta(org, of.String()), Scope: of, RPM: 1, RPH: 2, RPD: 3, TPM: 4, TPH: 5, TPD: tenancy.MostUnits, InFlight: 7, Burst: 8, OnStoreFailure: ratelimit.Closed,
	}
}

// budgetOf is a budget with everything in it, of a whole organization.
func budgetOf(org tenancy.ID, name string) accounting.Budget {
	return accounting.Budget{
		Meta: meta(org, name), Max: tenancy.MostMoney, Per: ratelimit.Month, Timezone: "Europe/Berlin", WarnAt: 80, Hard: true, OnStoreFailure: ratelimit.Open,
	}
}

func limits(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	one := func(name string) accounting.Limits {
		l := limitsOf(a, accounting.Scope{Route: "route of " + name})
		l.Name = name
		return l
	}
	pages(t, db.Limits(), a, one)
	resource(t, db.Limits(), one, func(l *accounting.Limits) {
		of := l.Scope
		*l = accounting.Limits{Meta: l.Meta, Scope: of, RPM: 9}
		l.Name = "other"
	})
	v := create(t, db.Limits(), one("fixed"))
	was := v.Scope
	v.Scope = accounting.Scope{Route: "another"}
	v, err := db.Limits().Update(ctx, vel, v)
	must(t, err)
	same(t, "which calls are counted", v.Scope, was)

	team := create(t, db.Teams(), tenancy.Team{Meta: meta(a, "team")})
	user := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com"})
	key := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "key"), Hash: hash("key")})
	for what, c := range map[string]struct {
		of accounting.Scope
		p  tenancy.Page
	}{
		"team":              {accounting.Scope{Team: team.ID}, tenancy.Page{Team: team.ID}},
		"user":              {accounting.Scope{User: user.ID}, tenancy.Page{User: user.ID}},
		"key":               {accounting.Scope{Key: key.ID}, tenancy.Page{Key: key.ID}},
		"a key of the file": {accounting.Scope{Key: "key:acme/ci"}, tenancy.Page{Key: "key:acme/ci"}},
	} {
		want := create(t, db.Limits(), limitsOf(a, c.of))
		c.p.Limit = 10
		list, err := db.Limits().List(ctx, a, c.p)
		must(t, err)
		same(t, "limits of a "+what, list, []accounting.Limits{want})
		if !want.Fits(&c.p) || !want.Fits(&tenancy.Page{}) || want.Fits(&tenancy.Page{Key: "key_x"}) {
			t.Errorf("limits of a %s are asked for otherwise than they are found", what)
		}
		_, err = db.Limits().Create(ctx, vel, limitsOf(a, c.of))
		wants(t, "the same scope", err, &tenancy.Taken{Field: "name"})
	}
	b := org(t, db, "b")
	for field, of := range map[string]accounting.Scope{"team": {Team: team.ID}, "user": {User: user.ID}, "key": {Key: key.ID}} {
		id := of.Team + of.User + of.Key
		_, err := db.Limits().Create(ctx, vel, limitsOf(b, of))
		wants(t, "another organization's "+field, err, &tenancy.Missing{Field: field, ID: id})
		budget := budgetOf(b, "b")
		budget.Scope = of
		_, err = db.Budgets().Create(ctx, vel, budget)
		wants(t, "another organization's "+field, err, &tenancy.Missing{Field: field, ID: id})
	}
}

func budgets(t *testing.T, db *storage.DB) {
	a := org(t, db, "a")
	one := func(name string) accounting.Budget {
		b := budgetOf(a, name)
		b.Scope.Tag = accounting.Tag{Key: "env", Value: `"prod" %_`}
		return b
	}
	pages(t, db.Budgets(), a, one)
	resource(t, db.Budgets(), one, func(b *accounting.Budget) {
		b.Name, b.Max, b.WarnAt, b.Hard, b.OnStoreFailure = "other", 1, 0, false, ratelimit.Local
	})
	for per := ratelimit.Hour; per <= ratelimit.Total; per++ {
		b := budgetOf(a, per.String())
		b.Per = per
		b = create(t, db.Budgets(), b)
		same(t, "the window", b.Per, per)
		b.Per, b.Timezone, b.Scope = ratelimit.Day, "", accounting.Scope{Key: "key:acme/ci"}
		changed, err := db.Budgets().Update(t.Context(), vel, b)
		must(t, err)
		if changed.Per != per || changed.Timezone != "Europe/Berlin" || changed.Scope != (accounting.Scope{}) {
			t.Errorf("what never changes has changed: %+v", changed)
		}
	}
}

// unlimited checks that limits and budgets go with what they are of, with a trace, and that nodes hear of it.
func unlimited(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	team := create(t, db.Teams(), tenancy.Team{Meta: meta(a, "team")})
	user := create(t, db.Users(), tenancy.User{Meta: meta(a, "user"), Email: "u@example.com"})
	theirs := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "theirs"), Hash: hash("theirs"), User: user.ID})
	key := create(t, db.Keys(), tenancy.APIKey{Meta: meta(a, "key"), Hash: hash("key")})
	of := map[string]accounting.Scope{"team": {Team: team.ID}, "user": {User: user.ID}, "theirs": {Key: theirs.ID}, "key": {Key: key.ID}, "org": {}}
	for name, s := range of {
		create(t, db.Limits(), limitsOf(a, s))
		b := budgetOf(a, name)
		b.Scope = s
		create(t, db.Budgets(), b)
	}
	c, err := db.Changes(ctx, 0)
	must(t, err)
	for _, gone := range []struct {
		what   string
		delete func() error
		many   int
	}{
		{"team", func() error { return db.Teams().Delete(ctx, by, a, team.ID, 0) }, 1},
		{"key", func() error { return db.Keys().Delete(ctx, by, a, key.ID, 0) }, 1},
		{"user with a key", func() error { return db.Users().Delete(ctx, by, a, user.ID, 0) }, 2},
	} {
		since := time.Now().Truncate(time.Microsecond)
		must(t, gone.delete())
		c, err = db.Changes(ctx, c.Rev)
		must(t, err)
		if len(c.Limits) != gone.many || !c.Limits[0].Deleted || len(c.Budgets) != gone.many || !c.Budgets[0].Deleted {
			t.Errorf("after a %s was deleted: %+v %+v", gone.what, c.Limits, c.Budgets)
		}
		traces := map[string]int{}
		for _, e := range events(t, db, since, a) {
			traces[e.Action]++
		}
		same(t, "events of the end of a "+gone.what, [2]int{traces["limits.delete"], traces["budgets.delete"]}, [2]int{gone.many, gone.many})
	}
	whole, err := db.Changes(ctx, 0)
	must(t, err)
	same(t, "what is left", [2]int{len(whole.Limits), len(whole.Budgets)}, [2]int{1, 1})
}

// shownLimits checks what the audit log shows of limits and budgets.
func shownLimits(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	since := time.Now().Truncate(time.Microsecond)
	l := create(t, db.Limits(), accounting.Limits{Meta: meta(a, "route fast"), Scope: accounting.Scope{Route: "fast"}, RPM: 600})
	l.RPM, l.OnStoreFailure = 60, ratelimit.Open
	_, err := db.Limits().Update(ctx, vel, l)
	must(t, err)
	b := create(t, db.Budgets(), accounting.Budget{Meta: meta(a, "monthly"), Max: 500_250_000_000, Per: ratelimit.Month, WarnAt: 80, Hard: true})
	b.Max = 1
	_, err = db.Budgets().Update(ctx, vel, b)
	must(t, err)
	type line struct{ Action, Kind, Before, After string }
	var got []line
	for _, e := range events(t, db, since, a) {
		got = append(got, line{e.Action, e.Object.Kind, e.Before, e.After})
	}
	same(t, "what is shown", got, []line{
		{"limits.create", "limit", "", `{"burst":0,"in_flight":0,"key":"","name":"route fast","on_store_failure":"local","route":"fast","rpd":0,"rph":0,"rpm":600,"team":"","tpd":0,"tph":0,"tpm":0,"user":""}`},
		{"limits.update", "limit", `{"on_store_failure":"local","rpm":600}`, `{"on_store_failure":"open","rpm":60}`},
		{"budgets.create", "budget", "", `{"hard":true,"key":"","name":"monthly","on_store_failure":"local","per":"month","tag_key":"","tag_value":"","team":"","timezone":"","usd":"500.25","user":"","warn_at":80}`},
		{"budgets.update", "budget", `{"usd":"500.25"}`, `{"usd":"0.000000001"}`},
	})
}

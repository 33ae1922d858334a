package storagetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// keyring is one of keys that are known by their letters, the first one current.
func keyring(t *testing.T, letters string) *secrets.Keyring {
	t.Helper()
	var seeds []secrets.Secret
	for _, letter := range strings.Split(letters, "") {
		seeds = append(seeds, secrets.New(strings.Repeat(letter, 32)))
	}
	k, err := secrets.NewKeyring(seeds...)
	must(t, err)
	return k
}

func oneProvider(org tenancy.ID, name string) routing.ManagedProvider {
	return routing.ManagedProvider{
		Meta: meta(org, name), Sealed: secrets.New("01234567.sealed"), Hint: "wxyz",
		Settings: routing.ProviderConfig{
			Kind: "openai", BaseURL: "https://llm.example.com/v1", Organizations: []tenancy.ID{"org_1", "org:file"},
			Timeouts: routing.TimeoutsConfig{FirstByte: new(90 * time.Second)}, TLS: routing.ProviderTLS{CA: `C:\odd "path" ünd '`},
		},
	}
}

func oneRoute(org tenancy.ID, name string, providers ...string) routing.ManagedRoute {
	r := routing.ManagedRoute{Meta: meta(org, name), Settings: routing.ModelConfig{Attempts: new(2), Strict: true}}
	for _, p := range providers {
		r.Settings.Targets = append(r.Settings.Targets, routing.TargetConfig{Provider: p, Model: "gpt-4o"})
	}
	return r
}

func providers(t *testing.T, db *storage.DB) {
	one := func(name string) routing.ManagedProvider { return oneProvider(tenancy.Platform, name) }
	pages(t, db.Providers(), tenancy.Platform, one)
	resource(t, db.Providers(), one, func(p *routing.ManagedProvider) {
		p.Name, p.Settings, p.Sealed, p.Hint = "other", routing.ProviderConfig{Kind: "groq"}, secrets.Secret{}, ""
	})
	// Nothing of one row is left in the next.
	create(t, db.Providers(), routing.ManagedProvider{Meta: meta("org:two", "bare"), Settings: routing.ProviderConfig{Kind: "groq"}})
	create(t, db.Providers(), oneProvider("org:two", "full"))
	last := create(t, db.Providers(), routing.ManagedProvider{Meta: meta("org:two", "last"), Settings: routing.ProviderConfig{Kind: "groq"}})
	list, err := db.Providers().List(t.Context(), "org:two", tenancy.Page{Limit: 10})
	must(t, err)
	same(t, "the last of a list", list[2], last)
}

func routes(t *testing.T, db *storage.DB) {
	one := func(name string) routing.ManagedRoute { return oneRoute(tenancy.Platform, name, "a", "b") }
	pages(t, db.Routes(), tenancy.Platform, one)
	resource(t, db.Routes(), one, func(r *routing.ManagedRoute) {
		r.Name, r.Settings = "openai/other ☃", routing.ModelConfig{Targets: []routing.TargetConfig{{Provider: "c"}}}
	})
}

// inUse checks that a provider stays while a route names it, and that nodes hear of both.
func inUse(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	p := create(t, db.Providers(), oneProvider(tenancy.Platform, "a_b"))
	near := create(t, db.Providers(), oneProvider(tenancy.Platform, "axb")) // what a pattern could mistake it for
	r := create(t, db.Routes(), oneRoute(tenancy.Platform, "route", "other", "a_b"))
	create(t, db.Routes(), oneRoute("org:two", "of another organization", "axb"))
	must(t, db.Providers().Delete(ctx, vel, tenancy.Platform, near.ID, 0))
	wants(t, "a provider of a route", db.Providers().Delete(ctx, vel, tenancy.Platform, p.ID, 0), &tenancy.InUse{By: "the route route"})
	before, err := db.Changes(ctx, 0)
	must(t, err)
	must(t, db.Routes().Delete(ctx, vel, tenancy.Platform, r.ID, 0))
	must(t, db.Providers().Delete(ctx, vel, tenancy.Platform, p.ID, 0))
	c, err := db.Changes(ctx, before.Rev)
	must(t, err)
	if len(c.Routes) != 1 || !c.Routes[0].Deleted || len(c.Providers) != 1 || !c.Providers[0].Deleted || len(c.Keys)+len(c.Orgs) != 0 {
		t.Errorf("after both were deleted: %+v", c)
	}
	if !c.Providers[0].Sealed.IsZero() {
		t.Error("the key of a deleted provider is kept")
	}
	again := create(t, db.Providers(), oneProvider(tenancy.Platform, "a_b"))
	r = create(t, db.Routes(), oneRoute(tenancy.Platform, "route", "a_b"))
	r.Settings.Targets[0].Provider = "other"
	_, err = db.Routes().Update(ctx, vel, r)
	must(t, err)
	must(t, db.Providers().Delete(ctx, vel, tenancy.Platform, again.ID, 0))
}

// sealed checks that everything that is sealed is sealed anew, whoever it belongs to, and nothing else changes.
func sealed(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	old, both, foreign := keyring(t, "o"), keyring(t, "no"), keyring(t, "x")
	const key, answer = "sk-canary-of-a-provider", `{"secret":"sk-vel-canary"}`
	var all []routing.ManagedProvider
	one := func(name string, with *secrets.Keyring) routing.ManagedProvider {
		p := oneProvider(tenancy.Platform, name)
		p.ID = tenancy.NewID("provider")
		p.SetKey(with, secrets.New(key))
		return create(t, db.Providers(), p)
	}
	for i := range 5 {
		all = append(all, one("old"+string(rune('a'+i)), old))
	}
	fresh, lost := one("fresh", both), one("lost", foreign)
	broken := oneProvider(tenancy.Platform, "broken")
	broken.Sealed = secrets.New(old.IDs()[0] + ".AAAA")
	broken = create(t, db.Providers(), broken)
	create(t, db.Providers(), routing.ManagedProvider{Meta: meta(tenancy.Platform, "none"), Settings: routing.ProviderConfig{Kind: "openai"}})
	const claims = 450 // more than are sealed at once
	orgs := []tenancy.ID{org(t, db, "a"), org(t, db, "b"), tenancy.Platform}
	for i := range claims {
		o, id := orgs[i%3], string(tenancy.NewID("claim"))
		_, _, err := db.Claim(ctx, o, id, "r")
		must(t, err)
		must(t, db.Keep(ctx, o, id, 201, old.Seal([]byte(answer), "idempotency", id, string(o))))
	}
	counts := func(what string, want map[string]int64) {
		t.Helper()
		got, err := db.SealedBy(ctx)
		must(t, err)
		same(t, what, got, want)
	}
	first, second, third := both.IDs()[0], both.IDs()[1], foreign.IDs()[0]
	counts("before", map[string]int64{first: 1, second: 6 + claims, third: 1})
	before, err := db.Changes(ctx, 0)
	must(t, err)

	if done, broken, err := db.Reseal(ctx, vel, old); done != 0 || broken != 0 || err != nil {
		t.Errorf("with the key that has sealed: %d, %d, %v", done, broken, err)
	}
	done, unopened, err := db.Reseal(ctx, vel, both)
	must(t, err)
	same(t, "sealed anew", done, 5+claims)
	same(t, "broken", unopened, 1)
	counts("after", map[string]int64{first: 6 + claims, second: 1, third: 1})
	if done, _, err := db.Reseal(ctx, vel, both); done != 0 || err != nil {
		t.Errorf("again: %d, %v", done, err)
	}
	only := keyring(t, "n")
	for i, p := range all {
		now, err := db.Providers().Get(ctx, tenancy.Platform, p.ID)
		must(t, err)
		if k, err := now.Key(only); err != nil || k.Reveal() != key {
			t.Errorf("provider %d: %v, %v", i, k, err)
		}
		// Who has read it before and writes it back is told: the old text would come back with it.
		_, err = db.Providers().Update(ctx, vel, p)
		wants(t, "a change from before", err, tenancy.ErrStale)
		p.Rev, p.Sealed = now.Rev, now.Sealed
		same(t, "the rest of a provider", now, p)
	}
	for what, p := range map[string]routing.ManagedProvider{"fresh": fresh, "lost": lost, "broken": broken} {
		now, err := db.Providers().Get(ctx, tenancy.Platform, p.ID)
		must(t, err)
		same(t, what, now, p)
	}
	if _, err := lost.Key(both); !errors.Is(err, secrets.ErrSealed) {
		t.Errorf("lost: %v", err)
	}
	after, err := db.Changes(ctx, before.Rev)
	must(t, err)
	same(t, "no news", after, storage.Changes{Rev: before.Rev})
}

// shownAccounts checks what the audit log shows of providers and routes, and that it shows no key.
func shownAccounts(t *testing.T, db *storage.DB) {
	ctx, since := t.Context(), time.Now().Truncate(time.Microsecond)
	old := keyring(t, "o")
	p := routing.ManagedProvider{Meta: meta(tenancy.Platform, "mine"), Settings: routing.ProviderConfig{Kind: "openai"}}
	p.ID = tenancy.NewID("provider")
	p.SetKey(old, secrets.New("sk-canary-0123456789-abcd"))
	p = create(t, db.Providers(), p)
	p.Settings.BaseURL = "https://llm.example.com/v1"
	p.SetKey(old, secrets.New("sk-canary-0123456789-wxyz"))
	p, err := db.Providers().Update(ctx, vel, p)
	must(t, err)
	create(t, db.Routes(), oneRoute(tenancy.Platform, "gpt-4o", "mine"))
	_, _, err = db.Reseal(ctx, vel, keyring(t, "no"))
	must(t, err)
	type line struct{ Action, Kind, Name, Before, After string }
	var got []line
	for _, e := range events(t, db, since, tenancy.Platform) {
		got = append(got, line{e.Action, e.Object.Kind, e.Object.Name, e.Before, e.After})
		if strings.Contains(e.Before+e.After, "canary") || strings.Contains(e.Before+e.After, old.IDs()[0]) {
			t.Errorf("a key is shown in %+v", e)
		}
	}
	same(t, "what is shown", got, []line{
		{"providers.create", "provider", "mine", "", `{"key_hint":"abcd","name":"mine","settings":{"kind":"openai"}}`},
		{
			"providers.update", "provider", "mine", `{"key_hint":"abcd","settings":{"kind":"openai"}}`,
			`{"api_key":"changed","key_hint":"wxyz","settings":{"base_url":"https://llm.example.com/v1","kind":"openai"}}`,
		},
		{"routes.create", "route", "gpt-4o", "", `{"name":"gpt-4o","providers":["mine"],"settings":{"attempts":2,"strict":true,"targets":[{"model":"gpt-4o","provider":"mine"}]}}`},
		{"secrets.rotate", "", "", "", `{"in":"providers","sealed":1}`},
	})
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// serveAdmin puts the control plane behind its paths.
func (a *App) serveAdmin(cfg *config.Config) {
	deps := adminOver(a.db, a.keyring, a.log, a.declared)
	deps.Problem, deps.Prober = a.problem, &prober{a.pool, a.keyring, a.defaults}
	deps.Index = func() *tenancy.KeyIndex { return a.pipeline.Snapshot().Keys }
	deps.FindFresh = a.pipeline.FindFresh
	deps.PricesOf, deps.Planner, deps.Proposer = a.PricesOf, a.plan, a.propose
	deps.Targets = a
	a.showTasks(&deps.Work, cfg)
	deps.AdminKey, deps.Providers, deps.Registerer = cfg.AdminKey, a.providers, a.registry
	deps.SignOn, deps.Uses, deps.CounterStore, deps.Cache = cfg.SignOn, a.ledger, a.counters.store, a.cache
	server := admin.NewServer(deps)
	a.onStop(background(server.RecordRefusals))
	a.server.Mount("/api", server)
	a.server.Operator, a.server.Uploads = server.Operates, admin.TakesItems
}

// adminOver is what the control plane needs of a database and of the file.
func adminOver(db *storage.DB, keyring *secrets.Keyring, log *slog.Logger, file func() declared) admin.Deps {
	return admin.Deps{
		Orgs:  tenancy.Declared(func() []tenancy.Org { return file().orgs }, db.Orgs()),
		Keys:  tenancy.Declared(func() []tenancy.APIKey { return file().keys }, db.Keys()),
		Teams: db.Teams(), Users: db.Users(), Roles: db.Roles(),
		ProviderStore: tenancy.Declared(func() []routing.ManagedProvider { return file().providers }, db.Providers()),
		RouteStore:    tenancy.Declared(func() []routing.ManagedRoute { return file().routes }, db.Routes()),
		LimitStore:    tenancy.Declared(func() []accounting.Limits { return file().limits }, db.Limits()),
		BudgetStore:   tenancy.Declared(func() []accounting.Budget { return file().budgets }, db.Budgets()), Ledger: db,
		Work: admin.TaskWork{ // a task that is made without a server waits for one
			Store: db, Batches: db, Webhooks: db.Webhooks(), Hooks: db, Agents: db.Agents(), Agented: db, Feed: tasks.NewFeed(nil, tasks.Looking{}), Stop: func(tenancy.ID) {}, Hearts: func() time.Duration { return heartEvery },
			PerUser: func() int { return tasks.Defaults().PerUser }, Streams: func() int { return tasks.Defaults().Streams },
		},
		Sessions: db, Passwords: db, Rotator: db, Requests: db, Subjects: db, Sealed: db, Audit: db, Calls: db,
		Keyring: keyring, Ping: db.Ping, Version: thisBuild().Version, Log: log,
	}
}

// declared is what the file says now.
func (a *App) declared() declared {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.directory.declared
}

// providers counts those that have a credential, and of them those that calls can go to now.
func (a *App) providers() (available, total int) {
	return a.state.Available(a.pipeline.Snapshot().Routes, time.Now())
}

// defaults are what providers inherit now.
func (a *App) defaults() routing.DefaultsConfig {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config.Routing.Defaults
}

// plan says where a call would go now. Planning only reads what is known of the targets.
func (a *App) plan(ask *routing.Ask, now time.Time) *routing.Decision {
	var p routing.Plan
	s := a.pipeline.Snapshot()
	_ = s.Routes.Plan(&p, ask, a.state, now) // the decision has the refusal
	return p.Decision(s.Rev)
}

// openLocal serves the control plane of a database that no server has open, to this process alone.
func openLocal(ctx context.Context, cfg *config.Config, log *slog.Logger) (r *remote, stop func() error, err error) {
	keyring, err := openKeyring(cfg)
	if err != nil {
		return nil, nil, err
	}
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	index, err := tenancy.NewKeyIndex(nil)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	watcher, err := upstream.NewWatcher()
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	pool := upstream.NewPool(watcher, 1)
	closeAll := func() error {
		pool.Close()
		return errors.Join(watcher.Close(), db.Close())
	}
	if cfg.Simulated {
		cfg.DropSimulator() // it runs with a server only
	}
	file := declaredIn(cfg)
	deps := adminOver(db, keyring, log, func() declared { return file })
	deps.Work.PlainHTTP = cfg.Webhooks.AllowHTTP
	deps.Prober = &prober{pool, keyring, func() routing.DefaultsConfig { return cfg.Routing.Defaults }}
	deps.Problem = func(tenancy.ID) string { return "" } // nothing is in force here
	deps.PricesOf = func(string, string) (*accounting.Price, map[tenancy.ID]*accounting.Price, bool) {
		return nil, nil, false
	}
	deps.Index = func() *tenancy.KeyIndex { return index }
	deps.Providers = func() (available, total int) { return 0, 0 }
	deps.AdminKey, deps.AdminName, deps.Registerer = tenancy.NewKeySecret(), "vel --local", prometheus.NewRegistry()
	handler := admin.NewServer(deps)
	stopRecording := background(handler.RecordRefusals)
	stop = func() error {
		return errors.Join(stopRecording(), db.SealNow(context.WithoutCancel(ctx), chain.NewSigner(keyring.SigningKey())), closeAll())
	}
	return &remote{base: "http://local", key: deps.AdminKey.Reveal(), client: &http.Client{Transport: inProcess{handler}, Timeout: requestLimit}}, stop, nil
}

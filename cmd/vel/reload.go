package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/groq"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/perplexity"
	"github.com/vel-gateway/vel/adapters/responses"
	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
)

// kinds are the providers that Vel speaks to, by the word in the file.
func kinds() map[string]*adapters.Adapter {
	return map[string]*adapters.Adapter{
		"openai":          openai.New("openai", "https://api.openai.com/v1", openai.AskUsage()),
		"openai/chat":     overChat(openai.New("openai", "https://api.openai.com/v1", openai.AskUsage())),
		"groq":            groq.New("https://api.groq.com/openai/v1"),
		"perplexity":      perplexity.New("https://api.perplexity.ai/v1"),
		"perplexity/chat": overChat(perplexity.NewChat("https://api.perplexity.ai")), // for servers that speak as Sonar did
	}
}

// overChat makes an adapter serve Responses by its chat completions: api: chat, for servers that have nothing else.
func overChat(a *adapters.Adapter) *adapters.Adapter {
	a.Codecs[adapters.Responses] = responses.OverChat(a.Codecs[adapters.ChatCompletions])
	delete(a.Codecs, adapters.ResponsesInputTokens)
	delete(a.Codecs, adapters.ResponsesCompact)
	return a
}

// publish turns a configuration and what the database says into a snapshot. Everything that can fail comes first; then
// the data plane gets one pointer. On an error nothing has changed.
func (a *App) publish(cfg *config.Config) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case cfg.Simulated && a.sim != nil:
		a.sim.serve(&cfg.Routing)
	case cfg.Simulated:
		cfg.DropSimulator() // the database has providers
	}
	before := a.directory.declared
	if err := a.directory.declare(declaredIn(cfg)); err != nil {
		return err
	}
	if err := a.rebuild(cfg); err != nil {
		_ = a.directory.declare(before) // it held until now
		return err
	}
	a.config = cfg
	a.unread.Set(0)
	a.loaded.SetToCurrentTime()
	return nil
}

// rebuild makes a snapshot of a configuration, the directory and the catalog. Its caller holds mu.
func (a *App) rebuild(cfg *config.Config) error {
	j := joiner{a.keyring, kinds(), a.directory.exists}
	all := j.join(cfg.Routing, a.catalog)
	holds := a.allowed.join(&a.directory.declared, all.problems)
	table, err := routing.Build(all.Config, j.kinds, a.began.Unix())
	if err != nil {
		return fmt.Errorf("build routes: %w", err)
	}
	holds.budgets = append(holds.budgets, mirrorBudgets(table)...)
	prices, err := a.price(table, &all.Config)
	if err != nil {
		return err
	}
	if org, only := a.directory.only(); only {
		table.OfOne(org)
	}
	use, err := a.pool.Prepare(table.Providers())
	if err != nil {
		return fmt.Errorf("prepare connections: %w", err)
	}

	use()
	a.pricing = prices
	a.state.Retain(table)
	a.rev++
	a.pipeline.Publish(&gateway.Snapshot{
		Keys: a.directory.index, Routes: table, Accounts: a.account(cfg, holds), Redactor: secrets.NewRedactor(slices.Concat(cfg.Secrets, all.keys)...), Rev: a.rev,
	})
	a.holds = holds
	a.metrics.Forget()
	a.alarm(all.problems)
	return nil
}

// catalogued tells whether the database has providers, so that none are simulated.
func (a *App) catalogued() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.catalog.providers) > 0
}

// ReloadTLS reads the certificate again. On a fault the old one stays and the log says why.
func (a *App) ReloadTLS() {
	if err := a.server.ReloadTLS(); err != nil {
		a.log.Error("certificate not reloaded, the old one stays", slog.Any("reason", err))
	}
}

// process is what a configuration says of the process itself: it holds from a start to the next.
type process struct {
	gateway  gateway.Config
	log      config.Log
	database storage.Config
	redis    string
	maxAge   time.Duration
	signOn   admin.OIDC
	spool    config.Spool
	cache    config.Cache
	otel     config.OTel
}

func processOf(cfg *config.Config) process {
	return process{cfg.Gateway, cfg.Log, storageConfig(cfg), cfg.Redis.Reveal(), cfg.MaxAge, cfg.SignOn, cfg.Spool, cfg.Cache, cfg.OTel}
}

// differs names the settings that a reload leaves as they were.
func (p process) differs(cfg *config.Config) (paths []string) {
	now := processOf(cfg)
	for path, changed := range map[string]bool{
		"listen":           p.gateway.Listen != now.gateway.Listen,
		"server":           !reflect.DeepEqual(p.gateway.Server, now.gateway.Server),
		"admin.listen":     p.gateway.AdminListen != now.gateway.AdminListen,
		"admin.oidc":       !reflect.DeepEqual(p.signOn, now.signOn),
		"redis":            p.redis != now.redis,
		"log":              p.log != now.log,
		"otel":             p.otel != now.otel,
		"database":         p.database.SQLite != now.database.SQLite || p.database.URL.Reveal() != now.database.URL.Reveal(),
		"database_direct":  p.database.Direct.Reveal() != now.database.Direct.Reveal(),
		"spool":            p.spool != now.spool,
		"cache":            p.cache.MaxBytes != now.cache.MaxBytes || p.cache.MaxAnswer != now.cache.MaxAnswer || p.cache.Redis.URLs().Reveal() != now.cache.Redis.URLs().Reveal(),
		"snapshot_max_age": p.maxAge != now.maxAge,
	} {
		if changed {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Reload reads the configuration again and publishes it. On any fault the old one stays and the log says why.
func (a *App) Reload(path string) {
	cfg, err := config.Load(path, os.Environ())
	if err == nil {
		err = enforceable(cfg)
	}
	if err == nil && cfg.Simulated && a.sim == nil && !a.catalogued() {
		err = fmt.Errorf("no provider is left; the simulator joins only at a start")
	}
	if err == nil {
		err = a.publish(cfg)
	}
	a.ReloadTLS()
	if err != nil {
		a.unread.Set(1)
		a.log.Error("configuration not reloaded, the old one stays", slog.Any("reason", err))
		return
	}
	if kept := a.started.differs(cfg); len(kept) > 0 {
		a.log.Warn("some settings change only at a restart", slog.Any("paths", kept))
	}
	a.log.Info("configuration reloaded", slog.Int64("rev", a.rev), slog.Int("models", len(cfg.Routing.Models)),
		slog.Any("providers", slices.Sorted(maps.Keys(cfg.Routing.Providers))))
}

package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// kinds are the providers that Vel speaks to, by the word in the file.
func kinds() map[string]*adapters.Adapter {
	return map[string]*adapters.Adapter{
		"openai": openai.New("openai", "https://api.openai.com/v1"),
		"groq":   openai.New("groq", "https://api.groq.com/openai/v1"),
		// Perplexity answers chat only through its Responses API, which Vel does not speak yet: its models are
		// there, and a call says that they are not served.
		"perplexity":      {Kind: "perplexity", BaseURL: "https://api.perplexity.ai"},
		"perplexity/chat": openai.New("perplexity", "https://api.perplexity.ai"), // api: chat, for compatible servers
	}
}

// publish turns a configuration into a snapshot. Everything that can fail comes first; then the data plane gets
// one pointer. On an error nothing has changed.
func (a *App) publish(cfg *config.Config) error {
	if a.sim != nil && cfg.Simulated {
		a.sim.serve(&cfg.Routing)
	}
	table, err := routing.Build(cfg.Routing, kinds(), time.Now().Unix())
	if err != nil {
		return fmt.Errorf("build routes: %w", err)
	}
	keys, err := tenancy.NewKeyIndex(a.allKeys(cfg))
	if err != nil {
		return fmt.Errorf("build keys: %w", err)
	}
	use, err := a.pool.Prepare(table.Providers())
	if err != nil {
		return fmt.Errorf("prepare connections: %w", err)
	}

	use()
	a.state.Retain(table)
	a.rev++
	a.pipeline.Publish(&gateway.Snapshot{Keys: keys, Routes: table, Redactor: secrets.NewRedactor(cfg.Secrets...), Rev: a.rev})
	a.metrics.Forget()
	return nil
}

func (a *App) allKeys(cfg *config.Config) []tenancy.APIKey {
	keys := cfg.Tenancy.Keys()
	if !a.key.IsZero() && len(cfg.Tenancy.Organizations) == 0 {
		keys = append(keys, tenancy.APIKey{
			ID: tenancy.KeyID(firstOrg, firstName), Org: tenancy.OrgID(firstOrg), Name: firstName, Hash: tenancy.HashKey([]byte(a.key.Reveal())),
		})
	}
	return keys
}

// Reload reads the configuration again and publishes it. On any fault the old one stays and the log says why.
func (a *App) Reload(path string) {
	cfg, err := config.Load(path, os.Environ())
	if err == nil {
		err = enforceable(cfg)
	}
	if err == nil && a.sim == nil && cfg.Simulated {
		err = fmt.Errorf("no provider is left; the simulator joins only at a start")
	}
	if err == nil {
		err = a.publish(cfg)
	}
	if tlsErr := a.server.ReloadTLS(); tlsErr != nil {
		a.log.Error("certificate not reloaded, the old one stays", slog.Any("reason", tlsErr))
	}
	if err != nil {
		a.log.Error("configuration not reloaded, the old one stays", slog.Any("reason", err))
		return
	}
	a.log.Info("configuration reloaded", slog.Int64("rev", a.rev), slog.Int("models", len(cfg.Routing.Models)),
		slog.Any("providers", slices.Sorted(maps.Keys(cfg.Routing.Providers))))
}

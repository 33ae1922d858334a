package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tenancy"
)

// What a first start needs: keys that work at once, and models that answer without any provider.

// The organization of a gateway whose file declares none, and its key.
const (
	firstOrg   = "default"
	firstName  = "first"
	firstAdmin = "first admin"
)

// first is what a first start made, to be shown to whoever made it.
type first struct {
	key   secrets.Secret // the first API key; beside a SQLite file it is kept and shown at every start
	admin secrets.Secret // opens /api; shown this once
}

// prepareFirst makes a new database usable: an organization with a key unless the file declares some, and a key for
// whoever runs the house unless the environment has one. Of several nodes that start at once, one does it.
func (a *App) prepareFirst(ctx context.Context, cfg *config.Config) error {
	var org tenancy.Org
	var keys []tenancy.APIKey
	if len(cfg.Tenancy.Organizations) == 0 {
		key, err := firstKey(cfg)
		if err != nil {
			return fmt.Errorf("keep the first key: %w", err)
		}
		org = tenancy.Org{Meta: tenancy.Meta{ID: tenancy.NewID("org"), Name: firstOrg}}
		keys = append(keys, newKey(org.ID, firstName, key, ""))
		a.first.key = key
	}
	admin := tenancy.NewKeySecret()
	if cfg.AdminKey.IsZero() {
		keys = append(keys, newKey(tenancy.Platform, firstAdmin, admin, tenancy.PlatformAdmin))
	}
	won, err := a.db.FirstStart(ctx, org, keys)
	if err != nil {
		return fmt.Errorf("prepare the new database: %w", err)
	}
	if won && cfg.AdminKey.IsZero() {
		a.first.admin = admin
	}
	if _, shared := cfg.Database.Postgres(); shared && !won {
		a.first.key = secrets.Secret{} // another node has made it, or it was made long ago
	}
	return nil
}

func newKey(org tenancy.ID, name string, key secrets.Secret, role tenancy.ID) tenancy.APIKey {
	return tenancy.APIKey{Meta: tenancy.Meta{Org: org, Name: name}, Hash: tenancy.HashKey([]byte(key.Reveal())), Role: role}
}

// firstKey is the key of an earlier start, or a new one. Beside a SQLite file it is kept in a file that only its owner
// can read, so that a restart does not take a laptop's key away.
func firstKey(cfg *config.Config) (secrets.Secret, error) {
	if _, ok := cfg.Database.SQLite(); !ok {
		return tenancy.NewKeySecret(), nil
	}
	return keptSecret(filepath.Join(dataDir(cfg), "first.key"), tenancy.NewKeySecret)
}

// simulated is the provider of a gateway that has no other.
type simulated struct{ server *simulator.Server }

func startSimulator() (*simulated, error) {
	server, err := simulator.Start(simulator.Config{Listen: "127.0.0.1:0", Seed: 1})
	if err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	return &simulated{server}, nil
}

// serve puts the simulator's address into the configuration.
func (s *simulated) serve(cfg *routing.Config) {
	p := cfg.Providers[config.SimulatorProvider]
	p.BaseURL = s.server.URL() + "/v1"
	cfg.Providers[config.SimulatorProvider] = p
}

func (s *simulated) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.server.Stop(ctx)
}

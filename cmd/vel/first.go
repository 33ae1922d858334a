package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/simulator"
)

// What a first start needs: a key that works at once, and models that answer without any provider.

// Without organizations in the file there is one, with one key.
const (
	firstOrg  = "default"
	firstName = "first"
)

// dataDir is where the node keeps what must survive a restart: beside its database.
func dataDir(cfg *config.Config) string {
	if path, ok := cfg.Database.SQLite(); ok {
		return filepath.Dir(path)
	}
	return "data"
}

// loadFirstKey reads the key of an earlier start, or makes one. It is kept in a file that only its owner can read,
// so that a restart does not take a laptop's key away.
func loadFirstKey(dir string) (secrets.Secret, error) {
	path := filepath.Join(dir, "first.key")
	kept, err := os.ReadFile(path)
	if key := strings.TrimSpace(string(kept)); key != "" {
		return secrets.New(key), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty file is the trace of a start that was killed
		return secrets.Secret{}, fmt.Errorf("read the first key: %w", err)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	key := "sk-vel-" + base64.RawURLEncoding.EncodeToString(random[:])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return secrets.Secret{}, fmt.Errorf("keep the first key: %w", err)
	}
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return secrets.Secret{}, fmt.Errorf("keep the first key: %w", err)
	}
	return secrets.New(key), nil
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// openLimit is how long a database may take to open, with its migrations and the wait for another node's. One that can not
// be reached ends a start at once: whoever runs the process starts it again.
const openLimit = 30 * time.Second

// openDatabase opens what the configuration names and brings its schema up to date.
func openDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger) (*storage.DB, error) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	return storage.Open(ctx, storageConfig(cfg), log)
}

func storageConfig(cfg *config.Config) storage.Config {
	path, _ := cfg.Database.SQLite()
	url, _ := cfg.Database.Postgres()
	return storage.Config{SQLite: path, URL: url, Direct: cfg.Direct}
}

// dataDir is where the node keeps what must survive a restart: beside its database.
func dataDir(cfg *config.Config) string {
	if path, ok := cfg.Database.SQLite(); ok {
		return filepath.Dir(path)
	}
	return "data"
}

// openKeyring makes the keyring that encrypts secrets at rest. Nodes that share a Postgres must share its key, so it is
// given to them; a SQLite file has one beside it.
func openKeyring(cfg *config.Config) (*secrets.Keyring, error) {
	_, shared := cfg.Database.Postgres()
	if shared && cfg.SecretKey.IsZero() {
		return nil, errors.New("VEL_SECRET_KEY is not set: with Postgres it encrypts secrets at rest and must be the same on every node; make one with openssl rand -base64 32")
	}
	var keys []secrets.Secret
	if !cfg.SecretKey.IsZero() {
		keys = append(keys, cfg.SecretKey)
	}
	keys = append(keys, cfg.OldKeys...)
	if !shared {
		kept, err := besideSQLite(cfg)
		if err != nil {
			return nil, fmt.Errorf("keep the key that encrypts secrets at rest: %w", err)
		}
		if cfg.SecretKey.IsZero() {
			keys = slices.Insert(keys, 0, kept)
		} else if !kept.IsZero() {
			keys = append(keys, kept)
		}
	}
	return secrets.NewKeyring(keys...)
}

// besideSQLite is the key in the file beside the database; one is made only if no other is given. Once another one is, it
// still opens what it has sealed.
func besideSQLite(cfg *config.Config) (secrets.Secret, error) {
	path := filepath.Join(dataDir(cfg), "secret.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !cfg.SecretKey.IsZero() {
		return secrets.Secret{}, nil
	}
	return keptSecret(path, tenancy.NewKeySecret)
}

// keptSecret reads a secret from a file that only its owner can read, or makes one with make and puts it there.
func keptSecret(path string, make func() secrets.Secret) (secrets.Secret, error) {
	kept, err := os.ReadFile(path)
	if s := strings.TrimSpace(string(kept)); s != "" {
		return secrets.New(s), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty file is the trace of a start that was killed
		return secrets.Secret{}, err
	}
	s := make()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return secrets.Secret{}, err
	}
	return s, os.WriteFile(path, []byte(s.Reveal()+"\n"), 0o600)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// follow learns from the database who may call and where calls go, until stop.
func (a *App) follow() (stop func() error) {
	return background(func(ctx context.Context) {
		a.db.Follow(ctx, a.known, storage.Follower{Changed: a.learned, Away: a.databaseAway, Back: a.databaseBack})
	})
}

// background runs f on a goroutine until stop, which waits for it.
func background(f func(ctx context.Context)) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() error {
		cancel()
		running.Wait()
		return nil
	}
}

// every runs f now and then, until stop. What fails is tried again at the next time.
func (a *App) every(d time.Duration, what string, f func(ctx context.Context) error) (stop func() error) {
	return background(func(ctx context.Context) {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := f(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("periodic work failed", slog.String("work", what), slog.Any("reason", err))
			}
		}
	})
}

// learned takes what changed in the database.
func (a *App) learned(c storage.Changes) {
	a.mu.Lock()
	defer a.mu.Unlock()
	orgs, err := a.directory.learn(c)
	moved, limited := a.catalog.learn(c), a.allowed.learn(c)
	if err == nil && (orgs || moved || limited) {
		err = a.rebuild(a.config) // with organizations, whose accounts are whose may have changed
	}
	a.pipeline.SetKeys(a.directory.index) // also if no routes could be built: what is revoked opens nothing
	if err != nil {
		a.log.Error("what changed in the database is not published", slog.Int64("rev", c.Rev), slog.Any("reason", err))
	}
}

// databaseAway begins the time for which the keys that are known still open.
func (a *App) databaseAway(since time.Time, cause error) {
	left := max(0, time.Until(since.Add(a.started.maxAge)))
	a.log.Error("the database is away; calls go on with the keys that are known", slog.String("for", left.Round(time.Second).String()), slog.Any("reason", cause))
	a.databaseUp.Set(0)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.overdue = time.AfterFunc(left, func() { a.setStale(true) })
}

// databaseBack comes after learned has taken all that was missed.
func (a *App) databaseBack() {
	a.mu.Lock()
	a.overdue.Stop()
	a.mu.Unlock()
	a.setStale(false)
	a.databaseUp.Set(1)
	a.log.Info("the database is back")
}

// setStale says whether the database has been away for too long.
func (a *App) setStale(stale bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.directory.setStale(stale) {
		return
	}
	a.pipeline.SetKeys(a.directory.index)
	if stale {
		a.log.Error("the database has been away for longer than snapshot_max_age; its keys open nothing until it is back")
	}
}

// FindKey looks a key up that this node has not heard of: the gateway asks before it refuses one.
func (a *App) FindKey(ctx context.Context, hash tenancy.Hash) (*tenancy.Principal, error) {
	key, err := a.db.KeyByHash(ctx, hash)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return nil, tenancy.ErrUnknownKey
	case err != nil:
		return nil, fmt.Errorf("look a key up: %w", err)
	}
	var open bool
	if open, key.KeepContent, err = a.openFor(ctx, key); err != nil {
		return nil, fmt.Errorf("look the organization of a key up: %w", err)
	}
	if !open {
		return nil, tenancy.ErrUnknownKey
	}
	index, err := tenancy.NewKeyIndex([]tenancy.APIKey{key})
	if err != nil {
		return nil, err
	}
	return index.Lookup(hash, time.Now())
}

// openFor tells whether the organization of a key that was found is open, and keeps what its calls say. It may be as new
// as the key.
func (a *App) openFor(ctx context.Context, key tenancy.APIKey) (open, keeps bool, err error) {
	a.mu.Lock()
	open, keeps = a.directory.open(key.Org), a.directory.keeps(key.Org)
	a.mu.Unlock()
	if open {
		return true, keeps, nil
	}
	org, err := a.db.OrgOf(ctx, key)
	if errors.Is(err, tenancy.ErrNotFound) {
		return false, false, nil
	}
	return err == nil && !org.Disabled, org.KeepContent, err
}

// usedEvery is how often it is written down when keys were last used.
const usedEvery = time.Minute

// writeUses writes down which keys were used since the last time.
func (a *App) writeUses(ctx context.Context) error {
	now := time.Now()
	used := a.pipeline.Snapshot().Keys.UsedSince(a.usesWritten)
	if len(used) > 0 {
		if err := a.db.KeysUsed(ctx, used); err != nil {
			return err
		}
	}
	a.usesWritten = now.Add(-time.Second) // a use is known by the second
	return nil
}

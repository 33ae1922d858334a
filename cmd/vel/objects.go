package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/storage"
)

// cleanEvery is how often what no provider has any more is forgotten.
const cleanEvery = time.Hour

// keepObjects begins to remember who made what providers keep. shared tells whether other nodes use the database, too.
func (a *App) keepObjects(db *storage.DB, shared bool) *gateway.Keeper {
	keeper := gateway.NewKeeper(db, shared, a.metrics, a.log)
	keeper.Start()
	a.onStop(keeper.Stop)
	a.onStop(a.cleanObjects(db))
	return keeper
}

// cleanObjects cleans now and then until it is stopped.
func (a *App) cleanObjects(db *storage.DB) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for again := time.NewTicker(cleanEvery); ; {
			if err := db.CleanObjects(ctx); err != nil && !errors.Is(err, context.Canceled) {
				a.log.Warn("old objects not cleaned away", slog.Any("reason", err))
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	}()
	return func() error { cancel(); <-ended; return nil }
}

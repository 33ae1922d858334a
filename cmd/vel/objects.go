package main

import (
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/gateway"
)

// keepObjects begins to remember who made what providers keep.
func (a *App) keepObjects(cfg *config.Config) *gateway.Keeper {
	_, shared := cfg.Database.Postgres() // other nodes use it, too
	keeper := gateway.NewKeeper(a.db, shared, a.metrics, a.log)
	keeper.Start()
	a.onStop(keeper.Stop)
	return keeper
}

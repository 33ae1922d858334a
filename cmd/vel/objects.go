package main

import (
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/storage"
)

// keepObjects begins to remember who made what providers keep. shared tells whether other nodes use the database, too.
func (a *App) keepObjects(db *storage.DB, shared bool) *gateway.Keeper {
	keeper := gateway.NewKeeper(db, shared, a.metrics, a.log)
	keeper.Start()
	a.onStop(keeper.Stop)
	return keeper
}

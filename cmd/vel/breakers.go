package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// breakersWaiting is how many changes may wait to be written into the audit log. What is more stands in the log alone.
const breakersWaiting = 256

// breakerChange is a breaker that opened or closed.
type breakerChange struct {
	target, action string
	at             time.Time
}

// breakerChanged puts a breaker's change into the log and the metrics, and hands on that it opened or closed. The breaker is
// locked meanwhile, so it does not wait.
func (a *App) breakerChanged(target, from, to string) {
	a.metrics.Breaker(target, from, to)
	a.log.Warn("breaker changed", slog.String("target", target), slog.String("from", from), slog.String("to", to))
	action := map[string]string{"open": tenancy.ActionTargetOpened, "closed": tenancy.ActionTargetClosed}[to]
	if action == "" || action == tenancy.ActionTargetOpened && from != "closed" { // a probe that failed is no news
		return
	}
	select {
	case a.breakers <- breakerChange{target, action, time.Now()}:
	default:
	}
}

// providerNotices are what webhooks of the platform are told.
var providerNotices = map[string]string{tenancy.ActionTargetOpened: "provider.opened", tenancy.ActionTargetClosed: "provider.closed"}

// auditBreakers writes into the audit log which targets were left alone, and which came back.
func (a *App) auditBreakers(ctx context.Context) {
	for {
		select {
		case c := <-a.breakers:
			e := tenancy.NewAuditEvent(tenancy.Vel(), tenancy.Platform, c.action, tenancy.AuditObject{Kind: "target", ID: tenancy.ID(c.target), Name: c.target}, c.at)
			n := tasks.Notice{Org: tenancy.Platform, Type: providerNotices[c.action], Object: tenancy.ID(c.target), At: c.at, Data: json.RawMessage(`{"target":` + strconv.Quote(c.target) + `}`)}
			if err := a.db.Emit(ctx, e, n); err != nil && ctx.Err() == nil {
				a.log.Warn("a breaker's change is not in the audit log", slog.String("target", c.target), slog.Any("reason", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// Health is how the targets of all routes do.
func (a *App) Health(now time.Time) []routing.Health {
	return a.state.Health(a.pipeline.Snapshot().Routes, now)
}

// Reset forgets what a target did on this node.
func (a *App) Reset(target string) bool { return a.state.Reset(target) }

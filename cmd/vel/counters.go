package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
)

// counters are where limits and budgets are counted: in Redis, or in this process.
type counters struct {
	redis *ratelimit.Redis // nil: in this process
	guard *ratelimit.Guard
}

// How long a stop waits for what was settled to reach Redis, and a start for the records of an earlier process to reach
// the database, and a change of budgets for both.
const (
	lastSettlements = 2 * time.Second
	lastRecords     = time.Minute
	greeting        = 2 * time.Second // until it is known what was spent of new budgets
)

// count begins to count what calls use. It stops after the last call was settled.
func (a *App) count(cfg *config.Config, node string) error {
	a.counters = &counters{}
	var store interface {
		ratelimit.Limiter
		ratelimit.Counter
	} = ratelimit.NewMemory(time.Now)
	if !cfg.Redis.IsZero() {
		o, err := ratelimit.Options(oneURL(cfg.Redis.Reveal()))
		if err != nil {
			return err
		}
		redis.SetLogger(&logging.VoidLogger{}) // what it would say is no line of ours
		client := redis.NewUniversalClient(o)
		a.onStop(client.Close)
		r := ratelimit.NewRedis(client, ratelimit.RedisOptions{Node: node, Log: a.log})
		a.onStop(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), lastSettlements)
			defer cancel()
			if err := r.Close(ctx); err != nil { // the ledger has them all the same
				a.log.Warn("not all that was used has reached redis", slog.Any("reason", err))
			}
			return nil
		})
		r.Beat(context.Background())
		a.counters.redis, store = r, r
	}
	guard := ratelimit.NewGuard(store, ratelimit.GuardOptions{Nodes: a.counters.nodes, Log: a.log})
	a.onStop(func() error { guard.Close(); return nil })
	a.counters.guard = guard
	a.ledger = accounting.NewLedger(guard, store, accounting.LedgerOptions{
		Books: a.db, Away: a.counters.look, Alone: a.counters.alone, Renew: guard.RenewNow, Log: a.log,
		Shipped: func(since time.Time) bool { return a.shipper.CaughtUp(since) },
	})
	a.registry.MustRegister(a.ledger.Collectors()...)
	a.registry.MustRegister(a.counters.collectors()...)
	a.pipeline.HoldBy(a.ledger)
	return nil
}

// oneURL writes the nodes of a cluster as one URL: behind the first one a scheme may stand or not.
func oneURL(urls string) string {
	all := strings.Split(urls, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
		if _, host, ok := strings.Cut(all[i], "://"); ok && i > 0 {
			all[i] = host
		}
	}
	return strings.Join(all, ",")
}

// away tells whether Redis does not answer.
func (c *counters) away() bool { return c.redis != nil && c.redis.Status().Away }

// look tells the same, and finds out whether it is back.
func (c *counters) look() bool {
	if c.redis != nil {
		c.redis.Probe(context.Background())
	}
	return c.away()
}

// store tells whether limits are counted in a store that nodes share, and whether it answers.
func (c *counters) store() (shared, up bool) { return c.redis != nil, !c.away() }

// nodes is how many nodes count together, as last heard.
func (c *counters) nodes() int {
	if c.redis == nil {
		return 1
	}
	return c.redis.Nodes()
}

// alone tells whether it is known that no other node counts with this one. It asks anew: the first node that was heard after
// Redis had forgotten them all has heard of nobody else.
func (c *counters) alone() bool {
	if c.redis != nil {
		c.redis.Beat(context.Background())
	}
	return c.nodes() == 1
}

func (c *counters) collectors() []prometheus.Collector {
	all := []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_limit_store_up", Help: "1 while the store of the limits answers; always 1 where they are counted in this process."},
			func() float64 {
				if c.away() {
					return 0
				}
				return 1
			}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "vel_limit_degraded_total", Help: "Decisions that this node made without the store of the limits, or without it about a budget."},
			func() float64 { return float64(c.guard.Alone()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_limit_holds", Help: "Calls of which this node holds something of limits."},
			func() float64 { return float64(c.guard.Live()) }),
	}
	if c.redis == nil {
		return all
	}
	return append(all,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_limit_settlements_waiting", Help: "Settlements that have not reached Redis."},
			func() float64 { return float64(c.redis.Status().Waiting) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "vel_limit_settlements_lost_total", Help: "Settlements that never will: their holds expire and are booked as they were held."},
			func() float64 { return float64(c.redis.Status().Lost) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_limit_nodes", Help: "Nodes that count together, as last heard."},
			func() float64 { return float64(c.redis.Nodes()) }))
}

// catchUp brings into the database what earlier processes of this node left in the spool, so that budgets are counted from
// all that was spent.
func (a *App) catchUp() {
	ctx, cancel := context.WithTimeout(context.Background(), lastRecords)
	defer cancel()
	if err := a.shipper.Drain(ctx); err != nil {
		a.log.Warn("budgets are counted without some records of earlier processes until these are in the database", slog.Any("reason", err))
	}
}

// openLedger seeds the budgets and begins what goes on beside the calls.
func (a *App) openLedger() {
	ctx, cancel := context.WithTimeout(context.Background(), lastRecords)
	defer cancel()
	if err := a.ledger.Open(ctx); err != nil {
		a.log.Error("what was spent of budgets is not known yet", slog.Any("reason", err))
	}
	a.onStop(a.every(time.Second, "keep the ledger", a.ledger.Tick))
}

// account prepares the limits and budgets that hold for calls. Its caller holds mu.
func (a *App) account(cfg *config.Config, holds allowed) *accounting.Accounts {
	flat, _ := money.Parse(cfg.Routing.Defaults.UnpricedHold) // it was validated
	unpriced := accounting.Unpriced{Refuse: cfg.Routing.Defaults.Unpriced == "refuse", Flat: flat}
	accounts := accounting.NewAccounts(holds.limits, holds.budgets, unpriced, a.ledger.Accounts())
	a.ledger.Publish(accounts)
	ctx, cancel := context.WithTimeout(context.Background(), greeting)
	defer cancel()
	if err := a.ledger.Greet(ctx); err != nil {
		a.log.Warn("what was spent of new budgets is not known yet", slog.Any("reason", err))
	}
	return accounts
}

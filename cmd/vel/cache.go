package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/gateway/replay"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// cache is where answers are kept for equal calls: in a Redis, or in this process.
type cache struct {
	shelf  replay.Shelf
	shared bool
}

// keepAnswers begins to keep the answers of routes that want it.
func (a *App) keepAnswers(cfg *config.Config) error {
	urls := cfg.Cache.Redis.URLs()
	if urls.IsZero() {
		memory := replay.NewMemory(int64(cfg.Cache.MaxBytes), time.Now)
		a.cache = &cache{shelf: memory}
		a.registry.MustRegister(heldBy(memory)...)
	} else {
		o, err := ratelimit.Options(oneURL(urls.Reveal()))
		if err != nil {
			return err
		}
		client := redis.NewUniversalClient(o)
		a.onStop(client.Close)
		shelf := replay.NewRedis(client, a.keyring, a.log)
		a.onStop(background(shelf.Run))
		a.cache = &cache{shelf: shelf, shared: true}
	}
	a.pipeline.KeepAnswers(gateway.CacheOptions{Shelf: a.cache.shelf, Longest: cfg.Cache.MaxAnswer})
	once := gateway.NewOnce(a.db, a.keyring, cfg.Cache.MaxAnswer, a.log)
	a.onStop(background(once.Hold))
	a.pipeline.MakeOnce(once)
	return nil
}

// Purge takes answers away.
func (c *cache) Purge(ctx context.Context, org tenancy.ID, route, tag string) error {
	return c.shelf.Purge(ctx, replay.Which{Org: org, Route: route, Tag: tag})
}

// Shared tells whether other nodes give the same answers.
func (c *cache) Shared() bool { return c.shared }

func heldBy(m *replay.Memory) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_cache_answers", Help: "Answers that this process keeps for equal calls."},
			func() float64 { n, _ := m.Held(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_cache_bytes", Help: "About the memory that they take."},
			func() float64 { _, bytes := m.Held(); return float64(bytes) }),
	}
}

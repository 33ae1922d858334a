package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// taskWork runs tasks on this node.
type taskWork struct {
	runner  *tasks.Runner
	courier *tasks.Courier
	feed    *tasks.Feed
	queue   tasks.Queue
	drain   time.Duration
}

// How often a node looks for tasks that were asked to end on another one; how often it looks for progress that others made, where
// nobody tells it, and where Redis does; how long it may take to begin; and how often a stream says that it lives.
const (
	stopEvery  = 250 * time.Millisecond
	lookEvery  = 250 * time.Millisecond
	lookBeside = 2 * time.Second
	queueBegin = 10 * time.Second
	heartEvery = 15 * time.Second
	couriers   = 32 // deliveries at the same time
)

// beginTasks begins to run what is to be done later. What a node has begun when it stops, others begin anew.
func (a *App) beginTasks(cfg *config.Config) error {
	node := tenancy.NewID("node")
	feed, err := a.newFeed(cfg)
	if err != nil {
		return err
	}
	w := &taskWork{feed: feed, drain: cfg.Gateway.Server.Drain}
	w.runner = tasks.NewRunner(node, a.db, a.pipeline, a.keyring, feed, a.registry, a.log)
	sender := tasks.NewSender(cfg.Webhooks, thisBuild().Version, nil)
	a.onStop(func() error { sender.Close(); return nil })
	w.courier = tasks.NewCourier(a.db, sender, a.keyring, a.registry, a.log)
	if w.queue, err = a.db.Queue(); err != nil {
		return err
	}
	a.onStop(background(feed.Run))
	marks := tasks.NewEarmarks(func(ctx context.Context, b *tasks.Batch, worth money.Nano) (release func(), err error) {
		return a.ledger.Earmark(ctx, earmarkOf(b, worth))
	})
	a.onStop(background(func(ctx context.Context) {
		a.db.Patrol(ctx, storage.Patrol{
			Node: node, Runs: w.runner.Runs, Told: feed.Publish, Keep: a.kept(func(r *config.Retention) time.Duration { return r.Tasks }), Running: marks.Keep,
		})
	}))
	a.onStop(a.every(stopEvery, "look for tasks that were asked to end", w.runner.StopAsked))
	ctx, cancel := context.WithTimeout(context.Background(), queueBegin)
	defer cancel()
	if err := w.queue.Start(ctx, tasks.Workers{tasks.RunTask: cfg.Tasks.Workers, tasks.RunDelivery: couriers}, w.handle); err != nil {
		return err
	}
	a.tasks = w
	a.onStop(w.stop)
	return nil
}

// earmarkOf is what is to be kept for a batch in the budgets that count the calls of its items.
func earmarkOf(b *tasks.Batch, worth money.Nano) *accounting.Earmark {
	e := &accounting.Earmark{Who: b.As, Worth: worth}
	for key, value := range b.Labels {
		e.Tags = append(e.Tags, accounting.Tag{Key: key, Value: value})
	}
	return e
}

// handle does a job of any kind.
func (w *taskWork) handle(ctx context.Context, j tasks.Job) error {
	if j.Kind == tasks.RunDelivery {
		return w.courier.Run(ctx, j)
	}
	return w.runner.Run(ctx, j)
}

// stop lets what runs end for as long as a drain may take; the rest is given back. It may be called twice.
func (w *taskWork) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), w.drain)
	defer cancel()
	return w.queue.Stop(ctx)
}

// stopServing ends calls and tasks at the same time: both may take as long as a drain.
func (a *App) stopServing() error {
	stopped := make(chan error, 1)
	go func() { stopped <- a.tasks.stop() }()
	return errors.Join(a.server.Stop(), <-stopped)
}

// newFeed makes the way by which nodes hear of each other's tasks.
func (a *App) newFeed(cfg *config.Config) (*tasks.Feed, error) {
	if _, alone := cfg.Database.SQLite(); alone {
		return tasks.NewFeed(nil, tasks.Looking{}), nil
	}
	look := tasks.Looking{Look: a.db.Seqs, Every: lookEvery}
	if cfg.Redis.IsZero() {
		return tasks.NewFeed(nil, look), nil
	}
	o, err := ratelimit.Options(oneURL(cfg.Redis.Reveal()))
	if err != nil {
		return nil, err
	}
	client := redis.NewUniversalClient(o)
	a.onStop(client.Close)
	look.Every = lookBeside
	return tasks.NewFeed(tasks.NewRedisCarrier(client), look), nil
}

// showTasks is what the control plane needs of the tasks of this node.
func (a *App) showTasks(w *admin.TaskWork, cfg *config.Config) {
	of := func(setting func(c *tasks.Config) int) func() int {
		return func() int {
			a.mu.Lock()
			defer a.mu.Unlock()
			return setting(&a.config.Tasks)
		}
	}
	w.Executor = a.pipeline
	w.Courier, w.PlainHTTP = a.tasks.courier, cfg.Webhooks.AllowHTTP
	w.Feed, w.Stop, w.Estimate = a.tasks.feed, a.tasks.runner.Stop, a.pipeline.Estimate
	w.Affords = func(ctx context.Context, b *tasks.Batch, cost money.Nano) error {
		return a.ledger.Affords(ctx, earmarkOf(b, cost))
	}
	w.PerUser = of(func(c *tasks.Config) int { return c.PerUser })
	w.Streams = of(func(c *tasks.Config) int { return c.Streams })
}

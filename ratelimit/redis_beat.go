package ratelimit

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// beat says every few seconds that this node lives, and hears how many do.
func (r *Redis) beat() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		r.Beat(r.ctx)
		select {
		case <-tick.C:
		case <-r.quit:
			return
		}
	}
}

// Beat says once that this node lives, hears how many do, and looks what Redis does when its memory is full. It is done
// every few seconds without being asked for.
func (r *Redis) Beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	if r.o.Node != "" {
		args := []any{r.o.Node, r.clock(), beatLives.Milliseconds()}
		n, err := run(ctx, r.client, r.scripts.beat, []string{r.o.Prefix + ":nodes"}, args).Int64Slice()
		if err == nil && len(n) == 2 {
			r.nodes.Store(n[0])
			r.set(n[1])
		}
	}
	r.look(ctx)
}

// look warns when Redis may forget what is counted because it needs the memory.
func (r *Redis) look(ctx context.Context) {
	policy, err := r.evicts(ctx)
	if err != nil {
		return // it is away, or does not say
	}
	was := r.policy.Swap(&policy)
	if policy != "noeviction" && (was == nil || *was != policy) {
		r.o.Log.Warn("redis may forget budgets when its memory is full: set maxmemory-policy to noeviction", "maxmemory_policy", policy)
	}
}

// evicts is what Redis does when its memory is full; of a cluster's nodes the first one that forgets something. INFO tells
// it also where CONFIG is not allowed.
func (r *Redis) evicts(ctx context.Context) (string, error) {
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		return policyOf(ctx, r.client)
	}
	var mu sync.Mutex
	worst := ""
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		policy, err := policyOf(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		if worst == "" || worst == "noeviction" {
			worst = policy
		}
		return err
	})
	return worst, err
}

func policyOf(ctx context.Context, c redis.Cmdable) (string, error) {
	text, err := c.Info(ctx, "memory").Result()
	if err != nil {
		return "", fmt.Errorf("ask redis for its memory: %w", err)
	}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if policy, ok := strings.CutPrefix(lines.Text(), "maxmemory_policy:"); ok {
			return strings.TrimSpace(policy), nil
		}
	}
	return "", fmt.Errorf("ask redis for its memory: it does not say what it does when it is full")
}

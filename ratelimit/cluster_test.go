package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/ratelimit"
)

// cluster is a Redis Cluster of three nodes without replicas.
type cluster struct {
	nodes []*server
	ids   []string      // that the cluster gave them
	moved map[int64]int // where slots are now
}

const allSlots = 16384

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{moved: map[int64]int{}}
	for i := range 3 {
		s := newServer(t, "cluster-enabled", "yes")
		c.nodes = append(c.nodes, s)
		n := c.node(t, i)
		do(t, n.ClusterAddSlotsRange(t.Context(), i*allSlots/3, (i+1)*allSlots/3-1))
		id, err := n.Do(t.Context(), "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		c.ids = append(c.ids, id)
		do(t, n.ClusterMeet(t.Context(), "127.0.0.1", fmt.Sprint(c.nodes[0].Port)))
	}
	for i := range c.nodes {
		until(t, "the cluster is one", func() bool {
			info, err := c.node(t, i).ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") &&
				strings.Contains(info, fmt.Sprint("cluster_slots_ok:", allSlots))
		})
	}
	return c
}

// do fails the test if a command failed.
func do(t testing.TB, cmd redis.Cmder) {
	t.Helper()
	if err := cmd.Err(); err != nil {
		t.Fatalf("%v: %v", cmd.Args(), err)
	}
}

// node is a client of one node that follows no redirection.
func (c *cluster) node(t testing.TB, i int) *redis.Client {
	n := redis.NewClient(&redis.Options{Addr: c.nodes[i].Addr()})
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func (c *cluster) url() string {
	var hosts []string
	for _, n := range c.nodes {
		hosts = append(hosts, n.Addr())
	}
	return "redis://" + strings.Join(hosts, ",")
}

// move moves the slot of a tag to the next node, key by key, as an operator's tool does.
func (c *cluster) move(t testing.TB, tag string) {
	ctx := context.WithoutCancel(t.Context())
	slot, err := c.node(t, 0).ClusterKeySlot(ctx, "{"+tag+"}").Result()
	if err != nil {
		t.Fatal(err)
	}
	from := c.owner(slot)
	to := (from + 1) % len(c.nodes)
	source, target := c.node(t, from), c.node(t, to)
	do(t, target.Do(ctx, "cluster", "setslot", slot, "importing", c.ids[from]))
	do(t, source.Do(ctx, "cluster", "setslot", slot, "migrating", c.ids[to]))
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, int(slot), 10).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"migrate", "127.0.0.1", c.nodes[to].Port, "", 0, 5000, "keys"}
		for _, k := range keys {
			args = append(args, k)
		}
		do(t, source.Do(ctx, args...))
	}
	for _, i := range []int{to, from, (to + 1) % 3} {
		do(t, c.node(t, i).Do(ctx, "cluster", "setslot", slot, "node", c.ids[to]))
	}
	c.moved[slot] = to
}

// owner is the node that has a slot.
func (c *cluster) owner(slot int64) int {
	if i, moved := c.moved[slot]; moved {
		return i
	}
	for i := range c.nodes {
		if slot < int64((i+1)*allSlots/3) {
			return i
		}
	}
	return len(c.nodes) - 1
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		for name, test := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, func(t testing.TB, clock *clock) (store, func()) {
					r := limiter(t, c.url(), ratelimit.RedisOptions{Clock: clock.now, Timeout: patient})
					return r, func() { drain(t, r) }
				})
			})
		}
	})
	t.Run("race", func(t *testing.T) {
		t.Parallel()
		var nodes []store
		for range 3 {
			nodes = append(nodes, limiter(t, c.url(), ratelimit.RedisOptions{Timeout: patient}))
		}
		race(t, func(caller int) store { return nodes[caller%len(nodes)] })
	})
	t.Run("resharding", func(t *testing.T) {
		t.Parallel()
		reshard(t, c)
	})
}

// reshard moves a tag's slot about while callers take and settle. What is taken is never more than there is, and in the end
// exactly that.
func reshard(t *testing.T, c *cluster) {
	const room, each, tag = 2000, 7, "moving"
	r := limiter(t, c.url(), ratelimit.RedisOptions{Timeout: time.Second})
	budget := amount("usd", ratelimit.Total, room*each)
	seedAll(t, r, tag, []ratelimit.Take{{Limit: budget}}, time.Now())
	stop := make(chan struct{})
	var taken, ids atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for over := false; !over; {
				h := ratelimit.Hold{ID: fmt.Sprint(ids.Add(1)), Tag: tag, Takes: []ratelimit.Take{{Limit: budget, N: each}}}
				d, err := r.Take(t.Context(), &h)
				switch {
				case err != nil && !errors.Is(err, ratelimit.ErrAway):
					t.Error(err)
					return
				case err == nil && d.Cold != nil:
					t.Error("the budget is cold")
					return
				case err == nil && d.OK:
					taken.Add(1)
					r.Settle(&h, []int64{each})
				case err == nil:
					select {
					case <-stop: // nothing is left, and nothing moves any more
						over = true
					default:
					}
				}
			}
		})
	}
	moves := 0
	for ; moves < 6 || taken.Load() < room/2; moves++ {
		c.move(t, tag)
	}
	until(t, "everything is taken", func() bool { return taken.Load() >= room })
	close(stop)
	all.Wait()
	drain(t, r)
	until(t, "what was taken without an answer is void", func() bool {
		u, err := r.Uses(t.Context(), tag, []*ratelimit.Limit{budget})
		return err == nil && u[0].Held == 0 && u[0].Used == room*each && u[0].Overrun == 0
	})
	if n := taken.Load(); n != room {
		t.Errorf("%d were taken during %d moves, want %d", n, moves, room)
	}
	if r.Status().Away {
		t.Error("a moving slot opened the breaker for everybody")
	}
}

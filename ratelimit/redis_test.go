package ratelimit_test

import (
	"testing"

	"github.com/vel-gateway/vel/ratelimit"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, makeRedis)
		})
	}
}

// Three nodes on one Redis take exactly what there is.
func TestRedisIsExactInARace(t *testing.T) {
	t.Parallel()
	var nodes []store
	for range 3 {
		nodes = append(nodes, limiter(t, "redis://"+shared.addr(), ratelimit.RedisOptions{Timeout: patient}))
	}
	race(t, func(caller int) store { return nodes[caller%len(nodes)] })
}

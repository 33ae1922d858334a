package ratelimit

import (
	"context"

	"github.com/sony/gobreaker/v2"
)

// Probe asks Redis whether it is back, if it was away and it is time to ask: else that would be known only once a call
// comes, and the call would wait for it.
func (r *Redis) Probe(ctx context.Context) {
	if r.breaker.State() != gobreaker.StateHalfOpen {
		return
	}
	_, _ = r.breaker.Execute(func() (any, error) { // the breaker keeps the answer
		timed, cancel := context.WithTimeout(ctx, r.o.Timeout)
		defer cancel()
		return nil, r.client.Ping(timed).Err()
	})
}

package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// job is a script that nobody waits for. Running it twice is running it once.
type job struct {
	script *redis.Script
	keys   []string
	args   []any
	whole  bool // with its source, because Redis did not have it
	cmd    *redis.Cmd
}

const (
	together      = 128                    // jobs at once
	lanes         = 16                     // connections to a cluster that they share
	retryAfter    = 100 * time.Millisecond // and then twice as long each time, up to
	retryAtLatest = 2 * time.Second
)

// Settle is Limiter's. It waits in a queue that is bounded: what finds no place is counted as lost. Then its hold expires,
// and is swept.
func (r *Redis) Settle(h *Hold, actual []int64) {
	if len(h.starts) != len(h.Takes) { // it was never taken here
		h.starts = r.calendar.starts(h.starts[:0], h.Takes, r.now())
	}
	r.enqueue(r.job(r.scripts.settle, h, "settle", actual))
}

func (r *Redis) job(s *redis.Script, h *Hold, mode string, n []int64) *job {
	keys, args := r.pack(h, mode, n)
	return &job{script: s, keys: keys, args: args}
}

func (r *Redis) enqueue(j *job) {
	r.waiting.Add(1)
	select {
	case r.queue <- j:
	default:
		r.waiting.Add(-1)
		r.lost.Add(1)
	}
}

// deliver takes jobs from the queue and runs them, many at once, until the queue is empty after quit.
func (r *Redis) deliver() {
	batch := make([]*job, 0, together)
	for {
		batch = r.next(batch[:0])
		if len(batch) == 0 {
			return
		}
		if !r.persist(batch) {
			r.lost.Add(int64(len(r.queue)))
			return
		}
	}
}

// next waits for a job and takes those that wait behind it. None: there is nothing more to come.
func (r *Redis) next(batch []*job) []*job {
	select {
	case j := <-r.queue:
		batch = append(batch, j)
	case <-r.quit:
		select {
		case j := <-r.queue:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	for len(batch) < together {
		select {
		case j := <-r.queue:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// persist runs jobs until Redis has taken all of them. False: nobody waits for that any more.
func (r *Redis) persist(batch []*job) bool {
	for wait := retryAfter; ; wait = min(2*wait, retryAtLatest) {
		sent := len(batch)
		batch = r.runAll(batch)
		r.waiting.Add(int64(len(batch) - sent))
		if len(batch) == 0 {
			return true
		}
		if batch[0].whole {
			continue // at once
		}
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
			r.lost.Add(int64(len(batch)))
			return false
		}
	}
}

// runAll runs jobs and gives those that are to be run again.
func (r *Redis) runAll(batch []*job) []*job {
	ctx, cancel := context.WithTimeout(r.ctx, deliverTimeout)
	defer cancel()
	if _, cluster := r.client.(*redis.ClusterClient); cluster {
		r.sideBySide(ctx, batch)
	} else {
		p := r.client.Pipeline()
		for _, j := range batch {
			j.run(ctx, p)
		}
		_, _ = p.Exec(ctx) // each command has its own error
	}
	var again []*job
	for _, j := range batch {
		err := j.cmd.Err()
		j.whole = redis.HasErrorPrefix(err, "NOSCRIPT")
		switch {
		case err == nil || errors.Is(err, redis.Nil):
		case j.whole || passing(err):
			again = append(again, j)
		default: // it would be the same for ever, and those behind it would wait for ever
			r.lost.Add(1)
			r.o.Log.Error("redis does not take a settlement", "error", err)
		}
	}
	return again
}

// sideBySide runs jobs one by one on some connections. A pipeline over a cluster would do it in fewer round trips, but when slots
// move, go-redis (v9.23) may send one command of it to two nodes at the same time and write both answers to one place.
func (r *Redis) sideBySide(ctx context.Context, batch []*job) {
	var running sync.WaitGroup
	for lane := range min(lanes, len(batch)) {
		running.Go(func() {
			for i := lane; i < len(batch); i += lanes {
				batch[i].run(ctx, r.client)
			}
		})
	}
	running.Wait()
}

// run sends the job's script, or puts it into a pipeline.
func (j *job) run(ctx context.Context, to redis.Scripter) {
	if j.whole {
		j.cmd = j.script.Eval(ctx, to, j.keys, j.args...)
	} else {
		j.cmd = j.script.EvalSha(ctx, to, j.keys, j.args...)
	}
}

// passing tells whether an error may be over the next time: all but what Redis says of the script itself.
func passing(err error) bool {
	var said redis.Error
	if !errors.As(err, &said) {
		return true
	}
	for _, prefix := range []string{"LOADING", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "OOM", "BUSY", "NOREPLICAS", "MISCONF"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return moving(err)
}

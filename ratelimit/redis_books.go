package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Renew is Limiter's.
func (r *Redis) Renew(ctx context.Context, holds []Hold) error {
	batch := make([]*job, 0, len(holds))
	for i := range holds {
		h := &holds[i]
		if len(h.starts) != len(h.Takes) {
			h.starts = r.calendar.starts(nil, h.Takes, r.now())
		}
		batch = append(batch, r.job(r.scripts.renew, h, "renew", nil))
	}
	return r.once(ctx, "renew", batch)
}

// once runs jobs that somebody waits for, so they are not tried for long.
func (r *Redis) once(ctx context.Context, what string, batch []*job) error {
	for len(batch) > 0 {
		n := min(len(batch), together)
		for again := batch[:n]; len(again) > 0; {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("%s %d holds: %w", what, len(batch), err)
			}
			if again = r.runAll(again); len(again) > 0 && !again[0].whole {
				return fmt.Errorf("%s %d holds: %w: %w", what, len(batch), ErrAway, again[0].cmd.Err())
			}
		}
		batch = batch[n:]
	}
	return nil
}

// Drop is Limiter's.
func (r *Redis) Drop(ctx context.Context, tag string, ids []string) error {
	batch := make([]*job, 0, len(ids))
	for _, id := range ids {
		batch = append(batch, &job{script: r.scripts.drop, keys: []string{r.key(tag, "h", id)}})
	}
	return r.once(ctx, "drop", batch)
}

// Holds is Limiter's.
func (r *Redis) Holds(ctx context.Context, tag string, expired bool) ([]Hold, error) {
	mode := ""
	if expired {
		mode = "expired"
	}
	keys := []string{r.key(tag, "h", ""), r.key(tag, "x", "")}
	ids, err := run(ctx, r.client, r.scripts.list, keys, []any{"", r.clock(), mode}).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("list the holds of %s: %w: %w", tag, ErrAway, err)
	}
	var all []Hold
	for len(ids) > 0 {
		n := min(len(ids), holdsTogether)
		if all, err = r.read(ctx, all, tag, ids[:n]); err != nil {
			return nil, fmt.Errorf("read the holds of %s: %w: %w", tag, ErrAway, err)
		}
		ids = ids[n:]
	}
	return all, nil
}

// read adds the holds with ids.
func (r *Redis) read(ctx context.Context, all []Hold, tag string, ids []string) ([]Hold, error) {
	keys, args := make([]string, 0, len(ids)), make([]any, 0, len(ids))
	for _, id := range ids {
		keys, args = append(keys, r.key(tag, "h", id)), append(args, id)
	}
	rows, err := run(ctx, r.client, r.scripts.holds, keys, args).Slice()
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		h, ok := r.hold(tag, row)
		if !ok {
			return nil, errors.New("it answered something else")
		}
		all = append(all, h)
	}
	return all, nil
}

// hold reads one row of holds.lua.
func (r *Redis) hold(tag string, row any) (Hold, bool) {
	v, _ := row.([]any)
	if len(v) < 2 || len(v)%4 != 2 {
		return Hold{}, false
	}
	id, _ := v[0].(string)
	expires, ok := v[1].(int64)
	h := Hold{ID: id, Tag: tag, Expires: time.UnixMilli(expires)}
	for v = v[2:]; len(v) > 0 && ok; v = v[4:] {
		letter, _ := v[0].(string)
		key, _ := v[1].(string)
		n, _ := v[2].(int64)
		start, isNumber := v[3].(int64)
		kind := Kind(strings.Index(letters, letter))
		ok = isNumber && kind > 0
		l := &Limit{Key: strings.TrimPrefix(key, r.key(tag, letter, "")), Kind: kind}
		h.Takes, h.starts = append(h.Takes, Take{l, n}), append(h.starts, start)
	}
	return h, ok
}

// Sweep is Counter's.
func (r *Redis) Sweep(ctx context.Context, h *Hold, estimate []int64) error {
	if len(estimate) != len(h.Takes) {
		return errors.New("sweep a hold: there is not one estimate for each take")
	}
	if len(h.starts) != len(h.Takes) {
		h.starts = r.calendar.starts(nil, h.Takes, r.now())
	}
	keys, args := r.pack(h, "sweep", estimate)
	return r.tell(ctx, "sweep a hold", r.scripts.settle, keys, args)
}

// Seed is Counter's.
func (r *Redis) Seed(ctx context.Context, tag string, l *Limit, at time.Time, spent int64) error {
	h := Hold{ID: l.Key, Tag: tag, Takes: []Take{{l, spent}}}
	h.starts = r.calendar.starts(nil, h.Takes, at.UnixMilli())
	keys, args := r.pack(&h, "seed", nil)
	return r.tell(ctx, "say what was spent of "+l.Key, r.scripts.seed, keys, args)
}

// Lower is Counter's.
func (r *Redis) Lower(ctx context.Context, tag string, l *Limit, at time.Time, by int64) error {
	h := Hold{ID: l.Key, Tag: tag, Takes: []Take{{l, max(0, by)}}}
	h.starts = r.calendar.starts(nil, h.Takes, at.UnixMilli())
	keys, args := r.pack(&h, "lower", nil)
	return r.tell(ctx, "take back what was spent of "+l.Key, r.scripts.lower, keys, args)
}

// Forget is Counter's.
func (r *Redis) Forget(ctx context.Context, tag string, l *Limit) error {
	h := Hold{ID: l.Key, Tag: tag, Takes: []Take{{l, 0}}, starts: []int64{none}}
	keys, args := r.pack(&h, "forget", nil)
	return r.tell(ctx, "forget "+l.Key, r.scripts.forget, keys, args)
}

func (r *Redis) tell(ctx context.Context, what string, s *redis.Script, keys []string, args []any) error {
	if err := run(ctx, r.client, s, keys, args).Err(); err != nil {
		return fmt.Errorf("%s: %w: %w", what, ErrAway, err)
	}
	return nil
}

// Uses is Counter's.
func (r *Redis) Uses(ctx context.Context, tag string, limits []*Limit) ([]Use, error) {
	h := Hold{Tag: tag}
	for _, l := range limits {
		h.Takes = append(h.Takes, Take{l, 0})
	}
	for range windowTries {
		h.starts = r.calendar.starts(h.starts[:0], h.Takes, r.now())
		keys, args := r.pack(&h, "uses", nil)
		n, err := run(ctx, r.client, r.scripts.uses, keys, args).Int64Slice()
		if err != nil || len(n) < 2 {
			return nil, fmt.Errorf("ask what is used of %d limits: %w: %w", len(limits), ErrAway, err)
		}
		r.set(n[1])
		if n[0] == takenElsewhen {
			continue
		}
		return usesOf(n[2:]), nil
	}
	return nil, fmt.Errorf("ask what is used of %d limits: %w: its clock does not stand still", len(limits), ErrAway)
}

func usesOf(n []int64) []Use {
	all := make([]Use, 0, len(n)/5)
	for ; len(n) >= 5; n = n[5:] {
		all = append(all, Use{n[0], n[1], n[2], time.Duration(n[3]) * time.Millisecond, n[4] == 1})
	}
	return all
}

func (r *Redis) key(tag, kind, name string) string {
	return r.o.Prefix + ":{" + tag + "}:" + kind + ":" + name
}

package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// Summing says how what was used is summed, and how long it is kept. Any of its functions may be nil.
type Summing struct {
	// How long calls, their prompts and answers, and sums are kept, at least a day; nil: for ever.
	KeepCalls, KeepContent, KeepSums func() time.Duration
	// Leads is told whether this node does it.
	Leads func(is bool)
}

// How often sums are made, how long after its end an hour or a day is made for the first time, how many at one look, and
// how often old calls are looked for.
const (
	sumEvery  = 10 * time.Second
	sumAfter  = 2 * time.Minute
	sumsAtOne = 24
)

// summer sums while it holds the lease.
type summer struct {
	Summing
	db              *DB
	lease           lease
	failed          bool // the last try
	summed, expired time.Time
}

// Sum makes hours and days of what was used, until ctx ends, on one node at a time, and removes what has had its time.
// What comes late is summed anew.
func (db *DB) Sum(ctx context.Context, s Summing) {
	w := &summer{Summing: s, db: db, lease: db.lease("usage")}
	defer w.stop(ctx)
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		held := w.lease.held
		w.complain(ctx, w.turn(ctx))
		if w.lease.held != held && w.Leads != nil {
			w.Leads(w.lease.held)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// SumNow makes the sums of all hours and days that were over at a time, if no other node does.
func (db *DB) SumNow(ctx context.Context, now time.Time) error {
	w := &summer{db: db, lease: db.lease("usage")}
	if err := w.lease.take(ctx, db, time.Now()); err != nil || !w.lease.held {
		return err
	}
	return errors.Join(w.sum(ctx, now), w.lease.resign(ctx, db))
}

// complain logs the first of several failures.
func (w *summer) complain(ctx context.Context, err error) {
	if err != nil && !w.failed && ctx.Err() == nil {
		w.db.log.Error("what was used is not summed as it should be; it is tried again each second", slog.Any("reason", err))
	}
	w.failed = err != nil
}

// stop leaves the lease to others.
func (w *summer) stop(ctx context.Context) {
	if !w.lease.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseLife)
	defer cancel()
	w.complain(ctx, w.lease.resign(ctx, w.db))
}

// turn does what is due.
func (w *summer) turn(ctx context.Context) error {
	now := time.Now()
	if !w.lease.held {
		if err := w.lease.take(ctx, w.db, now); err != nil || !w.lease.held {
			return err
		}
	} else if !w.lease.alone {
		err := w.db.dialect.write(ctx, leader, func(t tx) error { return w.lease.beat(ctx, t) })
		if err != nil {
			return notHeld(err)
		}
	}
	if now.Sub(w.summed) >= sumEvery {
		if err := w.sum(ctx, now); err != nil {
			return fmt.Errorf("sum what was used: %w", err)
		}
		w.summed = now
	}
	if now.Sub(w.expired) < expireEvery {
		return nil
	}
	if err := errors.Join(w.db.prepareDays(ctx, now), w.expire(ctx, now)); err != nil {
		return fmt.Errorf("remove calls that have had their time: %w", err)
	}
	w.expired = now
	return nil
}

// notHeld is no fault: another node goes on.
func notHeld(err error) error {
	if errors.Is(err, errNotHeld) {
		return nil
	}
	return err
}

// expire removes whole days of what has had its time.
func (w *summer) expire(ctx context.Context, now time.Time) error {
	var all error
	for _, e := range []struct {
		keep   func() time.Duration
		tables []daily
	}{
		{w.KeepCalls, []daily{dailyTerms(), dailyCalls(), {table: "call_replaced", column: "begun_us"}}},
		{w.shorter, []daily{dailyContents()}},
		{w.KeepSums, []daily{dailyMinutes(), {table: "usage_hours", column: "from_us"}, {table: "usage_days", column: "from_us"}, {table: "usage_due", column: "from_us"}}},
		{w.KeepSums, []daily{dailyLedger()}},
		{w.longer, []daily{
			{table: "ledger_sums", column: "window_us", only: "window_us > 0"}, {table: "budget_notices", column: "window_us", only: "window_us > 0"},
		}},
	} {
		if e.keep == nil || e.keep() <= 0 {
			continue
		}
		before := chain.Day(now.Add(-e.keep()))
		for _, of := range e.tables {
			all = errors.Join(all, w.db.dropDays(ctx, of, before), w.remove(ctx, of, before))
		}
	}
	return all
}

// shorter is how long contents are kept: not longer than their calls. 0: for ever.
func (w *summer) shorter() (keep time.Duration) {
	for _, f := range []func() time.Duration{w.KeepContent, w.KeepCalls} {
		if f != nil && (keep == 0 || f() < keep) {
			keep = f()
		}
	}
	return keep
}

// longestWindow is longer than any window of a budget that ends.
const longestWindow = 40 * 24 * time.Hour

// longer is how long the sums of budgets are kept: not shorter than their windows. 0: for ever.
func (w *summer) longer() time.Duration {
	if w.KeepSums == nil || w.KeepSums() <= 0 {
		return 0
	}
	return max(w.KeepSums(), longestWindow)
}

// remove takes away the rows of a table that are older, a few at once.
func (w *summer) remove(ctx context.Context, of daily, before time.Time) error {
	some := func(t tx) (int64, error) {
		return t.exec(ctx, fmt.Sprintf(`delete from %[1]s where %[3]s and %[2]s < $1 and %[2]s <=
			(select max(%[2]s) from (select %[2]s from %[1]s where %[3]s and %[2]s < $1 order by %[2]s limit $2) as few)`,
			of.table, of.column, cmp.Or(of.only, "true")), micros{&before}, atOnce)
	}
	switch of.table {
	case dailyTerms().table: // they go with their calls
		return nil
	case dailyCalls().table:
		some = func(t tx) (int64, error) { return removeCalls(ctx, t, before) }
	}
	for more := true; more && w.lease.held; {
		err := w.db.dialect.write(ctx, system.inBackground(), func(t tx) error {
			if err := w.lease.beat(ctx, t); err != nil {
				return err
			}
			n, err := some(t)
			more = n >= atOnce
			return err
		})
		if err != nil {
			return notHeld(err)
		}
	}
	return nil
}

// removeCalls takes away a few of the calls before a time, and what they are found by.
func removeCalls(ctx context.Context, t tx, before time.Time) (int64, error) {
	var list []read
	err := t.each(ctx, func(scan func(...any) error) error {
		var r read
		if err := scan(&r.Who.Org, &r.ID, &r.begun, &r.tags, &r.Error); err != nil {
			return err
		}
		_, err := r.record()
		list = append(list, r)
		return err
	}, `select org_id, id, begun_us, tags, error from calls where begun_us < $1 order by begun_us limit $2`, micros{&before}, atOnce)
	if err != nil {
		return 0, err
	}
	for i := range list {
		if err := removeCall(ctx, t, &list[i].Record); err != nil {
			return 0, err
		}
	}
	return int64(len(list)), nil
}

// removeCall takes away a call and what it is found by.
func removeCall(ctx context.Context, t tx, r *accounting.Record) error {
	for _, term := range termsOf(r) {
		_, err := t.exec(ctx, `delete from call_terms where org_id = $1 and term = $2 and begun_us = $3 and id = $4`, r.Who.Org, term, micros{&r.Begun}, r.ID)
		if err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `delete from calls where begun_us = $1 and id = $2`, micros{&r.Begun}, r.ID)
	return err
}

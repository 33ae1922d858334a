package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// batchColumns are those that a batch has in memory, bound to b.
func batchColumns(b *tasks.Batch) []taskColumn {
	return []taskColumn{
		{"id", true, &b.ID},
		{"org_id", true, batchOrg{b}},
		{"name", true, &b.Name},
		{"team_id", true, &b.As.Team},
		{"user_id", true, &b.As.User},
		{"key_id", true, &b.As.Key},
		{"once", true, &b.Once},
		{"endpoint", true, endpoint{&b.Endpoint}},
		{"parallel", true, &b.Parallel},
		{"labels", true, asJSON{&b.Labels}},
		{"attempts", true, &b.Retry.Attempts},
		{"backoff_us", true, lasting{&b.Retry.Backoff}},
		{"retry_on", true, classes{&b.Retry.On}},
		{"state", false, (*string)(&b.State)},
		{"rev", false, &b.Rev},
		{"created_us", true, micros{&b.Created}},
		{"began_us", false, micros{&b.Began}},
		{"ended_us", false, micros{&b.Ended}},
		{"stopping_us", false, micros{&b.Stopping}},
		{"total", false, &b.Total},
		{"bytes", false, &b.Bytes},
		{"succeeded", false, &b.Succeeded},
		{"failed", false, &b.Failed},
		{"cancelled", false, &b.Cancelled},
		{"tokens_in", false, &b.TokensIn},
		{"tokens_out", false, &b.TokensOut},
		{"cost", false, (*int64)(&b.Cost)},
		{"estimate", false, (*int64)(&b.Estimate)},
		{"unpriced", false, &b.Unpriced},
	}
}

var batchNames = func() string {
	var names []string
	for _, c := range batchColumns(&tasks.Batch{}) {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}()

func batchInto(b *tasks.Batch) (into []any) {
	for _, c := range batchColumns(b) {
		into = append(into, c.at)
	}
	return into
}

// CreateBatch stores a batch without items. A request that has made one already gets that one, in b.
func (db *DB) CreateBatch(ctx context.Context, by tenancy.Actor, b *tasks.Batch) error {
	err := db.audited(ctx, tenant(b.Org), by, func(x tx, log *trail) error {
		if err := alive(ctx, x, b.Org); err != nil {
			return err
		}
		if b.Once != "" {
			var is tasks.Batch
			err := x.one(ctx, batchInto(&is), `select `+batchNames+` from batches where org_id = $1 and once = $2 and once <> ''`, b.Org, b.Once)
			if err == nil {
				*b = is
				return errNothing
			}
			if !errors.Is(err, tenancy.ErrNotFound) {
				return err
			}
		}
		b.State, b.Rev = tasks.Draft, 1
		owner := ownerOf(&tasks.Task{As: b.As})
		var fields []field
		var row []any
		for _, c := range append(batchColumns(b), taskColumn{"owner", true, &owner}) {
			value, kind, err := flat(c.at)
			if err != nil {
				return fmt.Errorf("store %s of a batch: %w", c.name, err)
			}
			fields, row = append(fields, field{c.name, kind}), append(row, value)
		}
		if _, err := x.bulk(ctx, "batches", fields, "", [][]any{row}); err != nil {
			return err
		}
		log.add(b.Org, tenancy.ActionCreateBatch, tenancy.AuditObject{Kind: "batch", ID: b.ID, Name: b.Name}, difference{})
		return nil
	})
	return err
}

// Batch gives a batch.
func (db *DB) Batch(ctx context.Context, org, id tenancy.ID) (b tasks.Batch, err error) {
	err = db.dialect.read(ctx, tenant(org).again(), func(x tx) error {
		return x.one(ctx, batchInto(&b), `select `+batchNames+` from batches where org_id = $1 and id = $2`, org, id)
	})
	return b, err
}

// runningBatches are those of all organizations that run and are not asked to end.
func (db *DB) runningBatches(ctx context.Context) ([]tasks.Batch, error) {
	return db.batchesBy(ctx, system, `state = 'running' and stopping_us = 0 order by id`)
}

// Batches gives a page of batches, the newest first.
func (db *DB) Batches(ctx context.Context, q tasks.BatchQuery) ([]tasks.Batch, error) {
	var args arguments
	where := []string{"org_id = " + args.add(q.Org)}
	if q.Owner != "" {
		where = append(where, "owner = "+args.add(q.Owner))
	}
	if q.State != "" {
		where = append(where, "state = "+args.add(string(q.State)))
	}
	if q.Before != "" {
		where = append(where, "id < "+args.add(q.Before))
	}
	return db.batchesBy(ctx, tenant(q.Org), strings.Join(where, " and ")+` order by id desc limit `+args.add(q.Limit), args...)
}

// batchesBy gives the batches of which something holds.
func (db *DB) batchesBy(ctx context.Context, s scope, where string, args ...any) (list []tasks.Batch, err error) {
	err = db.dialect.read(ctx, s, func(x tx) error {
		list = nil
		return x.each(ctx, func(scan func(...any) error) error {
			var b tasks.Batch
			err := scan(batchInto(&b)...)
			list = append(list, b)
			return err
		}, `select `+batchNames+` from batches where `+where, args...)
	})
	return list, err
}

// lockBatch reads a batch that nobody else changes until the transaction ends.
func lockBatch(ctx context.Context, x tx, org, id tenancy.ID, b *tasks.Batch) error {
	if _, err := x.exec(ctx, `update batches set rev = rev + 1 where org_id = $1 and id = $2`, org, id); err != nil {
		return err
	}
	return x.one(ctx, batchInto(b), `select `+batchNames+` from batches where org_id = $1 and id = $2`, org, id)
}

// AddItems adds items to a batch that has not begun, if it has from of them so far, and gives how many it has then. Whoever
// repeats what is there already changes nothing. tasks.ErrGap: some before them are missing.
func (db *DB) AddItems(ctx context.Context, org, id tenancy.ID, from int64, items []tasks.NewItem) (total int64, err error) {
	err = db.dialect.write(ctx, tenant(org).again(), func(x tx) error {
		var b tasks.Batch
		if err := lockBatch(ctx, x, org, id, &b); err != nil {
			return err
		}
		switch total = b.Total; {
		case from+int64(len(items)) <= b.Total && len(items) > 0:
			return nil // they are there
		case b.State != tasks.Draft:
			return tasks.ErrBegun
		case from != b.Total:
			return tasks.ErrGap
		case b.Total+int64(len(items)) > tasks.MostItems:
			return tasks.ErrTooManyItems
		}
		var bytes, cost, unpriced int64
		list := make([]newTask, len(items))
		for i := range items {
			n := &items[i]
			list[i] = newTask{n.Task, n.Request}
			bytes, cost = bytes+n.Bytes, cost+int64(n.Cost)
			if !n.Priced {
				unpriced++
			}
		}
		if err := insertTasks(ctx, x, list); err != nil {
			return err
		}
		total += int64(len(items))
		_, err := x.exec(ctx, `update batches set total = $3, bytes = bytes + $4, estimate = estimate + $5, unpriced = unpriced + $6 where org_id = $1 and id = $2`,
			org, id, total, bytes, cost, unpriced)
		return err
	})
	return total, err
}

// StartBatch begins the first items of a batch, for somebody. Of one that has begun it changes nothing.
func (db *DB) StartBatch(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (b tasks.Batch, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	err = db.waking(ctx, tenant(org), func(x tx, wake func(...tasks.Job)) error {
		if err := lockBatch(ctx, x, org, id, &b); err != nil || b.State != tasks.Draft {
			return err
		}
		if b.Total == 0 {
			return tasks.ErrNoItems
		}
		b.State, b.Began = tasks.BatchRunning, now
		if _, err := x.exec(ctx, `update batches set state = 'running', began_us = $3 where org_id = $1 and id = $2`, org, id, micros{&now}); err != nil {
			return err
		}
		if err := beginItems(ctx, x, org, id, int64(b.Parallel), now, wake); err != nil {
			return err
		}
		log := trail{by: by, at: now}
		log.add(org, tenancy.ActionStartBatch, tenancy.AuditObject{Kind: "batch", ID: id, Name: b.Name}, difference{})
		return log.write(ctx, x, tenant(org))
	})
	return b, err
}

// nextItems finds the next $4 items of a batch ($3) of an organization ($2) that have not begun. It reads those alone, by the index
// tasks_unstarted, whatever Postgres knows of a table that was just filled; that the id is not empty says that the index may be used.
const nextItems = `select id from tasks where org_id = $2 and batch_id = $3 and batch_id <> '' and state = 'pending' and due_us = 0 order by item limit $4`

// beginItems makes the next n items of a batch due. The batch is locked.
func beginItems(ctx context.Context, x tx, org, batch tenancy.ID, n int64, now time.Time, wake func(...tasks.Job)) error {
	return x.each(ctx, func(scan func(...any) error) error {
		k := tasks.Task{Org: org, Priority: tasks.BatchPriority}
		if err := scan(&k.ID, &k.Rev); err != nil {
			return err
		}
		wake(k.Job())
		return nil
	}, // As a subquery Postgres might ask for the next items again and again, and begin more than n.
		`with next as materialized (`+nextItems+x.skipLocked()+`)
		update tasks set due_us = $1, rev = rev + 1 where id in (select id from next) returning id, rev`, micros{&now}, org, batch, n)
}

// itemEnded counts an item that has ended, and begins the next one, or ends the batch with the last.
func itemEnded(ctx context.Context, x tx, t *tasks.Task, wake func(...tasks.Job)) error {
	in, out := t.Outcome.Usage.Tokens()
	now := t.Ended
	var stopping int64
	var left int64
	err := x.one(ctx, []any{&stopping, &left}, `update batches set succeeded = succeeded + $3, failed = failed + $4, cancelled = cancelled + $5,
		tokens_in = tokens_in + $6, tokens_out = tokens_out + $7, cost = cost + $8, rev = rev + 1
		where org_id = $1 and id = $2 returning stopping_us, total - succeeded - failed - cancelled`,
		t.Org, t.Batch, one(t.State == tasks.Succeeded), one(t.State == tasks.Failed), one(t.State == tasks.Cancelled), in, out, int64(t.Outcome.Cost))
	switch {
	case err != nil:
		return fmt.Errorf("count an item of a batch: %w", err)
	case left == 0:
		return endBatch(ctx, x, t.Org, t.Batch, now, stopping > 0, wake)
	case stopping > 0:
		return nil
	}
	return beginItems(ctx, x, t.Org, t.Batch, 1, now, wake)
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// endBatch ends a batch, and tells of it.
func endBatch(ctx context.Context, x tx, org, id tenancy.ID, now time.Time, cancelled bool, wake func(...tasks.Job)) error {
	state := tasks.BatchCompleted
	if cancelled {
		state = tasks.BatchCancelled
	}
	if _, err := x.exec(ctx, `update batches set state = $3, ended_us = $4 where org_id = $1 and id = $2`, org, id, string(state), micros{&now}); err != nil {
		return err
	}
	var b tasks.Batch
	if err := x.one(ctx, batchInto(&b), `select `+batchNames+` from batches where org_id = $1 and id = $2`, org, id); err != nil {
		return err
	}
	return emit(ctx, x, wake, b.Notice())
}

// StopBatch asks a batch to end, for somebody: what has not begun is cancelled with it, what runs is ended by its node.
func (db *DB) StopBatch(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (b tasks.Batch, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	err = db.waking(ctx, tenant(org), func(x tx, wake func(...tasks.Job)) error {
		if err := x.one(ctx, batchInto(&b), `select `+batchNames+` from batches where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		if b.State.Over() || !b.Stopping.IsZero() {
			return nil
		}
		// Items before their batch, as everywhere: who ends an item has its row, and then takes the batch's.
		n, err := cancelItems(ctx, x, org, id, now)
		if err != nil {
			return err
		}
		if err := lockBatch(ctx, x, org, id, &b); err != nil {
			return err
		}
		if _, err := x.exec(ctx, `update batches set stopping_us = $3, cancelled = cancelled + $4 where org_id = $1 and id = $2`, org, id, micros{&now}, n); err != nil {
			return err
		}
		if b.Stopping, b.Cancelled = now, b.Cancelled+n; b.Done() == b.Total {
			b.State, b.Ended = tasks.BatchCancelled, now
			if err := endBatch(ctx, x, org, id, now, true, wake); err != nil {
				return err
			}
		}
		log := trail{by: by, at: now}
		log.add(org, tenancy.ActionCancelBatch, tenancy.AuditObject{Kind: "batch", ID: id, Name: b.Name}, difference{})
		return log.write(ctx, x, tenant(org))
	})
	return b, err
}

// cancelItems cancels what waits of a batch, and asks what runs to end.
func cancelItems(ctx context.Context, x tx, org, batch tenancy.ID, now time.Time) (int64, error) {
	n, err := x.exec(ctx, `update tasks set state = 'cancelled', rev = rev + 1, seq = seq + 1, ended_us = $3, stopping_us = $3
		where org_id = $1 and batch_id = $2 and batch_id <> '' and state = 'pending'`, org, batch, micros{&now})
	if err != nil {
		return 0, err
	}
	if _, err := x.exec(ctx, `insert into task_progress (org_id, task_id, seq, at_us, kind, detail, tokens)
		select org_id, id, seq, ended_us, 'cancelled', '{}', 0 from tasks where org_id = $1 and batch_id = $2 and batch_id <> '' and state = 'cancelled' and ended_us = $3
		on conflict (task_id, seq) do nothing`, org, batch, micros{&now}); err != nil {
		return 0, err
	}
	_, err = x.exec(ctx, `update tasks set stopping_us = $3 where org_id = $1 and batch_id = $2 and batch_id <> '' and state = 'running' and stopping_us = 0`, org, batch, micros{&now})
	return n, err
}

// RetryBatch begins anew, for somebody, the items of a batch that have failed or were cancelled. tasks.ErrRunning: it has not ended.
func (db *DB) RetryBatch(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (b tasks.Batch, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	err = db.waking(ctx, tenant(org), func(x tx, wake func(...tasks.Job)) error {
		if err := lockBatch(ctx, x, org, id, &b); err != nil {
			return err
		}
		if !b.State.Over() {
			return tasks.ErrRunning
		}
		n, err := x.exec(ctx, `update tasks set state = 'pending', rev = rev + 1, seq = seq + 1, due_us = 0, failures = 0, interrupted = 0, ended_us = 0, stopping_us = 0, partial = false
			where org_id = $1 and batch_id = $2 and batch_id <> '' and state in ('failed', 'cancelled')`, org, id)
		if err != nil || n == 0 {
			return err
		}
		if _, err := x.exec(ctx, `insert into task_progress (org_id, task_id, seq, at_us, kind, detail, tokens)
			select org_id, id, seq, $3, 'retry', '{}', 0 from tasks where org_id = $1 and batch_id = $2 and batch_id <> '' and state = 'pending' and due_us = 0
			on conflict (task_id, seq) do nothing`, org, id, micros{&now}); err != nil {
			return err
		}
		b.State, b.Failed, b.Cancelled, b.Ended, b.Stopping = tasks.BatchRunning, 0, 0, time.Time{}, time.Time{}
		if _, err := x.exec(ctx, `update batches set state = 'running', failed = 0, cancelled = 0, ended_us = 0, stopping_us = 0 where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		if err := beginItems(ctx, x, org, id, int64(b.Parallel), now, wake); err != nil {
			return err
		}
		log := trail{by: by, at: now}
		log.add(org, tenancy.ActionRetryBatch, tenancy.AuditObject{Kind: "batch", ID: id, Name: b.Name}, difference{})
		return log.write(ctx, x, tenant(org))
	})
	return b, err
}

// Items gives a page of the items of a batch, in their order, with their sealed answers.
func (db *DB) Items(ctx context.Context, q tasks.ItemQuery) (list []tasks.ItemResult, err error) {
	args := arguments{q.Org, q.Batch, q.After}
	where := ""
	if q.State != "" {
		where = " and state = " + args.add(string(q.State))
	}
	query := strings.Replace(taskSelection, " from tasks", ", c.answer from tasks t join task_contents c on c.id = t.id and c.org_id = t.org_id", 1) +
		` where t.org_id = $1 and t.batch_id = $2 and t.batch_id <> '' and t.item > $3` + where + ` order by t.item limit ` + args.add(q.Limit)
	query = strings.Replace(query, "select id, org_id,", "select t.id, t.org_id,", 1)
	err = db.dialect.read(ctx, tenant(q.Org), func(x tx) error {
		list = nil
		return x.each(ctx, func(scan func(...any) error) error {
			var r tasks.ItemResult
			if err := scan(append(taskInto(&r.Task), &r.Answer)...); err != nil {
				return fmt.Errorf("read an item of a batch: %w", err)
			}
			list = append(list, r)
			return nil
		}, query, args...)
	})
	return list, err
}

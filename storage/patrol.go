package storage

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Patrol says how tasks are looked after.
type Patrol struct {
	Node tenancy.ID                    // this one
	Runs func(id tenancy.ID) bool      // tells whether a task runs in this process
	Told func(id tenancy.ID, to int64) // hears of tasks whose history went on
	Keep func() time.Duration          // how long tasks are kept after their end

	// Running hears each second, while this node looks after all, which batches run; and then once of none.
	Running func(ctx context.Context, batches []tasks.Batch)
}

// How often a node says that it lives, and how long it may be silent; how long a task may be due before it is woken again; how
// long the tokens of a task are kept one by one after its end; and how often what has had its time is taken away.
const (
	patrolEvery  = time.Second
	nodeLife     = 5 * time.Second
	overdueAfter = 5 * time.Minute
	tokensKept   = time.Hour
	// A delivery is claimed for as long as a receiver may take, and some time.
	undeliveredFor = 2 * time.Minute
	tasksCleaning  = 10 * time.Minute
	rescuedAtOnce  = 500
)

// patrol looks after tasks for one node.
type patrol struct {
	Patrol
	db      *DB
	lease   lease
	nodes   map[tenancy.ID]sign  // of the others, while this one leads
	orphans map[tenancy.ID]int64 // tasks that this node should run and does not, with their revisions, at the last look
	failed  bool
	cleaned time.Time
}

// sign is the last sign of life of a node. Only our own clock is read.
type sign struct {
	beat  int64
	since time.Time
}

// Patrol says that this node lives, until ctx ends; and, on one node at a time, gives back what ran on nodes that are silent, ends
// what has waited beyond its deadline, wakes what nobody woke, and takes away what has had its time.
func (db *DB) Patrol(ctx context.Context, p Patrol) {
	w := &patrol{Patrol: p, db: db, lease: db.lease("tasks"), nodes: map[tenancy.ID]sign{}}
	defer w.stop(ctx)
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for {
		err := w.round(ctx)
		if err != nil && !w.failed && ctx.Err() == nil {
			db.log.Error("tasks are not looked after as they should be; it is tried again each second", slog.Any("reason", err))
		}
		w.failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stop leaves the rest to others, who need not wait for it: what this node ran has ended before.
func (w *patrol) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
	defer cancel()
	_ = w.db.dialect.write(ctx, system, func(t tx) error { // or they see that it is silent
		_, err := t.exec(ctx, `delete from task_nodes where node = $1`, w.Node)
		return err
	})
	w.Running(ctx, nil)
	if w.lease.held {
		_ = w.lease.resign(ctx, w.db)
	}
}

func (w *patrol) round(ctx context.Context) error {
	if err := w.beat(ctx); err != nil {
		return err
	}
	if err := w.ownOrphans(ctx); err != nil {
		return err
	}
	now := time.Now()
	if !w.lease.held {
		if err := w.lease.take(ctx, w.db, now); err != nil || !w.lease.held {
			return err
		}
	}
	err := w.db.dialect.write(ctx, leader.again(), func(t tx) error { return w.lease.beat(ctx, t) })
	if errors.Is(err, errNotHeld) {
		clear(w.nodes)
		w.Running(ctx, nil)
		return nil
	}
	if err != nil {
		return err
	}
	return w.lead(ctx, now)
}

// beat says that this node lives.
func (w *patrol) beat(ctx context.Context) error {
	return w.db.dialect.write(ctx, system.again(), func(t tx) error {
		_, err := t.exec(ctx, `insert into task_nodes (node, beat) values ($1, 1) on conflict (node) do update set beat = task_nodes.beat + 1`, w.Node)
		return err
	})
}

// lead is what one node does for all.
func (w *patrol) lead(ctx context.Context, now time.Time) error {
	gone, err := w.silent(ctx, now)
	if err != nil {
		return err
	}
	for _, node := range gone {
		if err := w.bury(ctx, node); err != nil {
			return err
		}
	}
	if err := w.expire(ctx, now); err != nil {
		return err
	}
	if err := w.rouse(ctx, now.Add(-overdueAfter), now); err != nil {
		return err
	}
	if err := w.rouseDeliveries(ctx, now.Add(-undeliveredFor), now); err != nil {
		return err
	}
	running, err := w.db.runningBatches(ctx)
	if err != nil {
		return err
	}
	w.Running(ctx, running)
	if now.Sub(w.cleaned) < tasksCleaning {
		return nil
	}
	w.cleaned = now
	return w.clean(ctx, now)
}

// silent are the nodes that are gone: those that have said nothing for a while, and those that tasks name and nobody knows. Where
// no other process can have the database open, all others are.
func (w *patrol) silent(ctx context.Context, now time.Time) (gone []tenancy.ID, err error) {
	beats := map[tenancy.ID]int64{}
	err = w.db.dialect.read(ctx, system, func(t tx) error {
		clear(beats)
		return t.each(ctx, func(scan func(...any) error) error {
			var node tenancy.ID
			var beat int64
			err := scan(&node, &beat)
			beats[node] = max(beat, beats[node])
			return err
		}, `select node, beat from task_nodes union all select distinct node, 0 from tasks where state = 'running'`)
	})
	if err != nil {
		return nil, err
	}
	for node, beat := range beats {
		if node == w.Node {
			continue
		}
		if seen, known := w.nodes[node]; !known || seen.beat != beat {
			w.nodes[node] = sign{beat, now}
		}
		if w.lease.alone || now.Sub(w.nodes[node].since) >= nodeLife {
			gone = append(gone, node)
		}
	}
	return gone, nil
}

// bury gives back what a node ran that is gone, and wakes what it may have been woken for.
func (w *patrol) bury(ctx context.Context, node tenancy.ID) error {
	for {
		left, err := w.tasksOf(ctx, `state = 'running' and node = $1 order by id limit $2`, node, rescuedAtOnce)
		if err != nil {
			return err
		}
		for i := range left {
			if err := w.change(ctx, &left[i], left[i].Interrupt(time.Now())); err != nil {
				return err
			}
		}
		if len(left) > 0 {
			w.db.log.Warn("tasks of a node that is gone are begun anew", slog.String("node", string(node)), slog.Int("tasks", len(left)))
		}
		if len(left) < rescuedAtOnce {
			break
		}
	}
	delete(w.nodes, node)
	err := w.db.dialect.write(ctx, system, func(t tx) error {
		_, err := t.exec(ctx, `delete from task_nodes where node = $1`, node)
		return err
	})
	if err != nil {
		return err
	}
	now := time.Now() // whoever else is at one of these delivers it too: at least once is what is promised
	if err := w.rouseDeliveries(ctx, now.Add(-patrolEvery), now); err != nil {
		return err
	}
	return w.rouse(ctx, now.Add(-patrolEvery), now)
}

// ownOrphans gives back what this node should run and does not: what became of it could not be written down. What was so at the
// last look too is no task that is just ending.
func (w *patrol) ownOrphans(ctx context.Context) error {
	mine, err := w.tasksOf(ctx, `state = 'running' and node = $1 order by id limit $2`, w.Node, rescuedAtOnce)
	if err != nil {
		return err
	}
	lost := map[tenancy.ID]int64{}
	for i := range mine {
		t := &mine[i]
		if w.Runs(t.ID) {
			continue
		}
		if rev, before := w.orphans[t.ID]; !before || rev != t.Rev {
			lost[t.ID] = t.Rev
			continue
		}
		if err := w.change(ctx, t, t.Interrupt(time.Now())); err != nil {
			return err
		}
	}
	w.orphans = lost
	return nil
}

// expire ends what has waited beyond its deadline.
func (w *patrol) expire(ctx context.Context, now time.Time) error {
	late, err := w.tasksOf(ctx, `state = 'pending' and deadline_us > 0 and deadline_us <= $1 order by deadline_us limit $2`, micros{&now}, rescuedAtOnce)
	if err != nil {
		return err
	}
	for i := range late {
		if err := w.change(ctx, &late[i], late[i].Expire(now)); err != nil {
			return err
		}
	}
	return nil
}

// change writes what becomes of a task, unless somebody else was faster.
func (w *patrol) change(ctx context.Context, t *tasks.Task, p tasks.Progress) error {
	done, err := w.db.Advance(ctx, t, []tasks.Progress{p}, "")
	if err == nil && done {
		w.Told(t.ID, t.Seq)
	}
	return err
}

// rouse wakes what has been due since before a time and was not woken again since then: the node that was woken for it may be gone.
func (w *patrol) rouse(ctx context.Context, before, now time.Time) error {
	due, err := w.tasksOf(ctx, `state = 'pending' and due_us > 0 and due_us <= $1 and woken_us <= $1 order by due_us limit $2`, micros{&before}, rescuedAtOnce)
	if err != nil || len(due) == 0 {
		return err
	}
	return w.db.waking(ctx, system.inBackground(), func(t tx, wake func(...tasks.Job)) error {
		for i := range due {
			k := &due[i]
			if err := t.turn(ctx, tenant(k.Org)); err != nil {
				return err
			}
			n, err := t.exec(ctx, `update tasks set woken_us = $4 where org_id = $1 and id = $2 and rev = $3`, k.Org, k.ID, k.Rev, micros{&now})
			if err != nil {
				return err
			}
			if n == 1 {
				wake(k.Job())
			}
		}
		return nil
	})
}

// rouseDeliveries is the same for deliveries: one that was claimed by a node which is gone, or whose node could not write what
// became of it.
func (w *patrol) rouseDeliveries(ctx context.Context, before, now time.Time) error {
	var due []tasks.Delivery
	err := w.db.dialect.read(ctx, system.inBackground(), func(t tx) error {
		due = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var d tasks.Delivery
			err := scan(deliveryInto(&d)...)
			due = append(due, d)
			return err
		}, deliverySelection+` where state = 'pending' and due_us <= $1 and woken_us <= $1 order by due_us limit $2`, micros{&before}, rescuedAtOnce)
	})
	if err != nil || len(due) == 0 {
		return err
	}
	return w.db.waking(ctx, system.inBackground(), func(t tx, wake func(...tasks.Job)) error {
		for i := range due {
			d := &due[i]
			if err := t.turn(ctx, tenant(d.Org)); err != nil {
				return err
			}
			n, err := t.exec(ctx, `update deliveries set woken_us = $4 where org_id = $1 and id = $2 and rev = $3`, d.Org, d.ID, d.Rev, micros{&now})
			if err != nil {
				return err
			}
			if n == 1 {
				wake(d.Job())
			}
		}
		return nil
	})
}

// tasksOf reads tasks of all organizations.
func (w *patrol) tasksOf(ctx context.Context, where string, args ...any) (list []tasks.Task, err error) {
	err = w.db.dialect.read(ctx, system.inBackground(), func(t tx) error {
		list, err = readTasks(ctx, t, taskSelection+` where `+where, args...)
		return err
	})
	return list, err
}

// clean takes away the tokens of tasks that ended a while ago, and tasks that have been kept for long enough.
func (w *patrol) clean(ctx context.Context, now time.Time) error {
	tokens, whole := now.Add(-tokensKept), now.Add(-w.Keep())
	const ended = ` in (select id from tasks where ended_us > 0 and ended_us < $1)`
	for _, c := range []struct {
		statement string
		before    time.Time
	}{
		{`delete from task_progress where (task_id, seq) in (select p.task_id, p.seq from tasks t join task_progress p on p.task_id = t.id
			where t.ended_us > 0 and t.ended_us < $1 and p.kind = 'tokens' limit $2)`, tokens},
		{`delete from task_progress where (task_id, seq) in (select p.task_id, p.seq from tasks t join task_progress p on p.task_id = t.id
			where t.ended_us > 0 and t.ended_us < $1 limit $2)`, whole},
		{`delete from task_contents where id in (select c.id from task_contents c where c.id` + ended + ` limit $2)`, whole},
		{`delete from tasks where id in (select id from tasks where ended_us > 0 and ended_us < $1 limit $2)`, whole},
		{`delete from batches where id in (select id from batches where ended_us > 0 and ended_us < $1 limit $2)`, whole},
		{`delete from deliveries where id in (select id from deliveries where ended_us > 0 and ended_us < $1 limit $2)`, whole},
		{`delete from notices where id in (select id from notices where at_us < $1 and not exists (select 1 from deliveries d where d.notice_id = notices.id) limit $2)`, whole},
	} {
		for more := true; more && ctx.Err() == nil; {
			err := w.db.dialect.write(ctx, system.inBackground(), func(t tx) error {
				n, err := t.exec(ctx, c.statement, micros{&c.before}, atOnce)
				more = n == atOnce
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// PendingJobs are the wake-ups of all that waits: what a queue in memory begins with.
func (db *DB) PendingJobs(ctx context.Context) (jobs []tasks.Job, err error) {
	err = db.dialect.read(ctx, system, func(t tx) error {
		jobs = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var j tasks.Job
			if err := scan((*string)(&j.Kind), &j.ID, &j.Org, &j.Rev, &j.Priority, micros{&j.Due}); err != nil {
				return err
			}
			jobs = append(jobs, j)
			return nil
		}, `select 'task', id, org_id, rev, priority, due_us from tasks where state = 'pending' and due_us > 0
			union all select 'delivery', id, org_id, rev, 2, due_us from deliveries where state = 'pending'`)
	})
	return jobs, err
}

package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// taskColumn is one field of a task in its table.
type taskColumn struct {
	name  string
	fixed bool // written when the task is made, and never again
	at    any  // reads and writes the field
}

// taskColumns are those that a task has in memory, bound to t.
func taskColumns(t *tasks.Task) []taskColumn {
	o := &t.Outcome
	return []taskColumn{
		{"id", true, &t.ID},
		{"org_id", true, orgOf{t}},
		{"team_id", true, &t.As.Team},
		{"user_id", true, &t.As.User},
		{"key_id", true, &t.As.Key},
		{"agent_id", true, &t.Agent},
		{"agent_version", true, &t.Version},
		{"batch_id", true, &t.Batch},
		{"item", true, &t.Item},
		{"custom_id", true, &t.Custom},
		{"once", true, &t.Once},
		{"endpoint", true, endpoint{&t.Endpoint}},
		{"model", true, &t.Model},
		{"fallbacks", true, list[string]{&t.Fallbacks}},
		{"priority", true, &t.Priority},
		{"labels", true, asJSON{&t.Labels}},
		{"attempts", true, &t.Retry.Attempts},
		{"backoff_us", true, lasting{&t.Retry.Backoff}},
		{"retry_on", true, classes{&t.Retry.On}},
		{"state", false, (*string)(&t.State)},
		{"seq", false, &t.Seq},
		{"tries", false, &t.Tries},
		{"failures", false, &t.Failures},
		{"interrupted", false, &t.Interrupted},
		{"created_us", true, micros{&t.Created}},
		{"due_us", false, micros{&t.Due}},
		{"deadline_us", true, micros{&t.Deadline}},
		{"began_us", false, micros{&t.Began}},
		{"ended_us", false, micros{&t.Ended}},
		{"node", false, &t.Node},
		{"call_id", false, &o.Call},
		{"provider", false, &o.Provider},
		{"upstream_model", false, &o.Model},
		{"usage", false, asJSON{&o.Usage}},
		{"estimated", false, &o.Estimated},
		{"cost", false, (*int64)(&o.Cost)},
		{"unpriced", false, &o.Unpriced},
		{"waiting_us", false, lasting{&o.Waiting}},
		{"first_token_us", false, lasting{&o.FirstToken}},
		{"total_us", false, lasting{&o.Total}},
		{"partial", false, &o.Partial},
		{"class", false, class{&o.Class}},
		{"code", false, &o.Code},
		{"message", false, &o.Message},
	}
}

// taskSelection reads tasks in the order of taskInto.
var taskSelection = "select " + strings.Join(taskNames(), ", ") + " from tasks"

func taskNames() (names []string) {
	for _, c := range taskColumns(&tasks.Task{}) {
		names = append(names, c.name)
	}
	return append(names, "rev", "stopping_us")
}

func taskInto(t *tasks.Task) (into []any) {
	for _, c := range taskColumns(t) {
		into = append(into, c.at)
	}
	return append(into, &t.Rev, micros{&t.Stopping})
}

// ownerOf is by whom the tasks of somebody are counted: the user, or the key of none.
func ownerOf(t *tasks.Task) tenancy.ID {
	if t.As.User != "" {
		return t.As.User
	}
	return t.As.Key
}

// CreateTask stores a task with its sealed request and wakes a worker, unless its owner has most unfinished ones already
// (*tasks.Full). A request that has made one already gets that one, in t. Items of a batch are not counted, and are made with it.
func (db *DB) CreateTask(ctx context.Context, by tenancy.Actor, t *tasks.Task, request string, most int) error {
	return db.waking(ctx, tenant(t.Org), func(x tx, wake func(...tasks.Job)) error {
		log := trail{by: by, at: time.Now()}
		if err := alive(ctx, x, t.Org); err != nil {
			return err
		}
		if err := lockOwner(ctx, x, t); err != nil {
			return err
		}
		if again, err := madeBefore(ctx, x, t); err != nil || again {
			return err
		}
		if err := room(ctx, x, t, most); err != nil {
			return err
		}
		if err := insertTasks(ctx, x, []newTask{{t, request}}); err != nil {
			return err
		}
		wake(t.Job())
		log.add(t.Org, tenancy.ActionCreateTask, tenancy.AuditObject{Kind: "task", ID: t.ID, Name: t.Model}, difference{})
		return log.write(ctx, x, tenant(t.Org))
	})
}

// madeBefore tells whether the same request has made a task already, and gives that one.
func madeBefore(ctx context.Context, x tx, t *tasks.Task) (bool, error) {
	if t.Once == "" {
		return false, nil
	}
	var is tasks.Task
	err := x.one(ctx, taskInto(&is), taskSelection+` where org_id = $1 and once = $2 and once <> ''`, t.Org, t.Once)
	if errors.Is(err, tenancy.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		*t = is
	}
	return err == nil, err
}

// lockOwner lets one task of an owner be made after the other, so that two at the same time do not both see what was before.
func lockOwner(ctx context.Context, x tx, t *tasks.Task) error {
	_, err := x.exec(ctx, `insert into task_owners (org_id, owner, made) values ($1, $2, 1) on conflict (org_id, owner) do update set made = task_owners.made + 1`,
		t.Org, ownerOf(t))
	return err
}

// room refuses a task whose owner has enough of them.
func room(ctx context.Context, x tx, t *tasks.Task, most int) error {
	var n int
	err := x.one(ctx, []any{&n}, `select count(*) from tasks where org_id = $1 and owner = $2 and state in ('pending', 'running') and batch_id = ''`,
		t.Org, ownerOf(t))
	if err == nil && n >= most {
		return &tasks.Full{Most: most}
	}
	return err
}

// newTask is a task with its sealed request.
type newTask struct {
	*tasks.Task
	request string
}

// insertTasks stores tasks as they begin, with the first line of their history.
func insertTasks(ctx context.Context, x tx, list []newTask) error {
	var fields []field
	var rows, contents, histories [][]any
	for i, n := range list {
		n.Rev, n.Seq, n.State = 1, 1, tasks.Pending
		row := make([]any, 0, 48)
		for _, c := range append(taskColumns(n.Task), taskColumn{"owner", true, ptr(ownerOf(n.Task))}, taskColumn{"rev", true, &n.Rev},
			taskColumn{"stopping_us", true, ptr(int64(0))}, taskColumn{"archived_us", true, ptr(int64(0))}, taskColumn{"woken_us", true, ptr(int64(0))}) {
			value, kind, err := flat(c.at)
			if err != nil {
				return fmt.Errorf("store %s of a task: %w", c.name, err)
			}
			if row = append(row, value); i == 0 {
				fields = append(fields, field{c.name, kind})
			}
		}
		rows = append(rows, row)
		contents = append(contents, []any{string(n.ID), string(n.Org), n.request, ""})
		histories = append(histories, progressRow(n.Task, &tasks.Progress{Seq: 1, At: n.Created, Kind: tasks.WasCreated, Detail: "{}"}))
	}
	if _, err := x.bulk(ctx, "tasks", fields, "", rows); err != nil {
		return err
	}
	if _, err := x.bulk(ctx, "task_contents", []field{{"id", textual}, {"org_id", textual}, {"request", textual}, {"answer", textual}}, "", contents); err != nil {
		return err
	}
	_, err := x.bulk(ctx, "task_progress", progressFields(), "", histories)
	return err
}

func ptr[T any](v T) *T { return &v }

// flat is the value of a field as a statement for many rows takes it.
func flat(at any) (value any, kind string, err error) {
	if v, ok := at.(driver.Valuer); ok {
		if at, err = v.Value(); err != nil {
			return nil, "", err
		}
	}
	switch v := at.(type) {
	case *tenancy.ID:
		return string(*v), textual, nil
	case *string:
		return clean(*v, longestText), textual, nil
	case string:
		return v, textual, nil
	case *int:
		return int64(*v), number, nil
	case *int64:
		return *v, number, nil
	case int64:
		return v, number, nil
	case *bool:
		return *v, truth, nil
	}
	return nil, "", fmt.Errorf("a %T is no column", at)
}

// Task gives a task.
func (db *DB) Task(ctx context.Context, org, id tenancy.ID) (t tasks.Task, err error) {
	err = db.dialect.read(ctx, tenant(org).again(), func(x tx) error {
		return x.one(ctx, taskInto(&t), taskSelection+` where org_id = $1 and id = $2 and archived_us = 0`, org, id)
	})
	return t, err
}

// TaskContents gives the sealed request and answer of a task; empty: there is none.
func (db *DB) TaskContents(ctx context.Context, org, id tenancy.ID) (request, answer string, err error) {
	err = db.dialect.read(ctx, tenant(org).again(), func(x tx) error {
		return x.one(ctx, []any{&request, &answer}, `select request, answer from task_contents where org_id = $1 and id = $2`, org, id)
	})
	return request, answer, err
}

// Tasks gives a page of tasks, the newest first.
func (db *DB) Tasks(ctx context.Context, q tasks.Query) (list []tasks.Task, err error) {
	var args arguments
	where := []string{"org_id = " + args.add(q.Org), "archived_us = 0"}
	if q.Batch == "" {
		where = append(where, "batch_id = ''") // items are listed with their batch
	}
	for _, c := range []struct{ column, value string }{
		{"owner", string(q.Owner)}, {"agent_id", string(q.Agent)}, {"batch_id", string(q.Batch)}, {"model", q.Model}, {"provider", q.Provider}, {"state", string(q.State)},
	} {
		if c.value != "" {
			where = append(where, c.column+" = "+args.add(c.value))
		}
	}
	if !q.From.IsZero() {
		where = append(where, "created_us >= "+args.add(micros{&q.From}))
	}
	if !q.Until.IsZero() {
		where = append(where, "created_us < "+args.add(micros{&q.Until}))
	}
	if q.Before != "" {
		where = append(where, "id < "+args.add(q.Before))
	}
	query := taskSelection + " where " + strings.Join(where, " and ") + " order by id desc limit " + args.add(q.Limit)
	err = db.dialect.read(ctx, tenant(q.Org), func(x tx) error {
		list, err = readTasks(ctx, x, query, args...)
		return err
	})
	return list, err
}

func readTasks(ctx context.Context, x tx, query string, args ...any) (list []tasks.Task, err error) {
	err = x.each(ctx, func(scan func(...any) error) error {
		var t tasks.Task
		if err := scan(taskInto(&t)...); err != nil {
			return fmt.Errorf("read a task: %w", err)
		}
		list = append(list, t)
		return nil
	}, query, args...)
	return list, err
}

// LoadTask gives a task with what it takes to run it. It is gone if it is a person's who is disabled, or was deleted.
func (db *DB) LoadTask(ctx context.Context, org, id tenancy.ID) (l *tasks.Loaded, err error) {
	err = db.dialect.read(ctx, tenant(org).inBackground().again(), func(x tx) error {
		l = &tasks.Loaded{Task: &tasks.Task{}}
		if err := x.one(ctx, taskInto(l.Task), taskSelection+` where org_id = $1 and id = $2 and archived_us = 0`, org, id); err != nil {
			return err
		}
		if err := x.one(ctx, []any{&l.Request}, `select request from task_contents where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		if l.As.Key != "" { // whether it opens anything, the data plane knows
			err := x.one(ctx, []any{digest{&l.Hash}}, `select hash from keys where org_id = $1 and id = $2 and deleted_us = 0`, org, l.As.Key)
			if errors.Is(err, tenancy.ErrNotFound) {
				return nil
			}
			return err
		}
		err := x.one(ctx, []any{&l.Gone}, `select disabled from users where org_id = $1 and id = $2`, org, l.As.User)
		if errors.Is(err, tenancy.ErrNotFound) {
			l.Gone, err = true, nil
		}
		return err
	})
	return l, err
}

// Advance writes a task as it is now, if it still has the revision t.Rev, and raises that; with what happened, with the sealed
// answer if there is one, and with a wake-up if it is pending. False: it was changed meanwhile, and nothing was written.
func (db *DB) Advance(ctx context.Context, t *tasks.Task, happened []tasks.Progress, answer string) (done bool, err error) {
	err = db.waking(ctx, tenant(t.Org), func(x tx, wake func(...tasks.Job)) error {
		done, err = advance(ctx, x, t, happened, answer, wake)
		return err
	})
	if err != nil {
		return false, err
	}
	if done {
		t.Rev++
	}
	return done, nil
}

// advance is Advance within a transaction. t.Rev stays as it is.
func advance(ctx context.Context, x tx, t *tasks.Task, happened []tasks.Progress, answer string, wake func(...tasks.Job)) (bool, error) {
	args := arguments{t.Org, t.ID, t.Rev}
	sets := []string{"rev = rev + 1"}
	for _, c := range taskColumns(t) {
		if !c.fixed {
			value, _, err := flat(c.at)
			if err != nil {
				return false, fmt.Errorf("store %s of a task: %w", c.name, err)
			}
			sets = append(sets, c.name+" = "+args.add(value))
		}
	}
	if !t.Stopping.IsZero() {
		sets = append(sets, "stopping_us = "+args.add(micros{&t.Stopping}))
	}
	n, err := x.exec(ctx, `update tasks set `+strings.Join(sets, ", ")+` where org_id = $1 and id = $2 and rev = $3`, args...)
	if err != nil || n == 0 {
		return false, err
	}
	if err := insertProgress(ctx, x, t, happened); err != nil {
		return false, err
	}
	if answer != "" {
		if _, err = x.exec(ctx, `update task_contents set answer = $3 where org_id = $1 and id = $2`, t.Org, t.ID, answer); err != nil {
			return false, err
		}
	}
	switch {
	case t.State == tasks.Pending:
		next := *t
		next.Rev++
		wake(next.Job())
	case t.State.Over() && t.Batch != "":
		err = itemEnded(ctx, x, t, wake)
	case t.State.Over():
		err = emit(ctx, x, wake, t.Notice())
	}
	return err == nil, err
}

// StopTask asks a task to end, for somebody: one that waits has ended with it, one that runs is ended by its node, which looks for
// it. It gives the task as it is then; one that has ended already is given as it is.
func (db *DB) StopTask(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (t tasks.Task, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	err = db.waking(ctx, tenant(org), func(x tx, wake func(...tasks.Job)) error {
		// Nobody else changes it from here on: on SQLite nobody writes beside us, on Postgres the row is locked.
		if _, err := x.exec(ctx, `update tasks set stopping_us = stopping_us where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		if err := x.one(ctx, taskInto(&t), taskSelection+` where org_id = $1 and id = $2 and archived_us = 0`, org, id); err != nil {
			return err
		}
		p, stops := t.StopBy(now)
		if !stops {
			return nil
		}
		if err := stop(ctx, x, &t, p, wake); err != nil {
			return err
		}
		log := trail{by: by, at: now}
		log.add(org, tenancy.ActionCancelTask, tenancy.AuditObject{Kind: "task", ID: id, Name: t.Model}, difference{})
		return log.write(ctx, x, tenant(org))
	})
	return t, err
}

// stop writes that a task was asked to end. The revision of one that runs stays: its node has that, and must find it so.
func stop(ctx context.Context, x tx, t *tasks.Task, p tasks.Progress, wake func(...tasks.Job)) error {
	if t.State == tasks.Running {
		_, err := x.exec(ctx, `update tasks set stopping_us = $3 where org_id = $1 and id = $2`, t.Org, t.ID, micros{&t.Stopping})
		return err
	}
	done, err := advance(ctx, x, t, []tasks.Progress{p}, "", wake)
	if err == nil && !done {
		return tenancy.ErrStale
	}
	t.Rev++
	return err
}

// Stopping are the tasks that run on a node and were asked to end.
func (db *DB) Stopping(ctx context.Context, node tenancy.ID) (ids []tenancy.ID, err error) {
	err = db.dialect.read(ctx, system.inBackground(), func(x tx) error {
		ids = nil
		return x.each(ctx, func(scan func(...any) error) error {
			var id tenancy.ID
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, `select id from tasks where node = $1 and state = 'running' and stopping_us > 0`, node)
	})
	return ids, err
}

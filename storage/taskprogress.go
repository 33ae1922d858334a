package storage

import (
	"context"
	"strings"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// progressFields are the columns of a line of a task's history.
func progressFields() []field {
	return []field{{"org_id", textual}, {"task_id", textual}, {"seq", number}, {"at_us", number}, {"kind", textual}, {"detail", textual}, {"tokens", number}}
}

func progressRow(t *tasks.Task, p *tasks.Progress) []any {
	return []any{string(t.Org), string(t.ID), p.Seq, toMicros(p.At), string(p.Kind), clean(p.Detail, len(p.Detail)), p.Tokens}
}

// insertProgress writes lines of a task's history. One that is there already is the same one.
func insertProgress(ctx context.Context, x tx, t *tasks.Task, happened []tasks.Progress) error {
	rows := make([][]any, 0, len(happened))
	for i := range happened {
		if happened[i].Seq > 0 {
			rows = append(rows, progressRow(t, &happened[i]))
		}
	}
	_, err := x.bulk(ctx, "task_progress", progressFields(), " on conflict (task_id, seq) do nothing", rows)
	return err
}

// AppendProgress writes what happened of a task that runs at the revision t.Rev. False: it does so no more, and nothing was written.
func (db *DB) AppendProgress(ctx context.Context, t *tasks.Task, happened []tasks.Progress) (ours bool, err error) {
	err = db.dialect.write(ctx, tenant(t.Org).again(), func(x tx) error {
		// The lock keeps the task as it is until the lines are written.
		n, err := x.exec(ctx, `update tasks set seq = $4 where org_id = $1 and id = $2 and rev = $3 and state = 'running'`, t.Org, t.ID, t.Rev, happened[len(happened)-1].Seq)
		if ours = err == nil && n == 1; !ours {
			return err
		}
		return insertProgress(ctx, x, t, happened)
	})
	return ours, err
}

// Progress gives the history of a task after a number, in its order, with or without its tokens.
func (db *DB) Progress(ctx context.Context, org, id tenancy.ID, after int64, tokens bool, most int) (list []tasks.Progress, err error) {
	only := ""
	if !tokens {
		only = ` and kind <> '` + string(tasks.WasAnswered) + `'`
	}
	err = db.dialect.read(ctx, tenant(org).again(), func(x tx) error {
		list = nil
		return x.each(ctx, func(scan func(...any) error) error {
			var p tasks.Progress
			if err := scan(&p.Seq, micros{&p.At}, (*string)(&p.Kind), &p.Detail, &p.Tokens); err != nil {
				return err
			}
			list = append(list, p)
			return nil
		}, `select seq, at_us, kind, detail, tokens from task_progress where org_id = $1 and task_id = $2 and seq > $3`+only+` order by seq limit $4`, org, id, after, most)
	})
	return list, err
}

// Seqs gives how far the histories of tasks have got, whosever they are.
func (db *DB) Seqs(ctx context.Context, ids []tenancy.ID) (seqs map[tenancy.ID]int64, err error) {
	var args arguments
	places := make([]string, 0, len(ids))
	for _, id := range ids {
		places = append(places, args.add(id))
	}
	seqs = make(map[tenancy.ID]int64, len(ids))
	err = db.dialect.read(ctx, system.inBackground(), func(x tx) error {
		return x.each(ctx, func(scan func(...any) error) error {
			var id tenancy.ID
			var seq int64
			err := scan(&id, &seq)
			seqs[id] = seq
			return err
		}, `select id, seq from tasks where id in (`+strings.Join(places, ", ")+`)`, args...)
	})
	return seqs, err
}

package storage

import (
	"context"
	"errors"
	"sync"
	"time"
)

// grain is how an hour or a day is made of what is shorter.
type grain struct {
	name, table, from string
	length            int64
	above             string // the grain that is made of it; empty: none
}

func grains() []grain {
	return []grain{
		{"hour", "usage_hours", "usage_minutes", hour, "day"},
		{"day", "usage_days", "usage_hours", day, ""},
	}
}

// mark is what is known of what a node has changed.
type mark struct {
	node string
	mark int64
}

// sum makes all hours anew that are over and due, and then the days.
func (w *summer) sum(ctx context.Context, now time.Time) error {
	over := toMicros(now.Add(-sumAfter))
	for _, g := range grains() {
		for more := true; more && w.lease.held; {
			due, err := w.due(ctx, g, floor(over, g.length))
			if err != nil {
				return err
			}
			more = len(due) == sumsAtOne
			for _, at := range due {
				switch err := w.make(ctx, g, at); {
				case errors.Is(err, errChanged):
					more = false // it goes on to change: the next turn finds it
				case err != nil:
					return notHeld(err)
				}
			}
		}
	}
	return nil
}

// due finds hours or days before a time whose sums are old. A day is not made before all its hours are.
func (w *summer) due(ctx context.Context, g grain, before int64) (list []int64, err error) {
	err = w.db.dialect.read(ctx, system, func(t tx) error {
		list = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var from int64
			err := scan(&from)
			list = append(list, from)
			return err
		}, `select distinct from_us from usage_due d where grain = $1 and from_us < $2
			and not exists (select 1 from usage_due h where $1 = 'day' and h.grain = 'hour' and h.from_us >= d.from_us and h.from_us < d.from_us + `+dayText+`)
			order by from_us limit $3`, g.name, before, sumsAtOne)
	})
	return list, err
}

// dayText is the length of a day in a statement.
const dayText = "86400000000"

// errChanged says that what a sum was made of has changed meanwhile.
var errChanged = errors.New("what is summed goes on to change")

// make makes one hour or day anew. It reads and adds up first, and writes only if nothing has changed since: nobody waits
// for it meanwhile.
func (w *summer) make(ctx context.Context, g grain, at int64) error {
	var marks []mark
	var all *sums
	err := w.beating(ctx, func() error {
		return w.db.dialect.read(ctx, system, func(t tx) (err error) {
			if marks, err = readMarks(ctx, t, g, at); err != nil {
				return err
			}
			all, err = readSums(ctx, t, g, at)
			return err
		})
	})
	if err != nil {
		return err
	}
	var rows [][]any
	for p, v := range all.of {
		rows = append(rows, v.row(p))
	}
	return w.db.dialect.write(ctx, system.inBackground(), func(t tx) error {
		if err := w.lease.beat(ctx, t); err != nil {
			return err
		}
		for _, m := range marks {
			n, err := t.exec(ctx, `delete from usage_due where grain = $1 and from_us = $2 and node = $3 and mark = $4`, g.name, at, m.node, m.mark)
			if err == nil && n == 0 {
				return errChanged
			}
			if err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `delete from `+g.table+` where from_us = $1`, at); err != nil {
			return err
		}
		if _, err := t.bulk(ctx, g.table, append(groupFields(), sumFields()...), "", rows); err != nil {
			return err
		}
		if g.above == "" {
			return nil
		}
		return markDue(ctx, t, [][]any{{g.above, floor(at, day), "", int64(1)}})
	})
}

// beating runs f, which may take longer than the lease may be silent, and says meanwhile that this node is there.
func (w *summer) beating(ctx context.Context, f func() error) error {
	if w.lease.alone {
		return f()
	}
	ctx, cancel := context.WithCancel(ctx)
	of := w.lease // what happens to it meanwhile, the next write finds out
	var beats sync.WaitGroup
	beats.Go(func() {
		tick := time.NewTicker(sealEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = w.db.dialect.write(ctx, leader, func(t tx) error { return of.beat(ctx, t) }) // if it fails, the next one may not
			}
		}
	})
	defer func() {
		cancel()
		beats.Wait()
	}()
	return f()
}

func readMarks(ctx context.Context, t tx, g grain, at int64) (marks []mark, err error) {
	err = t.each(ctx, func(scan func(...any) error) error {
		var m mark
		err := scan(&m.node, &m.mark)
		marks = append(marks, m)
		return err
	}, `select node, mark from usage_due where grain = $1 and from_us = $2 order by node`, g.name, at)
	return marks, err
}

// readSums adds up what an hour or a day is made of.
func readSums(ctx context.Context, t tx, g grain, at int64) (*sums, error) {
	all := &sums{newMerger(), map[place]*sum{}}
	p := place{from: at}
	var v sum
	var id string
	var from int64
	var total, first []byte
	into := append([]any{&p.org, &from, &id, &p.team, &p.user, &p.key, &p.route, &p.provider, &p.model, &p.tagKey, &p.tagValue}, v.added()...)
	into = append(into, &total, &first)
	err := t.each(ctx, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		one := all.at(p)
		for i, n := range one.added() {
			*n.(*int64) += *v.added()[i].(*int64)
		}
		return all.merge(one, total, first)
	}, `select `+names(append(groupFields(), sumFields()...))+` from `+g.from+` where from_us >= $1 and from_us < $2`, at, at+g.length)
	return all, err
}

package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// writers is a file with a table, for those who write together.
type writers struct {
	*liteDB
	t     *testing.T
	after func(err error) // what each of a crowd does at once when it has been told
}

func newWriters(t *testing.T) *writers {
	t.Helper()
	db, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "vel.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.close(); err != nil {
			t.Error(err)
		}
	})
	w := &writers{db, t, func(error) {}}
	for _, statement := range []string{`create table parent (id bigint primary key)`, `create table child (id bigint references parent (id) deferrable initially deferred)`} {
		if err := w.add(statement); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *writers) add(statement string, args ...any) error {
	return w.write(context.Background(), system, func(t tx) error {
		_, err := t.exec(context.Background(), statement, args...)
		return err
	})
}

// kept is what the file has, in order.
func (w *writers) kept() (ids []int64) {
	w.t.Helper()
	err := w.read(w.t.Context(), system, func(t tx) error {
		return t.each(w.t.Context(), func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, `select id from parent order by id`)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// crowd lets the writers 1 to n wait for their turns, lets them go, and gives their errors and the transactions that
// they wrote in. body is what each does; what it panics with is its error.
func (w *writers) crowd(n int, ctx func(i int) context.Context, body func(i int, t tx) error) (errs []error, in []*sql.Tx) {
	w.t.Helper()
	if err := w.turns.take(w.t.Context(), false); err != nil {
		w.t.Fatal(err)
	}
	errs, in = make([]error, n+1), make([]*sql.Tx, n+1)
	ended := make(chan struct{})
	for i := 1; i <= n; i++ {
		go func() {
			defer func() {
				if reason := recover(); reason != nil {
					errs[i] = fmt.Errorf("panic: %v", reason)
				}
				ended <- struct{}{}
			}()
			errs[i] = w.write(ctx(i), system, func(t tx) error {
				in[i] = t.(liteTx).Tx
				return body(i, t)
			})
			w.after(errs[i])
		}()
		w.waiting(i)
	}
	w.turns.give()
	for range n {
		<-ended
	}
	return errs[1:], in[1:]
}

// waiting waits until n stand in the line.
func (w *writers) waiting(n int) {
	for {
		w.turns.mu.Lock()
		there := len(w.turns.waiting[0])
		w.turns.mu.Unlock()
		if there == n {
			return
		}
		runtime.Gosched()
	}
}

func insert(i int, t tx) error {
	_, err := t.exec(context.Background(), `insert into parent values ($1)`, i)
	return err
}

// TestWritersShareACommit: who waits at the same time is written together, as many as may be.
func TestWritersShareACommit(t *testing.T) {
	t.Parallel()
	w := newWriters(t)
	const n = mostTogether + 10
	errs, in := w.crowd(n, func(int) context.Context { return context.Background() }, insert)
	for i, err := range errs {
		if err != nil {
			t.Errorf("writer %d: %v", i+1, err)
		}
	}
	if got := w.kept(); len(got) != n {
		t.Errorf("%d rows are kept of %d", len(got), n)
	}
	for i := range in {
		if together := in[i] == in[0]; together != (i < mostTogether) {
			t.Errorf("writer %d shares the first one's commit: %v", i+1, together)
		}
	}
}

// TestWritersFailApart: of those who are written together one fails, one panics, one has left; nothing is left of them,
// and nothing of the others is lost.
func TestWritersFailApart(t *testing.T) {
	t.Parallel()
	w := newWriters(t)
	w.after = func(err error) {
		if errors.As(err, new(*tenancy.Taken)) && !slices.Contains(w.kept(), 1) {
			t.Errorf("%v is told before what it comes of can be seen", err)
		}
	}
	left, leave := context.WithCancel(t.Context())
	errs, in := w.crowd(6, func(i int) context.Context {
		if i == 4 {
			return left
		}
		return context.Background()
	}, func(i int, t tx) error {
		if err := insert(i, t); err != nil {
			return err
		}
		switch i {
		case 2:
			leave() // too late for the fourth to be taken out of the line at once
			return insert(1, t)
		case 3:
			panic("out of it")
		}
		return nil
	})
	var taken *tenancy.Taken
	if !errors.As(errs[1], &taken) || errs[2] == nil || errs[2].Error() != "panic: out of it" {
		t.Errorf("errors %v", errs)
	}
	want := []int64{1, 4, 5, 6}
	if errs[3] != nil { // it left before its turn came
		want = []int64{1, 5, 6}
	}
	if got := w.kept(); !slices.Equal(got, want) {
		t.Errorf("rows %v are kept, want %v; errors %v", got, want, errs)
	}
	if in[0] != in[5] {
		t.Error("they were not written together, and the test proves nothing")
	}
	if err := w.add(`insert into parent values (7)`); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestCommitFailsForAll: nobody is told of success before the commit.
func TestCommitFailsForAll(t *testing.T) {
	t.Parallel()
	w := newWriters(t)
	errs, _ := w.crowd(3, func(int) context.Context { return context.Background() }, func(i int, t tx) error {
		if i == 2 { // a fault that only the commit finds
			_, err := t.exec(context.Background(), `insert into child values (100)`)
			return err
		}
		return insert(i, t)
	})
	for i, err := range errs {
		if err == nil {
			t.Errorf("writer %d was told of success", i+1)
		}
	}
	if got := w.kept(); len(got) > 0 {
		t.Errorf("rows %v are kept", got)
	}
	if err := w.add(`insert into parent values (7)`); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestBrokenGroup: where SQLite gave a transaction up, those who wrote in it before fail, and the next ones begin anew.
func TestBrokenGroup(t *testing.T) {
	t.Parallel()
	w := newWriters(t)
	errs, _ := w.crowd(3, func(int) context.Context { return context.Background() }, func(i int, t tx) error {
		if i == 2 {
			_, err := t.exec(context.Background(), `insert or rollback into parent values (1)`)
			return err
		}
		return insert(i, t)
	})
	away := new(*tenancy.Unavailable)
	if !errors.As(errs[0], away) || !errors.As(errs[1], away) || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
	if got := w.kept(); !slices.Equal(got, []int64{3}) {
		t.Errorf("rows %v are kept", got)
	}
}

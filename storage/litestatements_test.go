package storage_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/vel-gateway/vel/storage"
)

// A connection that keeps its statements answers as one that does not: where a statement runs within its own rows, where its table
// changes between two runs, after a failure, and beyond what may be kept.
func TestKeptStatements(t *testing.T) {
	t.Parallel()
	db, err := storage.OpenLite("file:" + filepath.Join(t.TempDir(), "kept.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	db.SetMaxOpenConns(1)
	exec := func(text string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	exec(`create table t (a integer primary key)`)
	for i := range 3 {
		exec(`insert into t values ($1)`, i)
	}
	if _, err := db.ExecContext(t.Context(), `insert into t values ($1)`, 1); err == nil {
		t.Error("a key is there twice")
	}
	exec(`insert into t values ($1)`, 3)

	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const above = `select a from t where a > $1 order by a`
	var seen []int
	rows, err := tx.QueryContext(t.Context(), above, 0)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var a, next int
		if err := rows.Scan(&a); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, a)
		if err := tx.QueryRowContext(t.Context(), above, a).Scan(&next); err == nil {
			seen = append(seen, next)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 2, 3, 3}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("within its own rows: %v, want %v", seen, want)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}

	const all = `select * from t`
	if err := db.QueryRowContext(t.Context(), all).Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	exec(`alter table t add column b text default 'b'`)
	count := func(text string) (n int) {
		t.Helper()
		rows, err := db.QueryContext(t.Context(), text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		for rows.Next() {
			n++
		}
		if err != nil || rows.Err() != nil || len(columns) != 2 {
			t.Errorf("%s: %v, %v, %v", text, columns, err, rows.Err())
		}
		return n
	}
	if n := count(all); n != 4 {
		t.Errorf("after its table has changed: %d rows", n)
	}
	for i := range 2 * storage.MostKept {
		if n := count(fmt.Sprintf(`select a, %d from t`, i)); n != 4 {
			t.Fatalf("statement %d: %d rows", i, n)
		}
	}
}

package storage

import (
	"context"
	"fmt"
	"strings"
)

// Many rows at once. Postgres takes them as one array for each column, which is the fastest way that row-level security
// allows; SQLite takes one after the other by a statement that is prepared once.

func names(fields []field) string {
	all := make([]string, len(fields))
	for i := range fields {
		all[i] = fields[i].name
	}
	return strings.Join(all, ", ")
}

func (t pgTx) bulk(ctx context.Context, into string, fields []field, then string, rows [][]any) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	args := make([]any, len(fields))
	places := make([]string, len(fields))
	for i, f := range fields {
		places[i] = fmt.Sprintf("$%d::%s[]", i+1, f.kind)
		switch f.kind {
		case textual:
			args[i] = columnOf[string](rows, i)
		case number:
			args[i] = columnOf[int64](rows, i)
		case truth:
			args[i] = columnOf[bool](rows, i)
		default:
			args[i] = columnOf[[]byte](rows, i)
		}
	}
	return t.exec(ctx, `insert into `+into+` (`+names(fields)+`) select * from unnest(`+strings.Join(places, ", ")+`)`+then, args...)
}

func columnOf[T any](rows [][]any, i int) []T {
	column := make([]T, len(rows))
	for n := range rows {
		column[n] = rows[n][i].(T)
	}
	return column
}

func (t pgTx) joined(a, b string) string { return a + " || " + b }

func (t liteTx) bulk(ctx context.Context, into string, fields []field, then string, rows [][]any) (n int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	ctx = t.within(ctx)
	places := strings.Repeat(", ?", len(fields))[2:]
	s, err := t.PrepareContext(ctx, `insert into `+into+` (`+names(fields)+`) values (`+places+`)`+then)
	if err != nil {
		return 0, liteFault(err)
	}
	defer func() { _ = s.Close() }() // nothing is left of it
	for _, row := range rows {
		res, err := s.ExecContext(ctx, row...)
		if err != nil {
			return n, liteFault(err)
		}
		one, err := res.RowsAffected()
		if err != nil {
			return n, err
		}
		n += one
	}
	return n, nil
}

// joined makes one value of two: what SQLite joins is text, and stays what it was only when it says so.
func (t liteTx) joined(a, b string) string { return "cast(" + a + " || " + b + " as blob)" }

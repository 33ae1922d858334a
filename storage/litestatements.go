package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"modernc.org/sqlite"
)

// SQLite reads the text of a statement each time that it runs one, which takes longer than most of ours do. So each connection keeps
// what it has prepared, by its text.

// mostKept is how many statements a connection keeps, and longestKept how long a text may be: one with a place for each of a hundred
// rows is seldom asked again.
const (
	mostKept    = 256
	longestKept = 4 << 10
)

// openLite opens a file with connections that keep their statements.
func openLite(name string) (*sql.DB, error) {
	base, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keepingConnector{base}), nil
}

type keepingConnector struct{ driver.Connector }

// Connect is driver.Connector's.
func (c keepingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &keeping{liteConn: conn.(liteConn), kept: map[string]*keptStatement{}}, nil
}

// liteConn is what a connection of SQLite can do.
type liteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keeping is a connection that keeps what it has prepared. As every connection it has one user at a time.
type keeping struct {
	liteConn
	kept map[string]*keptStatement
}

// keptStatement is a statement that may run again when its rows are closed.
type keptStatement struct {
	liteStatement
	runs bool
}

// liteStatement is what a statement of SQLite can do.
type liteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement gives the statement of a text, to be given back; nil: it is not kept, or runs already.
func (k *keeping) statement(ctx context.Context, text string) (*keptStatement, error) {
	s := k.kept[text]
	if s != nil && s.runs || len(text) > longestKept {
		return nil, nil
	}
	if s == nil {
		made, err := k.PrepareContext(ctx, text)
		if err != nil {
			return nil, err
		}
		s = &keptStatement{liteStatement: made.(liteStatement)}
		if err := k.makeRoom(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		k.kept[text] = s
	}
	s.runs = true
	return s, nil
}

// makeRoom ends a statement where as many are kept as may be: any one, for those that are asked often come back.
func (k *keeping) makeRoom() error {
	if len(k.kept) < mostKept {
		return nil
	}
	for text, s := range k.kept {
		if !s.runs {
			delete(k.kept, text)
			return s.Close()
		}
	}
	return nil
}

// ExecContext is driver.ExecerContext's.
func (k *keeping) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.liteConn.ExecContext(ctx, text, args)
	}
	defer func() { s.runs = false }()
	return s.ExecContext(ctx, args)
}

// QueryContext is driver.QueryerContext's.
func (k *keeping) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.liteConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		s.runs = false
		return nil, err
	}
	return &keptRows{rows, s}, nil
}

// Close ends the connection, and what it keeps before.
func (k *keeping) Close() error {
	var errs []error
	for _, s := range k.kept {
		errs = append(errs, s.Close())
	}
	clear(k.kept)
	return errors.Join(append(errs, k.liteConn.Close())...)
}

// keptRows are rows of a statement that is kept.
type keptRows struct {
	driver.Rows
	of *keptStatement
}

// Close lets the statement run again.
func (r *keptRows) Close() error {
	r.of.runs = false
	return r.Rows.Close()
}

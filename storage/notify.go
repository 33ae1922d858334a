package storage

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// errPooled says that a pooler stands between us and Postgres: what we would listen to there, somebody else would hear.
var errPooled = errors.New("a pooler is in between; set database_direct to hear of changes at once")

// listen waits for the notice that a trigger sends with every change of the configuration. It returns when the
// connection ends.
func (db *pgDB) listen(ctx context.Context, woken func()) error {
	conn, err := pgx.Connect(ctx, db.direct)
	if err != nil {
		return pgFault(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var pid uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return pgFault(err)
	}
	if pid != conn.PgConn().PID() {
		return errPooled
	}
	if _, err := conn.Exec(ctx, `listen vel_config`); err != nil {
		return pgFault(err)
	}
	woken() // what was changed before is not told again
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return pgFault(err)
		}
		woken()
	}
}

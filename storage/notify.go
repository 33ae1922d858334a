package storage

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// How long we wait before we try to listen again: twice as long after each failure.
const (
	relistenFirst = 250 * time.Millisecond
	relistenMost  = 10 * time.Second
)

// hear passes on what the database tells of changes, until ctx ends. What it misses, the poll finds.
func (db *DB) hear(ctx context.Context, heard chan<- struct{}) {
	wait := relistenFirst
	for {
		err := db.dialect.listen(ctx, func() {
			wait = relistenFirst
			select {
			case heard <- struct{}{}:
			default: // there is one waiting
			}
		})
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errPooled):
			db.log.Info("changes of other nodes are polled for every second", "reason", err)
			return
		case wait == relistenFirst:
			db.log.Warn("the database tells of no changes; they are polled for meanwhile", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, relistenMost)
	}
}

// errPooled says that a pooler stands between us and Postgres: what we would listen to there, somebody else would hear.
var errPooled = errors.New("a pooler is in between; set database_direct to hear of changes at once")

// listen waits for the notice that a trigger sends with every change of the configuration. It returns when the
// connection ends.
func (db *pgDB) listen(ctx context.Context, woken func()) error {
	conn, err := pgx.ConnectConfig(ctx, db.direct.Copy())
	if err != nil {
		return pgFault(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
		defer cancel()
		_ = conn.Close(ctx) // it is of no more use, however it ends
	}()
	if err := unpooled(ctx, conn); err != nil {
		return err
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

// unpooled tells by errPooled whether a pooler is between a connection and the server: then nothing is heard on it.
func unpooled(ctx context.Context, conn *pgx.Conn) error {
	var pid uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return pgFault(err)
	}
	if pid != conn.PgConn().PID() {
		return errPooled
	}
	return nil
}

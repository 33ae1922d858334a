package storage

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/vel-gateway/vel/tenancy"
)

// A commit waits for the disk, and a hundred writers one after the other would wait a hundred times. So whoever has the
// turn and sees others wait leaves the transaction open for the next one; the last of them commits for all. Each has a
// savepoint of its own. Nobody is told anything before the commit, not of a failure either: it may come of what another
// has written, which nobody else could see yet.

// liteGroup is a transaction that several writers share.
type liteGroup struct {
	tx      *sql.Tx
	writers int
	done    chan struct{} // closed when it is over
	err     error         // of the commit, or of what broke it before; whoever has the turn writes it
}

// mostTogether is how many writers share a transaction: the first of them waits for the last.
const mostTogether = 64

func (db *liteDB) write(ctx context.Context, as scope, f func(tx) error) error {
	if !wellFormed(as.org) {
		return tenancy.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := db.turns.take(ctx, as.behind); err != nil {
		return liteFault(err)
	}
	g, err := db.join(ctx, f)
	if g == nil {
		return err
	}
	<-g.done
	return cmp.Or(g.err, err)
}

// join runs f in the group that is open, or in a new one, and gives the turn away. Without a group nothing was written.
// It is called with the turn.
func (db *liteDB) join(ctx context.Context, f func(tx) error) (*liteGroup, error) {
	defer db.handOn()
	if err := ctx.Err(); err != nil {
		return nil, liteFault(err)
	}
	if db.group != nil && db.group.err != nil {
		db.commit()
	}
	if db.group == nil {
		t, err := db.writer.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return nil, liteFault(err)
		}
		db.group = &liteGroup{tx: t, done: make(chan struct{})}
	}
	g := db.group
	g.writers++
	return g, g.apart(f)
}

// apart runs f so that nothing is left of it if it fails, or panics.
func (g *liteGroup) apart(f func(tx) error) error {
	t := liteTx{g.tx, true}
	ctx := context.Background()
	if _, g.err = t.exec(ctx, `savepoint writer`); g.err != nil {
		return g.err
	}
	ended := `rollback to writer; release writer`
	defer func() {
		// SQLite gives up all of a transaction where the disk is full or fails: then there is nothing to go back to.
		if _, err := t.exec(ctx, ended); err != nil {
			g.err = &tenancy.Unavailable{Cause: err}
		}
	}()
	if err := f(t); err != nil {
		return err
	}
	ended = `release writer`
	return nil
}

// handOn gives the turn, and the group with it, to the next one who waits for an answer; where there is none, or the
// group is full, it commits first.
func (db *liteDB) handOn() {
	if db.group != nil && db.group.writers < mostTogether && db.turns.giveUrgent() {
		return
	}
	db.commit()
	db.turns.give()
}

// commit ends the group that is open. It is called with the turn.
func (db *liteDB) commit() {
	g := db.group
	if g == nil {
		return
	}
	db.group = nil
	if g.err == nil {
		g.err = liteFault(g.tx.Commit())
	}
	if g.err != nil {
		_ = g.tx.Rollback() // nothing of it is kept
	}
	close(g.done)
}

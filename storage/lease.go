package storage

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// lease is the right to do what only one node may do at a time. Its row is in the database, and nothing of it in a
// session, so that it works through a pooler.
//
// Its holder raises beat, at least once a second, in the transactions that it does its work in: who has lost the lease
// changes nothing any more. Who waits for it looks at beat, and takes the lease over when that has stood still for
// leaseLife by its own clock: no two clocks are compared.
type lease struct {
	name   string
	holder tenancy.ID
	held   bool
	alone  bool // no other process can have the database open: whoever holds the lease is gone

	seen  int64     // the beat that was seen last
	since time.Time // and since when
}

// leaseLife is how long a holder may be silent.
const leaseLife = 3 * time.Second

// errNotHeld says that somebody else holds the lease.
var errNotHeld = errors.New("another node holds the lease")

func (db *DB) lease(name string) lease {
	_, alone := db.dialect.(*liteDB)
	return lease{name: name, holder: tenancy.NewID("node"), alone: alone}
}

// beat renews the lease within a transaction, and locks it until that ends: whoever takes it over waits.
func (l *lease) beat(ctx context.Context, t tx) error {
	n, err := t.exec(ctx, `update leases set beat = beat + 1 where name = $1 and holder = $2`, l.name, l.holder)
	if err == nil && n == 0 {
		l.held = false
		return errNotHeld
	}
	return err
}

// take takes the lease if it is free, or its holder is silent.
func (l *lease) take(ctx context.Context, db *DB, now time.Time) error {
	var holder tenancy.ID
	var beat int64
	err := db.dialect.read(ctx, leader, func(t tx) error {
		return t.one(ctx, []any{&holder, &beat}, `select holder, beat from leases where name = $1`, l.name)
	})
	if err != nil {
		return err
	}
	if beat != l.seen || l.since.IsZero() {
		l.seen, l.since = beat, now
	}
	if holder != "" && !l.alone && now.Sub(l.since) < leaseLife {
		return nil
	}
	return db.dialect.write(ctx, leader.again(), func(t tx) error {
		n, err := t.exec(ctx, `update leases set holder = $1, beat = beat + 1 where name = $2 and beat = $3`, l.holder, l.name, l.seen)
		l.held = err == nil && n == 1
		return err
	})
}

// resign gives the lease back, so that nobody has to wait.
func (l *lease) resign(ctx context.Context, db *DB) error {
	l.held = false
	return db.dialect.write(ctx, leader, func(t tx) error {
		_, err := t.exec(ctx, `update leases set holder = '', beat = beat + 1 where name = $1 and holder = $2`, l.name, l.holder)
		return err
	})
}

package storage

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// OpenWith is Open by other migrations than those of this program.
func OpenWith(ctx context.Context, cfg Config, log *slog.Logger, scripts fs.FS) (*DB, error) {
	db, err := Connect(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	db.scripts = scripts
	if err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Scripts are the migrations of an engine.
var Scripts = embedded

// ErrPooled is what Listen says behind a pooler.
var ErrPooled = errPooled

// Listen calls woken after each change that another process makes.
func Listen(ctx context.Context, db *DB, woken func()) error { return db.dialect.listen(ctx, woken) }

// PageOfKeys is the query of a page of keys.
func PageOfKeys(db *DB, org tenancy.ID, p tenancy.Page) (query string, args []any) {
	_, query, args = db.keys().page(org, p)
	return query, args
}

// PageOfReplay is the query of a page of calls that are gone through once more.
func PageOfReplay(q accounting.ReplayQuery) (query string, args []any) { return replayQuery(&q) }

// Exec runs a statement on the connection that writes to SQLite.
func Exec(ctx context.Context, db *DB, statement string) error {
	_, err := db.dialect.(*liteDB).writer.ExecContext(ctx, statement)
	return err
}

// ChangeUntraced makes a change of the configuration that notes nothing.
func ChangeUntraced(ctx context.Context, db *DB) error {
	return db.change(ctx, tenant("org_a"), tenancy.Vel(), func(tx, int64, *trail) error { return nil })
}

// PrepareDay makes the partition of a day.
func PrepareDay(ctx context.Context, db *DB, day time.Time) error {
	return db.dialect.(*pgDB).prepareDay(ctx, dailyEvents(), day)
}

// PrepareDays makes the partitions around a day.
func PrepareDays(ctx context.Context, db *DB, day time.Time) error {
	return db.dialect.(*pgDB).prepareDays(ctx, day)
}

// Sketched is the encoded sketch of n durations.
func Sketched(n int) []byte {
	s := newSketcher().sketch()
	for i := range n {
		s.add(time.Duration(200+7*i) * time.Millisecond)
	}
	return s.encode()
}

// CallsQuery is the query of a page of calls without words.
func CallsQuery(q accounting.CallQuery) (query string, args []any) { return callsQuery(&q) }

// CallsByTime is a page of calls with words that is looked for in the order of time.
func CallsByTime(ctx context.Context, db *DB, q accounting.CallQuery) (list []accounting.Record, err error) {
	err = db.dialect.read(ctx, system, func(t tx) error {
		found, _, _, err := byTime(ctx, t, &q)
		for i := range found {
			if hasTerms(&found[i], termsFor(&q)) {
				list = append(list, found[i])
			}
		}
		return err
	})
	return list, err
}

// Wake puts jobs into the queue in one transaction, which is taken back if it fails.
func Wake(ctx context.Context, db *DB, fails error, jobs ...tasks.Job) error {
	return db.waking(ctx, tenant("org_1"), func(_ tx, wake func(...tasks.Job)) error {
		wake(jobs...)
		return fails
	})
}

// OpenLite opens a file of SQLite as the store does.
var OpenLite = openLite

// MostKept is how many statements a connection keeps.
const MostKept = mostKept

// NextItems is how the items are found that a batch begins next.
const NextItems = nextItems

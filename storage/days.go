package storage

import (
	"context"
	"time"
)

// daily is a table whose rows of a day are removed together.
type daily struct {
	table, column string // the column that says when
	ahead         int    // for how many days there is room before they come
	// wanted is a query that tells whether the rows between $1 and $2 are still needed; empty: they never are.
	wanted string
	only   string // a condition on those that are ever removed; empty: all are
}

// For how many days there is room before they come.
const (
	daysAhead     = 7
	callDaysAhead = 3
)

// dailyTables are all there are.
func dailyTables() []daily {
	return []daily{dailyEvents(), dailyCalls(), dailyContents(), dailyTerms(), dailyMinutes(), dailyLedger()}
}

// dailyEvents are needed until they are sealed and it is signed that they go.
func dailyEvents() daily {
	return daily{table: "audit_events", column: "time_us", ahead: daysAhead, wanted: `select exists (select 1 from audit_events e where e.time_us >= $1 and e.time_us < $2
		and (e.seal = 0 or not exists (select 1 from audit_heads h where h.org_id = e.org_id and h.kept_from_us > e.time_us)))`}
}

func dailyCalls() daily { return daily{table: "calls", column: "begun_us", ahead: callDaysAhead} }

func dailyContents() daily {
	return daily{table: "call_contents", column: "begun_us", ahead: callDaysAhead}
}

func dailyTerms() daily { return daily{table: "call_terms", column: "begun_us", ahead: callDaysAhead} }

func dailyMinutes() daily {
	return daily{table: "usage_minutes", column: "from_us", ahead: callDaysAhead}
}

func dailyLedger() daily { return daily{table: "ledger", column: "begun_us", ahead: callDaysAhead} }

// parted is a dialect that keeps the rows of each day apart, and so removes them at once.
type parted interface {
	// prepareDays makes room for the days of a time and of those around it.
	prepareDays(ctx context.Context, now time.Time) error
	// dropDays removes the days of a table before a time that are no longer needed.
	dropDays(ctx context.Context, of daily, before time.Time) error
}

// prepareDays makes room for the rows to come. Without it they are kept all the same, and take longer to remove.
func (db *DB) prepareDays(ctx context.Context, now time.Time) error {
	if p, ok := db.dialect.(parted); ok {
		return p.prepareDays(ctx, now)
	}
	return nil
}

// dropDays removes days of a table at once, where the engine can.
func (db *DB) dropDays(ctx context.Context, of daily, before time.Time) error {
	if p, ok := db.dialect.(parted); ok {
		return p.dropDays(ctx, of, before)
	}
	return nil
}

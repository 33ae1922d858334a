package accounting

import (
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// LedgerQuery asks for the totals of budgets.
type LedgerQuery struct {
	Org    tenancy.ID // empty: all, which only the platform may see
	Budget tenancy.ID // empty: all
	Since  time.Time  // windows that began at this time or later, and those for ever; zero: all
}

// LedgerTotal is what the ledger says of one budget in one window.
type LedgerTotal struct {
	Org, Budget tenancy.ID
	Window      time.Time  // its start; zero: for ever
	Entries     int64      // rows
	Held        money.Nano // before the calls
	Spent       money.Nano // after them, less what a person has forgiven
	Overrun     money.Nano // of it, what calls cost beyond what was held for them
}

// Overrun is a call that cost more than was held for it.
type Overrun struct {
	Call          tenancy.ID
	Begun         time.Time
	Held, Overrun money.Nano
}

package accounting

import (
	"time"

	"github.com/vel-gateway/vel/money"
)

// LimitUse is what is used now of one number in a Limits.
type LimitUse struct {
	Limit string // its word: rpm, in_flight, …
	Max   int64
	Used  int64
	Reset time.Duration // until nothing is used any more, if nothing more is; 0: at once, or it is not known
}

// BudgetUse is what the counters say of a budget in the window of now.
type BudgetUse struct {
	Spent   money.Nano // of calls that are over, also those that the ledger does not have yet
	Held    money.Nano // for calls under way
	Overrun money.Nano // of Spent, what calls cost beyond what was held for them, as far as the counters have seen it
	Cold    bool       // the counters do not know what was spent
}

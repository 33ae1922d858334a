package accounting

import (
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Scope says which calls of an organization a limit or a budget counts: all, or those of one team, user, key, route or tag.
// At most one member is set.
type Scope struct {
	Team, User, Key tenancy.ID
	Route           string // of limits only: a public model name
	Tag             Tag    // of budgets only
}

// Limits bound how fast the calls of a scope may come. There is one object for each scope. What is 0 is not limited.
type Limits struct {
	tenancy.Meta
	Scope          Scope
	RPM, RPH, RPD  int64 // requests a minute, hour and day
	TPM, TPH, TPD  int64 // tokens
	InFlight       int64 // calls at the same time
	Burst          int64 // requests that may come at once; 0: a tenth of RPM
	OnStoreFailure ratelimit.OnStoreFailure
}

// Budget bounds what the calls of a scope may cost in each window of the calendar. A scope may have several.
type Budget struct {
	tenancy.Meta
	Scope          Scope
	Max            money.Nano
	Per            ratelimit.Per // Hour, Day, Week, Month or Total
	Timezone       string        // where windows begin, a name of the IANA database; empty: UTC
	WarnAt         int           // percent of Max at which is warned; 0: nobody is
	Hard           bool          // calls beyond it are refused; otherwise it only warns
	OnStoreFailure ratelimit.OnStoreFailure
}

// Booking is what one call costs one budget in one window: a row of the ledger. The budget's law is
//
//	Σ Spent + Σ Held of calls under way ≤ Max + Σ Overrun
//
// where the overrun of a booking is what it spent beyond what was held for it.
type Booking struct {
	Budget tenancy.ID
	Window time.Time  // its start; zero: a budget for ever. A call belongs to the window in which it was admitted
	Held   money.Nano // before the call
	Spent  money.Nano // after it; of a record that has begun, nothing yet
}

package accounting

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// CallFilter narrows calls. What is empty narrows nothing.
type CallFilter struct {
	Org             tenancy.ID // empty: those of all organizations, which only the platform may see
	From, To        time.Time  // From <= Begun < To
	Team, User, Key tenancy.ID
	Route           string
	Provider, Model string
	Endpoint        string
	Tag             Tag    // with an empty value: any value of the key
	Class           string // how the call ended: a word of adapters.Class
	Failed          bool   // only those that did not end well
	Unpriced        bool   // only those of which the cost is not known
	Text            string // in a tag or in the error
}

// CallCursor is where a page of calls ended.
type CallCursor struct {
	Begun time.Time
	ID    tenancy.ID
}

// CallQuery asks for a page of calls, the newest first.
type CallQuery struct {
	CallFilter
	Before CallCursor // zero: from the newest
	Limit  int
}

// ReplayQuery asks for a page of calls with their attempts and decisions, the oldest first, for whoever goes through all of
// them. Texts are not searched.
type ReplayQuery struct {
	CallFilter
	After CallCursor // zero: from the oldest
	Every int        // only one of so many, evenly; 0: each
	Limit int
}

// Dimension is by what usage can be told apart.
type Dimension string

// The dimensions. A tag's is "tag:" and its key.
const (
	ByOrg      Dimension = "organization"
	ByTeam     Dimension = "team"
	ByUser     Dimension = "user"
	ByKey      Dimension = "key"
	ByRoute    Dimension = "route"
	ByProvider Dimension = "provider"
	ByModel    Dimension = "model" // provider and model
)

// Grain is how long the spans are that usage is summed over.
type Grain string

// The grains. Hours and days are those of UTC, as they are stored; a month is one of UTC too.
const (
	Whole   Grain = "" // the whole time that is asked for
	Minutes Grain = "minute"
	Hours   Grain = "hour"
	Days    Grain = "day"
	Months  Grain = "month"
)

// UsageQuery asks what was used. It is answered from sums, so only by what they are kept by.
type UsageQuery struct {
	Org             tenancy.ID // empty: all, which only the platform may see
	From, To        time.Time
	Team, User, Key tenancy.ID
	Route           string
	Provider, Model string
	Tag             Tag
	By              []Dimension // at most one of them a tag
	Grain           Grain
	Limit           int  // of rows; what was used most comes first in each span
	Plain           bool // latencies are not asked for: they take longer than sums
}

// UsageRow is what was used in one span of time by one group.
type UsageRow struct {
	From      time.Time // of the span; zero: of the whole
	Group     []string  // a value for each dimension that was asked for; of ByModel provider and model with a slash between
	Calls     int64
	Failed    int64 // of the calls, those that the provider or we failed; what the client caused is not among them
	Refused   int64 // of the calls, those that no provider was asked for
	Estimated int64
	Unpriced  int64
	Usage     adapters.Usage
	Cost      money.Nano
	Saved     money.Nano    // by the cache
	P50, P95  time.Duration // from the request to the end of the answer, within one percent; 0: no call ended well
	P99       time.Duration
	FirstP50  time.Duration // to the first token, likewise
	FirstP95  time.Duration
}

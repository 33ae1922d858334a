package accounting

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Level says whose a limit is.
type Level uint8

// The levels. What is of the house is a limit that a provider sets to its account.
const (
	OfOrganization Level = iota + 1
	OfTeam
	OfUser
	OfKey
	OfRoute
	OfTag
)

var levels = [...]string{"unknown", "organization", "team", "user", "key", "route", "tag"}

// String is the word for it.
func (l Level) String() string {
	if int(l) >= len(levels) {
		return levels[0]
	}
	return levels[l]
}

// Unit is what a limit counts.
type Unit uint8

// The units.
const (
	Requests Unit = iota + 1
	TokenUnits
	Places // calls under way
	Dollars
)

// measure is one limit of one scope, prepared once for each snapshot.
type measure struct {
	limit  *ratelimit.Limit
	unit   Unit
	level  Level
	tag    Tag     // of OfTag
	word   string  // of the number in a Limits: rpm, in_flight, …
	budget *Budget // nil: it is no money
	watch  *watch  // of the budget
}

// watch is what is known of a budget beside its counter. It outlives snapshots.
type watch struct {
	touched atomic.Bool // something was settled since the last look
	fresh   atomic.Bool // nobody has said yet what was spent of it
	window  time.Time   // of what was noted; under the ledger's mu
	noted   int         // the highest percent that was noted in that window; likewise
}

// orgAccount is what an organization's calls are counted against.
type orgAccount struct {
	all    []*measure
	teams  map[tenancy.ID][]*measure
	users  map[tenancy.ID][]*measure
	keys   map[tenancy.ID][]*measure
	routes map[string][]*measure
	tags   map[Tag][]*measure
}

// Unpriced says what becomes of a call whose cost can not be known before it is made, where a hard budget would have to
// pay for it.
type Unpriced struct {
	Refuse bool
	Flat   money.Nano // what is held and charged for it otherwise
}

// Accounts are all limits and budgets, prepared for calls. They are immutable.
type Accounts struct {
	orgs     map[tenancy.ID]*orgAccount
	budgets  map[tenancy.ID]*measure // by the budget's id
	unpriced Unpriced
}

// NewAccounts prepares limits and budgets. What before knew of a budget stays known; nil: nothing was.
func NewAccounts(limits []Limits, budgets []Budget, unpriced Unpriced, before *Accounts) *Accounts {
	a := &Accounts{orgs: map[tenancy.ID]*orgAccount{}, budgets: make(map[tenancy.ID]*measure, len(budgets)), unpriced: unpriced}
	for i := range limits {
		l := &limits[i]
		for _, m := range l.measures() {
			a.add(l.Org, &l.Scope, m)
		}
	}
	for i := range budgets {
		b := budgets[i]
		m := &measure{limit: b.limit(), unit: Dollars, level: b.Scope.level(), tag: b.Scope.Tag, budget: &b}
		if was := before.measure(b.ID); was != nil && was.limit.Key == m.limit.Key {
			m.watch = was.watch
		} else {
			m.watch = &watch{}
			m.watch.fresh.Store(true)
		}
		a.budgets[b.ID] = m
		a.add(b.Org, &b.Scope, m)
	}
	return a
}

func (a *Accounts) measure(budget tenancy.ID) *measure {
	if a == nil {
		return nil
	}
	return a.budgets[budget]
}

func (a *Accounts) add(org tenancy.ID, of *Scope, m *measure) {
	o := a.orgs[org]
	if o == nil {
		o = &orgAccount{
			teams: map[tenancy.ID][]*measure{}, users: map[tenancy.ID][]*measure{}, keys: map[tenancy.ID][]*measure{},
			routes: map[string][]*measure{}, tags: map[Tag][]*measure{},
		}
		a.orgs[org] = o
	}
	switch of.level() {
	case OfTeam:
		o.teams[of.Team] = append(o.teams[of.Team], m)
	case OfUser:
		o.users[of.User] = append(o.users[of.User], m)
	case OfKey:
		o.keys[of.Key] = append(o.keys[of.Key], m)
	case OfRoute:
		o.routes[of.Route] = append(o.routes[of.Route], m)
	case OfTag:
		o.tags[of.Tag] = append(o.tags[of.Tag], m)
	default:
		o.all = append(o.all, m)
	}
}

func (s *Scope) level() Level {
	switch {
	case s.Team != "":
		return OfTeam
	case s.User != "":
		return OfUser
	case s.Key != "":
		return OfKey
	case s.Route != "":
		return OfRoute
	case s.Tag != (Tag{}):
		return OfTag
	}
	return OfOrganization
}

// numbers are what a Limits may say, in the order in which they are shown.
func (l *Limits) numbers() []struct {
	word string
	max  int64
	unit Unit
	kind ratelimit.Kind
	per  ratelimit.Per
} {
	return []struct {
		word string
		max  int64
		unit Unit
		kind ratelimit.Kind
		per  ratelimit.Per
	}{
		{"rpm", l.RPM, Requests, ratelimit.Rate, ratelimit.Minute},
		{"rph", l.RPH, Requests, ratelimit.Window, ratelimit.Hour},
		{"rpd", l.RPD, Requests, ratelimit.Window, ratelimit.Day},
		{"tpm", l.TPM, TokenUnits, ratelimit.Rate, ratelimit.Minute},
		{"tph", l.TPH, TokenUnits, ratelimit.Window, ratelimit.Hour},
		{"tpd", l.TPD, TokenUnits, ratelimit.Window, ratelimit.Day},
		{"in_flight", l.InFlight, Places, ratelimit.Slots, 0},
	}
}

// measures are the limits that a Limits says. The keys of their counters are its id and their word, so that what is used
// stays used when a number changes.
func (l *Limits) measures() (all []*measure) {
	for _, n := range l.numbers() {
		if n.max <= 0 {
			continue
		}
		limit := &ratelimit.Limit{Key: string(l.ID) + ":" + n.word, Kind: n.kind, Max: n.max, Per: n.per, OnStoreFailure: l.OnStoreFailure}
		if n.kind == ratelimit.Rate {
			limit.Burst = l.burst(n.unit, n.max)
		}
		all = append(all, &measure{limit: limit, unit: n.unit, level: l.Scope.level(), word: n.word})
	}
	return all
}

// A rate gives at once what its burst says: of requests a tenth of a minute's unless something else is said, of tokens all
// of a minute's, since one call may need many of them.
const (
	burstShare = 10
	mostBurst  = (1<<53 - 1) / 60_000
)

func (l *Limits) burst(of Unit, max int64) int64 {
	burst := max
	if of == Requests {
		burst = cmp.Or(l.Burst, max/burstShare)
	}
	least := (max + 59_999) / 60_000
	return min(maxOf(burst, least, 1), mostBurst)
}

func maxOf(n ...int64) int64 { return slices.Max(n) }

// limit is the counter of a budget. One that only warns never refuses, whatever it says and whatever is away. What counts
// in other windows is another counter.
func (b *Budget) limit() *ratelimit.Limit {
	zone, err := time.LoadLocation(b.Timezone)
	if err != nil {
		zone = time.UTC // Validate has refused it, or this machine knows fewer
	}
	l := &ratelimit.Limit{
		Key: string(b.ID) + ":" + b.Per.String() + ":" + b.Timezone, Kind: ratelimit.Amount, Max: min(int64(b.Max), tenancy.MostUnits),
		Per: b.Per, Location: zone, OnStoreFailure: b.OnStoreFailure,
	}
	if !b.Hard {
		l.Max, l.OnStoreFailure = tenancy.MostUnits, ratelimit.Open
	}
	return l
}

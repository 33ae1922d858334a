package accounting

import (
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Reservation is what is held of limits and budgets for one call. It is a value inside the call; it belongs to the
// goroutine that serves the call until it is settled, and may be used again after Reset.
type Reservation struct {
	hold     ratelimit.Hold
	measures []*measure // one for each take
	actual   []int64    // room for what was used of each
	left     []ratelimit.Left
	hard     bool // a budget that refuses has to pay
	unpriced Unpriced
	held     bool
}

// Reset empties the reservation, which was settled or never held, and keeps its memory.
func (r *Reservation) Reset() {
	r.hold.Reset()
	clear(r.measures)
	*r = Reservation{hold: r.hold, measures: r.measures[:0], actual: r.actual[:0]}
}

// Call is what of a call decides which limits and budgets count it.
type Call struct {
	ID    tenancy.ID // kept, so it is no alias
	Who   tenancy.Identity
	Route string
	Tags  []Tag
	Free  bool // it uses no tokens and costs nothing
}

// Open finds the limits and budgets that count a call. It allocates nothing if the reservation has room.
func (a *Accounts) Open(r *Reservation, c *Call) {
	if a == nil {
		return
	}
	o := a.orgs[c.Who.Org]
	if o == nil {
		return
	}
	r.hold.ID, r.hold.Tag, r.unpriced = string(c.ID), string(c.Who.Org), a.unpriced
	r.add(o.all, c.Free)
	if c.Who.Team != "" {
		r.add(o.teams[c.Who.Team], c.Free)
	}
	if c.Who.User != "" {
		r.add(o.users[c.Who.User], c.Free)
	}
	r.add(o.keys[c.Who.Key], c.Free)
	r.add(o.routes[c.Route], c.Free)
	for i := range c.Tags {
		r.add(o.tags[c.Tags[i]], c.Free)
	}
}

func (r *Reservation) add(measures []*measure, free bool) {
	for _, m := range measures {
		if free && (m.unit == TokenUnits || m.unit == Dollars) {
			continue
		}
		r.measures = append(r.measures, m)
		r.hold.Takes = append(r.hold.Takes, ratelimit.Take{Limit: m.limit})
		r.hard = r.hard || m.budget != nil && m.budget.Hard
	}
}

// Empty tells whether nothing counts the call.
func (r *Reservation) Empty() bool { return len(r.measures) == 0 }

// Held tells whether anything is held, so that Settle must follow.
func (r *Reservation) Held() bool { return r != nil && r.held }

// Estimate is what a call may come to, all attempts together that may have been executed.
type Estimate struct {
	Tokens   int64
	Cost     money.Nano
	Unpriced bool // it may cost more: nobody knows the price
}

// Worth is what is held of budgets for an estimate: what is not known where a budget refuses costs a flat sum.
func (r *Reservation) Worth(e Estimate) money.Nano {
	if e.Unpriced && r.hard {
		return max(e.Cost, r.unpriced.Flat)
	}
	return e.Cost
}

// Refuses tells whether a call with such an estimate is not made: a budget would have to pay what nobody knows.
func (r *Reservation) Refuses(e Estimate) bool { return e.Unpriced && r.hard && r.unpriced.Refuse }

// HasPlace tells whether the call has one of a limited number of places, which others may wait for.
func (r *Reservation) HasPlace() bool {
	for _, m := range r.measures {
		if m.unit == Places {
			return true
		}
	}
	return false
}

// ask writes into the takes what a call may come to, and remembers what it was taken to come to before.
func (r *Reservation) ask(e Estimate) {
	worth := int64(r.Worth(e))
	r.actual = r.actual[:0]
	for i, m := range r.measures {
		r.actual = append(r.actual, r.hold.Takes[i].N)
		n := int64(1)
		switch m.unit {
		case TokenUnits:
			n = max(e.Tokens, 0)
		case Dollars:
			n = min(max(worth, 0), tenancy.MostUnits)
		}
		r.hold.Takes[i].N = max(n, r.hold.Takes[i].N)
	}
}

// unask makes the takes say again what is held.
func (r *Reservation) unask() {
	for i := range r.hold.Takes {
		r.hold.Takes[i].N = r.actual[i]
	}
}

// used is what a call came to, of each take.
func (r *Reservation) used(rec *Record) []int64 {
	in, out := rec.Usage.Tokens()
	spent := int64(r.Spent(rec))
	r.actual = r.actual[:0]
	for _, m := range r.measures {
		n := int64(1)
		switch m.unit {
		case TokenUnits:
			n = in + out
		case Dollars:
			n = min(spent, tenancy.MostUnits)
		}
		r.actual = append(r.actual, n)
	}
	return r.actual
}

// Spent is what a call is taken to have cost: of what is not known at least the flat sum, where a budget refuses.
func (r *Reservation) Spent(rec *Record) money.Nano {
	sum := rec.Cost
	if rec.Unpriced == "" || !r.hard {
		return sum
	}
	for i := range rec.Attempts {
		if a := &rec.Attempts[i]; a.Executed && a.Unpriced != "" {
			sum += max(0, r.unpriced.Flat-a.Cost)
		}
	}
	return sum
}

// Book writes into a record that begins or ends what the ledger is to know: of each budget what is held, and after the call
// what it cost.
func (r *Reservation) Book(rec *Record) {
	rec.Bookings = rec.Bookings[:0]
	if !r.Held() {
		return
	}
	var spent money.Nano
	if rec.State != Begun {
		spent = r.Spent(rec)
	}
	for i, m := range r.measures {
		if m.budget != nil {
			rec.Bookings = append(rec.Bookings, Booking{
				Budget: m.budget.ID, Window: r.hold.Began(i), Held: money.Nano(r.hold.Takes[i].N), Spent: spent,
			})
		}
	}
}

// Shown is what a client may know of the limits of a kind: of the one of which least is left.
type Shown struct {
	Limit, Remaining int64
	Reset            time.Duration
	OK               bool // there is one
}

// Tightest is what is left of requests and of tokens, after the last Reserve.
func (r *Reservation) Tightest() (requests, tokens Shown) {
	for i, m := range r.measures {
		if i >= len(r.left) {
			break
		}
		var s *Shown
		switch m.unit {
		case Requests:
			s = &requests
		case TokenUnits:
			s = &tokens
		default:
			continue
		}
		if l := r.left[i]; !s.OK || l.Remaining < s.Remaining {
			*s = Shown{m.limit.Max, l.Remaining, l.Reset, true}
		}
	}
	return requests, tokens
}

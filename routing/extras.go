package routing

import (
	"sync"
	"time"

	"github.com/vel-gateway/vel/money"
)

// extras keeps what the calls of each route cost lately, and how much of it second attempts added. It belongs to a State: each
// node holds its own calls to the share.
type extras struct {
	mu     sync.Mutex // guards the map and all in it
	routes map[string]*extra
}

// extra is one route's, as a sum over rotating parts of the window.
type extra struct {
	spending
	parts    [extraParts]spending
	at       int64 // which part is the newest
	underWay int64 // second attempts
}

// spending is what calls cost, in billionths of a dollar: by themselves, and what second attempts added.
type spending struct{ calls, plain, added int64 }

const (
	extraPart  = time.Minute
	extraParts = 5
)

// turn forgets what is out of the window.
func (e *extra) turn(now time.Time) {
	at := now.UnixNano() / int64(extraPart)
	for range extraParts {
		if e.at >= at {
			return
		}
		e.at++
		p := &e.parts[e.at%extraParts]
		e.calls, e.plain, e.added = e.calls-p.calls, e.plain-p.plain, e.added-p.added
		*p = spending{}
	}
	e.at = at
}

func (e *extra) add(s spending) {
	for _, to := range []*spending{&e.spending, &e.parts[e.at%extraParts]} {
		to.calls, to.plain, to.added = to.calls+s.calls, to.plain+s.plain, to.added+s.added
	}
}

func (x *extras) of(route string, now time.Time) *extra {
	e := x.routes[route]
	if e == nil {
		if x.routes == nil {
			x.routes = map[string]*extra{}
		}
		e = &extra{at: now.UnixNano() / int64(extraPart)}
		x.routes[route] = e
	}
	e.turn(now)
	return e
}

// retain forgets routes that a table does not have, but for those of which an attempt is under way.
func (x *extras) retain(t *Table) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, e := range x.routes {
		if r, ok := t.byName[name]; e.underWay == 0 && (!ok || !r.Hedge.On()) {
			delete(x.routes, name)
		}
	}
}

// unit is added to what each attempt cost, so that where nothing has a price the share is one of calls.
const unit = 1

// MayHedge takes leave for a second attempt of a call of the route: what such attempts have added, and those under way at the
// cost of a usual call, stay within the share. Spent gives the leave back.
func (s *State) MayHedge(r *Route, now time.Time) bool {
	s.extras.mu.Lock()
	defer s.extras.mu.Unlock()
	e := s.extras.of(r.Name, now)
	if e.calls == 0 {
		return false
	}
	usual := float64(e.plain) / float64(e.calls)
	if float64(e.added)+usual*float64(e.underWay+1) > r.Hedge.MostExtra*float64(e.plain) {
		return false
	}
	e.underWay++
	return true
}

// Spent takes what a call of a route that hedges cost: by itself, and what was added by attempts that another one overtook.
// left tells that it had leave for one.
func (s *State) Spent(r *Route, plain, added money.Nano, left bool, now time.Time) {
	s.extras.mu.Lock()
	defer s.extras.mu.Unlock()
	e := s.extras.of(r.Name, now)
	if left {
		e.underWay--
		added += unit
	}
	e.add(spending{1, int64(plain) + unit, int64(added)})
}

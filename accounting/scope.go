package accounting

import (
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// How long the texts of a scope may be, in characters.
const (
	longestRoute = 256
	longestTag   = 200
)

// String names the scope: whose calls it is, and which. Limits are called so, and thereby there is one object of each.
func (s *Scope) String() string {
	switch {
	case s.Team != "":
		return "team " + string(s.Team)
	case s.User != "":
		return "user " + string(s.User)
	case s.Key != "":
		return "key " + string(s.Key)
	case s.Route != "":
		return "route " + s.Route
	case s.Tag != (Tag{}):
		return "tag " + s.Tag.Key + "=" + s.Tag.Value
	}
	return "organization"
}

// validate reports a scope that has more than one member, or a member that can not be.
func (s *Scope) validate(fault func(field, problem string)) {
	first := ""
	for _, m := range []struct {
		field string
		set   bool
	}{{"team", s.Team != ""}, {"user", s.User != ""}, {"key", s.Key != ""}, {"route", s.Route != ""}, {"tag", s.Tag != Tag{}}} {
		switch {
		case !m.set:
		case first != "":
			fault(m.field, "can not stand beside "+first+": it counts the calls of one or of the other")
		default:
			first = m.field
		}
	}
	if s.Route != "" {
		textFault(s.Route, longestRoute, "route", fault)
	}
	if s.Tag != (Tag{}) {
		textFault(s.Tag.Key, longestTag, "tag", fault)
		textFault(s.Tag.Value, longestTag, "tag", fault)
		if strings.Contains(s.Tag.Key, "=") {
			fault("tag", "has a sign in its key that no key of a tag has: =")
		}
	}
}

func textFault(text string, longest int, field string, fault func(field, problem string)) {
	if problem := tenancy.TextProblem(text, longest); problem != "" {
		fault(field, problem)
	}
}

// fits tells whether the scope is one that a list asks for.
func (s *Scope) fits(p *tenancy.Page) bool {
	return p.Email == "" && (p.Team == "" || p.Team == s.Team) && (p.User == "" || p.User == s.User) && (p.Key == "" || p.Key == s.Key)
}

// Fits tells whether a list asks for these limits.
func (l *Limits) Fits(p *tenancy.Page) bool {
	return (p.Name == "" || p.Name == l.Name) && l.Scope.fits(p)
}

// Fits tells whether a list asks for this budget.
func (b *Budget) Fits(p *tenancy.Page) bool {
	return (p.Name == "" || p.Name == b.Name) && b.Scope.fits(p)
}

// Validate reports every fault of new or changed limits, with the name of the field.
func (l *Limits) Validate(fault func(field, problem string)) {
	l.Scope.validate(fault)
	none := true
	for _, limit := range []struct {
		field string
		max   int64
	}{{"rpm", l.RPM}, {"rph", l.RPH}, {"rpd", l.RPD}, {"tpm", l.TPM}, {"tph", l.TPH}, {"tpd", l.TPD}, {"in_flight", l.InFlight}, {"burst", l.Burst}} {
		if limit.max < 0 || limit.max > tenancy.MostUnits {
			fault(limit.field, "is not between 1 and "+strconv.FormatInt(tenancy.MostUnits, 10))
		}
		none = none && limit.max == 0
	}
	switch {
	case none:
		fault("rpm", "is not said, and no other limit is: there would be nothing to hold to")
	case l.Burst > 0 && l.RPM == 0:
		fault("burst", "is the burst of rpm, which is not said")
	}
	if l.OnStoreFailure > ratelimit.Open {
		fault("on_store_failure", "is none of local, closed and open")
	}
}

// Validate reports every fault of a new or changed budget, with the name of the field.
func (b *Budget) Validate(fault func(field, problem string)) {
	b.ValidateName(fault)
	b.Scope.validate(fault)
	if b.Max < 0 || b.Max > tenancy.MostMoney {
		fault("usd", "is more than "+tenancy.MostMoney.String())
	}
	if b.Per < ratelimit.Hour || b.Per > ratelimit.Total {
		fault("per", "is none of hour, day, week, month and total")
	}
	if !tenancy.IsTimezone(b.Timezone) {
		fault("timezone", "is no time zone; write a name of the IANA database such as Europe/Berlin")
	}
	if b.WarnAt < 0 || b.WarnAt > 100 {
		fault("warn_at_percent", "is not between 0 and 100")
	}
	if b.OnStoreFailure > ratelimit.Open {
		fault("on_store_failure", "is none of local, closed and open")
	}
}

// Window is the window of the budget in which a moment lies; both are zero for a budget for ever.
func (b *Budget) Window(at time.Time) (start, end time.Time) {
	zone, err := time.LoadLocation(b.Timezone)
	if err != nil {
		zone = time.UTC // Validate has refused it, or this machine knows fewer
	}
	l := ratelimit.Limit{Per: b.Per, Location: zone}
	return l.Window(at)
}

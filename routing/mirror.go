package routing

import (
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
)

// Mirror is which calls of a route are also sent to another target, after their clients have their answers.
type Mirror struct {
	Of      string // the route whose calls they are
	Percent float64
	Route   *Route        // of the copies: one target and one attempt
	Most    money.Nano    // that copies may cost in a window; nothing if Per is not said
	Per     ratelimit.Per // of the calendar, in UTC; 0: there is no such budget
}

// MirrorName is what the route of the copies of another one's calls is called in records, metrics and budgets.
func MirrorName(route string) string { return "mirror of " + route }

// mirrorSeed keeps the choice of copies apart from other choices by the same seed: else those would be copied that a lot has sent to
// one and the same target.
const mirrorSeed = 0x9e3779b97f4a7c15

// Takes tells whether a call is copied: Seed is SeedOf its id.
func (m *Mirror) Takes(seed uint64) bool {
	return m != nil && float64(blend(seed^mirrorSeed)>>11)/(1<<53)*100 < m.Percent
}

// mirror is what a checked configuration says.
func (b *builder) mirror(name string, total time.Duration) *Mirror {
	c := b.cfg.Models[name].Mirror
	if c == nil {
		return nil
	}
	m := &Mirror{Of: name, Percent: c.Percent, Route: &Route{Name: MirrorName(name), Total: total, Attempts: 1, Created: b.created}}
	b.targets(m.Route, name, []TargetConfig{c.To})
	if c.Budget != nil {
		m.Most, _ = money.Parse(c.Budget.USD)
		m.Per, _ = ratelimit.ParsePer(c.Budget.Per)
	}
	return m
}

// validate checks what the file says.
func (c *MirrorConfig) validate(k checker, at string) {
	if !(c.Percent > 0 && c.Percent <= 100) { // so that NaN is a fault too
		k.fault(at+".percent", "must be more than 0 and at most 100", "how many of a hundred calls are copied")
	}
	k.target(at+".to", &c.To)
	k.weight(at+".to", &c.To, false)
	k.quality(at+".to", &c.To, false)
	if b := c.Budget; b != nil {
		if n, err := money.Parse(b.USD); err != nil || n < 0 {
			k.fault(at+".budget.usd", "is no amount of dollars", "write a decimal as 2.50")
		}
		k.oneOf(at+".budget.per", b.Per, mirrorWindows)
		if b.Per == "" {
			k.fault(at+".budget.per", "is missing", "write hour, day, week or month")
		}
	}
}

var mirrorWindows = []string{"hour", "day", "week", "month", "total"}

// Plan fills dst with the targets of this very route, whatever its rules say and whoever may use it by its name.
func (r *Route) Plan(dst *Plan, a *Ask, s *State, now time.Time) error {
	dst.Reset()
	dst.Asked, dst.Tokens, dst.Route = r.Name, a.Tokens(), r
	if dst.Refused = r.choose(dst, a, s, now); dst.Refused != 0 {
		return dst.Refused
	}
	return nil
}

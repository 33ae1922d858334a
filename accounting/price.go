package accounting

import (
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

// Price is what a model costs at a provider. It is immutable.
type Price struct {
	version string
	periods []period
}

// period is what holds from a day on, or at some hours of every day. The last one that fits holds; the first one holds
// where none does.
type period struct {
	from  time.Time        // zero: ever since
	daily [2]time.Duration // since midnight in UTC, perhaps over it; equal: all day
	base  rates
	tiers []tier // by their size
}

// tier holds instead for a whole call with more input tokens than above, all classes of them together.
type tier struct {
	above int64
	rates rates
}

// Version says which price it is, for the record of a call: list/DATE or overlay/DATE with the day of which the list is, or
// own/DIGEST of what the operator wrote. No price at all has none.
func (p *Price) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// Cost is what an attempt that was executed at a time costs, rounded half up to a nano-dollar. If it is not whole, it is
// the part that is known: something that was used has no price, or the usage is not told. No price at all is nil, and
// costs an unknown sum.
func (p *Price) Cost(u *adapters.Usage, at time.Time) (cost money.Nano, whole bool) {
	if p == nil {
		return 0, false
	}
	sum, whole := p.at(at).of(u).cost(u)
	return sum.Nano(), whole
}

func (p *Price) at(t time.Time) *period {
	for i := len(p.periods) - 1; i > 0; i-- {
		if p.periods[i].holds(t) {
			return &p.periods[i]
		}
	}
	return &p.periods[0]
}

func (p *period) holds(t time.Time) bool {
	if t.Before(p.from) {
		return false
	}
	begin, end := p.daily[0], p.daily[1]
	if begin == end {
		return true
	}
	const day = 24 * time.Hour
	now := time.Duration(t.UnixNano()) % day // midnight in UTC is a multiple of a day
	if begin < end {
		return begin <= now && now < end
	}
	return begin <= now || now < end
}

// of is the rates for a call of this size.
func (p *period) of(u *adapters.Usage) *rates {
	if len(p.tiers) == 0 {
		return &p.base
	}
	in, _ := u.Tokens()
	for i := len(p.tiers) - 1; i >= 0; i-- {
		if in > p.tiers[i].above {
			return &p.tiers[i].rates
		}
	}
	return &p.base
}

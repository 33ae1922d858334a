package routing

import (
	"math"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Strategy is how the targets of a route are put in order. All that may be asked are in the plan; the strategy says
// which one first, and which one next when that fails.
type Strategy uint8

// The strategies.
const (
	Fallback     Strategy = iota // in the order of the file
	Weighted                     // by chance, each with its share; the same for all that sticks together
	Fastest                      // by the time that an answer of this length took lately
	Cheapest                     // by the price of this call
	LeastRequest                 // by the calls under way
	Optimize                     // by cost, speed and quality, each with a weight
	strategies
)

var strategyNames = [strategies]string{"fallback", "weighted", "fastest", "cheapest", "least_request", "optimize"}

// String is the strategy as the file spells it.
func (s Strategy) String() string { return strategyNames[s] }

// strategyNamed is the strategy with a name; none is Fallback.
func strategyNamed(name string) Strategy {
	for s, known := range strategyNames {
		if known == name {
			return Strategy(s)
		}
	}
	return Fallback
}

const (
	usualOutput = 300              // tokens that an answer is taken to have where nobody knows
	bytesPerTok = 4                // of a prompt, as a rule of thumb: counting them would cost more than the choice gains
	stale       = 30 * time.Second // figures that are older are learned anew,
	exploring   = 32               // by one call in so many
)

// Weights are what an optimizing route cares for. Twice as dear counts for Cost what twice as slow counts for Speed and
// half as good for Quality.
type Weights struct{ Cost, Speed, Quality float64 }

// contest is a call's choice among targets that may be asked.
type contest struct {
	route *Route
	ask   *Ask
	state *State
	now   time.Time
	stick uint64          // what the call sticks by; 0: nothing
	usage *adapters.Usage // room for what the call is expected to use
}

// arrange puts the targets of a plan in the order of the route's strategy.
func (c *contest) arrange(p *Plan) {
	if c.stick != 0 && c.route.Strategy != Weighted { // what sticks to a weighted route draws the same lot
		p.Stick = Stick{c.stick, c.route.StickFor}
	}
	if len(p.Targets) < 2 {
		return
	}
	if c.route.Strategy != Fallback {
		p.scores = p.scores[:0]
		for _, t := range p.Targets {
			p.scores = append(p.scores, c.score(t))
		}
		if c.route.Strategy == Optimize {
			c.optimize(p)
		}
		p.sort()
	}
	switch {
	case c.stay(p), c.explore(p):
	}
}

// score is a number for a target; the lowest is asked first.
func (c *contest) score(t *Target) float64 {
	switch c.route.Strategy {
	case Weighted:
		return c.lot(t)
	case Cheapest:
		return c.cost(t)
	case Fastest, Optimize:
		return c.seconds(t)
	case LeastRequest:
		return float64(c.state.inFlight(t)) + c.chance(t) // below 1: it only decides among equals
	}
	return 0
}

// chance is a number in (0, 1) that is as good as random, and always the same for a call and a target.
func (c *contest) chance(t *Target) float64 {
	seed := c.ask.Seed
	if c.stick != 0 && c.route.Strategy == Weighted {
		seed = c.stick
	}
	return (float64(blend(seed^hashOf(t.ID))>>11) + 0.5) / (1 << 53)
}

// lot draws one: a target with weight w comes first with a chance of w to the sum of all, and when a target is taken
// out, only its calls move. (Efraimidis and Spirakis, Weighted random sampling, 2006: the least of -ln(u)/w.)
func (c *contest) lot(t *Target) float64 { return -math.Log(c.chance(t)) / float64(t.Weight) }

// cost is what the call will cost at a target in nano-dollars, as far as that can be told before; infinite where there is
// no price. Where the call's predecessors were answered, the provider has what they sent in its cache.
func (c *contest) cost(t *Target) float64 {
	price := t.PriceFor(c.ask.Who.Org)
	if price == nil {
		return math.Inf(1)
	}
	k := c.state.known(t)
	u := c.usage
	*u = adapters.Usage{}
	sent := max(c.ask.Tokens(), 1)
	if c.stick != 0 && c.state.stuck(c.stick, c.now) == t.ID {
		u[adapters.CacheRead] = int64(float64(sent) * k.cached)
	}
	u[adapters.Input] = sent - u[adapters.CacheRead]
	u[adapters.Output], u[adapters.Requests] = c.output(&k), 1
	cost, whole := price.Cost(u, c.now)
	if !whole && cost == 0 {
		return math.Inf(1)
	}
	return float64(cost)
}

// output is how long the answer will be, in tokens.
func (c *contest) output(k *knowledge) int64 {
	n := int64(usualOutput)
	if k.output > 0 {
		n = int64(k.output)
	}
	if c.ask.MaxOutput > 0 {
		n = min(n, c.ask.MaxOutput)
	}
	return max(n, 1)
}

// seconds is how long the answer will take at a target: nothing where nobody knows, so that somebody finds out. What
// fails now and then is as slow as it is with its repeats.
func (c *contest) seconds(t *Target) float64 {
	k := c.state.known(t)
	length := usualOutput
	if c.ask.MaxOutput > 0 {
		length = int(min(c.ask.MaxOutput, usualOutput))
	}
	return (k.first + k.perToken*float64(length)) / (1 - min(k.failed, 0.9))
}

// optimize weighs the seconds that are in the scores with cost and quality. Each is compared with the best of the
// targets; one of which something is not known is taken to be as the best.
func (c *contest) optimize(p *Plan) {
	w := c.route.Weights
	fastest, cheapest, best := math.Inf(1), math.Inf(1), 0.0
	p.costs = p.costs[:0]
	for i, t := range p.Targets {
		p.costs = append(p.costs, c.cost(t))
		if p.scores[i] > 0 {
			fastest = min(fastest, p.scores[i])
		}
		if p.costs[i] > 0 {
			cheapest = min(cheapest, p.costs[i])
		}
		best = max(best, t.Quality)
	}
	for i, t := range p.Targets {
		p.scores[i] = w.Speed*times(p.scores[i], fastest) + w.Cost*times(p.costs[i], cheapest) + w.Quality*times(best, t.Quality)
	}
}

// times is how many times a doubled makes it b; 0 where one of them is not known.
func times(a, b float64) float64 {
	if a <= 0 || b <= 0 || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return 0
	}
	return math.Log2(a / b)
}

// explore lets a few calls learn anew how fast a target is that has not been asked for a while: else one that was slow
// once would be slow for ever.
func (c *contest) explore(p *Plan) bool {
	if c.route.Strategy != Fastest && (c.route.Strategy != Optimize || c.route.Weights.Speed == 0) || blend(c.ask.Seed)%exploring != 0 {
		return false
	}
	oldest, at := -1, c.now.Add(-stale)
	for i, t := range p.Targets {
		if k := c.state.known(t); k.at.Before(at) {
			oldest, at = i, k.at
		}
	}
	if oldest <= 0 { // nobody, or the one that is first anyway
		return false
	}
	p.first(oldest, Explored)
	return true
}

// stay keeps a call where those were answered that it sticks to.
func (c *contest) stay(p *Plan) bool {
	if p.Stick.key == 0 {
		return false
	}
	id := c.state.stuck(c.stick, c.now)
	for i, t := range p.Targets {
		if t.ID == id {
			p.first(i, Stuck)
			return true
		}
	}
	return false
}

// sort puts targets in the order of their scores; equals stay as they are. There are few, and sorting them by insertion
// allocates nothing.
func (p *Plan) sort() {
	for i := 1; i < len(p.Targets); i++ {
		for j := i; j > 0 && p.scores[j] < p.scores[j-1]; j-- {
			p.swap(j, j-1)
		}
	}
	for i, t := range p.Targets {
		p.whyOf(t).Score = p.scores[i]
	}
}

func (p *Plan) swap(i, j int) {
	p.Targets[i], p.Targets[j] = p.Targets[j], p.Targets[i]
	p.scores[i], p.scores[j] = p.scores[j], p.scores[i]
}

// first moves a target to the head of the walk, for a reason.
func (p *Plan) first(i int, why Reason) {
	t := p.Targets[i]
	copy(p.Targets[1:i+1], p.Targets[:i])
	p.Targets[0] = t
	p.whyOf(t).Reason = why
}

// whyOf is the explanation of a target of the walk.
func (p *Plan) whyOf(t *Target) *Candidate {
	for i := range p.Why {
		if c := &p.Why[i]; c.of(t) {
			return c
		}
	}
	return &Candidate{} // never: every target of the walk has one
}

package routing

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vel-gateway/vel/money"
)

// Bounds of what a file may say. They keep typing errors out, not wishes.
const (
	mostAttempts    = 10
	longestBackoff  = time.Minute
	shortestBreaker = time.Second
	longestName     = 256
	mostQuality     = 100
	mostWeight      = 1000
)

var (
	kinds    = []string{"openai", "groq", "perplexity"}
	apis     = []string{"responses", "chat"}
	chosenBy = []string{"fallback", "weighted", "fastest", "cheapest", "least_request"}
	stickies = []string{"key", "user", "session", "prefix"}

	nameForm       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	percentForm    = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3})?%$`)
	percentileForm = regexp.MustCompile(`^p[1-9][0-9]?$`)
)

// checker reports faults. It goes on after each, so that one reading of the file finds all of them.
type checker struct {
	cfg   *Config
	fault func(path, problem, hint string)
}

// Validate reports every fault with its path as in the file, and what to write instead. It reads no file and
// resolves no name.
func (c *Config) Validate(fault func(path, problem, hint string)) {
	k := checker{c, fault}
	k.defaults("defaults", &c.Defaults)
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		p := c.Providers[name]
		k.provider("providers."+name, name, &p)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		m := c.Models[name]
		k.model("models."+name, name, &m)
	}
}

func (k checker) defaults(at string, d *DefaultsConfig) {
	k.timeouts(at+".timeouts", &d.Timeouts)
	k.attempts(at+".attempts", d.Attempts)
	k.backoff(at+".backoff", d.Backoff)
	k.breaker(at+".breaker", &d.Breaker)
	if d.Unpriced != "flat" && d.Unpriced != "refuse" {
		k.fault(at+".unpriced", fmt.Sprintf("%q is not one of the choices", d.Unpriced), "use flat, refuse")
	}
	if _, err := money.Parse(d.UnpricedHold); err != nil {
		k.fault(at+".unpriced_hold", fmt.Sprintf("%q is not an amount in dollars", d.UnpricedHold), "write a decimal such as 0.05")
	}
	for _, missing := range []struct {
		name string
		is   bool
	}{
		{"timeouts.connect", d.Timeouts.Connect == nil},
		{"timeouts.first_byte", d.Timeouts.FirstByte == nil},
		{"timeouts.idle", d.Timeouts.Idle == nil},
		{"timeouts.total", d.Timeouts.Total == nil},
		{"backoff", d.Backoff == nil},
		{"breaker.failures", d.Breaker.Failures == nil},
		{"breaker.window", d.Breaker.Window == nil},
		{"breaker.cooldown", d.Breaker.Cooldown == nil},
	} {
		if missing.is {
			k.fault(at+"."+missing.name, "has no value", "leave the line out for the default")
		}
	}
}

func (k checker) timeouts(at string, t *TimeoutsConfig) {
	k.positive(at+".connect", t.Connect)
	k.positive(at+".first_byte", t.FirstByte)
	k.positive(at+".idle", t.Idle)
	k.positive(at+".total", t.Total)
}

func (k checker) positive(at string, d *time.Duration) {
	if d != nil && *d <= 0 {
		k.fault(at, "must be longer than 0", "write a duration as 500ms, 30s or 10m; leave the line out for the default")
	}
}

func (k checker) attempts(at string, n int) {
	if n < 1 || n > mostAttempts {
		k.fault(at, fmt.Sprintf("must be 1 to %d, not %d", mostAttempts, n), "every try counts: 1 means no retry and no fallback")
	}
}

// backoff checks a list that was written; nil was not.
func (k checker) backoff(at string, waits []time.Duration) {
	if waits == nil {
		return
	}
	if len(waits) == 0 || len(waits) > mostAttempts {
		k.fault(at, fmt.Sprintf("must have 1 to %d waits, not %d", mostAttempts, len(waits)), "the last one holds for all further repeats; attempts: 1 turns them off")
	}
	for i, d := range waits {
		here := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case d <= 0 || d > longestBackoff:
			k.fault(here, "must be longer than 0 and at most "+longestBackoff.String(), "write durations as [100ms, 200ms, 400ms]")
		case i > 0 && d < waits[i-1]:
			k.fault(here, "is shorter than the wait before it", "write the waits in ascending order")
		}
	}
}

func (k checker) breaker(at string, b *BreakerConfig) {
	if b.Failures != nil && *b.Failures < 1 {
		k.fault(at+".failures", "must be at least 1", "5 failures open the breaker by default")
	}
	for _, d := range []struct {
		name string
		is   *time.Duration
	}{{".window", b.Window}, {".cooldown", b.Cooldown}} {
		if d.is != nil && *d.is < shortestBreaker {
			k.fault(at+d.name, "must be at least "+shortestBreaker.String(), "write a duration as 30s or 1m")
		}
	}
}

func (k checker) model(at, name string, m *ModelConfig) {
	k.text(at, "the name", name)
	if name == "" {
		k.fault(at, "the name is empty", "write the name that clients ask for")
	}
	k.oneOf(at+".strategy", m.Strategy, chosenBy)
	k.optimize(at+".optimize", m)
	k.extras(at, m)
	for i := range m.Rules {
		k.rule(fmt.Sprintf("%s.rules[%d]", at, i), name, &m.Rules[i])
	}
	if len(m.Targets) == 0 {
		k.fault(at+".targets", "there is no target", "write at least one: [{provider: …}]")
	}
	k.targets(at+".targets", name, m.Targets, m.Strategy == "weighted", m.Optimize != nil)
	k.timeouts(at+".timeouts", &m.Timeouts)
	if m.Attempts != nil {
		k.attempts(at+".attempts", *m.Attempts)
	}
	k.backoff(at+".backoff", m.Backoff)
}

func (k checker) extras(at string, m *ModelConfig) {
	if s := m.Sticky; s != nil {
		if s.By == "" {
			k.fault(at+".sticky.by", "is missing", "write one of: "+strings.Join(stickies, ", "))
		}
		k.oneOf(at+".sticky.by", s.By, stickies)
		k.positive(at+".sticky.ttl", &s.TTL)
	}
	if h := m.Hedge; h != nil {
		h.validate(k, at+".hedge")
	}
	if c := m.Cache; c != nil && (c.TTL < 0 || c.TTL > longestKept) {
		k.fault(at+".cache.ttl", "must be more than 0 and at most 744h", "write a duration as 1h; leave it out for 24h where targets search, and 1h elsewhere")
	}
	if r := m.Mirror; r != nil {
		r.validate(k, at+".mirror")
	}
}

func (k checker) rule(at, model string, r *RuleConfig) {
	if strings.TrimSpace(r.When) == "" {
		k.fault(at+".when", "is missing", `write a condition, as 'task == "code"'`)
	} else if _, _, err := condition(r.When); err != nil {
		k.fault(at+".when", err.Error(), `write a condition, as 'task == "code" && tokens < 8000'; docs/routing.md has its variables`)
	}
	k.text(at+".refuse", "it", r.Refuse)
	ways := 0
	for _, there := range []bool{r.Use != "", len(r.Targets) > 0, r.Refuse != ""} {
		if there {
			ways++
		}
	}
	switch {
	case ways != 1:
		k.fault(at, "must have use, targets or refuse, and one of them", "use names another model; targets are the rule's own; refuse says why not")
	case r.Use == model:
		k.fault(at+".use", "leads back to the model itself", "leave the rule out: the model's own targets are asked if no rule matches")
	case r.Use != "":
		if _, ok := k.cfg.Models[r.Use]; !ok {
			k.fault(at+".use", fmt.Sprintf("there is no model %q", r.Use), k.known(slices.Sorted(maps.Keys(k.cfg.Models))))
		} else if k.leadsTo(r.Use, model, map[string]bool{}) {
			k.fault(at+".use", "leads back to the model itself", "rules must end somewhere: remove one of those between them")
		}
	}
	k.targets(at+".targets", model, r.Targets, false, false)
}

// leadsTo tells whether the rules of a model lead to another one, over any number of models.
func (k checker) leadsTo(from, to string, been map[string]bool) bool {
	been[from] = true
	for _, r := range k.cfg.Models[from].Rules {
		if r.Use == to || r.Use != "" && !been[r.Use] && k.leadsTo(r.Use, to, been) {
			return true
		}
	}
	return false
}

func (k checker) targets(at, route string, targets []TargetConfig, weighted, graded bool) {
	first, sum := make(map[[2]string]int), 0
	for i := range targets {
		t, here := &targets[i], fmt.Sprintf("%s[%d]", at, i)
		k.target(here, t)
		k.weight(here, t, weighted)
		k.quality(here, t, graded)
		sum += t.weight()
		id := [2]string{t.Provider, t.upstream(route)}
		if j, twice := first[id]; twice {
			k.fault(here, fmt.Sprintf("is the same as %s[%d]", at, j), "remove one; a target is repeated by attempts")
			continue
		}
		first[id] = i
	}
	if weighted && len(targets) > 0 && sum == 0 {
		k.fault(at, "every weight is 0", "give at least one target a weight")
	}
}

func (k checker) target(at string, t *TargetConfig) {
	k.text(at+".model", "it", t.Model)
	if t.Provider == "" {
		k.fault(at+".provider", "is missing", "write a name under providers")
	} else if _, ok := k.cfg.Providers[t.Provider]; !ok {
		k.fault(at+".provider", fmt.Sprintf("there is no provider %q", t.Provider), k.known(slices.Sorted(maps.Keys(k.cfg.Providers))))
	}
}

func (k checker) weight(at string, t *TargetConfig, weighted bool) {
	switch {
	case t.Weight == nil:
	case *t.Weight < 0:
		k.fault(at+".weight", "must not be negative", "0 takes the target out")
	case !weighted:
		k.fault(at+".weight", "has an effect with strategy weighted only", "write strategy: weighted, or remove the weight")
	}
}

func (k checker) quality(at string, t *TargetConfig, graded bool) {
	switch {
	case t.Quality == nil:
	case *t.Quality < 1 || *t.Quality > mostQuality:
		k.fault(at+".quality", fmt.Sprintf("must be 1 to %d, not %d", mostQuality, *t.Quality), "twice the number is twice as good")
	case !graded:
		k.fault(at+".quality", "has an effect with optimize only", "write optimize: {quality: 1}, or remove the quality")
	}
}

// optimize checks the weights. A quality that counts must be said of every target: nobody can measure it.
func (k checker) optimize(at string, m *ModelConfig) {
	o := m.Optimize
	if o == nil {
		return
	}
	if m.Strategy != "" {
		k.fault(at, "stands beside a strategy", "write either strategy or optimize")
	}
	for _, w := range []struct {
		name string
		is   float64
	}{{".cost", o.Cost}, {".speed", o.Speed}, {".quality", o.Quality}} {
		if !(w.is >= 0 && w.is <= mostWeight) { // so that NaN is a fault too
			k.fault(at+w.name, fmt.Sprintf("must be 0 to %d", mostWeight), "write how much it counts beside the others, as {cost: 2, speed: 1}")
		}
	}
	if o.Cost+o.Speed+o.Quality == 0 {
		k.fault(at, "weighs nothing", "write how much each counts, as {cost: 2, speed: 1}")
	}
	for i := range m.Targets {
		if o.Quality > 0 && m.Targets[i].Quality == nil {
			k.fault(at+".quality", fmt.Sprintf("counts, but targets[%d] has no quality", i), "write quality: 1 to 100 for every target")
		}
	}
}

// quality is the number that is written, or 0.
func (t *TargetConfig) quality() float64 {
	if t.Quality == nil {
		return 0
	}
	return float64(*t.Quality)
}

// weight is the share that is written, or 1.
func (t *TargetConfig) weight() int {
	if t.Weight == nil {
		return 1
	}
	return *t.Weight
}

// upstream is the provider's name of the model.
func (t *TargetConfig) upstream(route string) string {
	if t.Model == "" {
		return route
	}
	return t.Model
}

// text refuses what could break a header line or a log line, and what nobody means.
func (k checker) text(at, what, s string) {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		k.fault(at, what+" has a control character or is no UTF-8", "write printable text on one line")
	case len(s) > longestName:
		k.fault(at, fmt.Sprintf("%s has more than %d bytes", what, longestName), "shorten it")
	case s != strings.TrimSpace(s):
		k.fault(at, what+" has a space at an end", "remove the space")
	}
}

func (k checker) oneOf(at, s string, known []string) {
	if s != "" && !slices.Contains(known, s) {
		k.fault(at, fmt.Sprintf("%q is not known", s), "write one of: "+strings.Join(known, ", "))
	}
}

func (k checker) form(at, s string, form *regexp.Regexp, hint string) {
	if !form.MatchString(s) {
		k.fault(at, fmt.Sprintf("%q is not understood", s), hint)
	}
}

func (k checker) known(names []string) string {
	if len(names) == 0 {
		return "there is none"
	}
	const most = 10
	if len(names) > most {
		names = append(names[:most:most], "…")
	}
	return "there are: " + strings.Join(names, ", ")
}

package routing

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing/task"
)

// builder makes a table out of a checked configuration.
type builder struct {
	cfg       *Config
	kinds     map[string]*adapters.Adapter
	created   int64
	providers map[string]*Provider
}

// Build makes the table of a configuration that Validate found no fault in. It does everything that can fail, so
// that a reload either has a whole new table or keeps the old one; the error names every part that failed. kinds
// has the adapter of each kind, and as "perplexity/chat" that of an api which is not the kind's usual one. created
// (unix seconds) is the age of the routes in /v1/models.
func Build(cfg Config, kinds map[string]*adapters.Adapter, created int64) (*Table, error) {
	b := builder{&cfg, kinds, created, make(map[string]*Provider, len(cfg.Providers))}
	t := &Table{byName: make(map[string]*Route, len(cfg.Models))}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Providers)) {
		p, err := b.provider(name)
		if err != nil {
			faults = append(faults, fmt.Errorf("build provider %s: %w", name, err))
			continue
		}
		b.providers[name] = p
		t.providers = append(t.providers, p)
		if !p.Key.IsZero() {
			t.objects = append(t.objects, b.objectTarget(p))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Models)) {
		r := b.route(name)
		t.routes = append(t.routes, r)
		t.byName[name] = r
		if r.Mirror != nil {
			t.unnamed = append(t.unnamed, r.Mirror.Route)
		}
	}
	return t, b.rules(t)
}

// Speaks is which adapter it needs: its kind, and as "perplexity/chat" an API that is not the kind's usual one.
func (c *ProviderConfig) Speaks() string {
	if c.API == "chat" {
		return c.Kind + "/" + c.API
	}
	return c.Kind
}

func (b *builder) provider(name string) (*Provider, error) {
	c := b.cfg.Providers[name]
	kind := c.Speaks()
	a, ok := b.kinds[kind]
	if !ok {
		return nil, fmt.Errorf("there is no adapter for %s", kind)
	}
	p := &Provider{
		ID: "provider:" + name, Name: name, Kind: c.Kind, Adapter: a,
		Timeouts:     timeouts(b.cfg.Defaults.Timeouts, c.Timeouts),
		AllowPrivate: c.AllowPrivate, Organizations: slices.Clone(c.Organizations),
	}
	p.Timeouts.Total, p.Limits = 0, c.Limits.build(p.ID)
	override(&p.Probe, c.Probe)
	if c.APIKey != nil {
		p.Key = *c.APIKey
	}
	var err error
	if p.Base, err = base(cmp.Or(c.BaseURL, a.BaseURL)); err != nil {
		return nil, err
	}
	if p.RootCAs, err = authorities(c.TLS.CA); err != nil {
		return nil, err
	}
	if c.Proxy != "" {
		if p.Proxy, err = url.Parse(c.Proxy); err != nil {
			return nil, errors.New("the proxy is no URL") // url's error would quote it
		}
	}
	return p, nil
}

func (b *builder) route(name string) *Route {
	c := b.cfg.Models[name]
	d := b.cfg.Defaults
	r := &Route{
		Name:    name,
		Total:   timeouts(d.Timeouts, c.Timeouts).Total,
		Backoff: slices.Clone(d.Backoff), Attempts: d.Attempts,
		RepeatExecuted: c.RepeatExecuted, Strict: c.Strict, Created: b.created,
		Strategy: strategyNamed(c.Strategy), Hedge: c.Hedge.hedge(),
	}
	if o := c.Optimize; o != nil {
		r.Strategy, r.Weights = Optimize, Weights(*o)
	}
	if s := c.Sticky; s != nil {
		r.StickBy, r.StickFor = stickyNamed(s.By), s.TTL
	}
	if c.Attempts != nil {
		r.Attempts = *c.Attempts
	}
	if c.Backoff != nil {
		r.Backoff = slices.Clone(c.Backoff)
	}
	b.targets(r, name, c.Targets)
	b.keeping(r, c.Cache)
	r.Mirror = b.mirror(name, r.Total)
	return r
}

// targets gives a route its targets, with what the model of a name says of them.
func (b *builder) targets(r *Route, name string, targets []TargetConfig) {
	c, d := b.cfg.Models[name], b.cfg.Defaults
	for i := range targets {
		t := &targets[i]
		p, ok := b.providers[t.Provider]
		if !ok { // not of a file, whose names are checked: a route of the database may outlive a provider of the file
			r.Skipped = append(r.Skipped, Skip{t.Provider, t.upstream(name), NoProvider})
			continue
		}
		if p.Key.IsZero() {
			r.Skipped = append(r.Skipped, Skip{p.Name, t.upstream(name), NoCredential})
			continue
		}
		of := b.cfg.Providers[t.Provider]
		r.Targets = append(r.Targets, &Target{
			ID: p.Name + "/" + t.upstream(name), Provider: p, Model: t.upstream(name), Weight: t.weight(), Quality: t.quality(),
			Timeouts: timeouts(d.Timeouts, of.Timeouts, c.Timeouts),
			Breaker:  breaker(d.Breaker, of.Breaker),
		})
	}
	if len(r.Targets) > 0 {
		r.OwnedBy = r.Targets[0].Provider.Name
	}
}

// rules gives the routes their rules, once all routes are there for them to lead to.
func (b *builder) rules(t *Table) error {
	var err error
	if len(t.routes) > 0 {
		if t.judge, err = task.New(); err != nil {
			return err
		}
	}
	for _, r := range t.routes {
		t.byPrefix = t.byPrefix || r.StickBy == ByPrefix
		for i, c := range b.cfg.Models[r.Name].Rules {
			program, asks, err := condition(c.When)
			if err != nil {
				return fmt.Errorf("build models.%s.rules[%d]: %w", r.Name, i, err)
			}
			t.headers = append(t.headers, asks.headers...)
			made := rule{when: program, needs: asks.needs, headers: asks.headers, to: t.byName[c.Use], refusal: c.Refuse}
			if len(c.Targets) > 0 {
				made.to, made.own = b.ownRoute(r, c.Targets), true
				t.unnamed = append(t.unnamed, made.to)
			}
			r.judge, r.rules = t.judge, append(r.rules, made)
		}
	}
	slices.Sort(t.headers)
	t.headers = slices.Compact(t.headers)
	return nil
}

// ownRoute is a route as another one, with a rule's own targets in their order.
func (b *builder) ownRoute(of *Route, targets []TargetConfig) *Route {
	r := *of
	r.Strategy, r.Targets, r.Skipped, r.rules = Fallback, nil, nil, nil
	b.targets(&r, of.Name, targets)
	b.keeping(&r, b.cfg.Models[of.Name].Cache)
	return &r
}

// timeouts resolves what is inherited: a later layer that says something wins.
func timeouts(layers ...TimeoutsConfig) Timeouts {
	var t Timeouts
	for _, l := range layers {
		override(&t.Connect, l.Connect)
		override(&t.FirstByte, l.FirstByte)
		override(&t.Idle, l.Idle)
		override(&t.Total, l.Total)
	}
	return t
}

func breaker(layers ...BreakerConfig) Breaker {
	var b Breaker
	for _, l := range layers {
		override(&b.Failures, l.Failures)
		override(&b.Window, l.Window)
		override(&b.Cooldown, l.Cooldown)
	}
	return b
}

func override[T int | time.Duration](to *T, written *T) {
	if written != nil {
		*to = *written
	}
}

// base is where the provider's API begins, without a trailing slash, so that a path can be put behind it.
func base(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, errors.New("the base URL is no URL") // url's error would quote it
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// largestAuthorities is ten times what systems come with, in bytes.
const largestAuthorities = 4 << 20

// authorities reads a PEM file of certificates to believe. No file means the system's.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	} else if !info.Mode().IsRegular() || info.Size() > largestAuthorities { // a pipe or a device could block for ever
		return nil, fmt.Errorf("read the authorities: %s is no file of certificates", path)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the authorities: %s has no PEM certificate", path)
	}
	return pool, nil
}

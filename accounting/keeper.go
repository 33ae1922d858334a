package accounting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// Books are the truth about money, and who is told of it. storage.DB is one.
type Books interface {
	// LedgerTotals are the sums of all windows that began at a time or later, and of those for ever.
	LedgerTotals(ctx context.Context, q LedgerQuery) ([]LedgerTotal, error)
	// NoteBudget notes that a percent of a budget is spent; first: nobody had noted it before.
	NoteBudget(ctx context.Context, b *Budget, window time.Time, percent int, spent money.Nano) (first bool, err error)
}

// LedgerOptions say what a Ledger knows of its house. The zero value of each has a meaning.
type LedgerOptions struct {
	Books   Books                      // nil: nobody keeps any, and budgets begin with nothing
	Away    func() bool                // whether the store of the counters is away now; nil: never
	Alone   func() bool                // whether no other node counts with this one; nil: so it is
	Shipped func(since time.Time) bool // whether the ledger has all that this node settled before a moment; nil: it has
	Renew   func() error               // renews what this node holds; nil: nothing needs that
	Clock   func() time.Time           // nil: time.Now
	Log     *slog.Logger               // nil: nothing is said
}

// Ledger holds money, requests, tokens and places for calls, and gives back what was not used.
//
//	Reserve ──▶ held ──▶ Settle ──▶ the counters, at once      the record ──▶ spool ──▶ ledger ──▶ Committed
//	              ╰─▶ expired: Tick books what was held          Tick: counters are raised to the ledger
//
// The counters are the limiter's; the truth is the ledger's, which is written with the records of calls.
type Ledger struct {
	limiter  ratelimit.Limiter
	counter  ratelimit.Counter
	o        LedgerOptions
	accounts atomic.Pointer[Accounts]
	lastAway atomic.Int64 // unix nanoseconds
	suspect  atomic.Bool  // a counter was cold: look soon
	serving  atomic.Bool  // calls come

	refusals *prometheus.CounterVec
	overrun  prometheus.Counter
	warnings prometheus.Counter
	swept    prometheus.Counter
	cold     prometheus.Gauge

	mu         sync.Mutex           // guards what follows, and lets one at a time look at the counters
	blank      map[tenancy.ID]blank // organizations whose counters are forgotten
	reconciled time.Time            // when it was last done
}

// NewLedger makes a ledger that holds by a limiter, whose counters are the counter's.
func NewLedger(limiter ratelimit.Limiter, counter ratelimit.Counter, o LedgerOptions) *Ledger {
	if o.Away == nil {
		o.Away = func() bool { return false }
	}
	if o.Alone == nil {
		o.Alone = func() bool { return true }
	}
	if o.Shipped == nil {
		o.Shipped = func(time.Time) bool { return true }
	}
	if o.Renew == nil {
		o.Renew = func() error { return nil }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Ledger{
		limiter: limiter, counter: counter, o: o, blank: map[tenancy.ID]blank{},
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vel_limit_refusals_total", Help: "Calls that a limit or a budget refused, by what it counts and whose it is."}, []string{"kind", "level"}),
		overrun:  prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_budget_overrun_dollars_total", Help: "What calls cost budgets beyond what was held for them."}),
		warnings: prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_budget_warnings_total", Help: "Warnings that this node sent because a share of a budget is spent."}),
		swept:    prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_budget_swept_total", Help: "Holds that expired, so that what was held is taken to be spent."}),
		cold:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_budget_cold", Help: "Budgets of which the counters do not know what was spent."}),
	}
}

// Collectors are the ledger's metrics.
func (l *Ledger) Collectors() []prometheus.Collector {
	return []prometheus.Collector{l.refusals, l.overrun, l.warnings, l.swept, l.cold}
}

func (l *Ledger) clock() time.Time { return l.o.Clock() }

// Publish makes accounts those that are kept. Budgets that are new among them are cold until Greet, or the next Tick.
func (l *Ledger) Publish(a *Accounts) {
	l.accounts.Store(a)
	l.suspect.Store(true)
}

// Accounts are those that were published last; nil: none were.
func (l *Ledger) Accounts() *Accounts { return l.accounts.Load() }

// sentinel stands for everything that is counted of an organization's money: it is cold after the counters were forgotten,
// and warm when only one budget is new.
var sentinel = &ratelimit.Limit{Key: "*", Kind: ratelimit.Amount, Per: ratelimit.Total, Max: tenancy.MostUnits}

// Greet seeds the budgets that are new, before calls meet them: until somebody says what was spent of it a budget is cold.
func (l *Ledger) Greet(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.byOrg(func(m *measure) bool { return m.watch.fresh.Load() })
	if len(fresh) == 0 || !l.serving.Load() {
		return nil
	}
	everything := l.byOrg(func(m *measure) bool { return fresh[m.budget.Org] != nil })
	totals, err := l.totals(ctx, everything)
	if err != nil {
		return err
	}
	var errs []error
	for org, some := range everything {
		errs = append(errs, l.seed(ctx, org, some, totals))
	}
	return errors.Join(errs...)
}

// Open seeds the budgets before the first call. What was settled by earlier processes is in the ledger by then.
func (l *Ledger) Open(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.reconcile(ctx)
	l.serving.Store(true)
	return err
}

// How often what is to be done beside the calls is done.
const reconcileEvery = time.Minute

// Tick does what is to be done beside the calls. It is called every second.
func (l *Ledger) Tick(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	if l.o.Away() {
		l.lastAway.Store(now.UnixNano())
		l.suspect.Store(true)
		return nil
	}
	soon := l.suspect.Swap(false)
	if !soon && len(l.blank) == 0 && now.Sub(l.reconciled) < reconcileEvery {
		return l.warn(ctx, false)
	}
	full := now.Sub(l.reconciled) >= reconcileEvery
	err := l.reconcile(ctx)
	if full {
		l.reconciled = now
		err = errors.Join(err, l.sweepAll(ctx))
	}
	return err
}

// byOrg are the budgets of which something is true, by organization.
func (l *Ledger) byOrg(is func(*measure) bool) map[tenancy.ID][]*measure {
	all := map[tenancy.ID][]*measure{}
	a := l.Accounts()
	if a == nil {
		return all
	}
	for _, m := range a.budgets {
		if is(m) {
			all[m.budget.Org] = append(all[m.budget.Org], m)
		}
	}
	return all
}

// totalKey is one window of one budget.
type totalKey struct {
	budget tenancy.ID
	window int64
}

// reconcile raises the counters of all budgets to what the ledger says, seeds those that are cold, and warns of those of
// which enough is spent. It is done every minute.
func (l *Ledger) reconcile(ctx context.Context) error {
	everything := l.byOrg(func(*measure) bool { return true })
	if len(everything) == 0 {
		return nil
	}
	totals, err := l.totals(ctx, everything)
	if err != nil {
		return err
	}
	var errs []error
	for org, some := range everything {
		errs = append(errs, l.seed(ctx, org, some, totals))
	}
	return errors.Join(append(errs, l.warn(ctx, true))...)
}

// totals are what the ledger says of the windows of now.
func (l *Ledger) totals(ctx context.Context, everything map[tenancy.ID][]*measure) (map[totalKey]money.Nano, error) {
	if l.o.Books == nil {
		return map[totalKey]money.Nano{}, nil
	}
	now, since := l.clock(), l.clock()
	for _, some := range everything {
		for _, m := range some {
			if start, _ := m.limit.Window(now); !start.IsZero() && start.Before(since) {
				since = start
			}
		}
	}
	list, err := l.o.Books.LedgerTotals(ctx, LedgerQuery{Since: since})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	totals := make(map[totalKey]money.Nano, len(list))
	for i := range list {
		totals[totalKey{list[i].Budget, micros(list[i].Window)}] += list[i].Spent
	}
	return totals, nil
}

func micros(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}

// How long counters that were forgotten stay so: until it is known whether other nodes count too, and, where they do, until
// each of them has renewed what it holds and shipped what it settled.
const (
	aloneFor = 6 * time.Second
	coldFor  = ratelimit.RenewEvery + 5*time.Second
)

// arriveFor is how long what was settled while the store was away may be on its way to it when it is back: each node tries
// again every two seconds.
const arriveFor = 5 * time.Second

// arriving tells whether the ledger may have what the counters will only hear of: it would be counted twice.
func (l *Ledger) arriving() bool {
	return l.clock().Sub(time.Unix(0, l.lastAway.Load())) < arriveFor
}

// seed says to the counters what is spent of some budgets of an organization.
func (l *Ledger) seed(ctx context.Context, org tenancy.ID, some []*measure, totals map[totalKey]money.Nano) error {
	if wait, err := l.forgotten(ctx, org, some); wait || err != nil {
		return err
	}
	now, arriving := l.clock(), l.arriving()
	for _, m := range some {
		if arriving && !m.watch.fresh.Load() {
			l.suspect.Store(true)
			continue
		}
		start, _ := m.limit.Window(now)
		spent := max(0, totals[totalKey{m.budget.ID, micros(start)}])
		if err := l.counter.Seed(ctx, string(org), m.limit, now, min(int64(spent), tenancy.MostUnits)); err != nil {
			return fmt.Errorf("seed the budget %s: %w", m.budget.ID, err)
		}
		m.watch.fresh.Store(false)
	}
	return nil
}

// blank is that the counters of an organization were forgotten.
type blank struct {
	since time.Time
	mark  int64 // what noticed says
}

// noticed is what the first node that finds the counters forgotten writes into them: if it is gone, or another, they were
// forgotten once more.
var noticed = &ratelimit.Limit{Key: "?", Kind: ratelimit.Amount, Per: ratelimit.Total, Max: tenancy.MostUnits}

// forgotten tells whether the counters of an organization were forgotten, and it is too early to say what was spent: then
// some of it is not in the ledger. An organization whose budgets are all new was not forgotten: there was nothing.
func (l *Ledger) forgotten(ctx context.Context, org tenancy.ID, some []*measure) (wait bool, err error) {
	uses, err := l.counter.Uses(ctx, string(org), []*ratelimit.Limit{sentinel, noticed})
	if err != nil {
		return true, fmt.Errorf("ask what is counted of %s: %w", org, err)
	}
	if !uses[0].Cold {
		delete(l.blank, org)
		return false, nil
	}
	now := l.clock()
	since, err := l.blankSince(ctx, org, uses[1])
	if err != nil || l.tooEarly(now, since, some) {
		return true, err
	}
	if err := l.o.Renew(); err != nil {
		return true, fmt.Errorf("renew what is held of %s: %w", org, err)
	}
	delete(l.blank, org)
	return false, l.counter.Seed(ctx, string(org), sentinel, now, 0)
}

// blankSince is when this node found the counters of an organization forgotten for the last time.
func (l *Ledger) blankSince(ctx context.Context, org tenancy.ID, said ratelimit.Use) (time.Time, error) {
	now, mark := l.clock(), said.Used
	if said.Cold {
		mark = now.UnixMilli()
		if err := l.counter.Seed(ctx, string(org), noticed, now, mark); err != nil {
			return now, fmt.Errorf("note that what is counted of %s was forgotten: %w", org, err)
		}
	}
	if was, known := l.blank[org]; !known || was.mark != mark {
		l.blank[org] = blank{now, mark}
	}
	return l.blank[org].since, nil
}

// tooEarly tells whether somebody may have settled or hold what the ledger and the counters do not know.
func (l *Ledger) tooEarly(now, since time.Time, some []*measure) bool {
	serving := l.serving.Load()
	if serving && !slices.ContainsFunc(some, func(m *measure) bool { return !m.watch.fresh.Load() }) {
		return false
	}
	passed := now.Sub(since)
	switch {
	case !l.o.Alone():
		return passed < coldFor || !l.o.Shipped(since)
	case serving:
		return passed < aloneFor || !l.o.Shipped(since)
	}
	return false
}

// exhausted is the percent at which nothing is left.
const exhausted = 100

// warn looks at the budgets that something was settled of since the last time, or at all of them, and notes what was
// reached of those. It is done every second, beside the calls.
func (l *Ledger) warn(ctx context.Context, all bool) error {
	var errs []error
	cold := 0
	for org, some := range l.byOrg(func(m *measure) bool { return m.watch.touched.Swap(false) || all }) {
		limits := make([]*ratelimit.Limit, len(some))
		for i, m := range some {
			limits[i] = m.limit
		}
		uses, err := l.counter.Uses(ctx, string(org), limits)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for i, m := range some {
			if uses[i].Cold {
				cold++
				continue
			}
			errs = append(errs, l.note(ctx, m, uses[i].Used))
		}
	}
	if all {
		l.cold.Set(float64(cold))
	}
	return errors.Join(errs...)
}

// note notes the highest percent that is reached of a budget, once in a window.
func (l *Ledger) note(ctx context.Context, m *measure, spent int64) error {
	b, w := m.budget, m.watch
	percent := 0
	switch {
	case spent <= 0 || l.o.Books == nil:
		return nil
	case spent >= int64(b.Max):
		percent = exhausted
	case b.WarnAt > 0 && spent*exhausted >= int64(b.Max)*int64(b.WarnAt):
		percent = b.WarnAt
	default:
		return nil
	}
	start, _ := m.limit.Window(l.clock())
	if w.window.Equal(start) && w.noted >= percent {
		return nil
	}
	first, err := l.o.Books.NoteBudget(ctx, b, start, percent, money.Nano(spent))
	if err != nil {
		return fmt.Errorf("note that %d%% of the budget %s is spent: %w", percent, b.ID, err)
	}
	w.window, w.noted = start, percent
	if first {
		l.warnings.Inc()
		l.o.Log.Warn("a budget is spent", slog.String("org", string(b.Org)), slog.String("budget", string(b.ID)), slog.Int("percent", percent), slog.String("spent_usd", money.Nano(spent).String()))
	}
	return nil
}

package accounting_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tenancy"
)

// books are a ledger in memory, as storage.DB keeps one.
type books struct {
	mu      sync.Mutex
	rows    map[tenancy.ID][]accounting.Booking // of calls
	noted   []string
	percent map[string]bool
}

func newBooks() *books {
	return &books{rows: map[tenancy.ID][]accounting.Booking{}, percent: map[string]bool{}}
}

// append takes records as the shipper brings them: each once.
func (b *books) append(records ...accounting.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range records {
		if _, known := b.rows[records[i].ID]; !known {
			b.rows[records[i].ID] = append([]accounting.Booking{}, records[i].Bookings...)
		}
	}
}

func (b *books) LedgerTotals(_ context.Context, _ accounting.LedgerQuery) (list []accounting.LedgerTotal, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bookings := range b.rows {
		for _, k := range bookings {
			list = append(list, accounting.LedgerTotal{Budget: k.Budget, Window: k.Window, Held: k.Held, Spent: k.Spent, Overrun: max(0, k.Spent-k.Held)})
		}
	}
	return list, nil
}

func (b *books) NoteBudget(_ context.Context, of *accounting.Budget, window time.Time, percent int, spent money.Nano) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := fmt.Sprintf("%s %s %d", of.ID, window.UTC().Format("01-02"), percent)
	b.noted = append(b.noted, at+" "+spent.String())
	first := !b.percent[at]
	b.percent[at] = true
	return first, nil
}

// world is a ledger over counters in memory, with a clock of its own.
type world struct {
	clock  atomic.Int64 // nanoseconds since 1970; renewals read it too
	books  *books
	memory *ratelimit.Memory
	ledger *accounting.Ledger
	away   bool // the counters are
	alone  bool
	behind bool // the shipper is
	n      int
}

func newWorld(t interface{ Cleanup(func()) }, budgets ...accounting.Budget) *world {
	w := &world{books: newBooks(), alone: true}
	w.clock.Store(time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC).UnixNano())
	w.start(t, budgets)
	return w
}

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// start begins another process: what the last one has counted is gone.
func (w *world) start(t interface{ Cleanup(func()) }, budgets []accounting.Budget) {
	w.memory = ratelimit.NewMemory(w.now)
	guard := ratelimit.NewGuard(w.memory, ratelimit.GuardOptions{Clock: w.now})
	t.Cleanup(guard.Close)
	w.ledger = accounting.NewLedger(guard, w.memory, accounting.LedgerOptions{
		Books: w.books, Clock: w.now, Renew: guard.RenewNow,
		Away: func() bool { return w.away }, Alone: func() bool { return w.alone }, Shipped: func(time.Time) bool { return !w.behind },
	})
	w.ledger.Publish(accounting.NewAccounts(nil, budgets, accounting.Unpriced{}, nil))
}

// begin holds a call.
func (w *world) begin(estimate money.Nano) (*accounting.Reservation, accounting.Record, error) {
	w.n++
	rec := accounting.Record{State: accounting.Begun, ID: tenancy.ID(fmt.Sprintf("req_%d", w.n)), Begun: w.now(), Who: tenancy.Identity{Org: "org", Key: "key"}, Estimate: estimate}
	r := &accounting.Reservation{}
	w.ledger.Accounts().Open(r, &accounting.Call{ID: rec.ID, Who: rec.Who, Route: "m"})
	err := w.ledger.Reserve(context.Background(), r, accounting.Estimate{Cost: estimate})
	r.Book(&rec)
	return r, rec, err
}

// end settles it and brings its record into the books.
func (w *world) end(r *accounting.Reservation, rec accounting.Record, cost money.Nano) {
	rec.State, rec.Cost = accounting.Ended, cost
	r.Book(&rec)
	w.ledger.Settle(r, &rec)
	w.books.append(rec)
	w.ledger.Committed(context.Background(), []accounting.Record{rec})
}

func dayBudget(dollars money.Nano, change func(*accounting.Budget)) accounting.Budget {
	b := accounting.Budget{Meta: tenancy.Meta{ID: "budget_1", Org: "org", Name: "daily"}, Max: dollars, Per: ratelimit.Day, WarnAt: 80, Hard: true}
	if change != nil {
		change(&b)
	}
	return b
}

func must(t interface {
	Helper()
	Fatal(args ...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each warning is sent once in a window, and again in the next.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, hard := range map[string]bool{"a budget that refuses": true, "a budget that warns": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dayBudget(100, func(b *accounting.Budget) { b.Hard = hard }))
			must(t, w.ledger.Open(t.Context()))
			spend := func(n money.Nano) {
				r, rec, err := w.begin(n)
				must(t, err)
				w.end(r, rec, n)
				must(t, w.ledger.Tick(t.Context()))
			}
			for _, n := range []money.Nano{50, 29, 1, 5, 15} {
				spend(n)
				w.pass(time.Second)
			}
			w.pass(2 * time.Minute)
			must(t, w.ledger.Tick(t.Context())) // the minute's reconciliation has no news
			w.pass(24 * time.Hour)
			spend(90)
			want := []string{"budget_1 01-15 80 0.00000008", "budget_1 01-15 100 0.0000001", "budget_1 01-16 80 0.00000009"}
			if fmt.Sprint(w.books.noted) != fmt.Sprint(want) {
				t.Errorf("%q, want %q", w.books.noted, want)
			}
		})
	}
}

// A budget that only warns refuses nothing.
func TestSoftBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dayBudget(100, func(b *accounting.Budget) { b.Hard = false }))
	r, rec, err := w.begin(1000) // also before anybody has said what was spent
	must(t, err)
	w.end(r, rec, 1000)
	must(t, w.ledger.Open(t.Context()))
	_, _, err = w.begin(1000)
	must(t, err)
}

// At a start budgets are counted from the books.
func TestRebuild(t *testing.T) {
	t.Parallel()
	budgets := []accounting.Budget{dayBudget(100, nil)}
	w := newWorld(t, budgets...)
	if _, _, err := w.begin(1); err == nil {
		t.Error("a cold budget gives something")
	}
	must(t, w.ledger.Open(t.Context()))
	r, rec, err := w.begin(60)
	must(t, err)
	w.end(r, rec, 70) // an overrun
	w.start(t, budgets)
	must(t, w.ledger.Open(t.Context()))
	use, err := w.ledger.BudgetUse(t.Context(), &budgets[0])
	must(t, err)
	if want := (accounting.BudgetUse{Spent: 70}); use != want {
		t.Errorf("%+v, want %+v", use, want)
	}
	if _, _, err := w.begin(31); err == nil {
		t.Error("31 of 30")
	}
	_, _, err = w.begin(30)
	must(t, err)
}

// What this node has settled is in the books when they were waited for, and what others have if they are not behind.
func TestAwaitBooks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alone  bool
		behind time.Duration
		takes  time.Duration
		fails  bool
	}{
		"alone":             {alone: true, behind: 2 * time.Second, takes: 2 * time.Second},
		"with others":       {behind: 2 * time.Second, takes: 5 * time.Second},
		"behind the others": {behind: 7 * time.Second, takes: 7 * time.Second},
		"without books":     {alone: true, behind: time.Hour, takes: 15 * time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				memory := ratelimit.NewMemory(time.Now)
				l := accounting.NewLedger(memory, memory, accounting.LedgerOptions{
					Alone:   func() bool { return c.alone },
					Shipped: func(since time.Time) bool { return time.Since(since) >= c.behind },
				})
				began := time.Now()
				err := l.AwaitBooks(t.Context())
				_, unavailable := errors.AsType[*tenancy.Unavailable](err)
				if took := time.Since(began); took != c.takes || unavailable != c.fails || !c.fails && err != nil {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

// Forgive takes back what the ledger knew, and nothing of what any node holds or has settled since.
func TestForgive(t *testing.T) {
	t.Parallel()
	b := dayBudget(1000, nil)
	w := newWorld(t, b)
	must(t, w.ledger.Open(t.Context()))
	r, rec, err := w.begin(400)
	must(t, err)
	w.end(r, rec, 400)
	_, _, err = w.begin(300)
	must(t, err)
	// What another node settled, the ledger of which does not know yet, came into the same counters.
	r, rec, err = w.begin(200)
	must(t, err)
	rec.State, rec.Cost = accounting.Ended, 150
	r.Book(&rec)
	w.ledger.Settle(r, &rec)
	must(t, w.ledger.Forgive(t.Context(), &b, w.now(), 400))
	use, err := w.ledger.BudgetUse(t.Context(), &b)
	must(t, err)
	if want := (accounting.BudgetUse{Spent: 150, Held: 300}); use != want {
		t.Errorf("%+v, want %+v", use, want)
	}
}

// The law: whatever calls cost, whoever dies, and whatever is swept, settled and held are never more than the budget and
// the listed overruns.
func TestLaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		stop := cleanups{}
		defer stop.run()
		const most = 300
		budgets := []accounting.Budget{dayBudget(most, func(b *accounting.Budget) { b.Per = ratelimit.Total })}
		w := newWorld(&stop, budgets...)
		must(rt, w.ledger.Open(context.Background()))
		type open struct {
			r   *accounting.Reservation
			rec accounting.Record
		}
		var running []open
		pick := func() (o open, ok bool) {
			if len(running) == 0 {
				return o, false
			}
			i := rapid.IntRange(0, len(running)-1).Draw(rt, "which")
			o = running[i]
			running = append(running[:i], running[i+1:]...)
			return o, true
		}
		interrupt := func(o open) {
			o.rec.State, o.rec.Cost = accounting.Interrupted, o.rec.Estimate
			for i := range o.rec.Bookings {
				o.rec.Bookings[i].Spent = o.rec.Estimate
			}
			w.books.append(o.rec)
			w.ledger.Committed(context.Background(), []accounting.Record{o.rec})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				estimate := money.Nano(rapid.IntRange(50, 100).Draw(rt, "estimate"))
				if r, rec, err := w.begin(estimate); err == nil {
					running = append(running, open{r, rec})
				}
			},
			"top up": func(rt *rapid.T) {
				if o, ok := pick(); ok {
					_ = w.ledger.Reserve(context.Background(), o.r, accounting.Estimate{Cost: o.rec.Estimate + money.Nano(rapid.IntRange(0, 200).Draw(rt, "more"))})
					running = append(running, o)
				}
			},
			"end": func(rt *rapid.T) {
				if o, ok := pick(); ok {
					cost := o.rec.Bookings[0].Held // and seldom more or less
					if rapid.IntRange(0, 4).Draw(rt, "odd") == 0 {
						cost = money.Nano(rapid.IntRange(0, 150).Draw(rt, "cost"))
					}
					w.end(o.r, o.rec, cost)
				}
			},
			"die": func(rt *rapid.T) { // the process, with all its calls
				if rapid.IntRange(0, 4).Draw(rt, "dies") > 0 {
					return
				}
				dead := running
				running = nil
				w.start(&stop, budgets)
				for _, o := range dead {
					interrupt(o)
				}
				must(rt, w.ledger.Open(context.Background()))
			},
			"wait": func(rt *rapid.T) {
				w.pass(time.Duration(rapid.IntRange(1, 30).Draw(rt, "seconds")) * time.Second)
				must(rt, w.ledger.Tick(context.Background()))
			},
			"": func(rt *rapid.T) {
				var spent, overrun, held money.Nano
				totals, _ := w.books.LedgerTotals(context.Background(), accounting.LedgerQuery{})
				for _, total := range totals {
					spent, overrun = spent+total.Spent, overrun+total.Overrun
				}
				for _, o := range running {
					held += o.rec.Bookings[0].Held
				}
				if spent+held > most+overrun {
					rt.Fatalf("%d settled and %d held are more than %d and overruns of %d", spent, held, most, overrun)
				}
			},
		})
	})
}

// cleanups are those of one run.
type cleanups []func()

func (c *cleanups) Cleanup(f func()) { *c = append(*c, f) }

func (c *cleanups) run() {
	for _, f := range *c {
		f()
	}
}

// To find what counts a call, and to hold and settle it, costs no memory.
func TestReserveAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	limits, budgets := tight()
	w.ledger.Publish(accounting.NewAccounts(limits, budgets, accounting.Unpriced{}, nil))
	must(t, w.ledger.Open(t.Context()))
	reserve := reserving(t, w, accounting.Call{ID: "req_1", Who: tenancy.Identity{Org: "org", Team: "team", Key: "key"}, Route: "m"})
	if n := testing.AllocsPerRun(200, reserve); n > 0 {
		t.Errorf("%v allocations with 8 limits and 2 budgets", n)
	}
	none := reserving(t, w, accounting.Call{ID: "req_2", Who: tenancy.Identity{Org: "another", Key: "key"}, Route: "m"})
	if n := testing.AllocsPerRun(200, none); n > 0 {
		t.Errorf("%v allocations without limits", n)
	}
}

// tight are 8 limits and 2 budgets of one call.
func tight() (limits []accounting.Limits, budgets []accounting.Budget) {
	for i, s := range []accounting.Scope{{}, {Team: "team"}, {Key: "key"}, {Route: "m"}} {
		limits = append(limits, accounting.Limits{
			Meta: tenancy.Meta{ID: tenancy.ID(fmt.Sprintf("limit_%d", i)), Org: "org"}, Scope: s, RPM: 1 << 40, TPM: 1 << 40, Burst: 1 << 30,
		})
	}
	for i := range 2 {
		budgets = append(budgets, dayBudget(1<<50, func(b *accounting.Budget) { b.ID = tenancy.ID(fmt.Sprintf("budget_%d", i)) }))
	}
	return limits, budgets
}

// reserving holds and settles a call, each time with another id.
func reserving(t testing.TB, w *world, call accounting.Call) func() {
	t.Helper()
	const many = 1 << 12
	ids := make([]tenancy.ID, many)
	for i := range ids {
		ids[i] = tenancy.ID(fmt.Sprintf("%s_%d", call.ID, i))
	}
	r, rec := &accounting.Reservation{}, &accounting.Record{Cost: 1}
	n := 0
	return func() {
		call.ID = ids[n%many]
		n++
		w.ledger.Accounts().Open(r, &call)
		if err := w.ledger.Reserve(context.Background(), r, accounting.Estimate{Tokens: 10, Cost: 2}); err != nil {
			t.Fatal(err)
		}
		r.Book(rec)
		w.ledger.Settle(r, rec)
		r.Reset()
	}
}

// BenchmarkReserve is what a call pays for 8 limits and 2 budgets that are counted in this process.
func BenchmarkReserve(b *testing.B) {
	w := newWorld(b)
	limits, budgets := tight()
	w.ledger.Publish(accounting.NewAccounts(limits, budgets, accounting.Unpriced{}, nil))
	must(b, w.ledger.Open(b.Context()))
	for name, org := range map[string]tenancy.ID{"8 limits and 2 budgets": "org", "nothing": "another"} {
		b.Run(name, func(b *testing.B) {
			reserve := reserving(b, w, accounting.Call{ID: "req_" + org, Who: tenancy.Identity{Org: org, Team: "team", Key: "key"}, Route: "m"})
			b.ReportAllocs()
			for b.Loop() {
				reserve()
			}
		})
	}
}

package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
)

// Denied says why a call may not be made now: which limit, whose, and when it may be.
type Denied struct {
	Level Level
	Unit  Unit
	Per   ratelimit.Per // of Places: none
	Max   int64         // nano-dollars of Dollars
	Tag   Tag           // of OfTag
	After time.Duration // when it may be otherwise; 0: it is not known, or never
	Ends  time.Time     // of a budget: when its window ends; zero: never
	Never bool          // this call by itself is never made: it asks for more than the limit ever gives
	Away  bool          // what was used can not be known now, so that nothing is given
}

// Error is for the log.
func (d *Denied) Error() string {
	return fmt.Sprintf("a limit of the %s of %d refuses", d.Level, d.Max)
}

// ErrUnpriced says that nobody knows what a call may cost, and that a budget would have to pay for it.
var ErrUnpriced = errors.New("nobody knows what the call may cost")

// Reserve holds what a call may come to, all or nothing. Asked again for more it holds what is more, so that it is also
// how a call tops up before another attempt; asked again for the same it holds nothing. *Denied says that a limit
// refuses, ErrUnpriced that nobody knows what would have to be held. Then nothing more is held than before.
func (l *Ledger) Reserve(ctx context.Context, r *Reservation, e Estimate) error {
	if r.Empty() {
		return nil
	}
	if r.Refuses(e) {
		l.refusals.WithLabelValues("unpriced", OfOrganization.String()).Inc()
		return ErrUnpriced
	}
	err := l.hold(ctx, r, e)
	if no, ok := errors.AsType[*Denied](err); ok {
		l.refusals.WithLabelValues(kinds[no.Unit], no.Level.String()).Inc()
	}
	return err
}

// hold holds an estimate, all or nothing.
func (l *Ledger) hold(ctx context.Context, r *Reservation, e Estimate) error {
	if len(r.measures) > ratelimit.Widest {
		return fmt.Errorf("hold a call: %d limits and budgets count it, at most %d can", len(r.measures), ratelimit.Widest)
	}
	r.ask(e)
	d, err := l.limiter.Take(ctx, &r.hold)
	r.left = d.Left
	if d.Alone && !l.suspect.Load() {
		l.suspect.Store(true)
	}
	switch {
	case err == nil && d.OK:
		r.held = true
		return nil
	case err == nil:
		err = l.denied(r, &d)
	default:
		err = fmt.Errorf("hold a call: %w", err)
	}
	r.unask()
	return err
}

// denied says in the house's words what the limiter decided.
func (l *Ledger) denied(r *Reservation, d *ratelimit.Decision) error {
	refused := d.Refused
	if refused == nil {
		refused = d.Cold
	}
	for i, m := range r.measures {
		if m.limit != refused {
			continue
		}
		no := &Denied{
			Level: m.level, Unit: m.unit, Per: m.limit.Per, Max: m.limit.Max, Tag: m.tag, After: d.RetryAfter, Never: d.Never,
			Away: d.Cold != nil || d.Alone && (m.unit == Dollars || m.limit.OnStoreFailure == ratelimit.Closed),
		}
		if m.unit == Dollars {
			_, no.Ends = m.limit.Window(l.clock())
			no.Never = no.Never && r.hold.Takes[i].N > m.limit.Max
		}
		no.Never = no.Never && !no.Away
		return no
	}
	return errors.New("hold a call: the limiter refuses for a limit that it was not asked about")
}

// kinds are the units as metrics name them.
var kinds = [...]string{Requests: "requests", TokenUnits: "tokens", Places: "in_flight", Dollars: "budget"}

// Settle ends what is held of a call with what it came to. It does not wait.
func (l *Ledger) Settle(r *Reservation, rec *Record) {
	if !r.Held() {
		return
	}
	r.held = false
	actual := r.used(rec)
	for i, m := range r.measures {
		if m.watch == nil {
			continue
		}
		if !m.watch.touched.Load() { // else the cores would fight for it
			m.watch.touched.Store(true)
		}
		if over := actual[i] - r.hold.Takes[i].N; over > 0 {
			l.overrun.Add(money.Nano(over).Dollars())
		}
	}
	l.limiter.Settle(&r.hold, actual)
}

package accounting

import (
	"errors"
	"math"
	"math/big"
	"time"

	"github.com/vel-gateway/vel/money"
)

// Span is a stretch of time: From <= t < To.
type Span struct{ From, To time.Time }

// Stretch is a day, a week or a month as far as it has come.
type Stretch struct {
	Span
	Hours  Span // of it, the hours that are over
	Before Span // as many hours of the period before, from its beginning on: what Hours compares with
}

// daysBack is how many days before now tell how fast money is spent.
const daysBack = 7

// Calendar is the stretches of time whose sums make a summary, as of a moment. They begin and end with whole minutes, as
// sums are kept, but for those that end now.
type Calendar struct {
	Now                time.Time
	Today, Week, Month Stretch // a week begins on Monday
	LastMonth          Span
	MonthEnd           time.Time
	Days               [daysBack]Span // 24 hours each, up to the last hour of UTC that is over; the newest first
}

// NewCalendar makes the calendar of a moment in a time zone.
func NewCalendar(now time.Time, zone *time.Location) Calendar {
	c := Calendar{Now: now.UTC()}
	year, month, day := now.In(zone).Date()
	begin := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 0, 0, 0, 0, zone).UTC()
	}
	monday := day - (int(now.In(zone).Weekday())+6)%7
	hour := c.Now.Truncate(time.Hour)
	c.Today = c.stretch(begin(year, month, day), begin(year, month, day-1), hour)
	c.Week = c.stretch(begin(year, month, monday), begin(year, month, monday-7), hour)
	c.Month = c.stretch(begin(year, month, 1), begin(year, month-1, 1), hour)
	c.LastMonth = Span{begin(year, month-1, 1), begin(year, month, 1)}
	c.MonthEnd = begin(year, month+1, 1)
	for i := range c.Days {
		c.Days[i] = Span{hour.Add(time.Duration(-24*(i+1)) * time.Hour), hour.Add(time.Duration(-24*i) * time.Hour)}
	}
	return c
}

// stretch is what began at a time and is compared with what began before. No stretch before is longer than its period.
func (c *Calendar) stretch(begin, before, hour time.Time) Stretch {
	if hour.Before(begin) { // in a zone with half hours
		hour = begin
	}
	until := before.Add(hour.Sub(begin))
	if until.After(begin) {
		until = begin
	}
	return Stretch{Span{begin, c.Now}, Span{begin, hour}, Span{before, until}}
}

// Spans are the stretches of time whose sums Summarize needs, in its order. What was spent until now is what was spent in
// the hours that are over, and since.
func (c *Calendar) Spans() []Span {
	spans := []Span{c.LastMonth}
	for _, s := range []*Stretch{&c.Today, &c.Week, &c.Month} {
		spans = append(spans, s.Hours, Span{s.Hours.To, c.Now}, s.Before)
	}
	return append(spans, c.Days[:]...)
}

// Spent is the sums of a stretch of time.
type Spent struct {
	Span
	Calls, Failed, Estimated, Unpriced int64
	Cost                               money.Nano
}

// Period is what was spent in a stretch.
type Period struct {
	Spent
	Hours  money.Nano // of it, in the hours that are over
	Before money.Nano // in as many hours of the period before
}

// Summary is what was spent, how fast, and what that comes to.
type Summary struct {
	Today, Week, Month Period
	LastMonth          Spent
	PerHour            money.Nano // the mean of the last 24 hours that are over
	PerDay             money.Nano // the mean of the last seven times 24 hours
	MonthEnd           money.Nano // what the month will have cost: see project
}

var errTooLarge = errors.New("the sum is too large to be counted")

// Summarize makes a summary of the sums of a calendar's spans, in their order.
func (c *Calendar) Summarize(sums []UsageRow) (s Summary, err error) {
	lastMonth, stretches, days := sums[0], sums[1:10], sums[10:]
	if s.LastMonth, err = spent(c.LastMonth, lastMonth); err != nil {
		return s, err
	}
	for i, of := range []struct {
		stretch *Stretch
		into    *Period
	}{{&c.Today, &s.Today}, {&c.Week, &s.Week}, {&c.Month, &s.Month}} {
		hours, since, before := stretches[3*i], stretches[3*i+1], stretches[3*i+2]
		if of.into.Spent, err = spent(of.stretch.Span, hours, since); err != nil {
			return s, err
		}
		of.into.Hours, of.into.Before = hours.Cost, before.Cost
	}
	week, err := spent(Span{}, days...)
	if err != nil {
		return s, err
	}
	s.PerHour, _ = share(big.NewInt(int64(days[0].Cost)), 1, 24) // less than what it is a part of
	s.PerDay, _ = share(big.NewInt(int64(week.Cost)), 1, daysBack)
	s.MonthEnd, err = c.project(s.Month.Cost, days)
	return s, err
}

func spent(over Span, sums ...UsageRow) (Spent, error) {
	s := Spent{Span: over}
	for i := range sums {
		u := &sums[i]
		s.Calls, s.Failed, s.Estimated, s.Unpriced = s.Calls+u.Calls, s.Failed+u.Failed, s.Estimated+u.Estimated, s.Unpriced+u.Unpriced
		sum, fits := s.Cost.Add(u.Cost)
		if !fits {
			return s, errTooLarge
		}
		s.Cost = sum
	}
	return s, nil
}

// project is what was spent this month, and for the rest of it the mean of the last seven days, of which the newest weighs
// seven times as much as the oldest. Days before the first one on which anything was spent do not count, so that a gateway
// that is new is not taken for one that is idle.
func (c *Calendar) project(month money.Nano, days []UsageRow) (money.Nano, error) {
	known := len(days)
	for known > 0 && days[known-1].Cost == 0 {
		known--
	}
	if known == 0 {
		return month, nil
	}
	sum, weights := new(big.Int), int64(0)
	for i := range known {
		weight := int64(daysBack - i)
		weights += weight
		sum.Add(sum, new(big.Int).Mul(big.NewInt(weight), big.NewInt(int64(days[i].Cost))))
	}
	left := int64(c.MonthEnd.Sub(c.Now) / time.Second)
	rest, fits := share(sum, left, weights*int64(24*time.Hour/time.Second))
	if !fits {
		return month, errTooLarge
	}
	all, fits := month.Add(rest)
	if !fits {
		return month, errTooLarge
	}
	return all, nil
}

// share is n × part ÷ of, rounded half up. False: it is too large.
func share(n *big.Int, part, of int64) (money.Nano, bool) {
	n = new(big.Int).Mul(n, big.NewInt(2*part))
	n.Add(n, big.NewInt(of))
	n.Div(n, new(big.Int).Mul(big.NewInt(2), big.NewInt(of))) // downwards, also below zero
	if !n.IsInt64() {
		return math.MaxInt64, false
	}
	return money.Nano(n.Int64()), true
}

// Change is by how many thousandths more was spent than in the period before, rounded half up. False: nothing was spent
// then, or so little that the change can not be counted.
func (p *Period) Change() (thousandths int64, known bool) {
	if p.Before <= 0 {
		return 0, false
	}
	more := new(big.Int).Sub(big.NewInt(int64(p.Hours)), big.NewInt(int64(p.Before)))
	n, fits := share(more, 1000, int64(p.Before))
	return int64(n), fits
}

// Thousandths is how many thousandths a part is of a number, rounded half up; of nothing it is none.
func Thousandths(part, of int64) int64 {
	if of <= 0 {
		return 0
	}
	n, _ := share(big.NewInt(part), 1000, of)
	return int64(n)
}

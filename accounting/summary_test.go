package accounting

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/money"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// short is a span as a text.
func (s Span) short() string {
	const form = "01-02 15:04"
	return s.From.UTC().Format(form) + " " + s.To.UTC().Format(form)
}

func TestCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, now, zone                  string
		today, yesterday, week, lastWeek string
		month, lastMonth, whole, end     string
	}{
		{
			"a Friday in UTC", "2027-01-15T12:34:56Z", "UTC",
			"01-15 00:00 01-15 12:00", "01-14 00:00 01-14 12:00", "01-11 00:00 01-15 12:00", "01-04 00:00 01-08 12:00",
			"01-01 00:00 01-15 12:00", "12-01 00:00 12-15 12:00", "12-01 00:00 01-01 00:00", "2027-02-01T00:00:00Z",
		},
		{
			"the first minute of a year, a Friday", "2027-01-01T00:00:30Z", "UTC",
			"01-01 00:00 01-01 00:00", "12-31 00:00 12-31 00:00", "12-28 00:00 01-01 00:00", "12-21 00:00 12-25 00:00",
			"01-01 00:00 01-01 00:00", "12-01 00:00 12-01 00:00", "12-01 00:00 01-01 00:00", "2027-02-01T00:00:00Z",
		},
		{
			"a Monday that has begun in Berlin alone", "2027-01-10T23:30:00Z", "Europe/Berlin",
			"01-10 23:00 01-10 23:00", "01-09 23:00 01-09 23:00", "01-10 23:00 01-10 23:00", "01-03 23:00 01-03 23:00",
			"12-31 23:00 01-10 23:00", "11-30 23:00 12-10 23:00", "11-30 23:00 12-31 23:00", "2027-01-31T23:00:00Z",
		},
		{
			"the day after the clocks were put forward, a Monday", "2027-03-29T06:00:00Z", "Europe/Berlin",
			"03-28 22:00 03-29 06:00", "03-27 23:00 03-28 07:00", "03-28 22:00 03-29 06:00", "03-21 23:00 03-22 07:00",
			"02-28 23:00 03-29 06:00", "01-31 23:00 02-28 23:00", "01-31 23:00 02-28 23:00", "2027-03-31T22:00:00Z", // February has no 29th day
		},
		{
			"a zone with half hours, a Thursday", "2027-06-03T10:00:00Z", "Asia/Kolkata",
			"06-02 18:30 06-03 10:00", "06-01 18:30 06-02 10:00", "05-30 18:30 06-03 10:00", "05-23 18:30 05-27 10:00",
			"05-31 18:30 06-03 10:00", "04-30 18:30 05-03 10:00", "04-30 18:30 05-31 18:30", "2027-06-30T18:30:00Z",
		},
		{
			"there, before an hour of UTC is over", "2027-06-02T18:45:00Z", "Asia/Kolkata",
			"06-02 18:30 06-02 18:30", "06-01 18:30 06-01 18:30", "05-30 18:30 06-02 18:00", "05-23 18:30 05-26 18:00",
			"05-31 18:30 06-02 18:00", "04-30 18:30 05-02 18:00", "04-30 18:30 05-31 18:30", "2027-06-30T18:30:00Z",
		},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		got := NewCalendar(at(t, c.now), zone)
		want := []string{c.today, c.yesterday, c.week, c.lastWeek, c.month, c.lastMonth, c.whole, c.end}
		is := []string{
			got.Today.Hours.short(), got.Today.Before.short(), got.Week.Hours.short(), got.Week.Before.short(), got.Month.Hours.short(), got.Month.Before.short(),
			got.LastMonth.short(), got.MonthEnd.Format(time.RFC3339),
		}
		if diff := cmp.Diff(want, is); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if !got.Today.To.Equal(at(t, c.now)) || !got.Month.From.Equal(got.Month.Hours.From) {
			t.Errorf("%s: %v", c.name, got.Today)
		}
		hour := at(t, c.now).Truncate(time.Hour)
		for i, d := range got.Days {
			if d.To.Sub(d.From) != 24*time.Hour || !d.To.Equal(hour.Add(time.Duration(-24*i)*time.Hour)) {
				t.Errorf("%s: day %d is %s", c.name, i, d.short())
			}
		}
	}
}

// ledger has an amount in each hour, and sums spans of them; now is counted to its hour.
type ledger map[string]money.Nano

func (l ledger) sums(t *testing.T, c *Calendar) (rows []UsageRow) {
	t.Helper()
	for _, s := range c.Spans() {
		var row UsageRow
		for when, cost := range l {
			if hour := at(t, when); !hour.Before(s.From) && hour.Before(s.To) {
				row.Cost, row.Calls, row.Unpriced = row.Cost+cost, row.Calls+2, row.Unpriced+1
			}
		}
		rows = append(rows, row)
	}
	return rows
}

const dollar = money.Nano(1_000_000_000)

func TestSummarize(t *testing.T) {
	t.Parallel()
	now := "2027-01-15T12:30:00Z" // 16 days, 11 hours and a half are left of the month: 395.5 hours
	for _, c := range []struct {
		name                    string
		spent                   ledger
		today, week, month      string // until now, in whole hours, before
		lastMonth               money.Nano
		perHour, perDay, monthE money.Nano
	}{
		{"nothing", ledger{}, "0 0 0", "0 0 0", "0 0 0", 0, 0, 0, 0},
		{
			"only in this hour",
			ledger{"2027-01-15T12:00:00Z": dollar},
			"1 0 0", "1 0 0", "1 0 0", 0, 0, 0, dollar,
		},
		{
			"something everywhere",
			ledger{
				"2027-01-15T12:00:00Z": 1, "2027-01-15T11:00:00Z": 10 * dollar, "2027-01-14T11:00:00Z": 8 * dollar, "2027-01-14T12:00:00Z": 2 * dollar,
				"2027-01-11T00:00:00Z": dollar, "2027-01-04T00:00:00Z": 4 * dollar, "2027-01-01T00:00:00Z": 5 * dollar, "2026-12-01T00:00:00Z": 7 * dollar, "2026-12-31T23:00:00Z": 3 * dollar,
				"2026-11-30T23:00:00Z": 1000 * dollar,
			},
			"10.000000001 10 8", "21.000000001 21 4", "30.000000001 30 7", 10 * dollar,
			// 24 hours: 10 + 2 = 12; the seven days: 12, 8, 0, 0, 1, 0, 0, of which the last two are before the first
			12 * dollar / 24, 3 * dollar, // 21 ÷ 7
			// (7×12 + 6×8 + 3×1) ÷ (7+6+5+4+3) = 135 ÷ 25 = 5.4 a day; × 395.5 ÷ 24 = 88.9875
			30_000_000_001 + 88_987_500_000,
		},
		{
			"new since an hour",
			ledger{"2027-01-15T11:00:00Z": 24 * dollar},
			"24 24 0", "24 24 0", "24 24 0", 0, dollar, 3_428_571_429, 24*dollar + 395*dollar + dollar/2,
		},
	} {
		cal := NewCalendar(at(t, now), time.UTC)
		s, err := cal.Summarize(c.spent.sums(t, &cal))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		text := func(p *Period) string {
			return strings.Join([]string{p.Cost.String(), p.Hours.String(), p.Before.String()}, " ")
		}
		want := []any{c.today, c.week, c.month, c.lastMonth, c.perHour, c.perDay, c.monthE}
		got := []any{text(&s.Today), text(&s.Week), text(&s.Month), s.LastMonth.Cost, s.PerHour, s.PerDay, s.MonthEnd}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if len(c.spent) > 0 && (s.Today.Calls == 0 || s.Today.Unpriced*2 != s.Today.Calls) {
			t.Errorf("%s: %+v", c.name, s.Today)
		}
	}
}

func TestSummarizeRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	cal := NewCalendar(at(t, "2027-01-15T12:30:00Z"), time.UTC)
	for i := range cal.Spans() {
		sums := make([]UsageRow, len(cal.Spans()))
		for j := range sums {
			sums[j].Cost = math.MaxInt64 / 64
		}
		sums[i].Cost = math.MaxInt64
		_, err := cal.Summarize(sums)
		alone := i == 0 || i == 3 || i == 6 || i == 9 // what is only compared with
		if (err == nil) != alone {
			t.Errorf("span %d: %v", i, err)
		}
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hours, before money.Nano
		change        int64
		known         bool
	}{
		{0, 0, 0, false},
		{5, 0, 0, false},
		{0, 5, -1000, true},
		{5, 5, 0, true},
		{10, 5, 1000, true},
		{1, 3, -667, true},
		{4, 3, 333, true},
		{20005, 20000, 0, true},
		{20010, 20000, 1, true},
		{20009, 20000, 0, true},
		{math.MaxInt64, 1, math.MaxInt64, false},
		{math.MaxInt64, math.MaxInt64, 0, true},
	} {
		p := Period{Hours: c.hours, Before: c.before}
		if change, known := p.Change(); change != c.change || known != c.known {
			t.Errorf("%d after %d: %d %v, want %d %v", c.hours, c.before, change, known, c.change, c.known)
		}
	}
	for _, c := range [][3]int64{{0, 0, 0}, {1, 0, 0}, {1, 3, 333}, {2, 3, 667}, {3, 3, 1000}} {
		if n := Thousandths(c[0], c[1]); n != c[2] {
			t.Errorf("%d of %d: %d", c[0], c[1], n)
		}
	}
}

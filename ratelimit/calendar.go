package ratelimit

import (
	"sort"
	"sync/atomic"
	"time"
)

// span is a window of the calendar: from start, before end, in milliseconds since 1970. An end of 0 never comes.
type span struct{ start, end int64 }

func (s span) holds(now int64) bool { return now >= s.start && (s.end == 0 || now < s.end) }

// left is how many milliseconds of the window are left.
func (s span) left(now int64) int64 {
	if s.end == 0 {
		return 0
	}
	return s.end - now
}

// Window is the window of the limit in which a moment lies, from start, before end, in the limit's time zone. What counts
// for ever has neither: both are zero.
func (l *Limit) Window(at time.Time) (start, end time.Time) {
	s := windowOf(l.Per, l.zone(), at.UnixMilli())
	if s.end == 0 {
		return time.Time{}, time.Time{}
	}
	return time.UnixMilli(s.start).In(l.zone()), time.UnixMilli(s.end).In(l.zone())
}

func (l *Limit) zone() *time.Location {
	if l.Location == nil {
		return time.UTC
	}
	return l.Location
}

// windowOf finds the window in which a moment lies.
func windowOf(per Per, zone *time.Location, now int64) span {
	at := time.UnixMilli(now).In(zone)
	year, month, day := at.Date()
	switch per {
	case Hour:
		_, offset := at.Zone()
		const hour = 3600_000
		since := (now + int64(offset)*1000) % hour
		return span{now - since, now - since + hour}
	case Day:
		return days(zone, time.Date(year, month, day, 0, 0, 0, 0, time.UTC), 0, 1)
	case Week:
		monday := day - int(at.Weekday()+6)%7
		return days(zone, time.Date(year, month, monday, 0, 0, 0, 0, time.UTC), 0, 7)
	case Month:
		return days(zone, time.Date(year, month, 1, 0, 0, 0, 0, time.UTC), 1, 0)
	}
	return span{}
}

// days is the span of days in the zone that begins with a date.
func days(zone *time.Location, date time.Time, months, more int) span {
	return span{midnight(zone, date), midnight(zone, date.AddDate(0, months, more))}
}

// midnight is the first moment of a date in a zone, also where clocks are changed at midnight and there are two of them
// or none.
func midnight(zone *time.Location, date time.Time) int64 {
	year, month, day := date.Date()
	guess := time.Date(year, month, day, 0, 0, 0, 0, zone)
	begun := func(t time.Time) bool { // the date has come
		y, m, d := t.Date()
		return !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(date)
	}
	if begun(guess) && !begun(guess.Add(-time.Millisecond)) {
		return guess.UnixMilli()
	}
	const around = 4 * 3600_000
	from := guess.UnixMilli() - around
	return from + int64(sort.Search(2*around, func(ms int) bool { return begun(time.UnixMilli(from + int64(ms)).In(zone)) }))
}

// calendar remembers the windows that moments lie in: they are few and last long.
type calendar struct {
	known atomic.Pointer[map[epoch]span] // never written once it is published
}

// starts are the starts of the windows that takes are counted in.
func (c *calendar) starts(out []int64, takes []Take, now int64) []int64 {
	for i := range takes {
		out = append(out, c.window(takes[i].Limit, now).start)
	}
	return out
}

// epoch is a kind of window.
type epoch struct {
	per  Per
	zone *time.Location
}

// remembered is how many kinds of windows a calendar remembers.
const remembered = 256

// window is the window of a limit in which a moment lies.
func (c *calendar) window(l *Limit, now int64) span {
	if l.Kind != Window && l.Kind != Amount {
		return span{start: none}
	}
	e := epoch{l.Per, l.zone()}
	known := c.known.Load()
	if known != nil {
		if s, ok := (*known)[e]; ok && s.holds(now) {
			return s
		}
	}
	s := windowOf(e.per, e.zone, now)
	next := map[epoch]span{e: s}
	if known != nil && len(*known) < remembered {
		for other, was := range *known {
			if other != e {
				next[other] = was
			}
		}
	}
	c.known.CompareAndSwap(known, &next) // if another was faster, it is found again the next time
	return s
}

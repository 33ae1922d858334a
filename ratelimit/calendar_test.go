package ratelimit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/ratelimit"
)

// zones are those whose clocks are changed in the ways that there are: at night, at midnight in either direction, by half
// an hour, by a whole day, and never.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Africa/Cairo",
	"Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/Scoresbysund", "Asia/Tehran",
}

func TestWindows(t *testing.T) {
	t.Parallel()
	cases := []struct {
		zone, at   string
		per        ratelimit.Per
		start, end string
	}{
		{"UTC", "2026-11-26T12:34:56Z", ratelimit.Hour, "2026-11-26T12:00:00Z", "2026-11-26T13:00:00Z"},
		{"UTC", "2026-11-26T12:34:56Z", ratelimit.Day, "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"},
		{"UTC", "2026-11-26T12:34:56Z", ratelimit.Week, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"UTC", "2026-11-29T23:59:59Z", ratelimit.Week, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"}, // a Sunday
		{"UTC", "2026-11-30T00:00:00Z", ratelimit.Week, "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"},
		{"UTC", "2026-02-28T12:00:00Z", ratelimit.Month, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"UTC", "2026-12-31T23:59:59Z", ratelimit.Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"Asia/Kolkata", "2026-11-26T12:34:56Z", ratelimit.Hour, "2026-11-26T12:30:00Z", "2026-11-26T13:30:00Z"},
		{"Europe/Berlin", "2026-03-29T12:00:00Z", ratelimit.Day, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},  // 23 hours
		{"Europe/Berlin", "2026-10-25T12:00:00Z", ratelimit.Day, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},  // 25 hours
		{"Europe/Berlin", "2026-10-25T00:30:00Z", ratelimit.Hour, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"}, // 2:30
		{"Europe/Berlin", "2026-10-25T01:30:00Z", ratelimit.Hour, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}, // 2:30 again
		{"Europe/Berlin", "2026-10-31T23:30:00Z", ratelimit.Month, "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T12:00:00Z", ratelimit.Day, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}, // it begins at 1:00
		{"America/Sao_Paulo", "2018-02-17T12:00:00Z", ratelimit.Day, "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"}, // its last hour is twice
		{"America/Havana", "2026-11-01T12:00:00Z", ratelimit.Day, "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},    // its first hour is twice
	}
	for _, c := range cases {
		l := window("w", c.per, 1)
		l.Location = zone(t, c.zone)
		start, end := l.Window(moment(t, c.at))
		if !start.Equal(moment(t, c.start)) || !end.Equal(moment(t, c.end)) {
			t.Errorf("%s at %s: from %s to %s, want %s to %s", c.zone, c.at, start.UTC(), end.UTC(), c.start, c.end)
		}
	}
	if start, end := amount("usd", ratelimit.Total, 1).Window(moment(t, noon)); !start.IsZero() || !end.IsZero() {
		t.Errorf("for ever is from %s to %s", start, end)
	}
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// In every zone each moment lies in exactly one day, week and month, and one follows the other without a gap.
func TestWindowsFollowEachOther(t *testing.T) {
	t.Parallel()
	var all []*time.Location
	for _, name := range zones {
		all = append(all, zone(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		l := window("w", rapid.SampledFrom([]ratelimit.Per{ratelimit.Hour, ratelimit.Day, ratelimit.Week, ratelimit.Month}).Draw(t, "per"), 1)
		l.Location = rapid.SampledFrom(all).Draw(t, "zone")
		at := time.UnixMilli(rapid.Int64Range(946_684_800_000, 2_208_988_800_000).Draw(t, "ms")) // 2000 to 2040
		start, end := l.Window(at)
		if at.Before(start) || !at.Before(end) {
			t.Fatalf("%s is not from %s to %s", at, start, end)
		}
		if l.Per == ratelimit.Hour {
			return // where a clock is changed by half an hour, one of them is cut short
		}
		for _, inside := range []time.Time{start, end.Add(-time.Millisecond)} {
			if s, e := l.Window(inside); !s.Equal(start) || !e.Equal(end) {
				t.Fatalf("%s is from %s to %s, want %s to %s", inside, s, e, start, end)
			}
		}
		if s, _ := l.Window(end); !s.Equal(end) {
			t.Fatalf("the window after %s begins at %s", end, s)
		}
	})
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	wrong := map[string]*ratelimit.Limit{
		"no key":                  rate("", 1, 1),
		"no kind":                 {Key: "k"},
		"negative":                slots("k", -1),
		"too large":               amount("k", ratelimit.Day, 1<<53),
		"a rate of nothing":       rate("k", 0, 1),
		"a rate without a burst":  rate("k", 1, 0),
		"a burst that is no help": rate("k", 60_001, 1),
		"a burst too large":       rate("k", 60, 1<<53/60_000+1),
		"a rate for a day":        {Key: "k", Kind: ratelimit.Rate, Per: ratelimit.Day, Max: 1, Burst: 1},
		"a window of a week":      window("k", ratelimit.Week, 1),
		"an amount for a minute":  amount("k", ratelimit.Minute, 1),
	}
	for name, l := range wrong {
		if err := l.Validate(); err == nil {
			t.Errorf("%s: %+v is taken for right", name, *l)
		}
	}
	for _, k := range everything() {
		if err := k.Limit.Validate(); err != nil {
			t.Error(err)
		}
	}
}

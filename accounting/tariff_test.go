package accounting

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

func date(t *testing.T, day string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The sums are computed by hand, in millionths of a dollar: tokens × dollars for a million.
func TestTariffs(t *testing.T) {
	t.Parallel()
	p, err := NewPriceOver(
		Tariff{From: date(t, "2027-03-01"), Dollars: map[string]string{"input": "1", "output": "4"}},
		Tariff{Dollars: map[string]string{"input": "2", "cached_input": "0.5", "output": "8"}, Tiers: []Tier{
			{2000, map[string]string{"input": "6"}}, {1000, map[string]string{"input": "4"}},
		}},
		Tariff{From: date(t, "2027-02-01"), Dollars: map[string]string{"input": "1.5"}, Tiers: []Tier{{1000, map[string]string{"input": "3"}}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		at              time.Time
		in, cached, out int64
		cost            money.Nano
		whole           bool
	}{
		{"from the beginning", date(t, "2020-01-01"), 100, 10, 20, 365_000, true},                  // 100 × 2 + 10 × 0.5 + 20 × 8
		{"at a tier's edge", date(t, "2027-01-31"), 900, 100, 0, 1_850_000, true},                  // 900 × 2 + 100 × 0.5
		{"in the first tier", date(t, "2027-01-31"), 900, 101, 1, 3_658_500, true},                 // 900 × 4 + 101 × 0.5 + 8
		{"in the second tier", date(t, "2027-01-31"), 2001, 0, 1, 12_014_000, true},                // 2001 × 6 + 8
		{"the last moment", date(t, "2027-02-01").Add(-1), 100, 0, 0, 200_000, true},               // 100 × 2
		{"the next tariff", date(t, "2027-02-01"), 100, 0, 0, 150_000, true},                       // 100 × 1.5
		{"its tier", date(t, "2027-02-28"), 1001, 0, 0, 3_003_000, true},                           // 1001 × 3
		{"what it does not name", date(t, "2027-02-01"), 100, 0, 20, 150_000, false},               // 100 × 1.5, and no price for 20
		{"the last tariff", date(t, "2028-01-01"), 5000, 10, 20, 5_090_000, true},                  // 5000 × 1 + 10 × 1 + 20 × 4
		{"another zone", date(t, "2027-03-01").In(time.FixedZone("", -3600)), 1, 0, 0, 1000, true}, // it is that day in UTC
	} {
		var u adapters.Usage
		u[adapters.Input], u[adapters.CacheRead], u[adapters.Output] = c.in, c.cached, c.out
		if cost, whole := p.Cost(&u, c.at); cost != c.cost || whole != c.whole {
			t.Errorf("%s: %s, whole %v; want %s", c.name, cost, whole, c.cost)
		}
	}
	for _, wrong := range []Tariff{{Dollars: map[string]string{"inputs": "1"}}, {Tiers: []Tier{{1, map[string]string{"input": "x"}}}}} {
		if _, err := NewPriceOver(wrong); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

// What holds now is shown with every class, and makes the same price again.
func TestNow(t *testing.T) {
	t.Parallel()
	p, err := NewPriceOver(
		Tariff{Dollars: map[string]string{"input": "0.059", "request": "0.005", "audio_hour": "0.04"}},
		Tariff{From: date(t, "2027-02-01"), Dollars: map[string]string{"output": "10", "image": "0.000000000001"}, Tiers: []Tier{{5, map[string]string{"output": "0"}}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]string{
		"input": "0.059", "cached_input": "0.059", "cache_write": "0.059", "audio_input": "0.059", "image_input": "0.059", "request": "0.005", "audio_hour": "0.04",
	}
	if diff := cmp.Diff(Tariff{Dollars: first}, p.Now(date(t, "2027-01-31"))); diff != "" {
		t.Errorf("the first (-want +got):\n%s", diff)
	}
	second := Tariff{
		From: date(t, "2027-02-01"), Dollars: map[string]string{"output": "10", "reasoning": "10", "audio_output": "10", "image_output": "10", "image": "0.000000000001"},
		Tiers: []Tier{{5, map[string]string{"output": "0", "reasoning": "0", "audio_output": "0", "image_output": "0", "image": "0.000000000001"}}},
	}
	if diff := cmp.Diff(second, p.Now(date(t, "2027-02-01"))); diff != "" {
		t.Errorf("the second (-want +got):\n%s", diff)
	}
	b := book(t)
	for _, l := range []*list{b.list, b.overlay} {
		for _, s := range l.Providers {
			for i := range s.Models {
				now := s.Models[i].price.Now(date(t, "2026-11-26"))
				again, err := NewPriceOver(now)
				if err != nil {
					t.Fatalf("%s %s: %v", s.ID, s.Models[i].ID, err)
				}
				if diff := cmp.Diff(now, again.Now(date(t, "2026-11-26"))); diff != "" {
					t.Errorf("%s %s (-want +got):\n%s", s.ID, s.Models[i].ID, diff)
				}
			}
		}
	}
	if none := (*Price)(nil).Now(time.Now()); none.Dollars != nil {
		t.Errorf("no price is %v", none)
	}
}

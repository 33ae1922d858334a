package accounting

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tariff is what a model costs from a time on: decimals of dollars by the names of classes, which are those of
// providers.*.prices.* in the file.
type Tariff struct {
	From    time.Time // zero: ever since
	Dollars map[string]string
	Tiers   []Tier // in ascending order
}

// Tier is what holds for a whole call with more than Above input tokens, all classes of them together. What it does not
// name costs what the tariff says.
type Tier struct {
	Above   int64
	Dollars map[string]string
}

// NewPrice makes the price of a model that is the same at all times.
func NewPrice(dollars map[string]string) (*Price, error) {
	return NewPriceOver(Tariff{Dollars: dollars})
}

// NewPriceOver makes the price of a model of tariffs, each of which holds until the next one does. The first one also
// holds before it begins.
func NewPriceOver(tariffs ...Tariff) (*Price, error) {
	tariffs = slices.Clone(tariffs)
	slices.SortStableFunc(tariffs, func(a, b Tariff) int { return a.From.Compare(b.From) })
	p := &Price{version: ownVersion(tariffs)}
	for _, t := range tariffs {
		period, err := t.period()
		if err != nil {
			return nil, err
		}
		p.periods = append(p.periods, period)
	}
	return p, nil
}

// ownVersion names a price of the operator's by what it says: it has no date, and is equal on every node.
func ownVersion(tariffs []Tariff) string {
	h := sha256.New()
	write := func(dollars map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(dollars)) {
			_, _ = fmt.Fprintf(h, "%s=%s\n", name, dollars[name]) // it never fails
		}
	}
	for i := range tariffs {
		if !tariffs[i].From.IsZero() {
			_, _ = fmt.Fprintln(h, "from", tariffs[i].From.UTC().Format(time.RFC3339))
		}
		write(tariffs[i].Dollars)
		for _, t := range tariffs[i].Tiers {
			_, _ = fmt.Fprintln(h, "above", t.Above)
			write(t.Dollars)
		}
	}
	return "own/" + hex.EncodeToString(h.Sum(nil)[:4])
}

func (t *Tariff) period() (p period, err error) {
	own := none()
	if err := own.setAll(t.Dollars); err != nil {
		return p, err
	}
	p.from, p.base = t.From, own.filled()
	for _, of := range t.Tiers {
		higher := own
		if err := higher.setAll(of.Dollars); err != nil {
			return p, err
		}
		p.tiers = append(p.tiers, tier{of.Above, higher.filled()})
	}
	slices.SortFunc(p.tiers, func(a, b tier) int { return cmp.Compare(a.above, b.above) })
	return p, nil
}

func (r *rates) setAll(dollars map[string]string) error {
	for name, decimal := range dollars {
		if err := r.set(name, decimal); err != nil {
			return err
		}
	}
	return nil
}

// Now is the tariff that holds at a time, with every class that has a price, also those that cost what another one does.
// Without a price, or one that is for nothing, it is empty.
func (p *Price) Now(at time.Time) Tariff {
	if p == nil || len(p.periods) == 0 {
		return Tariff{}
	}
	holds := p.at(at)
	t := Tariff{From: holds.from, Dollars: holds.base.dollars()}
	for i := range holds.tiers {
		t.Tiers = append(t.Tiers, Tier{holds.tiers[i].above, holds.tiers[i].rates.dollars()})
	}
	return t
}

// dollars are the rates that there are as they would be written.
func (r *rates) dollars() map[string]string {
	written := map[string]string{}
	for _, c := range classes {
		if r[c.unit] != unpriced {
			written[c.name] = c.decimal(int64(r[c.unit]))
		}
	}
	return written
}

// decimal is pico-dollars a unit as dollars for as many units as the class is priced by.
func (c *class) decimal(picos int64) string {
	places := 12
	for units := c.units; units >= 10; units /= 10 {
		places--
	}
	digits := strconv.FormatInt(picos, 10)
	if len(digits) <= places {
		digits = strings.Repeat("0", places+1-len(digits)) + digits
	}
	whole, rest := digits[:len(digits)-places], strings.TrimRight(digits[len(digits)-places:], "0")
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}

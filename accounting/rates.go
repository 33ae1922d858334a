package accounting

import (
	"fmt"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

// class is one kind of price: the word for it in the file and in the list, and what it is the price of.
type class struct {
	name  string
	unit  adapters.Unit
	units int64 // how many the decimal is the price of, a power of ten
}

const million = 1_000_000

// classes are all kinds of prices.
var classes = [...]class{
	{"input", adapters.Input, million},
	{"cached_input", adapters.CacheRead, million},
	{"cache_write", adapters.CacheWrite, million},
	{"output", adapters.Output, million},
	{"reasoning", adapters.Reasoning, million},
	{"audio_input", adapters.AudioIn, million},
	{"audio_output", adapters.AudioOut, million},
	{"image_input", adapters.ImageIn, million},
	{"image_output", adapters.ImageOut, million},
	{"audio_hour", adapters.AudioMillis, 1}, // a minute's price is often no whole number of anything
	{"image", adapters.Images, 1},
	{"search", adapters.Searches, 1},
	{"request", adapters.Requests, 1},
}

// millisPerHour is what the price of sound is for.
const millisPerHour = 3_600_000

// rates is the price of each class of usage: pico-dollars a unit, of AudioMillis an hour, or unpriced.
type rates [len(adapters.Usage{})]money.Pico

const unpriced = money.Pico(-1)

// alike are the classes that cost as much as another one where they have no price of their own: the providers' lists
// mean it so.
var alike = [...]struct{ unit, as adapters.Unit }{
	{adapters.CacheRead, adapters.Input},
	{adapters.CacheWrite, adapters.Input},
	{adapters.AudioIn, adapters.Input},
	{adapters.ImageIn, adapters.Input},
	{adapters.Reasoning, adapters.Output},
	{adapters.AudioOut, adapters.Output},
	{adapters.ImageOut, adapters.Output},
}

// none are rates without any price.
func none() (r rates) {
	for i := range r {
		r[i] = unpriced
	}
	return r
}

// set reads one price. What is no class is an error.
func (r *rates) set(name, dollars string) error {
	for _, c := range classes {
		if c.name != name {
			continue
		}
		price, err := money.ParsePer(dollars, c.units)
		if err != nil {
			return fmt.Errorf("the price %s: %w", name, err)
		}
		r[c.unit] = price
		return nil
	}
	return fmt.Errorf("there is no price %q", name)
}

// filled gives the classes that have no price of their own that of another one.
func (r rates) filled() rates {
	for _, a := range alike {
		if r[a.unit] == unpriced {
			r[a.unit] = r[a.as]
		}
	}
	return r
}

// cost is the sum over all that was used. Not whole means that it is too low: something has no price, or nobody said how
// much was used of what has one.
func (r *rates) cost(u *adapters.Usage) (sum money.Pico, whole bool) {
	_, made := u.Tokens()
	whole, used := true, false
	for i, n := range u {
		unit := adapters.Unit(i)
		if n == 0 {
			continue
		}
		used = used || unit != adapters.Requests
		if r[i] == unpriced {
			whole = whole && r.elsewhere(unit, u, made)
			continue
		}
		per := int64(1)
		if unit == adapters.AudioMillis {
			per = millisPerHour
		}
		part, fits := r[i].Mul(n, per)
		if fits {
			part, fits = sum.Add(part)
		}
		if !fits {
			return sum, false // a number that no provider means
		}
		sum = part
	}
	return sum, whole && (used || !r.metered())
}

// elsewhere tells whether a unit without a price is paid with another one: a call as such with what it uses, pictures
// with their tokens, and tokens with the pictures.
func (r *rates) elsewhere(unit adapters.Unit, u *adapters.Usage, made int64) bool {
	switch unit {
	case adapters.Requests:
		return true
	case adapters.Images:
		return made > 0
	case adapters.Searches, adapters.AudioMillis:
		return false
	}
	return u[adapters.Images] > 0 && r[adapters.Images] != unpriced
}

// metered tells whether what is used counts, and not the call alone.
func (r *rates) metered() bool {
	for i, rate := range r {
		if adapters.Unit(i) != adapters.Requests && rate > 0 {
			return true
		}
	}
	return false
}

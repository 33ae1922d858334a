// Package money counts dollars exactly.
//
// It owns two whole numbers: Nano for what was spent, Pico for what one unit costs, how they are read from decimals,
// multiplied, added, rounded and written. There is no float, and nothing overflows unseen. It does not own what has a
// price, or which.
package money

import (
	"errors"
	"math"
	"math/bits"
)

// Nano is an amount in billionths of a dollar: what was spent, or may be. It reaches to nine billion dollars.
type Nano int64

// Pico is the price of one unit in trillionths of a dollar: a dollar for a million tokens is a million of them a token.
// It also holds the sum of a call before it is rounded, which reaches to nine million dollars.
type Pico int64

const (
	picosPerNano = 1000
	nanoDecimals = 9
	picoDecimals = 12
)

// The reasons why a text is no amount.
var (
	ErrSyntax   = errors.New("no decimal number such as 0.25")
	ErrTooLarge = errors.New("too large to be counted")
	ErrTooFine  = errors.New("more decimals than are counted")
)

// Parse reads dollars as a decimal: digits, and perhaps a point and more digits. There is no sign, no exponent and no
// space. What is finer than a billionth is an error, not rounded: nobody writes it without meaning it.
func Parse(dollars string) (Nano, error) {
	n, err := parse(dollars, nanoDecimals)
	return Nano(n), err
}

// ParsePer reads the dollars that a number of units costs together, a power of ten, and gives the price of one: for
// "0.15" and a million 150,000. What does not come out even is an error.
func ParsePer(dollars string, units int64) (Pico, error) {
	decimals := picoDecimals
	for ; units >= 10; units /= 10 {
		decimals--
	}
	n, err := parse(dollars, decimals)
	return Pico(n), err
}

// parse reads a decimal as a whole number of its last place.
func parse(s string, decimals int) (int64, error) {
	n, digits, after := int64(0), 0, -1 // after: decimals read, once there was a point
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.' && after < 0 && digits > 0:
			after = 0
			continue
		case c < '0' || c > '9':
			return 0, ErrSyntax
		case after == decimals && c == '0':
			continue // more places, but nothing in them
		case after == decimals:
			return 0, ErrTooFine
		}
		digits++
		if after >= 0 {
			after++
		}
		if n > (math.MaxInt64-int64(c-'0'))/10 {
			return 0, ErrTooLarge
		}
		n = n*10 + int64(c-'0')
	}
	if digits == 0 || s[len(s)-1] == '.' {
		return 0, ErrSyntax
	}
	for range decimals - max(after, 0) {
		if n > math.MaxInt64/10 {
			return 0, ErrTooLarge
		}
		n *= 10
	}
	return n, nil
}

// Mul is the price of n units at a price for per units, rounded half up to a trillionth. False: it is too large, or an
// argument is negative or per is 0.
func (p Pico) Mul(n, per int64) (Pico, bool) {
	if p < 0 || n < 0 || per <= 0 {
		return 0, false
	}
	high, low := bits.Mul64(uint64(p), uint64(n))
	low, carry := bits.Add64(low, uint64(per)/2, 0)
	high += carry
	if high >= uint64(per) {
		return 0, false
	}
	quotient, _ := bits.Div64(high, low, uint64(per))
	return Pico(quotient), quotient <= math.MaxInt64
}

// Add is the sum of two amounts. False: it is too large.
func (p Pico) Add(q Pico) (Pico, bool) { return add(p, q) }

// Add is the sum of two amounts. False: it is too large.
func (n Nano) Add(m Nano) (Nano, bool) { return add(n, m) }

func add[T ~int64](a, b T) (T, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

// Nano is the amount in billionths, rounded half up.
func (p Pico) Nano() Nano {
	n, rest := p/picosPerNano, p%picosPerNano
	switch {
	case rest >= picosPerNano/2:
		n++
	case rest < -picosPerNano/2:
		n--
	}
	return Nano(n)
}

// Dollars is the amount for a metric, which has no other kind of number. Nothing is computed with it.
func (n Nano) Dollars() float64 { return float64(n) / 1e9 }

// Append appends the dollars as a decimal, without an exponent and without zeros at its end: 0.000123.
func (n Nano) Append(b []byte) []byte {
	left := uint64(n)
	if n < 0 {
		b, left = append(b, '-'), -left
	}
	var text [20]byte // the whole dollars and nine places
	at := len(text)
	for place := 0; left > 0 || place <= nanoDecimals; place++ {
		at--
		text[at] = byte('0' + left%10)
		left /= 10
	}
	point := len(text) - nanoDecimals
	b = append(b, text[at:point]...)
	end := len(text)
	for end > point && text[end-1] == '0' {
		end--
	}
	if end > point {
		b = append(append(b, '.'), text[point:end]...)
	}
	return b
}

// String is the amount in dollars as Append writes it.
func (n Nano) String() string { return string(n.Append(nil)) }

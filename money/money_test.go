package money

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		nano Nano
		err  error
	}{
		"0":                     {0, nil},
		"1":                     {1_000_000_000, nil},
		"0.000000001":           {1, nil},
		"0.10":                  {100_000_000, nil},
		"007.5":                 {7_500_000_000, nil},
		"1.0000000000000":       {1_000_000_000, nil},
		"9223372036.854775807":  {math.MaxInt64, nil},
		"9223372036.854775808":  {0, ErrTooLarge},
		"10000000000":           {0, ErrTooLarge},
		"99999999999999999999":  {0, ErrTooLarge},
		"0.0000000001":          {0, ErrTooFine},
		"":                      {0, ErrSyntax},
		".":                     {0, ErrSyntax},
		".5":                    {0, ErrSyntax},
		"5.":                    {0, ErrSyntax},
		"1.2.3":                 {0, ErrSyntax},
		"-1":                    {0, ErrSyntax},
		"+1":                    {0, ErrSyntax},
		"1e-9":                  {0, ErrSyntax},
		" 1":                    {0, ErrSyntax},
		"1,5":                   {0, ErrSyntax},
		"١":                     {0, ErrSyntax},
		"0x10":                  {0, ErrSyntax},
		"NaN":                   {0, ErrSyntax},
		"1.00000000000000000 ":  {0, ErrSyntax},
		"1.000000000000000000.": {0, ErrSyntax},
	} {
		got, err := Parse(text)
		if !errors.Is(err, want.err) || err == nil && got != want.nano {
			t.Errorf("%q: %d, %v; want %d, %v", text, got, err, want.nano, want.err)
		}
	}
}

func TestParsePer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		per  int64
		want Pico
		err  error
	}{
		{"0.15", 1_000_000, 150_000, nil},
		{"0.003625", 1_000_000, 3_625, nil},
		{"0.0000001", 1_000_000, 0, ErrTooFine},
		{"10", 1_000, 10_000_000_000, nil},
		{"0.04", 1, 40_000_000_000, nil},
		{"9223372", 1, 9_223_372_000_000_000_000, nil},
		{"9223373", 1, 0, ErrTooLarge},
	} {
		if got, err := ParsePer(c.text, c.per); !errors.Is(err, c.err) || got != c.want && err == nil {
			t.Errorf("%s for %d: %d, %v; want %d, %v", c.text, c.per, got, err, c.want, c.err)
		}
	}
}

// What is written is read again as the same amount, and as math/big reads it.
func TestTextAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := Nano(rapid.Int64Range(math.MinInt64, math.MaxInt64).Draw(t, "nano"))
		text := n.String()
		exact, ok := new(big.Rat).SetString(text)
		if !ok || strings.ContainsAny(text, "eE+") {
			t.Fatalf("%d is written %q", n, text)
		}
		if exact.Cmp(big.NewRat(int64(n), 1e9)) != 0 {
			t.Fatalf("%d is written %q", n, text)
		}
		if len(text) > 21 {
			t.Fatalf("%q has more than 21 bytes", text)
		}
		if strings.Contains(text, ".") && strings.HasSuffix(text, "0") {
			t.Fatalf("%q ends with a zero", text)
		}
		if n >= 0 {
			if back, err := Parse(text); err != nil || back != n {
				t.Fatalf("%q is read as %d, %v; want %d", text, back, err, n)
			}
		}
	})
}

// Any decimal is read as math/big reads it, or refused because it does not fit.
func TestParseIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,12}(\.[0-9]{1,14})?`).Draw(t, "text")
		exact, _ := new(big.Rat).SetString(text)
		exact.Mul(exact, big.NewRat(1e9, 1))
		got, err := Parse(text)
		fits := exact.IsInt() && exact.Num().IsInt64()
		if fits != (err == nil) || fits && exact.Num().Int64() != int64(got) {
			t.Fatalf("%s: %d, %v; exact %s", text, got, err, exact.FloatString(3))
		}
	})
}

// halfUp is the whole number next to r, the upper one if both are as near.
func halfUp(r *big.Rat) *big.Int {
	twice := new(big.Rat).Add(new(big.Rat).Mul(r, big.NewRat(2, 1)), big.NewRat(1, 1))
	floor := new(big.Int)
	floor.Div(twice.Num(), new(big.Int).Mul(twice.Denom(), big.NewInt(2)))
	return floor
}

func TestMul(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.Int64Range(0, math.MaxInt64).Draw(t, "price")
		n := rapid.Int64Range(0, math.MaxInt64).Draw(t, "n")
		per := rapid.Int64Range(1, math.MaxInt64).Draw(t, "per")
		got, ok := Pico(p).Mul(n, per)
		want := halfUp(new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(p), big.NewInt(n)), big.NewInt(per)))
		if ok != want.IsInt64() || ok && int64(got) != want.Int64() {
			t.Fatalf("%d × %d / %d = %d, %v; want %s", p, n, per, got, ok, want)
		}
	})
	for _, c := range [][3]int64{{-1, 1, 1}, {1, -1, 1}, {1, 1, 0}, {1, 1, -1}} {
		if _, ok := Pico(c[0]).Mul(c[1], c[2]); ok {
			t.Errorf("%v has a product", c)
		}
	}
}

func TestAddAndRound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(math.MinInt64, math.MaxInt64).Draw(t, "a")
		b := rapid.Int64Range(math.MinInt64, math.MaxInt64).Draw(t, "b")
		want := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		if got, ok := Nano(a).Add(Nano(b)); ok != want.IsInt64() || ok && int64(got) != want.Int64() {
			t.Fatalf("%d + %d = %d, %v", a, b, got, ok)
		}
		if got, ok := Pico(a).Add(Pico(b)); ok != want.IsInt64() || ok && int64(got) != want.Int64() {
			t.Fatalf("%d + %d = %d, %v", a, b, got, ok)
		}
		if got, want := Pico(a).Nano(), halfUp(big.NewRat(a, 1000)); int64(got) != want.Int64() {
			t.Fatalf("%d pico-dollars are rounded to %d, want %s", a, got, want)
		}
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	var buf [24]byte
	var text []byte
	if n := testing.AllocsPerRun(100, func() { text = Nano(math.MinInt64).Append(buf[:0]) }); n != 0 || string(text) != "-9223372036.854775808" {
		t.Errorf("%v allocations for %s", n, text)
	}
}

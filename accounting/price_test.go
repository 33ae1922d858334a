package accounting

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
)

func own(t testing.TB, dollars map[string]string) *Price {
	t.Helper()
	p, err := NewPrice(dollars)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each class has a price of its own, and its unit is what the file says: a million tokens, an hour, or one.
func TestEachClassIsCharged(t *testing.T) {
	t.Parallel()
	dollar := map[adapters.Unit]int64{adapters.AudioMillis: millisPerHour, adapters.Images: 1, adapters.Searches: 1, adapters.Requests: 1}
	seen := map[adapters.Unit]bool{}
	for _, c := range classes {
		seen[c.unit] = true
		n := dollar[c.unit]
		if n == 0 {
			n = million
		}
		var u adapters.Usage
		u[c.unit] = n
		if cost, whole := own(t, map[string]string{c.name: "3.5"}).Cost(&u, time.Now()); cost != 3_500_000_000 || !whole {
			t.Errorf("%s: %s, whole %v; want 3.5", c.name, cost, whole)
		}
	}
	if len(seen) != len(adapters.Usage{}) {
		t.Errorf("%d of %d units can have a price", len(seen), len(adapters.Usage{}))
	}
}

func TestNewPriceRefuses(t *testing.T) {
	t.Parallel()
	for name, decimal := range map[string]string{"inputs": "1", "input": "1e3", "request": "99999999999"} {
		if _, err := NewPrice(map[string]string{name: decimal}); err == nil {
			t.Errorf("%s: %s is taken", name, decimal)
		}
	}
}

// A cost that is not whole says so, and is the part that is known.
func TestGaps(t *testing.T) {
	t.Parallel()
	usage := func(pairs ...int64) (u adapters.Usage) {
		for i := 0; i < len(pairs); i += 2 {
			u[pairs[i]] = pairs[i+1]
		}
		return u
	}
	const (
		in, out, pictures = int64(adapters.Input), int64(adapters.Output), int64(adapters.Images)
		drawn, calls      = int64(adapters.ImageOut), int64(adapters.Requests)
		searches, sound   = int64(adapters.Searches), int64(adapters.AudioMillis)
	)
	chat := map[string]string{"input": "1", "output": "2"}
	for _, c := range []struct {
		name    string
		dollars map[string]string
		usage   adapters.Usage
		cost    money.Nano
		whole   bool
	}{
		{"all priced", chat, usage(in, 10, out, 10, calls, 1), 30_000, true},
		{"no usage", chat, usage(calls, 1), 0, false},
		{"no usage at all", chat, usage(), 0, false},
		{"output without a price", map[string]string{"input": "1"}, usage(in, 10, out, 10), 10_000, false},
		{"a search without a price", chat, usage(in, 10, searches, 1), 10_000, false},
		{"sound without a price", chat, usage(sound, 1000), 0, false},
		{"pictures by the token", map[string]string{"input": "1", "output": "2"}, usage(in, 10, drawn, 10, pictures, 1), 30_000, true},
		{"pictures by the token, none told", chat, usage(pictures, 1), 0, false},
		{"pictures by the piece", map[string]string{"image": "0.04"}, usage(in, 10, drawn, 10, pictures, 2), 80_000_000, true},
		{"tokens without a picture", map[string]string{"image": "0.04"}, usage(in, 10), 0, false},
		{"by the call", map[string]string{"request": "0.01"}, usage(calls, 1), 10_000_000, true},
		{"by the call and the token", map[string]string{"request": "0.01", "input": "1"}, usage(calls, 1), 10_000_000, false},
		{"free on purpose", map[string]string{"input": "0", "output": "0"}, usage(calls, 1), 0, true},
		{"more than can be counted", map[string]string{"input": "999999999"}, usage(in, math.MaxInt64), 0, false},
		{"a sum beyond what can be counted", map[string]string{"request": "9000000", "search": "9000000"}, usage(searches, 1, calls, 1), 9_000_000_000_000_000, false},
	} {
		cost, whole := own(t, c.dollars).Cost(&c.usage, time.Now())
		if cost != c.cost || whole != c.whole {
			t.Errorf("%s: %s, whole %v; want %s, %v", c.name, cost, whole, c.cost, c.whole)
		}
	}
	var unknown *Price
	if cost, whole := unknown.Cost(&adapters.Usage{}, time.Now()); cost != 0 || whole {
		t.Error("what has no price costs something")
	}
}

// The cost is the exact sum, rounded once. Time is rounded to a trillionth before that.
func TestCostIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, exact := none(), new(big.Rat)
		var u adapters.Usage
		for i := range u {
			r[i] = money.Pico(rapid.Int64Range(1, 1e9).Draw(t, "rate"))
			u[i] = rapid.Int64Range(0, 1e7).Draw(t, "units")
			part := new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(int64(r[i])), big.NewInt(u[i])))
			if adapters.Unit(i) == adapters.AudioMillis {
				part.Quo(part, big.NewRat(millisPerHour, 1))
				part.SetInt(nearest(part))
			}
			exact.Add(exact, part)
		}
		u[adapters.Input]++ // something is used
		exact.Add(exact, big.NewRat(int64(r[adapters.Input]), 1))
		want := nearest(exact.Quo(exact, big.NewRat(1000, 1)))
		p := Price{periods: []period{{base: r}}}
		if cost, whole := p.Cost(&u, time.Now()); !whole || int64(cost) != want.Int64() {
			t.Fatalf("%d, whole %v; want %s", cost, whole, want)
		}
	})
}

// nearest is the whole number next to r ≥ 0, the upper one if both are as near.
func nearest(r *big.Rat) *big.Int {
	sum := new(big.Rat).Add(r, big.NewRat(1, 2))
	return new(big.Int).Quo(sum.Num(), sum.Denom())
}

func TestPeriodsAndTiers(t *testing.T) {
	t.Parallel()
	l, err := readList("list", []byte(`{"source":"s","date":"2026-01-01","providers":[{"id":"p","models":[
		{"id":"dated","match":{"equals":"dated"},"prices":[{"input":"1"},{"from":"2026-02-01","input":"2"},{"from":"2026-03-01","input":"3"}]},
		{"id":"hours","match":{"equals":"hours"},"prices":[{"input":"1"},{"daily":["00:30","16:30"],"input":"2"}]},
		{"id":"night","match":{"equals":"night"},"prices":[{"input":"1"},{"daily":["22:00","06:00"],"input":"2"}]},
		{"id":"tiers","match":{"equals":"tiers"},"prices":[{"input":"1","output":"10","tiers":[{"above":100,"input":"2"},{"above":200,"input":"3","cached_input":"4"}]}]}
	]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	var one, many, cached adapters.Usage
	one[adapters.Input], many[adapters.Input] = 1, 201
	cached[adapters.CacheRead], cached[adapters.Input], cached[adapters.Output] = 100, 1, 1
	for _, c := range []struct {
		model, at string
		usage     adapters.Usage
		want      money.Nano
	}{
		{"dated", "2025-01-01T00:00:00Z", one, 1000},
		{"dated", "2026-01-31T23:59:59Z", one, 1000},
		{"dated", "2026-02-01T00:00:00Z", one, 2000},
		{"dated", "2026-02-01T01:00:00+02:00", one, 1000}, // still January in UTC
		{"dated", "2030-01-01T00:00:00Z", one, 3000},
		{"hours", "2026-01-01T00:29:59Z", one, 1000},
		{"hours", "2026-01-01T00:30:00Z", one, 2000},
		{"hours", "2026-01-01T16:30:00Z", one, 1000},
		{"night", "2026-01-01T21:59:00Z", one, 1000},
		{"night", "2026-01-01T22:00:00Z", one, 2000},
		{"night", "2026-01-01T05:59:00Z", one, 2000},
		{"night", "2026-01-01T06:00:00Z", one, 1000},
		{"tiers", "2026-01-01T00:00:00Z", one, 1000},
		{"tiers", "2026-01-01T00:00:00Z", many, 603_000},
		{"tiers", "2026-01-01T00:00:00Z", cached, 101*2000 + 10_000}, // cached input counts for the size, and has no price of its own there
	} {
		if cost, _ := l.find("p", c.model).Cost(&c.usage, at(c.at)); cost != c.want {
			t.Errorf("%s at %s: %d, want %d", c.model, c.at, cost, c.want)
		}
	}
}

// What the operator pays comes before the overlay, and that before the list; names of another provider mean nothing.
func TestBook(t *testing.T) {
	t.Parallel()
	mine := own(t, map[string]string{"input": "7"})
	b := book(t).With(map[string]map[string]*Price{"openai": {"gpt-4o": mine}, "pplx": {"sonar": mine}})
	openai := Account{"openai", "openai", "api.openai.com"}
	if b.Find(openai, "gpt-4o") != mine || b.Find(Account{"pplx", "perplexity", "api.perplexity.ai"}, "sonar") != mine {
		t.Error("the operator's price does not come first")
	}
	if b.Find(Account{"other", "openai", "API.OpenAI.com"}, "gpt-4o") != b.list.find("openai", "gpt-4o") {
		t.Error("another account has the operator's price")
	}
	if p := b.Find(Account{"p", "perplexity", "api.perplexity.ai"}, "sonar"); p == nil || p != b.overlay.find("perplexity", "sonar") || p == b.list.find("perplexity", "sonar") {
		t.Error("the overlay does not come before the list")
	}
	for _, c := range []struct {
		account Account
		model   string
		known   bool
	}{
		{openai, "gpt-4.1-2025-04-14", true},
		{openai, "no-such-model", false},
		{Account{"local", "openai", "10.0.0.7"}, "gpt-4o", false},
		{Account{"m", "openai", "api.mistral.ai"}, "mistral-large-latest", true},
		{Account{"g", "groq", "proxy.example.com"}, "openai/gpt-oss-20b", true},
		{Account{"p", "perplexity/chat", "sonar.example.com"}, "sonar", false},
		{Account{"p", "perplexity", "proxy.example.com"}, "sonar-pro", true},
	} {
		if got := b.Find(c.account, c.model) != nil; got != c.known {
			t.Errorf("%v %s: a price is there: %v, want %v", c.account, c.model, got, c.known)
		}
	}
}

func TestCostAllocatesNothing(t *testing.T) {
	p := book(t).Find(Account{"openai", "openai", "api.openai.com"}, "gpt-5.4")
	var u adapters.Usage
	u[adapters.Input], u[adapters.Output] = 300_000, 10
	now, cost := time.Now(), money.Nano(0)
	if n := testing.AllocsPerRun(100, func() { cost, _ = p.Cost(&u, now) }); n != 0 || cost == 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCost(b *testing.B) {
	p := book(b).Find(Account{"openai", "openai", "api.openai.com"}, "gpt-5.4")
	var u adapters.Usage
	u[adapters.Input], u[adapters.CacheRead], u[adapters.Output], u[adapters.Reasoning], u[adapters.Requests] = 1000, 200, 30, 400, 1
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		p.Cost(&u, now)
	}
}

// BenchmarkNewPriceBook is what a start pays for the lists.
func BenchmarkNewPriceBook(b *testing.B) {
	for b.Loop() {
		book(b)
	}
}

// A record names the price that it was made with: which list of which day, or what the operator wrote.
func TestVersions(t *testing.T) {
	t.Parallel()
	book, err := NewPriceBook()
	if err != nil {
		t.Fatal(err)
	}
	cheap, dear := own(t, map[string]string{"input": "1", "output": "2"}), own(t, map[string]string{"input": "1", "output": "3"})
	book = book.With(map[string]map[string]*Price{"mine": {"gpt-5.4": cheap}})
	for _, c := range []struct {
		at            Account
		model, prefix string
	}{
		{Account{Name: "openai", Host: "api.openai.com"}, "gpt-5.4", "list/20"},
		{Account{Name: "perplexity", Kind: "perplexity"}, "sonar", "overlay/20"},
		{Account{Name: "mine", Host: "api.openai.com"}, "gpt-5.4", "own/"},
	} {
		if v := book.Find(c.at, c.model).Version(); !strings.HasPrefix(v, c.prefix) {
			t.Errorf("%s at %s: version %q, want %s…", c.model, c.at.Name, v, c.prefix)
		}
	}
	if same := own(t, map[string]string{"output": "2", "input": "1"}); same.Version() != cheap.Version() || dear.Version() == cheap.Version() {
		t.Errorf("versions %q, %q and %q", cheap.Version(), same.Version(), dear.Version())
	}
	if v := (*Price)(nil).Version(); v != "" {
		t.Errorf("no price has the version %q", v)
	}
}

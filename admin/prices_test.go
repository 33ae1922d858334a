package admin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// someDay is when a price of the world changes.
var someDay = time.Date(2027, 1, 15, 0, 0, 0, 0, time.UTC)

// pricesOf is what a PriceFinder would say.
func pricesOf(provider, model string) (price *accounting.Price, agreed map[tenancy.ID]*accounting.Price, known bool) {
	book, err := accounting.NewPriceBook()
	if err != nil {
		panic(err)
	}
	account := accounting.Account{Name: provider, Kind: "openai", Host: "api.openai.com"}
	if model != "mine" {
		return book.Find(account, model), nil, provider == "openai"
	}
	price, err = accounting.NewPriceOver(
		accounting.Tariff{Dollars: map[string]string{"input": "2"}},
		accounting.Tariff{From: someDay, Dollars: map[string]string{"image": "0.04", "request": "1"}, Tiers: []accounting.Tier{{Above: 1000, Dollars: map[string]string{"image": "0.05"}}}},
	)
	if err != nil {
		panic(err)
	}
	return price, map[tenancy.ID]*accounting.Price{acme: price, "org_gone": price}, provider == "openai"
}

func TestPrices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.do("root", "GET", "/api/prices?provider=openai&model=mine", nil).want(200).object()
	general := v["general"].(map[string]any)
	tariff := func(more ...any) map[string]any {
		m := map[string]any{
			"source": "operator", "version": general["version"], "from": "2027-01-15T00:00:00Z", "usd": map[string]any{"image": "0.04", "request": "1"},
			"tiers": []any{map[string]any{"above": 1000.0, "usd": map[string]any{"image": "0.05", "request": "1"}}},
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	want := map[string]any{
		"provider": "openai", "model": "mine", "general": tariff(), "organizations": []any{
			tariff("organization", map[string]any{"id": "org_acme", "name": "acme"}), tariff("organization", map[string]any{"id": "org_gone", "name": nil}),
		},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	v = w.do("root", "GET", "/api/prices?provider=openai&model=gpt-4o", nil).want(200).object()
	general = v["general"].(map[string]any)
	if dollars := general["usd"].(map[string]any); general["source"] != "list" || dollars["input"] != "2.5" || dollars["output"] != "10" || len(v["organizations"].([]any)) != 0 {
		t.Errorf("%v", v)
	}
	if v = w.do("root", "GET", "/api/prices?provider=openai&model=no-such-model", nil).want(200).object(); v["general"] != nil {
		t.Errorf("%v", v)
	}
	w.do("root", "GET", "/api/prices?provider=nobody&model=gpt-4o", nil).problem(notFound)
	w.do("root", "GET", "/api/prices?provider=openai", nil).problem(invalid)
	w.do("admin", "GET", "/api/prices?provider=openai&model=gpt-4o", nil).problem(notAllowed)
}

package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// PriceFinder finds the price of a model at a provider, nil if it has none, and what is agreed with organizations instead,
// as they are in force on this node; false: no such provider is.
type PriceFinder func(provider, model string) (price *accounting.Price, agreed map[tenancy.ID]*accounting.Price, known bool)

// Price is what a model costs now.
type Price struct {
	Provider string        `json:"provider"`
	Model    string        `json:"model" doc:"The provider's name of it."`
	General  *Tariff       `json:"general" doc:"What holds for everybody who has no other; null: there is none, and calls are unpriced."`
	Agreed   []AgreedPrice `json:"organizations" nullable:"false" doc:"What holds for some organizations instead."`
}

// AgreedPrice is the price of one organization.
type AgreedPrice struct {
	Organization *Named `json:"organization"`
	Tariff
}

// Tariff is a price as it is now.
type Tariff struct {
	Source  string            `json:"source" enum:"operator,overlay,list" doc:"operator: it is written in the provider's settings. list: it comes with the program. overlay: likewise, where the list was wrong or had nothing."`
	Version string            `json:"version" doc:"Which price it is, as in the attempts of calls: with the day of which a list is."`
	From    *time.Time        `json:"from" doc:"Since when it holds; null: ever since."`
	Dollars map[string]string `json:"usd" nullable:"false" doc:"By the names of providers.*.prices, dollars for a million tokens, an hour of sound, or one. A class that is missing has no price."`
	Tiers   []PriceTier       `json:"tiers" nullable:"false" doc:"What holds for larger calls, in ascending order."`
}

// PriceTier holds for a whole call of some size.
type PriceTier struct {
	Above   int64             `json:"above" doc:"More input tokens than this, all classes of them together."`
	Dollars map[string]string `json:"usd" nullable:"false"`
}

type (
	priceInput struct {
		Asked
		Provider string `query:"provider" required:"true" maxLength:"64" pattern:"^[^\\x00-\\x1f]*$" doc:"The provider's name."`
		Model    string `query:"model" required:"true" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"The provider's name of the model."`
	}
	priceOutput struct{ Body Price }
)

func (s *Server) servePrices() {
	add(s, huma.Operation{
		OperationID: "get-price", Method: http.MethodGet, Path: "/api/prices", Tags: []string{"Calls"}, Summary: "Get price",
		Description: "What a model costs now on the node that answers, and where that comes from.",
	}, s.getPrice, http.StatusNotFound)
}

func (s *Server) getPrice(ctx context.Context, in *priceInput) (*priceOutput, error) {
	general, agreed, known := s.PricesOf(in.Provider, in.Model)
	if !known {
		return nil, notFound.new("No provider of this name is in force on the node that answers.")
	}
	out := &priceOutput{Price{Provider: in.Provider, Model: in.Model, Agreed: []AgreedPrice{}}}
	if general != nil {
		t := viewTariff(general, in.ask.now)
		out.Body.General = &t
	}
	names := s.namer(ctx)
	for _, org := range slices.Sorted(maps.Keys(agreed)) {
		out.Body.Agreed = append(out.Body.Agreed, AgreedPrice{names.org(org), viewTariff(agreed[org], in.ask.now)})
	}
	return out, names.err
}

func viewTariff(p *accounting.Price, now time.Time) Tariff {
	t := p.Now(now)
	v := Tariff{Source: "operator", Version: p.Version(), From: timeOf(t.From), Dollars: t.Dollars, Tiers: []PriceTier{}}
	if word, _, _ := strings.Cut(v.Version, "/"); word == "list" || word == "overlay" {
		v.Source = word
	}
	for _, of := range t.Tiers {
		v.Tiers = append(v.Tiers, PriceTier{of.Above, of.Dollars})
	}
	return v
}

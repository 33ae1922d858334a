package main

import (
	"fmt"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// pricing is the prices that are in force.
type pricing struct {
	book     *accounting.PriceBook
	agreed   map[string]map[string]map[tenancy.ID]*accounting.Price // of a provider's model, with organizations
	accounts map[string]accounting.Account                          // of the providers
}

// price gives every target of a table what it costs, by the operator's prices and those that come with the program.
func (a *App) price(table *routing.Table, cfg *routing.Config) (*pricing, error) {
	own, agreed, err := pricesOf(cfg)
	if err != nil {
		return nil, err
	}
	p := &pricing{a.prices.With(own), agreed, make(map[string]accounting.Account, len(cfg.Providers))}
	for _, provider := range table.Providers() {
		of := cfg.Providers[provider.Name]
		p.accounts[provider.Name] = accounting.Account{Name: provider.Name, Kind: of.Speaks(), Host: provider.Base.Hostname()}
	}
	table.Price(func(provider *routing.Provider, model string) routing.Pricer {
		if price := p.book.Find(p.accounts[provider.Name], model); price != nil {
			return price
		}
		return nil
	})
	table.PriceAgreed(func(provider *routing.Provider, model string) map[tenancy.ID]routing.Pricer {
		if len(agreed[provider.Name][model]) == 0 {
			return nil
		}
		prices := make(map[tenancy.ID]routing.Pricer, len(agreed[provider.Name][model]))
		for org, price := range agreed[provider.Name][model] {
			prices[org] = price
		}
		return prices
	})
	return p, nil
}

// PricesOf are the price of a model and what is agreed with some organizations instead, as they are in force; false: there
// is no such provider.
func (a *App) PricesOf(provider, model string) (price *accounting.Price, agreed map[tenancy.ID]*accounting.Price, known bool) {
	a.mu.Lock()
	p := a.pricing
	a.mu.Unlock()
	account, known := p.accounts[provider]
	if !known {
		return nil, nil, false
	}
	return p.book.Find(account, model), p.agreed[provider][model], true
}

// pricesOf makes the operator's prices: those that hold for everybody, and those of some organizations.
func pricesOf(cfg *routing.Config) (own map[string]map[string]*accounting.Price, agreed map[string]map[string]map[tenancy.ID]*accounting.Price, err error) {
	own, agreed = map[string]map[string]*accounting.Price{}, map[string]map[string]map[tenancy.ID]*accounting.Price{}
	for name, p := range cfg.Providers {
		own[name], agreed[name] = map[string]*accounting.Price{}, map[string]map[tenancy.ID]*accounting.Price{}
		for model, written := range p.Prices {
			if written.Says() {
				if own[name][model], err = priceOf(&written.TermsConfig); err != nil {
					return nil, nil, fmt.Errorf("price %s of provider %s: %w", model, name, err)
				}
			}
			agreed[name][model] = make(map[tenancy.ID]*accounting.Price, len(written.Organizations))
			for org, terms := range written.Organizations {
				if agreed[name][model][org], err = priceOf(&terms); err != nil {
					return nil, nil, fmt.Errorf("price %s of provider %s for %s: %w", model, name, org, err)
				}
			}
		}
	}
	return own, agreed, nil
}

// priceOf makes a price of what is written.
func priceOf(c *routing.TermsConfig) (*accounting.Price, error) {
	tariffs := []accounting.Tariff{tariffOf(&c.PeriodConfig)}
	for day, period := range c.From {
		t := tariffOf(&period)
		var err error
		if t.From, err = time.Parse(time.DateOnly, day); err != nil {
			return nil, err
		}
		tariffs = append(tariffs, t)
	}
	return accounting.NewPriceOver(tariffs...)
}

func tariffOf(c *routing.PeriodConfig) accounting.Tariff {
	t := accounting.Tariff{Dollars: c.Dollars()}
	for i := range c.Tiers {
		t.Tiers = append(t.Tiers, accounting.Tier{Above: c.Tiers[i].Above, Dollars: c.Tiers[i].Dollars()})
	}
	return t
}

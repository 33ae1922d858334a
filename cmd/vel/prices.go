package main

import (
	"fmt"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// price gives every target of a table what it costs, by the operator's prices and those that come with the program.
func (a *App) price(table *routing.Table, cfg *routing.Config) error {
	own, agreed, err := pricesOf(cfg)
	if err != nil {
		return err
	}
	book := a.prices.With(own)
	table.Price(func(p *routing.Provider, model string) routing.Pricer {
		of := cfg.Providers[p.Name]
		account := accounting.Account{Name: p.Name, Kind: of.Speaks(), Host: p.Base.Hostname()}
		if price := book.Find(account, model); price != nil {
			return price
		}
		return nil
	})
	table.PriceAgreed(func(p *routing.Provider, model string) map[tenancy.ID]routing.Pricer { return agreed[p.Name][model] })
	return nil
}

// pricesOf makes the operator's prices: those that hold for everybody, and those of some organizations.
func pricesOf(cfg *routing.Config) (own map[string]map[string]*accounting.Price, agreed map[string]map[string]map[tenancy.ID]routing.Pricer, err error) {
	own, agreed = map[string]map[string]*accounting.Price{}, map[string]map[string]map[tenancy.ID]routing.Pricer{}
	for name, p := range cfg.Providers {
		own[name], agreed[name] = map[string]*accounting.Price{}, map[string]map[tenancy.ID]routing.Pricer{}
		for model, written := range p.Prices {
			if written.Says() {
				if own[name][model], err = priceOf(&written.TermsConfig); err != nil {
					return nil, nil, fmt.Errorf("price %s of provider %s: %w", model, name, err)
				}
			}
			agreed[name][model] = make(map[tenancy.ID]routing.Pricer, len(written.Organizations))
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

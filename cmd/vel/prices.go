package main

import (
	"fmt"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
)

// meter makes the pipeline count what providers do not tell, and seal what is kept of calls. It goes on until the server has
// stopped.
func (a *App) meter() {
	if a.keyring != nil {
		a.pipeline.SealWith(a.keyring)
	}
	a.onStop(a.pipeline.CountTokens(accounting.NewTokens()))
}

// price gives every target of a table what it costs, by the operator's prices and those that come with the program.
func (a *App) price(table *routing.Table, cfg *routing.Config) error {
	own := make(map[string]map[string]*accounting.Price, len(cfg.Providers))
	for name, p := range cfg.Providers {
		own[name] = make(map[string]*accounting.Price, len(p.Prices))
		for model, written := range p.Prices {
			price, err := accounting.NewPrice(written.Dollars())
			if err != nil {
				return fmt.Errorf("price %s of provider %s: %w", model, name, err)
			}
			own[name][model] = price
		}
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
	return nil
}

package accounting

import (
	"fmt"
	"strings"
)

// PriceBook is every price that holds: what the operator pays comes before the overlay, the overlay before the list. It
// is immutable; With makes another one.
type PriceBook struct {
	list, overlay *list
	own           map[string]map[string]*Price // of a provider, by its name and its name of the model
}

// Account is what of a provider decides which list its prices stand in.
type Account struct {
	Name string // in the file or the database
	Kind string // what it speaks, "perplexity/chat" for the API that is not the kind's usual one
	Host string // of its base URL
}

// NewPriceBook reads the prices that come with the program.
func NewPriceBook() (*PriceBook, error) {
	var b PriceBook
	var err error
	if b.list, err = readList("list", listed); err != nil {
		return nil, fmt.Errorf("read the list of prices: %w", err)
	}
	if b.overlay, err = readList("overlay", overlaid); err != nil {
		return nil, fmt.Errorf("read the overlay of prices: %w", err)
	}
	return &b, nil
}

// With is the book with the operator's own prices and no others: for each provider's name the prices of its models.
func (b *PriceBook) With(own map[string]map[string]*Price) *PriceBook {
	return &PriceBook{b.list, b.overlay, own}
}

// Find is the price of a model at a provider, whose name of it is given; nil: there is none. It is meant to be asked when
// a snapshot is made, not in a call.
func (b *PriceBook) Find(a Account, model string) *Price {
	if p := b.own[a.Name][model]; p != nil {
		return p
	}
	in := a.listedAs()
	if p := b.overlay.find(in, model); p != nil {
		return p
	}
	return b.list.find(in, model)
}

// hosts are the endpoints of the providers in the lists.
var hosts = map[string]string{
	"api.anthropic.com":                 "anthropic",
	"api.deepseek.com":                  "deepseek",
	"generativelanguage.googleapis.com": "google",
	"api.groq.com":                      "groq",
	"api.mistral.ai":                    "mistral",
	"api.openai.com":                    "openai",
	"api.perplexity.ai":                 "perplexity",
	"api.x.ai":                          "x-ai",
}

// listedAs is under which name a provider stands in the lists. A server that is only compatible with OpenAI has other
// prices for the same names, so the kind says nothing there; what speaks as Groq or as Perplexity's Agent API is that.
func (a Account) listedAs() string {
	if id, ok := hosts[strings.ToLower(a.Host)]; ok {
		return id
	}
	if a.Kind == "groq" || a.Kind == "perplexity" {
		return a.Kind
	}
	return ""
}

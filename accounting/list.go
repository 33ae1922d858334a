package accounting

import (
	"bytes"
	_ "embed" // the two files of prices
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The lists of prices that come with the program. The first one is generated and never edited; where it lacks something,
// or is wrong, the second one says what is right, since when and where that stands.
//
//go:embed prices/list.json
var listed []byte

//go:embed prices/overlay.json
var overlaid []byte

// list is a file of prices.
type list struct {
	Source    string    `json:"source"`
	Version   string    `json:"version"`
	License   string    `json:"license"`
	Copyright string    `json:"copyright"`
	Date      string    `json:"date"`
	Providers []section `json:"providers"`
}

// section is the prices of one provider.
type section struct {
	ID     string  `json:"id"`
	Models []entry `json:"models"`
}

// entry is the price of the models whose names match. The first one of a section that matches holds.
type entry struct {
	ID     string  `json:"id"`
	Source string  `json:"source"` // of the overlay
	Match  rule    `json:"match"`
	Prices []terms `json:"prices"`
	Free   bool    `json:"free"` // no price is meant to be one

	price *Price
}

// terms is one period as it is written: from, daily and tiers, and the decimals of classes.
type terms map[string]json.RawMessage

// readList reads a file of prices, which is known by a word and its date.
func readList(word string, text []byte) (*list, error) {
	var l list
	if err := decode(text, &l); err != nil {
		return nil, err
	}
	for i := range l.Providers {
		for j := range l.Providers[i].Models {
			e := &l.Providers[i].Models[j]
			if err := e.read(word + "/" + l.Date); err != nil {
				return nil, fmt.Errorf("%s %s: %w", l.Providers[i].ID, e.ID, err)
			}
		}
	}
	return &l, nil
}

func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// find is the price of a model; nil: the list has none.
func (l *list) find(provider, model string) *Price {
	for _, s := range l.Providers {
		if s.ID != provider {
			continue
		}
		for i := range s.Models {
			if s.Models[i].Match.fits(model) {
				return s.Models[i].price
			}
		}
	}
	return nil
}

func (e *entry) read(version string) error {
	if len(e.Prices) == 0 {
		return errors.New("it has no price")
	}
	if err := e.Match.compile(); err != nil {
		return err
	}
	e.price = &Price{version: version}
	for _, t := range e.Prices {
		p, err := t.period(e.Free)
		if err != nil {
			return err
		}
		e.price.periods = append(e.price.periods, p)
	}
	return nil
}

func (t terms) period(free bool) (p period, err error) {
	own := none()
	if free {
		own = rates{}
	}
	var tiers []terms
	for name, raw := range t {
		switch name {
		case "from":
			p.from, err = day(raw)
		case "daily":
			p.daily, err = hours(raw)
		case "tiers":
			err = json.Unmarshal(raw, &tiers)
		default:
			err = own.read(name, raw)
		}
		if err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
	}
	p.base = own.filled()
	for _, of := range tiers {
		higher, err := of.tier(own)
		if err != nil {
			return p, fmt.Errorf("tiers: %w", err)
		}
		p.tiers = append(p.tiers, higher)
	}
	return p, nil
}

// tier is the base with what it says of its own.
func (t terms) tier(base rates) (higher tier, err error) {
	for name, raw := range t {
		if name == "above" {
			err = json.Unmarshal(raw, &higher.above)
		} else {
			err = base.read(name, raw)
		}
		if err != nil {
			return higher, fmt.Errorf("%s: %w", name, err)
		}
	}
	higher.rates = base.filled()
	return higher, nil
}

func (r *rates) read(name string, raw json.RawMessage) error {
	var decimal string
	if err := json.Unmarshal(raw, &decimal); err != nil {
		return err
	}
	return r.set(name, decimal)
}

func day(raw json.RawMessage) (t time.Time, err error) {
	var text string
	if err = json.Unmarshal(raw, &text); err == nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	return t, err
}

func hours(raw json.RawMessage) (daily [2]time.Duration, err error) {
	var texts [2]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return daily, err
	}
	for i, text := range texts {
		t, err := time.Parse("15:04", text)
		if err != nil {
			return daily, err
		}
		daily[i] = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
	return daily, nil
}

package accounting

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func book(t testing.TB) *PriceBook {
	t.Helper()
	b, err := NewPriceBook()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is committed is whole: it says where it comes from, is in order, and no price is 0 but what is meant to be free.
func TestListsAreSound(t *testing.T) {
	t.Parallel()
	b := book(t)
	for name, l := range map[string]*list{"list": b.list, "overlay": b.overlay} {
		if _, err := time.Parse(time.DateOnly, l.Date); err != nil || l.Source == "" {
			t.Errorf("%s: it does not say from where and when it is", name)
		}
		byID := func(a, b section) int { return strings.Compare(a.ID, b.ID) }
		if !slices.IsSortedFunc(l.Providers, byID) {
			t.Errorf("%s: the providers are not in order", name)
		}
		for _, s := range l.Providers {
			if !slices.Contains(slices.Collect(maps.Values(hosts)), s.ID) {
				t.Errorf("%s: nobody is listed as %s", name, s.ID)
			}
			for i := range s.Models {
				at := name + ": " + s.ID + " " + s.Models[i].ID
				if i > 0 && s.Models[i-1].ID >= s.Models[i].ID {
					t.Errorf("%s stands there twice or not in order", at)
				}
				if name == "overlay" && s.Models[i].Source == "" {
					t.Errorf("%s has no source", at)
				}
				checkEntry(t, at, &s.Models[i])
			}
		}
	}
	if b.list.Version == "" || b.list.License != "MIT" || b.list.Copyright == "" {
		t.Errorf("the list does not say its version and licence: %q %q %q", b.list.Version, b.list.License, b.list.Copyright)
	}
	if n := len(b.list.Providers); n != 8 {
		t.Errorf("the list has %d providers", n)
	}
}

func checkEntry(t *testing.T, at string, e *entry) {
	t.Helper()
	for i, p := range e.price.periods {
		if i > 0 && p.daily == [2]time.Duration{} && !p.from.After(e.price.periods[i-1].from) {
			t.Errorf("%s: period %d does not begin after the one before", at, i)
		}
		checkRates(t, at, e.Free, p.base)
		last := int64(0)
		for _, higher := range p.tiers {
			if higher.above <= last {
				t.Errorf("%s: a tier begins at %d, after one at %d", at, higher.above, last)
			}
			last = higher.above
			checkRates(t, at, e.Free, higher.rates)
		}
	}
}

func checkRates(t *testing.T, at string, free bool, r rates) {
	t.Helper()
	some := false
	for i, rate := range r {
		if some = some || rate > 0; !free && rate == 0 {
			t.Errorf("%s: class %d costs nothing", at, i)
		}
	}
	if some == free {
		t.Errorf("%s: free %v, but it has a price: %v", at, free, some)
	}
}

// What is not understood is an error, not a price that is taken for another one.
func TestReadListRefuses(t *testing.T) {
	t.Parallel()
	for name, model := range map[string]string{
		"an unknown member":      `{"id":"m","match":{"equals":"m"},"prices":[{"input":"1"}],"more":1}`,
		"an unknown price":       `{"id":"m","match":{"equals":"m"},"prices":[{"inputs":"1"}]}`,
		"a number":               `{"id":"m","match":{"equals":"m"},"prices":[{"input":1}]}`,
		"a price too fine":       `{"id":"m","match":{"equals":"m"},"prices":[{"input":"0.0000001"}]}`,
		"no price":               `{"id":"m","match":{"equals":"m"},"prices":[]}`,
		"no rule":                `{"id":"m","match":{},"prices":[{"input":"1"}]}`,
		"two rules":              `{"id":"m","match":{"equals":"m","contains":"m"},"prices":[{"input":"1"}]}`,
		"a bad inner rule":       `{"id":"m","match":{"or":[{}]},"prices":[{"input":"1"}]}`,
		"an unknown rule":        `{"id":"m","match":{"like":"m"},"prices":[{"input":"1"}]}`,
		"a bad expression":       `{"id":"m","match":{"regex":"("},"prices":[{"input":"1"}]}`,
		"a bad day":              `{"id":"m","match":{"equals":"m"},"prices":[{"from":"2026-13-01","input":"1"}]}`,
		"a bad hour":             `{"id":"m","match":{"equals":"m"},"prices":[{"daily":["25:00","1:00"],"input":"1"}]}`,
		"a bad price in a tier":  `{"id":"m","match":{"equals":"m"},"prices":[{"input":"1","tiers":[{"above":1,"input":"x"}]}]}`,
		"a tier of another kind": `{"id":"m","match":{"equals":"m"},"prices":[{"input":"1","tiers":[{"above":"1"}]}]}`,
	} {
		text := `{"source":"s","date":"2026-01-01","providers":[{"id":"p","models":[` + model + `]}]}`
		if _, err := readList("list", []byte(text)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := readList("list", []byte(`{"source":"s"`)); err == nil {
		t.Error("half a file is taken")
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule     string
		fit, not []string
	}{
		{`{"equals":"gpt-4o"}`, []string{"gpt-4o", "GPT-4o"}, []string{"gpt-4o-mini", ""}},
		{`{"starts_with":"gpt-4o"}`, []string{"gpt-4o-mini"}, []string{"ft:gpt-4o"}},
		{`{"ends_with":"-tts"}`, []string{"a-tts"}, []string{"a-tts-b"}},
		{`{"contains":"moderation"}`, []string{"omni-moderation-latest"}, []string{"moderate"}},
		{`{"regex":"^a-\\d{2}$"}`, []string{"a-12"}, []string{"a-123", "A-12"}},
		{`{"or":[{"equals":"a"},{"equals":"b"}]}`, []string{"a", "b"}, []string{"c"}},
		{`{"and":[{"starts_with":"a"},{"not":{"contains":"x"}}]}`, []string{"ab"}, []string{"axb", "b"}},
	} {
		var r rule
		if err := json.Unmarshal([]byte(c.rule), &r); err != nil {
			t.Fatal(err)
		}
		if err := r.compile(); err != nil {
			t.Fatal(err)
		}
		for _, name := range c.fit {
			if !r.fits(name) {
				t.Errorf("%s does not fit %q", c.rule, name)
			}
		}
		for _, name := range c.not {
			if r.fits(name) {
				t.Errorf("%s fits %q", c.rule, name)
			}
		}
	}
}

// The licence of the list wants its notice to go with it, and the page of dependencies says from where it is.
func TestListHasItsNotice(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	l := book(t).list
	for _, want := range []string{"@pydantic/genai-prices", l.Version, l.Copyright, "Permission is hereby granted"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("docs/dependencies.md does not have %q", want)
		}
	}
}

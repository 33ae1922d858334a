package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// TestRouting lets a small part of the mix go every way through the real Vel. What is fast on a busy machine is not asked
// here; that every call is answered and recorded, at what the providers bill, is.
func TestRouting(t *testing.T) {
	t.Parallel()
	o, err := parseRouting([]string{"-requests", "300", "-scale", "200", "-conns", "24", "-outage", "60ms"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	r, err := runRouting(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	r.write(&text)
	t.Log(text.String())
	bars := r.bars()
	for _, b := range bars[1:] {
		if !b.met() {
			t.Errorf("missed: %s", b)
		}
	}
	if r.known.right("") != 100 || r.known.cost >= r.auto.cost {
		t.Errorf("with the task known %.1f %% went right, at %d instead of %d nanodollars", r.known.right(""), r.known.cost, r.auto.cost)
	}
	let := int64(0)
	for _, p := range r.failing {
		let += p.refused
	}
	if let == 0 {
		t.Error("the providers that fail let no call down: nothing was proved")
	}
	if strings.Contains(text.String(), "NaN") {
		t.Error("a figure is missing")
	}
}

// TestMixIsWhatItSays: the mix adds up, and a share of it keeps its proportions.
func TestMixIsWhatItSays(t *testing.T) {
	t.Parallel()
	m, err := readMix("testdata/reference-mix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if m.Must != (bars{-52, -41, 99.9}) || m.Providers["search"] != (offer{3.2, 7, 1, 1, 0.005}) || m.Tokens["code"] != [2]int{900, 600} {
		t.Errorf("%+v", m)
	}
	prompts := map[string][]json.RawMessage{}
	for label := range rightly {
		for i := range 7 {
			prompts[label] = append(prompts[label], json.RawMessage(fmt.Sprint(i)))
		}
	}
	for n, want := range map[int]int{0: 10929, 1000: 999} {
		count, each := map[string]int{}, map[string]int{}
		all := m.draw(prompts, n)
		for _, d := range all {
			count[d.label]++
			each[d.label+string(d.messages)]++
		}
		if len(all) != want {
			t.Errorf("asked for %d, %d were drawn", n, len(all))
		}
		for label, c := range count {
			if share := float64(m.Requests[label]) / 10929; math.Abs(float64(c)/float64(len(all))-share) > 0.01 {
				t.Errorf("%d of %d are of %s, want %.3f of them", c, len(all), label, share)
			}
			if a, b := each[label+"0"], each[label+"6"]; max(a, b)-min(a, b) > 1 {
				t.Errorf("%s: one prompt is drawn %d times, another %d", label, a, b)
			}
		}
	}
}

// TestPassedFigures: what went where, and what it took, is counted right.
func TestPassedFigures(t *testing.T) {
	t.Parallel()
	p := &passed{endings: []ending{
		{"code", 1 * time.Second, "fast", 1, true},
		{"code", 3 * time.Second, "strong", 1, true},
		{"research", 9 * time.Second, "small", 2, true},
		{"simple", 2 * time.Second, "small", 1, false},
	}}
	if p.right("code") != 50 || p.right("") != 50 || p.landed("research", "small") != 1 || p.answered() != 75 || p50(p, 10) != 30 {
		t.Errorf("%v %v %v %v %v", p.right("code"), p.right(""), p.landed("research", "small"), p.answered(), p50(p, 10))
	}
	for _, c := range []struct {
		label, provider string
		want            bool
	}{{"reasoning", "fast", true}, {"research", "small", true}, {"research", "search", false}, {"reasoning", "search", false}, {"code", "small", false}} {
		if futile(c.label, c.provider) != c.want {
			t.Errorf("%s at %s: futile %t", c.label, c.provider, !c.want)
		}
	}
	if got := string(padded(json.RawMessage(`[{"role":"user"}]`), 2)); got != `[{"role":"system","content":"word word"},{"role":"user"}]` {
		t.Error(got)
	}
}

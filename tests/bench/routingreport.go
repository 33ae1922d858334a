package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// routingReport turns the ways of the mix into Markdown.
type routingReport struct {
	o                     *routingOptions
	mix                   *mix
	baseline, auto, known *passed
	failing               map[string]*passed // by the provider that failed
}

func (r *routingReport) parameters(took time.Duration) string {
	return fmt.Sprintf("%d requests of the reference mix, %d at once, on simulated providers whose time goes %d times faster; times below are the mix's, "+
		"and what Vel and this machine add to them is multiplied as well. A failing provider fails for %s of every %s (of the mix's time). Took %s.",
		len(r.auto.endings), r.o.conns, r.o.scale, (r.o.outage * time.Duration(r.o.scale) / 10).String(), (r.o.outage * time.Duration(r.o.scale)).String(), took.Round(time.Second))
}

func (r *routingReport) bars() []bar {
	answered := 100.0
	for _, p := range r.failing {
		answered = min(answered, p.answered())
	}
	return []bar{
		{"median latency against the baseline, %,", change(p50(r.auto, r.o.scale), p50(r.baseline, r.o.scale)), float64(r.mix.Must.Latency)},
		{"cost against the baseline, %,", change(float64(r.auto.cost), float64(r.baseline.cost)), float64(r.mix.Must.Cost)},
		{"not answered while the worst of the providers fails, %,", 100 - answered, math.Round(1000*(100-float64(r.mix.Must.Answered))) / 1000},
	}
}

func (r *routingReport) missed() (out []string) {
	for _, b := range r.bars() {
		if !b.met() {
			out = append(out, b.String())
		}
	}
	return out
}

func (r *routingReport) write(w io.Writer) {
	writeBars(w, r.bars())
	var rows [][]string
	for _, row := range []struct {
		name string
		p    *passed
	}{
		{"baseline, one provider alone", r.baseline},
		{"Vel, route auto", r.auto},
		{"Vel, the client says the task (a perfect task model)", r.known},
	} {
		rows = append(rows, append([]string{row.name}, r.row(row.p)...))
	}
	table(w, []string{"the mix", "median, s", "P95, s", "cost, $", "median", "P95", "cost", "right first", "made again"}, rows)
	r.labelTable(w)
	r.failingTable(w)
}

// row is a pass beside the baseline.
func (r *routingReport) row(p *passed) []string {
	scale := r.o.scale
	row := []string{
		fmt.Sprintf("%.2f", p50(p, scale)), fmt.Sprintf("%.2f", p95(p, scale)), fmt.Sprintf("%.2f", float64(p.cost)/1e9),
	}
	if p.endings[0].provider == "" {
		return append(row, "", "", "", "", "")
	}
	again := 0
	for _, e := range p.endings {
		again += e.calls - 1
	}
	return append(row, signed(change(p50(p, scale), p50(r.baseline, scale))), signed(change(p95(p, scale), p95(r.baseline, scale))),
		signed(change(float64(p.cost), float64(r.baseline.cost))), fmt.Sprintf("%.1f %%", p.right("")), fmt.Sprint(again))
}

// labelTable says where the task model sent what.
func (r *routingReport) labelTable(w io.Writer) {
	var rows [][]string
	for _, label := range slices.Sorted(maps.Keys(rightly)) {
		row := []string{label, fmt.Sprint(r.mix.Requests[label]), fmt.Sprintf("%.1f %%", r.auto.right(label))}
		for _, to := range slices.Sorted(maps.Keys(rightly)) {
			row = append(row, fmt.Sprint(r.auto.landed(label, rightly[to])))
		}
		rows = append(rows, row)
	}
	head := []string{"route auto: asked for ↓", "in the mix", "right"}
	for _, to := range slices.Sorted(maps.Keys(rightly)) {
		head = append(head, fmt.Sprintf("to %s (%s)", rightly[to], to))
	}
	table(w, head, rows)
}

func (r *routingReport) failingTable(w io.Writer) {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(r.failing)) {
		p := r.failing[name]
		rows = append(rows, []string{
			name, fmt.Sprint(p.refused), fmt.Sprintf("%.3f %%", p.answered()),
			fmt.Sprintf("%.2f", p50(p, r.o.scale)), fmt.Sprintf("%.2f", p95(p, r.o.scale)), fmt.Sprintf("%.2f", float64(p.cost)/1e9),
		})
	}
	table(w, []string{"fails a tenth of the time", "attempts that it let down", "requests answered", "median, s", "P95, s", "cost, $"}, rows)
}

// right is the share of a label, or of all, that came first to whom it should.
func (p *passed) right(label string) float64 {
	right, all := 0, 0
	for _, e := range p.endings {
		if label == "" || e.label == label {
			all++
			if e.provider == rightly[e.label] {
				right++
			}
		}
	}
	return 100 * float64(right) / float64(max(all, 1))
}

func (p *passed) landed(label, provider string) (n int) {
	for _, e := range p.endings {
		if e.label == label && e.provider == provider {
			n++
		}
	}
	return n
}

func (p *passed) answered() float64 {
	n := 0
	for _, e := range p.endings {
		if e.answered {
			n++
		}
	}
	return 100 * float64(n) / float64(max(len(p.endings), 1))
}

func p50(p *passed, scale int) float64 { return quantilesOf(timesOf(p.endings, scale)).P50.Seconds() }

func p95(p *passed, scale int) float64 { return quantilesOf(timesOf(p.endings, scale)).P95.Seconds() }

// change is how much more something is than it was, in percent.
func change(is, was float64) float64 { return 100 * (is - was) / was }

func signed(percent float64) string { return fmt.Sprintf("%+.1f %%", percent) }

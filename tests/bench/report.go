package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report turns measurements into Markdown.
type report struct {
	o       *options
	runs    []measurement
	names   []string // of contenders, in the order of their first turn
	began   time.Time
	took    time.Duration
	commit  string
	machine string
}

func newReport(ctx context.Context, o *options, runs []measurement, began time.Time) *report {
	r := &report{o: o, runs: runs, began: began.UTC(), took: time.Since(began), commit: commitOf(ctx, o.root)}
	for _, m := range runs {
		if !slices.Contains(r.names, m.contender) {
			r.names = append(r.names, m.contender)
		}
	}
	r.machine = machineName()
	if slices.Contains(r.names, nginx) || slices.Contains(r.names, nginxSilent) {
		r.machine += ", " + nginxVersion(ctx)
	}
	return r
}

func (r *report) write(w io.Writer) {
	writeHead(w, r.began, r.commit, "", r.machine, r.parameters())
	writeBars(w, r.bars())
	r.costTable(w)
	r.timeTable(w)
	r.effortTable(w)
}

// writeHead begins the section of a run.
func writeHead(w io.Writer, began time.Time, commit, what, machine, parameters string) {
	fmt.Fprintf(w, "## %s · %s%s\n\n%s. %s\n\n", began.UTC().Format("2006-01-02 15:04 UTC"), commit, what, machine, parameters)
}

func writeBars(w io.Writer, bars []bar) {
	for _, b := range bars {
		verdict := "**missed**"
		if b.met() {
			verdict = "met"
		}
		fmt.Fprintf(w, "- %s: %s\n", verdict, b)
	}
}

func (r *report) parameters() string {
	o := r.o
	p := []string{
		fmt.Sprintf("Median of %d rounds (least–greatest), windows of %gs", o.rounds, o.seconds),
		fmt.Sprintf("%d connections", o.conns),
		fmt.Sprintf("%d streams of 50 events at 20 ms", o.streams),
		fmt.Sprintf("latency at %d calls/s", o.rate),
	}
	if o.grid > 0 {
		p = append(p, fmt.Sprintf("events in bursts each %s", o.grid))
	}
	if !o.askUsage {
		p = append(p, "clients do not ask for usage")
	}
	if o.chunked {
		p = append(p, "plain answers in a chunk")
	}
	for _, role := range []string{"proxy", "load", "upstream"} {
		if list := o.cpus[role]; list != "" {
			p = append(p, role+" on CPU "+list)
		}
	}
	for _, v := range append([]velSpec{o.vel}, o.variants...) {
		if v.Label != "" {
			p = append(p, v.Name+": "+v.Label)
		}
	}
	text := strings.Join(p, "; ") + fmt.Sprintf(". Took %s.", r.took.Round(time.Second))
	var foreign []float64
	for _, m := range r.runs {
		if m.result.Seconds > 0 {
			foreign = append(foreign, foreignLoad(m.result))
		}
	}
	if len(foreign) > 0 {
		text += fmt.Sprintf(" Other programs kept %s CPUs busy meanwhile.", spread(foreign))
	}
	return text
}

// bar is a promise about Vel and what was measured of it.
type bar struct {
	what   string
	value  float64
	atMost float64
}

func (b bar) met() bool { return b.value <= b.atMost }

func (b bar) String() string {
	return fmt.Sprintf("%s %s (bar: ≤ %g)", b.what, decimal(b.value), b.atMost)
}

// zeroAllocs is what counts as none. What an event allocates is a whole number for each read or write of it; what a
// process allocates beside its events, for its own clocks and for being asked, is a few hundred in a window.
const zeroAllocs = 0.05

// bars gives those that this run could judge.
func (r *report) bars() []bar {
	all := []bar{
		{"CPU per request, × nginx,", median(r.againstNginx(requests, vel)), 1.5},
		{"CPU per event, × nginx,", median(r.againstNginx(streams, vel)), 1.5},
	}
	for i, n := range r.o.levels {
		held := func(phase string) float64 {
			return median(series(r.runs, phase, vel, func(l *loadResult) float64 { return kibPerStream(l, i+1) }))
		}
		all = append(all,
			bar{fmt.Sprintf("KiB per open stream at %d", n), held(memory), 30},
			bar{fmt.Sprintf("KiB per open stream at %d, TLS upstream,", n), held(memoryTLS), 72})
	}
	all = append(all, bar{"allocations per event", median(series(r.runs, steady, vel, mallocsPerEvent)), zeroAllocs})
	return slices.DeleteFunc(all, func(b bar) bool { return math.IsNaN(b.value) })
}

func (r *report) missed() []string {
	var out []string
	for _, b := range r.bars() {
		if !b.met() {
			out = append(out, b.String())
		}
	}
	return out
}

// againstNginx is the ratio within each round: both were measured within seconds of each other.
func (r *report) againstNginx(phase, contender string) []float64 {
	cost := func(l *loadResult) float64 { return costOf(l, phase) }
	return pairwise(series(r.runs, phase, contender, cost), series(r.runs, phase, nginx, cost), ratio)
}

func (r *report) costTable(w io.Writer) {
	head := []string{
		"cost", "CPU ms / 1000 requests", "× nginx", "CPU ms / 1000 events", "× nginx",
		"CPU ms / 1000 events, steady streams", "× nginx", "allocations / event",
	}
	for _, phase := range []string{memory, memoryTLS} {
		if !r.has(phase) {
			continue
		}
		for _, n := range r.o.levels {
			head = append(head, fmt.Sprintf("KiB / stream at %d%s", n, map[string]string{memoryTLS: ", TLS upstream"}[phase]))
		}
	}
	var rows [][]string
	for _, name := range r.names {
		if name == direct {
			continue
		}
		row := []string{name}
		for _, phase := range []string{requests, streams, steady} {
			row = append(row,
				spread(series(r.runs, phase, name, func(l *loadResult) float64 { return costOf(l, phase) })),
				spread(r.againstNginx(phase, name)))
		}
		row = append(row, spread(series(r.runs, steady, name, mallocsPerEvent)))
		for _, phase := range []string{memory, memoryTLS} {
			if !r.has(phase) {
				continue
			}
			for i := range r.o.levels {
				row = append(row, spread(series(r.runs, phase, name, func(l *loadResult) float64 { return kibPerStream(l, i+1) })))
			}
		}
		rows = append(rows, row)
	}
	table(w, head, rows)
}

// timeTable gives what each proxy adds to direct, and direct as it is.
func (r *report) timeTable(w io.Writer) {
	columns := []struct {
		title, phase string
		of           figure
	}{
		{"call p50", latency, func(l *loadResult) float64 { return micros(l.Latency.P50) }},
		{"call p99", latency, func(l *loadResult) float64 { return micros(l.Latency.P99) }},
		{"first event p50", streams, func(l *loadResult) float64 { return micros(l.FirstEvent.P50) }},
		{"first event p99", streams, func(l *loadResult) float64 { return micros(l.FirstEvent.P99) }},
		{"event delay p50", streams, func(l *loadResult) float64 { return micros(l.EventDelay.P50) }},
		{"event delay p99", streams, func(l *loadResult) float64 { return micros(l.EventDelay.P99) }},
	}
	head := []string{"time added, µs"}
	for _, c := range columns {
		head = append(head, c.title)
	}
	head = append(head, "requests/s at full load")
	var rows [][]string
	for _, name := range r.names {
		row := []string{name}
		if name == direct {
			row[0] = "direct, as it is"
		}
		for _, c := range columns {
			values := series(r.runs, c.phase, name, c.of)
			if name != direct {
				values = pairwise(values, series(r.runs, c.phase, direct, c.of), difference)
			}
			row = append(row, spread(values))
		}
		row = append(row, spread(series(r.runs, requests, name, func(l *loadResult) float64 { return float64(l.Calls) / l.Seconds })))
		rows = append(rows, row)
	}
	table(w, head, rows)
}

// effortTable tells where the time goes, and that the tools around the proxy are light.
func (r *report) effortTable(w io.Writer) {
	head := []string{
		"effort", "in the kernel, requests, %", "in the kernel, events, %", "switches / 1000 requests", "switches / 1000 events",
		"load's CPU ms / 1000 requests", "upstream's", "load's CPU ms / 1000 events", "upstream's",
	}
	var rows [][]string
	for _, name := range r.names {
		row := []string{name}
		for _, f := range []func(phase string) figure{
			func(string) figure { return systemShare },
			func(phase string) figure { return func(l *loadResult) float64 { return switchesOf(l, phase) } },
		} {
			for _, phase := range []string{requests, streams} {
				row = append(row, decimal(median(series(r.runs, phase, name, f(phase)))))
			}
		}
		for _, phase := range []string{requests, streams} {
			for _, process := range []string{"load", "upstream"} {
				row = append(row, decimal(median(series(r.runs, phase, name, func(l *loadResult) float64 { return costIn(l, phase, process) }))))
			}
		}
		rows = append(rows, row)
	}
	table(w, head, rows)
}

func (r *report) has(phase string) bool {
	return slices.ContainsFunc(r.runs, func(m measurement) bool { return m.phase == phase })
}

func table(w io.Writer, head []string, rows [][]string) {
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

const resultsHead = `# What Vel costs

Newest first. ` + "`make bench`" + ` compares it with nginx, ` + "`make load`" + ` (keys and the API) with itself, ` + "`make bench-routing`" + ` compares
routing by task with one provider alone, and ` + "`make soak`" + ` (outages) tells what a node has been through. Trust the ratios, not the absolute figures: client, proxy and upstream share the machine, and each ratio is of two measurements
within seconds of each other. How it is measured stands in ` + "`main.go`, `rounds.go`, `control.go` and `routing.go`" + `.
`

// prepend puts the report above the older ones.
func prepend(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	older := ""
	if at := strings.Index(string(old), "\n## "); at >= 0 {
		older = string(old)[at:]
	}
	return os.WriteFile(file, []byte(resultsHead+"\n"+text+older), 0o644)
}

func commitOf(ctx context.Context, root string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "--short", "HEAD")
	if err != nil {
		return "no commit"
	}
	if changed, err := git("status", "--porcelain", "--", ".", ":!tests/bench/RESULTS.md"); err != nil || changed != "" {
		commit += " with changes"
	}
	return commit
}

func machineName() string {
	return fmt.Sprintf("%s, %d CPUs, Linux %s, %s", cpuModel(), runtime.NumCPU(), fileLine("/proc/sys/kernel/osrelease"), runtime.Version())
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH + " CPU"
}

func fileLine(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(text))
}

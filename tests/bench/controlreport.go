package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// controlReport turns what keys and the API cost into Markdown.
type controlReport struct {
	o      *controlOptions
	began  time.Time
	commit string
	calls  []measurement
	starts map[string][]float64 // seconds, by house
	busy   []busyRound
}

func (r *controlReport) write(w io.Writer) {
	writeHead(w, r.began, r.commit, " · keys and the API", machineName(), r.parameters())
	writeBars(w, r.bars())
	if r.calls != nil {
		r.callsTable(w)
	}
	if r.starts != nil {
		r.startsTable(w)
	}
	if r.busy != nil {
		r.adminTable(w)
	}
}

func (r *controlReport) parameters() string {
	return fmt.Sprintf("Median of %d rounds (least–greatest), windows of %gs; calls on %d connections, %d streams of 50 events at 20 ms; "+
		"the API is used on %d connections, each with a request every %s or without a pause, four of five read, while %d calls/s go on. Compared with %s. Took %s.",
		r.o.rounds, r.o.seconds, r.o.conns, r.o.streams, r.o.admins, r.o.pace, r.o.rate, r.o.before, time.Since(r.began).Round(time.Second))
}

// bars are the promises that this run could judge.
func (r *controlReport) bars() (all []bar) {
	for _, engine := range r.o.engines {
		many, one := fmt.Sprintf("%s, %d", engine, r.o.keys), engine+", 1"
		all = append(all,
			bar{fmt.Sprintf("%s: CPU per request with %d keys, × with one,", engine, r.o.keys), median(r.against(requests, many, one)), 1.05},
			bar{fmt.Sprintf("%s: load of %d keys at a start, s,", engine, r.o.keys), median(r.added(many, one)), 1})
	}
	paced := func(q func(*manageResult) quantiles) float64 {
		return median(r.busyOf(sqlite+", 1", r.o.pace, func(b busyRound) float64 { return millis(q(b.managed).P95) }))
	}
	return slices.DeleteFunc(append(all,
		bar{"sqlite: read by the API while calls go on, p95, ms,", paced(func(m *manageResult) quantiles { return m.Reads }), 50},
		bar{"sqlite: write by the API while calls go on, p95, ms,", paced(func(m *manageResult) quantiles { return m.Writes }), 50},
	), func(b bar) bool { return math.IsNaN(b.value) })
}

// against is the ratio of the cost of two contenders within each round.
func (r *controlReport) against(phase, contender, other string) []float64 {
	cost := func(l *loadResult) float64 { return costOf(l, phase) }
	return pairwise(series(r.calls, phase, contender, cost), series(r.calls, phase, other, cost), ratio)
}

// added is by how much longer one house takes to start than another, round by round.
func (r *controlReport) added(house, other string) []float64 {
	return pairwise(r.starts[house], r.starts[other], difference)
}

func (r *controlReport) busyOf(house string, pace time.Duration, f func(busyRound) float64) (values []float64) {
	for _, b := range r.busy {
		if b.house == house && b.pace == pace {
			values = append(values, f(b))
		}
	}
	return values
}

func (r *controlReport) callsTable(w io.Writer) {
	var names []string
	for _, m := range r.calls {
		if !slices.Contains(names, m.contender) {
			names = append(names, m.contender)
		}
	}
	head := []string{"keys", "CPU ms / 1000 requests", "× before", "× with one key", "CPU ms / 1000 events", "× before", "× with one key"}
	var rows [][]string
	for _, name := range names {
		row := []string{name}
		engine, _, _ := strings.Cut(name, ",")
		for _, phase := range []string{requests, streams} {
			row = append(row, spread(series(r.calls, phase, name, func(l *loadResult) float64 { return costOf(l, phase) })),
				spread(r.against(phase, name, before)), spread(r.against(phase, name, engine+", 1")))
		}
		rows = append(rows, row)
	}
	table(w, head, rows)
}

func (r *controlReport) startsTable(w io.Writer) {
	var rows [][]string
	for _, engine := range r.o.engines {
		many, one := fmt.Sprintf("%s, %d", engine, r.o.keys), engine+", 1"
		rows = append(rows, []string{engine, spread(r.starts[one]), spread(r.starts[many]), spread(r.added(many, one))})
	}
	table(w, []string{"ready after, s", "1 key", fmt.Sprintf("%d keys", r.o.keys), "difference"}, rows)
}

func (r *controlReport) adminTable(w io.Writer) {
	head := []string{"the API while calls go on", "reads/s", "p50, ms", "p95", "p99", "writes/s", "p50, ms", "p95", "p99", "call p50, ms", "call p99", "alone p50", "alone p99"}
	managed := []func(busyRound) quantiles{
		func(b busyRound) quantiles { return b.managed.Reads },
		func(b busyRound) quantiles { return b.managed.Writes },
	}
	calls := []func(busyRound) quantiles{
		func(b busyRound) quantiles { return b.calls.Latency },
		func(b busyRound) quantiles { return b.alone.Latency },
	}
	var rows [][]string
	for _, pace := range []time.Duration{r.o.pace, 0} {
		for _, engine := range r.o.engines {
			for _, keys := range []int{1, r.o.keys} {
				name := fmt.Sprintf("%s, %d", engine, keys)
				of := func(f func(busyRound) float64) string { return spread(r.busyOf(name, pace, f)) }
				row := []string{name + map[bool]string{true: ", at full speed"}[pace == 0]}
				for _, q := range managed {
					row = append(row, of(func(b busyRound) float64 { return float64(q(b).N) / b.managed.Seconds }), of(func(b busyRound) float64 { return millis(q(b).P50) }),
						of(func(b busyRound) float64 { return millis(q(b).P95) }), of(func(b busyRound) float64 { return millis(q(b).P99) }))
				}
				for _, q := range calls {
					row = append(row, of(func(b busyRound) float64 { return millis(q(b).P50) }), of(func(b busyRound) float64 { return millis(q(b).P99) }))
				}
				rows = append(rows, row)
			}
		}
	}
	table(w, head, rows)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// noteRole puts what is said into the results, under a head of today: for a run that another program has made.
func noteRole(ctx context.Context, in io.Reader, args []string) error {
	f := flag.NewFlagSet("bench note", flag.ContinueOnError)
	what := f.String("what", "", "what was measured, for the head")
	root := f.String("root", "../..", "the repository")
	results := f.String("results", "RESULTS.md", "file that takes the note, newest first")
	if err := f.Parse(args); err != nil {
		return usageError{err}
	}
	said, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	parameters, rest, found := strings.Cut(strings.TrimSpace(string(said)), "\n")
	if !found {
		return errors.New("there is nothing to note: the first line is how it was measured, a table follows")
	}
	var text strings.Builder
	writeHead(&text, time.Now(), commitOf(ctx, *root), " · "+*what, machineName(), parameters)
	fmt.Fprintf(&text, "%s\n", strings.TrimSpace(rest))
	io.WriteString(os.Stdout, text.String())
	return prepend(*results, text.String())
}

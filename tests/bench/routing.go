package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The headline: the reference mix goes through one provider alone, and through Vel, which sends every request to whom
// fits it. The providers are simulators with the mix's latencies, prices and lengths of answers, their time divided by a scale.
//
//	baseline  every request straight to one provider
//	auto      through Vel's route auto: the task model judges each request
//	known     the same, but the client says what it asks for: what a perfect task model would give
//	failing   auto again, once for each provider, which fails a tenth of the time
//
// What the task model gets wrong costs what it costs, and a request that needs a strong model and came to a weak one has
// failed and is made again on the strong one. Costs are those of Vel's records, and must be what the providers bill.

// routingOptions is the command line.
type routingOptions struct {
	scale, conns, requests int
	outage                 time.Duration
	mix, prompts, vel      string
	root, results          string
	dry                    bool
}

func parseRouting(args []string, out io.Writer) (*routingOptions, error) {
	o := &routingOptions{}
	f := flag.NewFlagSet("bench routing", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.scale, "scale", 20, "how many times faster than in the mix time goes")
	f.IntVar(&o.conns, "conns", 48, "requests under way at once")
	f.IntVar(&o.requests, "requests", 0, "about how many requests, in the proportions of the mix; 0: all of it")
	f.DurationVar(&o.outage, "outage", time.Second, "how often a failing provider fails, each time for a tenth of this")
	f.StringVar(&o.mix, "mix", "testdata/reference-mix.yaml", "the mix")
	f.StringVar(&o.prompts, "prompts", "", "the labelled prompts (default: those in the repository)")
	f.StringVar(&o.vel, "vel", "", "the binary (default: built from the repository)")
	f.StringVar(&o.root, "root", "../..", "the repository")
	f.StringVar(&o.results, "results", "RESULTS.md", "file that takes the report, newest first")
	f.BoolVar(&o.dry, "dry", false, "print the report only")
	if err := f.Parse(args); err != nil {
		return nil, usageError{err}
	}
	if f.NArg() > 0 {
		return nil, usageError{fmt.Errorf("unexpected %q", f.Args())}
	}
	if min(o.scale, o.conns) < 1 || o.requests < 0 || o.outage < 10*time.Millisecond {
		return nil, usageError{errors.New("-scale and -conns must be above 0, -requests not below, -outage at least 10ms")}
	}
	if o.prompts == "" {
		o.prompts = filepath.Join(o.root, "routing", "task", "testdata", "prompts.jsonl")
	}
	return o, nil
}

// routingRole runs every way, reports them, and fails when a bar is missed.
func routingRole(ctx context.Context, args []string) error {
	o, err := parseRouting(args, os.Stderr)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(uint64(8*o.conns + 1000)); err != nil {
		return err
	}
	began := time.Now()
	r, err := runRouting(ctx, o)
	if err != nil {
		return err
	}
	var text strings.Builder
	writeHead(&text, began, commitOf(ctx, o.root), " · routing", machineName(), r.parameters(time.Since(began)))
	r.write(&text)
	io.WriteString(os.Stdout, text.String())
	if !o.dry {
		if err := prepend(o.results, text.String()); err != nil {
			return err
		}
	}
	if missed := r.missed(); len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// runRouting starts the providers and Vel and lets the mix go every way.
func runRouting(ctx context.Context, o *routingOptions) (*routingReport, error) {
	m, err := readMix(o.mix)
	if err != nil {
		return nil, err
	}
	prompts, err := readPrompts(o.prompts)
	if err != nil {
		return nil, err
	}
	if err := m.fit(ctx, prompts); err != nil {
		return nil, err
	}
	providers, err := openMarket(m, o.scale)
	if err != nil {
		return nil, err
	}
	defer providers.close()
	dir, err := os.MkdirTemp("", "vel-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	base, p, err := startRouted(ctx, o, m, dir, providers)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	run := &routingRun{o, m, providers, newAsker(base), m.draw(prompts, o.requests)}
	return run.all(ctx)
}

// startRouted starts a Vel with the mix's providers.
func startRouted(ctx context.Context, o *routingOptions, m *mix, dir string, providers market) (base string, p *process, err error) {
	binary := o.vel
	if binary == "" {
		if binary, err = buildVel(ctx, o.root, dir); err != nil {
			return "", nil, err
		}
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return "", nil, err
	}
	listen, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, "vel.yaml")
	if err := os.WriteFile(file, []byte(m.routedConfig(listen, dir, providers, o.scale)), 0o600); err != nil {
		return "", nil, err
	}
	env := []string{"VEL_ADMIN_KEY=" + adminKey, "VEL_SECRET_KEY=" + apiKey}
	if p, err = startProcess(dir, vel, env, []string{binary, "serve", "--config", file}); err != nil {
		return "", nil, err
	}
	base = "http://" + listen
	if err = p.awaitReady(ctx, func(ctx context.Context) error { return ready(ctx, base) }); err != nil {
		p.stop()
	}
	return base, p, err
}

func ready(ctx context.Context, base string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", answer.StatusCode)
	}
	return nil
}

// routingRun is the mix on its ways.
type routingRun struct {
	o         *routingOptions
	mix       *mix
	providers market
	vel       *asker
	demands   []demand
}

// all lets the mix go every way, one after the other. Records are read when all calls are made: they come with a delay.
func (r *routingRun) all(ctx context.Context) (*routingReport, error) {
	report := &routingReport{o: r.o, mix: r.mix, failing: map[string]*passed{}}
	var err error
	for _, step := range []struct {
		way  way
		into **passed
	}{
		{way{name: baseline, model: baseline, direct: true, of: newAsker(r.providers[baseline].URL())}, &report.baseline},
		{way{name: "auto", model: "auto", of: r.vel}, &report.auto},
		{way{name: "known", model: "auto", hint: true, of: r.vel}, &report.known},
	} {
		if *step.into, err = r.pass(ctx, &step.way); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Values(rightly)) {
		if report.failing[name], err = r.passFailing(ctx, name); err != nil {
			return nil, err
		}
	}
	for _, p := range append(slices.Collect(maps.Values(report.failing)), report.baseline, report.auto, report.known) {
		if err := p.settle(ctx); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// passed is the mix after it went one way.
type passed struct {
	way     *way
	endings []ending
	billed  int64 // nanodollars, by the providers
	cost    int64 // nanodollars, by Vel's records
	refused int64 // calls that the failing provider let down
}

// pass lets the mix go one way.
func (r *routingRun) pass(ctx context.Context, w *way) (p *passed, err error) {
	r.providers.reset()
	p = &passed{way: w}
	if p.endings, err = w.walk(ctx, r.demands, r.o.conns); err != nil {
		return nil, err
	}
	p.billed, err = r.providers.billed(ctx)
	progress("%-14s %d requests, $%.2f", w.name, len(p.endings), float64(p.billed)/1e9)
	return p, err
}

// passFailing is a pass while a provider fails a tenth of the time.
func (r *routingRun) passFailing(ctx context.Context, name string) (*passed, error) {
	failCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- failing(failCtx, r.providers[name], r.o.outage) }()
	p, err := r.pass(ctx, &way{name: "failing-" + name, model: "auto", unlucky: true, of: r.vel})
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	s := r.providers[name].Stats()
	p.refused = s.Refused + s.Broken + s.Left
	return p, nil
}

// settle reads what Vel has recorded, which must be what the providers want. Of calls that failed on their way the two can
// not know the same.
func (p *passed) settle(ctx context.Context) (err error) {
	if p.cost = p.billed; p.way.direct {
		return nil
	}
	calls := 0
	for _, e := range p.endings {
		calls += e.calls
	}
	if p.cost, err = p.way.recorded(ctx, calls); err != nil {
		return err
	}
	if p.cost != p.billed && !p.way.unlucky {
		return fmt.Errorf("%s: Vel has recorded %d nanodollars, and the providers bill %d", p.way.name, p.cost, p.billed)
	}
	return nil
}

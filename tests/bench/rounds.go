package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// contender is one way from client to upstream.
type contender struct {
	name        string
	label       string                         // how it differs, for the report
	launch      func(s site) (*process, error) // nil: no proxy
	metricsPath string                         // where it tells Go's allocations; empty: nowhere
}

// site is where a proxy stands: between which addresses, with which directory for its files.
type site struct {
	dir, listen, upstream string
	secure                bool   // the upstream speaks TLS
	ca                    string // file that signs for it
}

// The phases. Each but memory is measured in every round.
const (
	requests  = "requests"   // plain calls, as fast as they go: CPU time a call
	latency   = "latency"    // plain calls at a modest rate: time added
	streams   = "streams"    // whole streams, one after the other: CPU time an event, first event, delay of events
	steady    = "steady"     // streams that neither begin nor end: CPU time and allocations of an event alone
	memory    = "memory"     // many streams with an event each few seconds
	memoryTLS = "memory-tls" // the same with a TLS upstream; asked for by -tls
)

var phaseNames = []string{requests, latency, streams, steady, memory}

// measurement is one result of one contender.
type measurement struct {
	phase, contender string
	round            int
	result           *loadResult
}

// field is the running benchmark: the upstream and every proxy, all up at once, one at a time under load.
type field struct {
	o        *options
	dir      string
	plain    string // addresses of the upstream
	secure   string
	ca       string
	upstream *process
	all      []contender
	addr     map[string]string // by contender
	running  map[string]*process
}

// compare runs every round and gives all measurements.
func compare(ctx context.Context, o *options, dir string) (runs []measurement, err error) {
	f := &field{o: o, dir: dir, addr: map[string]string{}, running: map[string]*process{}}
	if f.all, err = assemble(ctx, o, dir); err != nil {
		return nil, err
	}
	if err := f.startUpstream(ctx); err != nil {
		return nil, err
	}
	defer f.upstream.stop()
	runs, err = f.rounds(ctx)
	if err != nil {
		return nil, err
	}
	held, err := f.memoryPhases(ctx)
	return append(runs, held...), err
}

func (f *field) startUpstream(ctx context.Context) (err error) {
	for _, addr := range []*string{&f.plain, &f.secure} {
		if *addr, err = freeAddr(); err != nil {
			return err
		}
	}
	cert, key, err := writeCertificate(f.dir)
	if err != nil {
		return err
	}
	f.ca = cert
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := []string{self, "upstream", "-listen", f.plain, "-listen-tls", f.secure, "-cert", cert, "-key", key}
	if f.o.chunked {
		argv = append(argv, "-chunked")
	}
	// One P: fewer wake-ups, more of the machine for the proxy.
	f.upstream, err = startProcess(f.dir, "upstream", []string{"GOMAXPROCS=1"}, pinned(f.o.cpus["upstream"], argv))
	if err != nil {
		return err
	}
	err = f.upstream.awaitReady(ctx, func(ctx context.Context) error { return verify(ctx, f.plain, f.o.askUsage) })
	if err != nil {
		f.upstream.stop()
	}
	return err
}

// launch starts a contender's proxy and waits until it answers rightly. Without a proxy the process is nil.
func (f *field) launch(ctx context.Context, c contender, secure bool) (addr string, p *process, err error) {
	if c.launch == nil {
		return f.plain, nil, nil
	}
	s := site{upstream: f.plain, secure: secure, ca: f.ca}
	if secure {
		s.upstream = f.secure
	}
	if s.dir, err = os.MkdirTemp(f.dir, c.name+"-"); err != nil {
		return "", nil, err
	}
	if s.listen, err = freeAddr(); err != nil {
		return "", nil, err
	}
	if p, err = c.launch(s); err != nil {
		return "", nil, err
	}
	err = p.awaitReady(ctx, func(ctx context.Context) error { return verify(ctx, s.listen, f.o.askUsage) })
	if err != nil {
		p.stop()
		return "", nil, err
	}
	return s.listen, p, nil
}

// rounds measures every phase in every round, and in each phase one contender straight after the other. Who begins
// changes from round to round.
func (f *field) rounds(ctx context.Context) ([]measurement, error) {
	phases := slices.DeleteFunc(slices.Clone(f.o.phases), func(name string) bool { return name == memory })
	if len(phases) == 0 {
		return nil, nil
	}
	for _, c := range f.all {
		addr, p, err := f.launch(ctx, c, false)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		f.addr[c.name], f.running[c.name] = addr, p
	}
	var runs []measurement
	for round := range f.o.rounds {
		for _, phase := range phases {
			for i := range f.all {
				c := f.all[(i+round)%len(f.all)]
				if phase == steady && c.launch == nil {
					continue
				}
				result, err := f.measure(ctx, phase, c)
				if err != nil {
					return nil, fmt.Errorf("round %d, %s, %s: %w", round+1, phase, c.name, err)
				}
				runs = append(runs, measurement{phase, c.name, round, result})
				progress("round %d/%d  %-8s  %-14s %s  (others %s CPUs)", round+1, f.o.rounds, phase, c.name, brief(phase, result), decimal(foreignLoad(result)))
			}
		}
	}
	return runs, nil
}

// measure runs one window of one phase.
func (f *field) measure(ctx context.Context, phase string, c contender) (*loadResult, error) {
	window := time.Duration(f.o.seconds * float64(time.Second))
	spec := loadSpec{Addr: f.addr[c.name], Conns: f.o.conns, Warmup: time.Second, Window: window}
	switch phase {
	case latency:
		spec.Conns = min(16, f.o.rate)
		spec.Pace = time.Duration(spec.Conns) * time.Second / time.Duration(f.o.rate)
		spec.Stagger, spec.Window = spec.Pace, window/2
	case streams, steady:
		spec.Script = &script{Chunks: 50, Delay: 20 * time.Millisecond, Grid: f.o.grid, Usage: f.o.askUsage}
		spec.Conns, spec.Stagger, spec.Warmup = f.o.streams, time.Second, 1500*time.Millisecond
	}
	if phase == steady {
		spec.Script.Chunks = 1 << 30
		if c.metricsPath != "" {
			spec.Metrics = "http://" + spec.Addr + c.metricsPath
		}
	}
	return f.load(ctx, spec, f.running[c.name])
}

// load runs a load process that watches the proxy and the upstream.
func (f *field) load(ctx context.Context, spec loadSpec, proxy *process) (*loadResult, error) {
	spec.Watch = map[string][]int{}
	for name, p := range map[string]*process{"proxy": proxy, "upstream": f.upstream} {
		if p == nil {
			continue
		}
		pids, err := p.pids()
		if err != nil {
			return nil, err
		}
		spec.Watch[name] = pids
	}
	var result loadResult
	if err := runSelf(ctx, f.o.cpus["load"], "load", spec, &result); err != nil {
		return nil, err
	}
	return &result, nil
}

// runSelf runs this program in another role, with a spec as its argument, and reads the result that it prints.
func runSelf(ctx context.Context, cpus, role string, spec, result any) error {
	arg, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := pinned(cpus, []string{self, role, string(arg)})
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", role, cmp.Or(ctx.Err(), errors.New(strings.TrimSpace(stderr.String()))))
	}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		return fmt.Errorf("read the result of %s: %w", role, err)
	}
	return nil
}

// memoryPhases holds streams open through a fresh process of each proxy.
func (f *field) memoryPhases(ctx context.Context) ([]measurement, error) {
	if !slices.Contains(f.o.phases, memory) {
		return nil, nil
	}
	phases := []string{memory}
	if f.o.tls {
		phases = append(phases, memoryTLS)
	}
	var runs []measurement
	for _, phase := range phases {
		for _, c := range f.all {
			if c.launch == nil {
				continue
			}
			result, err := f.holdThrough(ctx, c, phase == memoryTLS)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", phase, c.name, err)
			}
			runs = append(runs, measurement{phase, c.name, 0, result})
			progress("%-10s  %-14s %s", phase, c.name, brief(phase, result))
		}
	}
	return runs, nil
}

func (f *field) holdThrough(ctx context.Context, c contender, secure bool) (*loadResult, error) {
	addr, p, err := f.launch(ctx, c, secure)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	// Some ordinary traffic first: what a process needs to be awake at all is not a stream's.
	if _, err := f.load(ctx, loadSpec{Addr: addr, Conns: 64, Window: time.Second / 2}, p); err != nil {
		return nil, err
	}
	beat := f.o.hold * 2 / 5 // every stream carries events at least twice before memory is read
	return f.load(ctx, loadSpec{
		Addr: addr, Levels: f.o.levels, Hold: f.o.hold,
		Script: &script{Chunks: 1 << 30, Delay: beat, Usage: f.o.askUsage},
	}, p)
}

// brief is one line about one result.
func brief(phase string, r *loadResult) string {
	switch phase {
	case requests:
		return fmt.Sprintf("%6.0f calls/s  %s ms CPU/1000", float64(r.Calls)/r.Seconds, decimal(costOf(r, phase)))
	case latency:
		return fmt.Sprintf("p50 %v  p99 %v", r.Latency.P50, r.Latency.P99)
	case streams, steady:
		return fmt.Sprintf("%6.0f events/s  %s ms CPU/1000  first event p50 %v  delay p50 %v p99 %v", float64(r.Events)/r.Seconds,
			decimal(costOf(r, phase)), r.FirstEvent.P50, r.EventDelay.P50, r.EventDelay.P99)
	}
	var b strings.Builder
	for i := range r.Held {
		if i > 0 {
			fmt.Fprintf(&b, "%d streams: %.1f KiB each  ", r.Held[i].Streams, kibPerStream(r, i))
		}
	}
	return b.String()
}

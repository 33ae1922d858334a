package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options is the command line.
type options struct {
	contenders []string
	phases     []string
	rounds     int
	seconds    float64
	conns      int
	streams    int
	rate       int
	levels     []int
	hold       time.Duration
	askUsage   bool
	chunked    bool
	grid       time.Duration
	tls        bool
	vel        velSpec
	variants   []velSpec
	cpus       map[string]string // by role: proxy, load, upstream
	root       string
	results    string
	dry        bool
	enforce    bool
	keep       bool
}

const (
	direct      = "direct"
	nginx       = "nginx"
	nginxSilent = "nginx-silent"
	vel         = "vel"
)

// parseOptions reads the command line; help and faults are explained on out.
func parseOptions(args []string, out io.Writer) (*options, error) {
	o := &options{vel: velSpec{Name: vel}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		fmt.Fprint(f.Output(), "Compare Vel's cost with nginx and with no proxy, side by side.\n\n  bench [flags]\n\n"+
			"Example: two variants of Vel beside the built one, short, nothing written:\n"+
			"  bench -dry -rounds 3 -seconds 3 -variant 'one-p=env=GOMAXPROCS=1' -variant new=/tmp/vel-new\n\n")
		f.PrintDefaults()
	}
	contenders := f.String("contenders", "nginx,vel,direct", "who takes part; nginx-silent is nginx without its access log")
	phases := f.String("phases", strings.Join(phaseNames, ","), "what is measured")
	f.IntVar(&o.rounds, "rounds", 5, "interleaved rounds; the median counts")
	f.Float64Var(&o.seconds, "seconds", 5, "length of a window; that of latency is half as long")
	f.IntVar(&o.conns, "conns", 64, "connections that send plain calls without a pause")
	f.IntVar(&o.streams, "streams", 200, "streams open at once, 50 events at 20 ms each")
	f.IntVar(&o.rate, "rate", 1000, "plain calls per second where latency is measured")
	levels := f.String("levels", "2000,8000", "numbers of open streams for memory")
	f.DurationVar(&o.hold, "hold", 5*time.Second, "how long each number of streams stands before memory is read")
	f.BoolVar(&o.askUsage, "ask-usage", true, "streams ask for the usage event, so that nothing need be added or removed")
	f.BoolVar(&o.chunked, "chunked", false, "the upstream's plain answers come in a chunk, without a Content-Length")
	f.DurationVar(&o.grid, "grid", 0, "the upstream's events leave at multiples of this only: 1ms or 20ms sends bursts, 0 each event when it is due")
	f.BoolVar(&o.tls, "tls", false, "also measure memory with a TLS upstream")
	f.Func("vel", "how the Vel under test is started: PATH or bin=PATH;env=K=V;args=…;cmd=…;cpus=LIST (default: built from the repository)",
		func(text string) (err error) { o.vel, err = parseVelSpec(vel, text); return err })
	f.Func("variant", "another Vel in the same run, NAME=the same as for -vel; may be repeated", func(text string) error {
		name, spec, _ := strings.Cut(text, "=")
		v, err := parseVelSpec(name, spec)
		o.variants = append(o.variants, v)
		return err
	})
	cpus := f.String("cpus", "", "pin roles with taskset, such as proxy=0;load=1;upstream=1")
	f.StringVar(&o.root, "root", "../..", "the repository")
	f.StringVar(&o.results, "results", "RESULTS.md", "file that takes the report, newest first")
	f.BoolVar(&o.dry, "dry", false, "print the report only")
	f.BoolVar(&o.enforce, "enforce", false, "exit 1 when a bar is missed")
	f.BoolVar(&o.keep, "keep", false, "keep the working directory with configurations and logs")
	if err := f.Parse(args); err != nil {
		return nil, usageError{err}
	}
	o.contenders, o.phases = strings.Split(*contenders, ","), strings.Split(*phases, ",")
	if err := o.finish(f.Args(), *levels, *cpus); err != nil {
		return nil, usageError{err}
	}
	return o, nil
}

// finish checks what single flags can not.
func (o *options) finish(rest []string, levels, cpus string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected %q", rest)
	}
	for _, name := range o.contenders {
		if !slices.Contains([]string{direct, nginx, nginxSilent, vel}, name) {
			return fmt.Errorf("unknown contender %q", name)
		}
	}
	for _, name := range o.phases {
		if !slices.Contains(phaseNames, name) {
			return fmt.Errorf("unknown phase %q (known: %s)", name, strings.Join(phaseNames, ", "))
		}
	}
	for word := range strings.SplitSeq(levels, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n <= 0 {
			return fmt.Errorf("-levels: %q is no number of streams", word)
		}
		o.levels = append(o.levels, n)
	}
	slices.Sort(o.levels)
	o.cpus = map[string]string{}
	for part := range strings.SplitSeq(cpus, ";") {
		if role, list, found := strings.Cut(part, "="); found && slices.Contains([]string{"proxy", "load", "upstream"}, role) {
			o.cpus[role] = list
		} else if part != "" {
			return fmt.Errorf("-cpus: %q is not proxy=LIST, load=LIST or upstream=LIST", part)
		}
	}
	if min(o.rounds, o.conns, o.streams, o.rate) < 1 || o.seconds <= 0 {
		return errors.New("-rounds, -seconds, -conns, -streams and -rate must be above 0")
	}
	return nil
}

// benchRole runs the whole comparison and reports it.
func benchRole(ctx context.Context, args []string) (err error) {
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	if o.results, err = filepath.Abs(o.results); err != nil {
		return err
	}
	if err := raiseFileLimit(uint64(2*o.levels[len(o.levels)-1] + 2000)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vel-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		progress("working directory %s", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	began := time.Now()
	runs, err := compare(ctx, o, dir)
	if err != nil {
		return err
	}
	r := newReport(ctx, o, runs, began)
	var text strings.Builder
	r.write(&text)
	io.WriteString(os.Stdout, text.String())
	if !o.dry {
		if err := prepend(o.results, text.String()); err != nil {
			return err
		}
	}
	if missed := r.missed(); o.enforce && len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// assemble prepares everyone who takes part, in the order of their turns.
func assemble(ctx context.Context, o *options, dir string) ([]contender, error) {
	var specs []velSpec
	if slices.Contains(o.contenders, vel) {
		specs = append(specs, o.vel)
	}
	specs = append(specs, o.variants...)
	built := ""
	if slices.ContainsFunc(specs, velSpec.needsBuild) {
		var err error
		if built, err = buildVel(ctx, o.root, dir); err != nil {
			return nil, err
		}
	}
	var all []contender
	for _, name := range o.contenders {
		switch name {
		case nginx, nginxSilent:
			if err := ensureNginx(ctx); err != nil {
				return nil, err
			}
			all = append(all, nginxContender(name, o.cpus["proxy"], name == nginx))
		case direct:
			all = append(all, contender{name: direct})
		case vel:
			all = append(all, o.pinnedVel(o.vel).contender(built))
		}
	}
	for _, v := range o.variants {
		all = append(all, o.pinnedVel(v).contender(built))
	}
	for i, c := range all {
		if slices.ContainsFunc(all[:i], func(d contender) bool { return d.name == c.name }) {
			return nil, usageError{fmt.Errorf("two contenders are named %q", c.name)}
		}
	}
	return all, nil
}

func (o *options) pinnedVel(v velSpec) velSpec {
	if v.CPUs == "" {
		v.CPUs = o.cpus["proxy"]
	}
	return v
}

// progress tells the person who waits what is going on.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

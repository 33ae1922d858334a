package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What keys in a database cost, and what it costs to manage them: a comparison of Vel with itself.
//
//	calls   CPU time a call and an event: a commit from before there was a database, a key of the file, one key in a
//	        database, and many keys in a database
//	starts  the time from a start until the node is ready, with one key and with many
//	admin   the time of a request to the API while calls go on, and of a call while the API is used

// controlParts are what is measured.
var controlParts = []string{"calls", "starts", "admin"}

// The contenders that have no database filled for them.
const (
	before = "before"
	filed  = "file"
)

// controlOptions is the command line.
type controlOptions struct {
	options
	parts   []string
	engines []string
	keys    int
	before  string
	admins  int
	pace    time.Duration
}

func parseControl(args []string, out io.Writer) (*controlOptions, error) {
	o := &controlOptions{options: options{phases: []string{requests, streams}, askUsage: true}}
	f := flag.NewFlagSet("bench control", flag.ContinueOnError)
	f.SetOutput(out)
	parts := f.String("parts", strings.Join(controlParts, ","), "what is measured")
	engines := f.String("engines", sqlite+","+postgres, "where keys are")
	f.IntVar(&o.keys, "keys", 100_000, "how many keys are many")
	f.StringVar(&o.before, "before", "e1f693e", "the commit to compare with, or the path of a binary; empty: none")
	f.IntVar(&o.rounds, "rounds", 5, "interleaved rounds; the median counts")
	f.Float64Var(&o.seconds, "seconds", 5, "length of a window")
	f.IntVar(&o.conns, "conns", 64, "connections that make calls")
	f.IntVar(&o.streams, "streams", 200, "streams open at once, 50 events at 20 ms each")
	f.IntVar(&o.admins, "admins", 100, "connections that use the API")
	f.DurationVar(&o.pace, "pace", 200*time.Millisecond, "how often each of them begins a request; besides, all go at full speed")
	f.IntVar(&o.rate, "rate", 500, "calls a second while the API is used")
	f.StringVar(&o.root, "root", "../..", "the repository")
	f.StringVar(&o.results, "results", "RESULTS.md", "file that takes the report, newest first")
	f.BoolVar(&o.dry, "dry", false, "print the report only")
	f.BoolVar(&o.keep, "keep", false, "keep the working directory with configurations and logs")
	if err := f.Parse(args); err != nil {
		return nil, usageError{err}
	}
	o.parts, o.engines = strings.Split(*parts, ","), strings.Split(*engines, ",")
	for _, list := range []struct{ what, known []string }{{o.parts, controlParts}, {o.engines, []string{sqlite, postgres}}} {
		for _, name := range list.what {
			if !slices.Contains(list.known, name) {
				return nil, usageError{fmt.Errorf("unknown %q (known: %s)", name, strings.Join(list.known, ", "))}
			}
		}
	}
	if f.NArg() > 0 || min(o.rounds, o.conns, o.streams, o.admins, o.rate, o.keys-1) < 1 || o.seconds <= 0 || o.pace <= 0 {
		return nil, usageError{errors.New("flags only; numbers above 0, and more than one key")}
	}
	return o, nil
}

// controlRole measures all parts and reports them.
func controlRole(ctx context.Context, args []string) error {
	o, err := parseControl(args, os.Stderr)
	if err != nil {
		return err
	}
	if o.results, err = filepath.Abs(o.results); err != nil {
		return err
	}
	if err := raiseFileLimit(4000); err != nil {
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
	r := &controlReport{o: o, began: time.Now(), commit: commitOf(ctx, o.root)}
	if err := r.measure(ctx, dir); err != nil {
		return err
	}
	var text strings.Builder
	r.write(&text)
	io.WriteString(os.Stdout, text.String())
	if o.dry {
		return nil
	}
	return prepend(o.results, text.String())
}

// estate is everything that takes part.
type estate struct {
	field
	server *postgresServer // nil: no Postgres is used
	houses []*house
	built  string
}

// measure runs the parts one after the other.
func (r *controlReport) measure(ctx context.Context, dir string) (err error) {
	e := &estate{field: field{o: &r.o.options, dir: dir, addr: map[string]string{}, running: map[string]*process{}}}
	if e.built, err = buildVel(ctx, r.o.root, dir); err != nil {
		return err
	}
	if err := e.startUpstream(ctx); err != nil {
		return err
	}
	defer e.upstream.stop()
	if slices.Contains(r.o.engines, postgres) {
		if e.server, err = startPostgres(ctx, r.o.root, dir); err != nil {
			return err
		}
		defer e.server.stop()
	}
	for _, engine := range r.o.engines {
		for _, keys := range []int{1, r.o.keys} {
			if err := e.settle(ctx, engine, keys); err != nil {
				return err
			}
		}
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *estate) error
	}{{"calls", r.measureCalls}, {"starts", r.measureStarts}, {"admin", r.measureAdmin}} {
		if !slices.Contains(r.o.parts, part.name) {
			continue
		}
		if err := part.measure(ctx, e); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// settle prepares a house.
func (e *estate) settle(ctx context.Context, engine string, keys int) (err error) {
	h := &house{name: fmt.Sprintf("%s, %d", engine, keys), engine: engine, keys: keys, binary: e.built}
	url, admin := "", ""
	if engine == postgres {
		if url, admin, err = e.server.database(ctx); err != nil {
			return err
		}
	}
	e.houses = append(e.houses, h)
	return h.prepare(ctx, e.dir, url, admin)
}

// measureCalls measures what a call costs, every contender in every round.
func (r *controlReport) measureCalls(ctx context.Context, e *estate) (err error) {
	e.all = []contender{velSpec{Name: filed}.contender(e.built)}
	if r.o.before != "" {
		old, err := e.buildBefore(ctx, r.o.root, r.o.before)
		if err != nil {
			return err
		}
		e.all = append([]contender{velSpec{Name: before}.contender(old)}, e.all...)
	}
	for _, h := range e.houses {
		e.all = append(e.all, h.contender())
	}
	r.calls, err = e.rounds(ctx)
	return err
}

// buildBefore builds a commit in a folder of its own.
func (e *estate) buildBefore(ctx context.Context, root, commit string) (path string, err error) {
	if _, err := os.Stat(commit); err == nil {
		return filepath.Abs(commit)
	}
	tree := filepath.Join(e.dir, "tree")
	git := func(args ...string) error {
		if text, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args[1], err, text)
		}
		return nil
	}
	if err := git("worktree", "add", "--detach", tree, commit); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, git("worktree", "remove", "--force", tree)) }()
	built, err := buildVel(ctx, tree, tree)
	if err != nil {
		return "", err
	}
	path = filepath.Join(e.dir, "vel-before")
	return path, os.Rename(built, path)
}

// measureStarts starts every house in every round.
func (r *controlReport) measureStarts(ctx context.Context, e *estate) error {
	r.starts = map[string][]float64{}
	for round := range r.o.rounds {
		for i := range e.houses {
			h := e.houses[(i+round)%len(e.houses)]
			took, err := h.startTime(ctx, e.plain)
			if err != nil {
				return err
			}
			r.starts[h.name] = append(r.starts[h.name], took.Seconds())
			progress("round %d/%d  start     %-18s %s", round+1, r.o.rounds, h.name, took.Round(time.Millisecond))
		}
	}
	return nil
}

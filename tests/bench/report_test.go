package main

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	if m := median([]float64{9, 1, 5}); m != 5 {
		t.Errorf("median of three: %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median of four: %v", m)
	}
	if !math.IsNaN(median(nil)) {
		t.Error("median of nothing is a number")
	}
	if s := spread([]float64{12.34, 11, 150}); s != "12.3 (11.0–150)" {
		t.Errorf("spread: %q", s)
	}
}

// sample is two rounds in which Vel costs the given ratio to nginx.
func sample(ratios ...float64) []measurement {
	var runs []measurement
	for round, x := range ratios {
		nginxMS := float64(10 + round) // a noisier round changes both
		for name, ms := range map[string]float64{nginx: nginxMS, vel: nginxMS * x} {
			runs = append(runs, measurement{requests, name, round, &loadResult{
				Calls: 1000, Used: map[string]usage{"proxy": {CPU: time.Duration(ms * 1e6)}},
			}})
		}
	}
	return runs
}

func TestBars(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ratios []float64
		missed int
	}{"met": {[]float64{1.2, 1.4, 1.7}, 0}, "missed": {[]float64{1.2, 1.6, 1.7}, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := report{o: &options{}, runs: sample(tt.ratios...), names: []string{nginx, vel}}
			if got := len(r.bars()); got != 1 {
				t.Errorf("%d bars judged, want the only one that was measured", got)
			}
			if got := r.missed(); len(got) != tt.missed {
				t.Errorf("missed %q, want %d", got, tt.missed)
			}
			var text strings.Builder
			r.write(&text)
			if !strings.Contains(text.String(), "| vel |") {
				t.Errorf("no row for vel:\n%s", text.String())
			}
		})
	}
}

func TestNewestReportStandsOnTop(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, text := range []string{"## first\n", "## second\n", "## third\n"} {
		if err := prepend(file, text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := resultsHead + "\n## third\n\n## second\n\n## first\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestVelSpec(t *testing.T) {
	t.Parallel()
	got, err := parseVelSpec("v", "bin=/x/vel;env=GOMAXPROCS=1;env=GOGC=400;args=-a -b;cpus=0,1")
	want := velSpec{
		Name: "v", Binary: "/x/vel", Env: []string{"GOMAXPROCS=1", "GOGC=400"}, Args: []string{"-a", "-b"}, CPUs: "0,1",
		Label: "another binary, GOMAXPROCS=1, GOGC=400, args=-a -b, cpus=0,1",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseVelSpec("v", "/x/vel"); err != nil || got.Binary != "/x/vel" || got.needsBuild() {
		t.Errorf("a path alone: %+v, %v", got, err)
	}
	if got, err := parseVelSpec("v", "env=A=b"); err != nil || !got.needsBuild() {
		t.Errorf("no binary: %+v, %v", got, err)
	}
	if _, err := parseVelSpec("v", "colour=red"); err == nil {
		t.Error("an unknown part gives no error")
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	if o, err := parseOptions([]string{"-levels", "30,20", "-cpus", "proxy=0;load=1", "-variant", "a=env=X=1", "-variant", "b=/x"}, io.Discard); err != nil ||
		!reflect.DeepEqual(o.levels, []int{20, 30}) || o.cpus["load"] != "1" || len(o.variants) != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-rounds", "0"}, {"-phases", "lunch"}, {"-contenders", "apache"}, {"-cpus", "0"}, {"-levels", "many"}, {"more"}, {"-variant", "a=b=c"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q gives no error", args)
		}
	}
}

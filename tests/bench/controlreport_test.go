package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sampleControl is two rounds in which many keys cost the given ratio to one, and take so many seconds to load.
func sampleControl(cost, load float64, p95 time.Duration) *controlReport {
	o := &controlOptions{keys: 1000, engines: []string{sqlite}, before: "abc", pace: time.Second}
	r := &controlReport{o: o, began: time.Now(), commit: "def", starts: map[string][]float64{}}
	for round := range 2 {
		ms := float64(10 + round) // a noisier round changes both
		for name, x := range map[string]float64{before: 0.5, "sqlite, 1": 1, "sqlite, 1000": cost} {
			r.calls = append(r.calls, measurement{requests, name, round, &loadResult{
				Calls: 1000, Used: map[string]usage{"proxy": {CPU: time.Duration(ms * x * 1e6)}},
			}})
		}
		r.starts["sqlite, 1"] = append(r.starts["sqlite, 1"], ms)
		r.starts["sqlite, 1000"] = append(r.starts["sqlite, 1000"], ms+load)
		for _, pace := range []time.Duration{o.pace, 0} {
			q := quantiles{N: 100, P95: p95}
			if pace == 0 { // what is at full speed is not judged
				q.P95 = time.Minute
			}
			r.busy = append(r.busy, busyRound{"sqlite, 1", pace, &loadResult{}, &loadResult{}, &manageResult{Reads: q, Writes: q, Seconds: 1}})
		}
	}
	return r
}

func TestControlReport(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cost, load float64
		p95        time.Duration
		met        int
	}{
		"all met":    {1.01, 0.9, 49 * time.Millisecond, 4},
		"costs more": {1.2, 0.9, time.Millisecond, 3},
		"loads long": {1, 1.1, time.Millisecond, 3},
		"slow":       {1, 0.1, 51 * time.Millisecond, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			sampleControl(tt.cost, tt.load, tt.p95).write(&text)
			if met, missed := strings.Count(text.String(), "\n- met: "), strings.Count(text.String(), "\n- **missed**: "); met != tt.met || met+missed != 4 {
				t.Errorf("%d met and %d missed:\n%s", met, missed, text.String())
			}
		})
	}
	var text strings.Builder
	sampleControl(1.5, 0.25, time.Millisecond).write(&text)
	for _, want := range []string{
		"| sqlite, 1000 | 15.8 (15.0–16.5) | 3.00 (3.00–3.00) | 1.50 (1.50–1.50) |", "| sqlite | 10.5 (10.0–11.0) | 10.8 (10.2–11.2) | 0.25 (0.25–0.25) |",
		"| sqlite, 1 | 100 (100–100) |", "| sqlite, 1, at full speed |",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// Four of five requests read, and what a manager makes it deletes.
func TestErrands(t *testing.T) {
	t.Parallel()
	m := &manager{name: "m", id: "key_1"}
	var writes []string
	n := 0
	for e := range m.errands(7) {
		if n++; n > 7+2*errandsOfRound {
			break
		}
		if e.write {
			writes = append(writes, e.method)
		}
		if n <= 7 && e.method != "GET" {
			t.Errorf("errand %d is %s", n, e.method)
		}
	}
	if got, want := strings.Join(writes, " "), "POST PUT DELETE POST PUT DELETE"; got != want {
		t.Errorf("writes %s, want %s", got, want)
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	results := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, said := range []string{"First.\n| a |\n|---|\n", "Second.\n| b |\n|---|\n"} {
		if err := noteRole(t.Context(), strings.NewReader(said), []string{"-what", "outages", "-results", results}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	first, second := strings.Index(string(text), "First.\n\n| a |"), strings.Index(string(text), "Second.\n\n| b |")
	if second < 0 || first < second || strings.Count(string(text), " · outages\n") != 2 || strings.Contains(string(text), "\n\n\n") {
		t.Errorf("%s", text)
	}
}

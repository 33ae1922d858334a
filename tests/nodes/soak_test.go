package nodes

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

// How a soak differs from a test. Its report is a row of a table, added to a file.
var (
	soak   = flag.Duration("soak", 0, "let the database go away again and again for so long; 0: once")
	report = flag.String("report", "", "the file that takes what a soak has seen")
)

// What a node may need at most when it has seen many outages.
const (
	mostBytes = 200 << 20
	slack     = 40 // goroutines and open files, above what there were before
	onceAway  = 5 * time.Second
	shortAway = 1 * time.Second
)

// state is what a process holds.
type state struct{ bytes, goroutines, files float64 }

func (n *node) state(t *testing.T) state {
	t.Helper()
	return state{n.metric(t, "process_resident_memory_bytes"), n.metric(t, "go_goroutines"), n.metric(t, "process_open_fds")}
}

// endure takes the database away once, or as often as a soak allows, each time for longer.
func (h *hurt) endure(t *testing.T, l *load) {
	t.Helper()
	away, end := onceAway, time.Now().Add(*soak)
	if *soak > 0 {
		away = shortAway
	}
	for h.cycles == 0 || time.Now().Before(end) {
		h.cycle(t, l, away)
		for _, n := range h.nodes {
			h.mostBytes = max(h.mostBytes, n.state(t).bytes)
		}
		away += time.Second
	}
}

// rest waits until the nodes hold no more than before.
func (h *hurt) rest(t *testing.T) {
	t.Helper()
	for i, n := range h.nodes {
		n.client.CloseIdleConnections()
		var now state
		soon(t, patience, fmt.Sprintf("node %d to come to rest", i), func() bool {
			now = n.state(t)
			return now.goroutines <= h.before[i].goroutines+slack && now.files <= h.before[i].files+slack
		})
		t.Logf("node %d: before %+v, after %+v", i, h.before[i], now)
	}
	if h.mostBytes > mostBytes {
		t.Errorf("a node had %.0f MiB", h.mostBytes/(1<<20))
	}
}

// beginReport says how it is measured, and begins the table.
func beginReport(t *testing.T) {
	t.Helper()
	tell(t, fmt.Sprintf("Two nodes, %d calls a second on each, half of them streams; the database goes away for %s, then each time for a second longer, "+
		"and all four kinds of outages go on side by side for %s.", callers*int(time.Second/pace), shortAway, *soak))
	tell(t, "| outage | cycles | calls | failed | slowest call, ms | longest until all is well, s | resident MiB at most | goroutines before → after |\n"+
		"|---|---|---|---|---|---|---|---|")
}

// report adds a row to the table.
func (h *hurt) report(t *testing.T, l *load) {
	t.Helper()
	tell(t, fmt.Sprintf("| %s | %d | %d | %d | %d | %.1f | %.0f | %.0f → %.0f |", h.name, h.cycles, l.calls, l.failed,
		l.slowest.Milliseconds(), h.slow.Seconds(), h.mostBytes/(1<<20), h.before[0].goroutines, h.nodes[0].state(t).goroutines))
}

// tell adds lines to the report, if there is to be one.
func tell(t *testing.T, lines string) {
	t.Helper()
	if *report == "" {
		return
	}
	f, err := os.OpenFile(*report, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(lines + "\n"); err != nil {
		t.Fatal(err)
	}
}

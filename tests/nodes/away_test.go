package nodes

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/postgres"
)

// away is how long the database of a node that records calls is away; a soak has it away for longer.
var away = flag.Duration("away", 10*time.Second, "how long the database is away while calls are recorded")

// drive is how many call the node then, and drivePace how often each of them: 200 a second.
const (
	drive     = 8
	drivePace = 40 * time.Millisecond
)

// TestRecordsWhileTheDatabaseIsAway: the database is away for long under load. No call fails, the node's memory stays as it
// is, and every record comes in afterwards. How long calls take is told, before, meanwhile and after.
func TestRecordsWhileTheDatabaseIsAway(t *testing.T) { // not parallel: what it loads the machine with would be measured by others
	w, s := newWitness(t), postgres.Start(t)
	n := start(t, w.options("", "DATABASE_URL="+s.Database(t).URL))
	b := &book{witness: w, pace: drivePace}
	tell(t, fmt.Sprintf("One node, %d calls a second, half of them streams; its database is away for %s.", drive*int(time.Second/drivePace), *away))
	tell(t, "| the database | for, s | calls | p50, ms | p99, ms | resident MiB at most | spool, MiB |\n|---|---|---|---|---|---|---|")
	stop := b.begin(t, n, drive)
	near := max(*away/10, 2*time.Second)
	b.stretch(t, n, "is there", near)
	if err := crash(s); err != nil {
		t.Fatal(err)
	}
	most := b.stretch(t, n, "is away", *away)
	if waiting := n.metric(t, "vel_spool_bytes"); waiting == 0 || n.metric(t, "vel_database_up") != 0 {
		t.Errorf("the spool has %g bytes and the database is up: %g", waiting, n.metric(t, "vel_database_up"))
	}
	if err := restart(s); err != nil {
		t.Fatal(err)
	}
	most = max(most, b.stretch(t, n, "is back", near))
	stop()
	began := time.Now()
	a := b.audit(t, n)
	tell(t, fmt.Sprintf("\n%d calls were answered, %d failed; %d records are in the database, the last of them %s after the last call.",
		b.answered, len(b.failures), a.records, time.Since(began).Round(time.Millisecond)))
	if most > mostBytes {
		t.Errorf("the node had %.0f MiB", most/(1<<20))
	}
	if a.interrupted > 0 || a.records != len(b.calls) || b.answered != len(b.calls) {
		t.Errorf("%d calls, %d answered: %+v", len(b.calls), b.answered, a)
	}
}

// stretch lets calls go on for a while and says how long they took, and how many bytes the node had at most.
func (b *book) stretch(t *testing.T, n *node, what string, length time.Duration) (most float64) {
	t.Helper()
	b.lap()
	end := time.Now().Add(length)
	spool, next := 0.0, time.Now()
	soon(t, length+patience, "the time to pass", func() bool {
		if time.Now().After(next) {
			most, spool = max(most, n.metric(t, "process_resident_memory_bytes")), n.metric(t, "vel_spool_bytes")
			next = next.Add(time.Second)
		}
		return time.Now().After(end)
	})
	calls, p50, p99 := b.lap()
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	row := fmt.Sprintf("| %s | %.0f | %d | %.2f | %.2f | %.0f | %.1f |", what, length.Seconds(), calls, ms(p50), ms(p99), most/(1<<20), spool/(1<<20))
	t.Log(row)
	tell(t, row)
	return most
}

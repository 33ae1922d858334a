package nodes

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/postgres"
)

// kills is how often a node is killed; a soak has more of them.
var kills = flag.Int("kills", 5, "how often a node is killed while it records calls")

// TestKilledWhileCallsAreRecorded: a Vel is killed at random moments under load, now and then while its database is away.
// Every call that was answered is in the database exactly once, and so are those that were under way: as interrupted, at
// what they were taken to cost.
func TestKilledWhileCallsAreRecorded(t *testing.T) {
	t.Parallel()
	tell(t, fmt.Sprintf("A node under the load of 8 callers is killed %d times at random moments, with 4 calls held by the provider; of Postgres it is every second time while that is stopped.", *kills))
	tell(t, "| engine | kills | calls answered | records | interrupted | of these answered |\n|---|---|---|---|---|---|")
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t)
			dir, o := t.TempDir(), w.options("")
			var s *postgres.Server
			if engine == "postgres" {
				s = postgres.Start(t)
				o = w.options("", "DATABASE_URL="+s.Database(t).URL)
			}
			b := &book{witness: w}
			const held = 4
			for round := range *kills {
				n := launch(t, dir, o)
				b.dying = false
				stop := b.begin(t, n, 8)
				release := b.hold(t, n, held)
				b.wait(t, rand.IntN(150)+1)
				if s != nil && round%2 == 1 {
					if err := crash(s); err != nil {
						t.Fatal(err)
					}
					b.wait(t, rand.IntN(300)+1)
				}
				b.kill(t, n)
				stop()
				release()
				if s != nil && round%2 == 1 {
					if err := restart(s); err != nil {
						t.Fatal(err)
					}
				}
			}
			n := launch(t, dir, o)
			began := time.Now()
			a := b.audit(t, n)
			if a.interrupted < held**kills {
				t.Errorf("%d calls are interrupted; %d were held", a.interrupted, held**kills)
			}
			t.Logf("%d calls were answered; %d records, %d of them interrupted, %d of these answered: %s after the last start", b.answered, a.records, a.interrupted, a.late, time.Since(began).Round(time.Millisecond))
			tell(t, fmt.Sprintf("| %s | %d | %d | %d | %d | %d |", engine, *kills, b.answered, a.records, a.interrupted, a.late))
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

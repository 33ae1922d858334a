package nodes

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// beside is for how long calls are measured beside a batch.
var beside = flag.Duration("beside", 0, "for how long calls are measured without and beside a batch; 0: two seconds in all")

// TestCallsBesideABatch: calls of the data plane go on while a batch runs as fast as it can. How much slower they are is told, and not
// asserted: everything shares this machine.
func TestCallsBesideABatch(t *testing.T) {
	long := *beside
	if long == 0 {
		t.Parallel()
		long = time.Second
	}
	w := newWitness(t)
	h := newEstate(t, 1, w.options("tasks: {workers: 64}\nlog: {level: warn}", "DATABASE_URL="+server.Database(t).URL))
	n := h.any(0)
	k := n.newKey(t, n.newOrg(t, "acme"), "robot", object{"role": "task_executor"})
	calls(t, n, k.secret, "sim-echo", 100, time.Second) // it is warm
	idle := calls(t, n, k.secret, "sim-echo", 100, long)
	items := 300
	if *beside > 0 {
		items = 100_000
	}
	path := h.submit(k.secret, items, 20)
	before, began := h.pile(k.secret, path).Done, time.Now()
	busy := calls(t, n, k.secret, "sim-echo", 100, long)
	done := float64(h.pile(k.secret, path).Done-before) / time.Since(began).Seconds()
	if a := n.askAs(t, k.secret, "POST", path+"/cancel", nil); a.status != http.StatusOK {
		t.Error(a)
	}
	line := fmt.Sprintf("Calls of the data plane, 100 a second, P50 / P99 in ms: %s without a batch, %s beside one that ended %.0f items a second.", quantile99(idle), quantile99(busy), done)
	t.Log(line)
	tell(t, "\n"+line)
}

// calls makes so many calls a second, whether those before have ended or not, and gives how long each took.
func calls(t *testing.T, n *node, secret, model string, rate int, long time.Duration) (took []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var running sync.WaitGroup
	every, began := time.Second/time.Duration(rate), time.Now()
	for i := range int(long / every) {
		time.Sleep(time.Until(began.Add(time.Duration(i) * every)))
		running.Go(func() {
			began := time.Now()
			a, err := n.do(t.Context(), secret, "POST", "/v1/chat/completions", object{"model": model, "messages": []object{{"role": "user", "content": fmt.Sprintf("say d%d", i)}}})
			lasted := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, lasted); err != nil || a.status != http.StatusOK {
				t.Errorf("%s, %v", a, err)
			}
		})
	}
	running.Wait()
	return took
}

func quantile99(list []time.Duration) string {
	slices.Sort(list)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.2f / %.2f", ms(list[len(list)/2]), ms(list[len(list)*99/100]))
}

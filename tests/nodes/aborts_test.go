package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// abort is how long calls are begun and left; a soak goes on for longer.
var abort = flag.Duration("abort", 8*time.Second, "how long streams are left in their middle while a node is killed")

// long is what a soak is: it also waits until what the killed node held has expired.
const long = 20 * time.Second

// expires is how long what a killed node held stands at most: its life of a minute, and the look that is taken each minute.
const expires = 150 * time.Second

// leave begins a stream and leaves it in its middle, or reads it to its end.
func (h *house) leave(ctx context.Context, n *node) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(60))*time.Millisecond)
	if rand.IntN(3) == 0 {
		cancel()
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	defer cancel()
	text, err := json.Marshal(object{"model": "echo", "stream": true, "messages": []object{{"role": "user", "content": "[[chunks=10 delay=5ms]] Say hello."}}})
	if err != nil {
		return
	}
	req, err := http.NewRequestWithContext(ctx, "POST", n.URL+"/v1/chat/completions", bytes.NewReader(text))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+h.key.secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := n.client.Do(req)
	if err != nil {
		return // it was left, or the node was killed
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // likewise
}

// watch reads again and again what is used of a budget, and tells of each time when it was too much.
func (h *house) watch(t *testing.T, ctx context.Context, n *node, budget string) (samples int) {
	for ctx.Err() == nil {
		u := h.used(t, n, budget)
		samples++
		if u.spent+u.held > u.max+u.overrun {
			t.Errorf("the law is broken: %+v", u)
		}
	}
	return samples
}

// Clients leave their streams on three nodes, and one of the nodes is killed in the middle of that: a budget is never
// exceeded, as a node tells and as the counters are every 10 ms, and when what the killed node held has expired nothing is held.
func TestBudgetOfLeavers(t *testing.T) {
	t.Parallel()
	h := counting(t, 3)
	id := h.budget(t, 300, "closed")
	ctx, stop := context.WithTimeout(t.Context(), *abort)
	defer stop()
	var running, watching sync.WaitGroup
	samples := 0
	watching.Go(func() { samples = h.watch(t, ctx, h.nodes[0], id) })
	beside := h.look(t, id)
	watching.Go(func() { beside.watch(t, ctx) })
	for i := range 24 {
		running.Go(func() {
			for ctx.Err() == nil {
				h.leave(ctx, h.nodes[i%len(h.nodes)])
			}
		})
	}
	soon(t, patience, "a third of the budget is spent", func() bool { u := h.used(t, h.nodes[0], id); return u.total() > u.max/3 })
	h.nodes[2].kill(t)
	running.Wait()
	watching.Wait()
	before := h.used(t, h.nodes[1], id)
	if before.total() > before.max+before.overrun || samples < 10 {
		t.Errorf("after %d looks: %+v", samples, before)
	}
	if len(beside.begun) < samples || beside.seen < beside.most/3 {
		t.Errorf("after %d looks at the counters %d nano-dollars were seen", len(beside.begun), beside.seen)
	}
	t.Logf("%d looks through the API, %d at the counters, half of them within %s of the one before; in the end %+v",
		samples, len(beside.begun), beside.apart().Round(100*time.Microsecond), before)
	h.verified(t, h.nodes[0])
	if *abort >= long {
		soon(t, expires, "nothing is held", func() bool { return h.used(t, h.nodes[0], id).held == 0 })
		h.nodes[2] = launch(t, h.dirs[2], h.with) // what it had in its spool goes into the ledger
		h.verified(t, h.nodes[0])
		t.Logf("when all has expired: %+v", h.used(t, h.nodes[0], id))
	} else {
		h.nodes = h.nodes[:2]
	}
	for _, n := range h.nodes {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

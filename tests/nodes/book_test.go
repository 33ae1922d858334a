package nodes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// book is what clients know of their calls. What the database says in the end must agree with it, and with what the
// provider has seen.
type book struct {
	witness *witness
	pace    time.Duration // how often a caller begins a call; 0: as soon as the last one has ended

	mu       sync.Mutex // guards all that follows
	calls    []booked
	answered int
	refused  int
	took     []time.Duration
	dying    bool // the node is being killed, so calls may fail
	failures []string
}

// booked is one call.
type booked struct {
	word     string // its own, sent in its prompt and in a tag
	id       string // its x-request-id; empty: nothing came back
	answered bool   // as a whole
	refused  bool   // because it could not be recorded
}

// begin lets so many callers make calls. They end when the node dies, or with stop.
func (b *book) begin(t *testing.T, n *node, callers int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() { b.repeat(ctx, n, i) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (b *book) repeat(ctx context.Context, n *node, from int) {
	tick := time.NewTicker(max(b.pace, time.Nanosecond))
	defer tick.Stop()
	for i := from; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !b.call(n, "say", i%2 == 0) {
			return
		}
	}
}

// hold makes calls that the provider has seen and does not answer; release waits for their end, which is that of the node.
func (b *book) hold(t *testing.T, n *node, calls int) (release func()) {
	t.Helper()
	var holding sync.WaitGroup
	before := b.open()
	for i := range calls {
		holding.Go(func() { b.call(n, "hold", i%2 == 0) })
	}
	soon(t, patience, "the provider to hold the calls", func() bool { return b.open() >= before+calls })
	return holding.Wait
}

// open is how many calls the provider has seen that were not answered.
func (b *book) open() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.calls {
		if c := &b.calls[i]; !c.answered && strings.HasPrefix(c.word, "hold") && b.witness.has(c.word) {
			n++
		}
	}
	return n
}

// call makes one call to its end; false: the node is gone.
func (b *book) call(n *node, what string, stream bool) (more bool) {
	b.mu.Lock()
	at := len(b.calls)
	word := fmt.Sprintf("%s-%d", what, at)
	b.calls = append(b.calls, booked{word: word})
	b.mu.Unlock()

	content := object{"model": "sim-echo", "stream": stream, "messages": []object{{"role": "user", "content": what + " " + word}}}
	began := time.Now()
	a, err := n.do(context.Background(), fileKey, "POST", "/v1/chat/completions", content, "x-vel-tags: call="+word)
	took := time.Since(began)

	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.calls[at]
	c.id = a.header.Get("X-Request-Id")
	whole := err == nil && a.status == http.StatusOK && stream == bytes.HasSuffix(a.body, []byte("data: [DONE]\n\n"))
	switch {
	case whole:
		c.answered = true
		b.answered++
		b.took = append(b.took, took)
	case err == nil && a.status == http.StatusServiceUnavailable && strings.Contains(string(a.body), `"recording_unavailable"`) && a.header.Get("Retry-After") != "":
		c.refused = true
		b.refused++
	case !b.dying && len(b.failures) < mostTold:
		b.failures = append(b.failures, fmt.Sprintf("%s %s: %v %v", began.Format(time.TimeOnly), word, a, err))
	}
	return err == nil
}

// wait waits until so many more calls were answered.
func (b *book) wait(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.answered
	}
	from := count()
	soon(t, patience, fmt.Sprint(more, " answers"), func() bool { return count() >= from+more })
}

// kill kills the node, and forgives the calls that this breaks.
func (b *book) kill(t *testing.T, n *node) {
	t.Helper()
	b.mu.Lock()
	b.dying = true
	b.mu.Unlock()
	n.kill(t)
}

// lap gives how long the calls since the last lap took that were answered, the middle one and the slowest hundredth.
func (b *book) lap() (calls int, p50, p99 time.Duration) {
	b.mu.Lock()
	took := b.took
	b.took = nil
	b.mu.Unlock()
	slices.Sort(took)
	if len(took) == 0 {
		return 0, 0, 0
	}
	return len(took), took[len(took)/2], took[len(took)*99/100]
}

// line is what the API says of a call.
type line struct {
	ID, State string
	Status    int
	Cost      string `json:"cost_usd"`
	Tags      map[string]string
}

// recorded are all calls that the database has.
func (n *node) recorded(t *testing.T) (lines []line) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/api/calls/export?format=ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all := bufio.NewScanner(res.Body)
	for all.Scan() {
		var l line
		if err := json.Unmarshal(all.Bytes(), &l); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s: %v", res.StatusCode, all.Bytes(), err)
		}
		lines = append(lines, l)
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// ships waits until a node has nothing left that is not in the database.
func (n *node) ships(t *testing.T, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := vel.Poll(ctx, "everything to be shipped", func() (bool, error) {
		m, err := n.Metrics(ctx)
		return err == nil && m.Sum("vel_spool_oldest_seconds") == 0 && m.Sum("vel_records_waiting") == 0, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// audited is what came out of an audit.
type audited struct{ records, interrupted, late int }

// audit wants every call that was answered, or seen by the provider, or refused to be in the database, and none twice, also
// not in the sums. What has no end costs its estimate.
func (b *book) audit(t *testing.T, n *node) (a audited) {
	t.Helper()
	for _, f := range b.failures {
		t.Error(f)
	}
	var lines []line
	var missing string
	n.ships(t, patience)
	soon(t, patience, "the last calls to be there", func() bool {
		lines = n.recorded(t)
		missing = b.missing(lines)
		return missing == "" || t.Failed()
	})
	words, ids := map[string]line{}, map[string]bool{}
	for _, l := range lines {
		word := l.Tags["call"]
		if _, twice := words[word]; twice || ids[l.ID] || word == "" {
			t.Errorf("the call %q is there twice: %+v", word, l)
		}
		words[word], ids[l.ID] = l, true
		if l.State == "interrupted" {
			a.interrupted++
			n.costsItsEstimate(t, l)
		}
	}
	for _, c := range b.calls {
		switch l := words[c.word]; {
		case c.answered && l.State == "interrupted":
			a.late++ // killed between the last byte of its answer and its record
		case c.answered && (l.State != "ended" || l.Status != http.StatusOK || l.Cost != "0.000005"):
			t.Errorf("the call %s was answered: %+v", c.word, l)
		case c.refused && (l.Status != http.StatusServiceUnavailable || l.Cost != "0" || b.witness.has(c.word)):
			t.Errorf("the call %s was refused: %+v", c.word, l)
		}
	}
	a.records = len(lines)
	if sum := n.summed(t); sum != a.records {
		t.Errorf("%d calls are there, and their sums have %d", a.records, sum)
	}
	return a
}

// missing is a call that should be in the database and is not; empty: there is none.
func (b *book) missing(lines []line) string {
	words := make(map[string]string, len(lines))
	for _, l := range lines {
		words[l.Tags["call"]] = l.ID
	}
	for _, c := range b.calls {
		id, there := words[c.word]
		if !there && (c.id != "" || b.witness.has(c.word)) || there && c.id != "" && id != c.id {
			return fmt.Sprintf("%+v", c)
		}
	}
	return ""
}

// costsItsEstimate asks for a call that was interrupted.
func (n *node) costsItsEstimate(t *testing.T, l line) {
	t.Helper()
	a := n.must(t, http.StatusOK, "GET", "/api/calls/"+l.ID, nil)
	if cost := a.field("cost_usd"); cost == "0" || cost != a.field("estimate_usd") {
		t.Errorf("an interrupted call costs %s: %s", cost, a)
	}
}

// summed is how many calls the sums have.
func (n *node) summed(t *testing.T) int {
	t.Helper()
	var usage struct {
		Data []struct{ Calls int }
	}
	a := n.must(t, http.StatusOK, "GET", "/api/usage", nil)
	if err := json.Unmarshal(a.body, &usage); err != nil || len(usage.Data) != 1 {
		t.Fatalf("%v: %s", err, a)
	}
	return usage.Data[0].Calls
}

package nodes

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"
)

// every is how often the counters of a budget are looked at.
const every = 10 * time.Millisecond

// looks are what the counters of a budget in Redis said, read beside Vel: no node has to find the time for an answer.
type looks struct {
	from  *wire
	key   string // of the hash of the budget, of which each window has what was spent, held ("h") and overrun ("o")
	most  int64  // nano-dollars that the budget is for
	begun []time.Time
	seen  int64 // the most that was spent and held
}

// look finds the counters of a budget that is for ever: of all keys theirs alone has its name.
func (h *house) look(t *testing.T, budget string) *looks {
	t.Helper()
	l := &looks{from: connect(t, h.redis.port), most: int64(h.used(t, h.nodes[0], budget).max * 1e9)}
	keys, _ := l.from.must(t, "KEYS", "*"+budget+"*").([]any)
	if len(keys) != 1 {
		t.Fatalf("the counters of a budget are one hash, and are %q", keys)
	}
	l.key, _ = keys[0].(string)
	return l
}

// watch looks again and again, and tells of each time when more was spent and held than the budget and its overruns are.
func (l *looks) watch(t *testing.T, ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.once(t)
	}
}

// once looks once: one command, so that nothing comes between what it reads.
func (l *looks) once(t *testing.T) {
	l.begun = append(l.begun, time.Now())
	const window = "0" // what is for ever began then
	a, err := l.from.ask("HMGET", l.key, window, window+"h", window+"o")
	counted, _ := a.([]any)
	if err != nil || len(counted) != 3 {
		t.Errorf("look at the counters: %v, %v", a, err)
		return
	}
	spent, held, overrun := nanos(t, counted[0]), nanos(t, counted[1]), nanos(t, counted[2])
	if spent+held > l.most+overrun || held < 0 {
		t.Errorf("the law is broken: spent %d + held %d, budget %d + overruns %d", spent, held, l.most, overrun)
	}
	l.seen = max(l.seen, spent+held)
}

// nanos reads a field of the hash; what is not there is nothing.
func nanos(t *testing.T, field any) int64 {
	if field == nil {
		return 0
	}
	text, _ := field.(string)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Errorf("%q is no number", field)
	}
	return n
}

// apart is the median of the times between two looks.
func (l *looks) apart() time.Duration {
	var all []time.Duration
	for i := 1; i < len(l.begun); i++ {
		all = append(all, l.begun[i].Sub(l.begun[i-1]))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

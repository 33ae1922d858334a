package gateway

import (
	"sync/atomic"
	"time"
)

// judgedASecond is how many calls a second are judged for their records alone: what kind of work they ask for, so that rules
// that ask for it can be tried on recorded calls before any are written. That takes some microseconds of each.
const judgedASecond = 200

// pace lets something happen so often in a second of the clock, or a few times more where a second begins on several cores.
type pace struct{ second, n atomic.Int64 }

func (p *pace) may(now time.Time) bool {
	if s := now.Unix(); p.second.Load() != s && p.second.Swap(s) != s {
		p.n.Store(0)
	}
	return p.n.Load() < judgedASecond && p.n.Add(1) <= judgedASecond
}

package ratelimit

import "time"

// Began is the start of the window that a take was counted in; zero: it has none, or is for ever. It is known from Take on.
func (h *Hold) Began(i int) time.Time {
	l := h.Takes[i].Limit
	if l.Kind != Window && l.Kind != Amount || l.Per == Total {
		return time.Time{}
	}
	if i >= len(h.starts) || h.starts[i] == none {
		start, _ := l.Window(time.Now())
		return start
	}
	return time.UnixMilli(h.starts[i]).UTC()
}

// RenewNow renews at once all that this process holds: after what was counted of a limit was forgotten on purpose.
func (g *Guard) RenewNow() error { return g.renewOnce() }

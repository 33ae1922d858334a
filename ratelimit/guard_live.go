package ratelimit

import (
	"slices"
	"sync"
)

// livelist is what a Guard renews: a copy of each hold that stands, because the hold itself is its owner's.
type livelist struct {
	mu    sync.Mutex // guards everything below
	first *kept
	spare *kept // to be used again, by next
	count int
}

// kept is one copy.
type kept struct {
	hold       Hold
	aside      *aside
	next, prev *kept
}

// keep remembers a hold that was taken or that has grown.
func (l *livelist) keep(h *Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := h.kept
	if k == nil {
		k = l.add()
		h.kept = k
	}
	k.hold.ID, k.hold.Tag, k.aside = h.ID, h.Tag, h.aside
	k.hold.Takes, k.hold.starts = append(k.hold.Takes[:0], h.Takes...), append(k.hold.starts[:0], h.starts...)
}

func (l *livelist) add() *kept {
	k := l.spare
	if k == nil {
		k = &kept{}
	} else {
		l.spare = k.next
	}
	k.next, k.prev = l.first, nil
	if l.first != nil {
		l.first.prev = k
	}
	l.first = k
	l.count++
	return k
}

// forget forgets a hold, if it is kept.
func (l *livelist) forget(h *Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := h.kept
	if k == nil {
		return
	}
	h.kept = nil
	if k.prev == nil {
		l.first = k.next
	} else {
		k.prev.next = k.next
	}
	if k.next != nil {
		k.next.prev = k.prev
	}
	clear(k.hold.Takes) // the limits of old snapshots may go
	k.hold.Reset()
	k.aside, k.prev, k.next = nil, nil, l.spare
	l.spare = k
	l.count--
}

// all are copies of everything that is kept.
func (l *livelist) all() (holds, asides []Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := l.first; k != nil; k = k.next {
		h := Hold{ID: k.hold.ID, Tag: k.hold.Tag, Takes: slices.Clone(k.hold.Takes), starts: slices.Clone(k.hold.starts)}
		holds = append(holds, h)
		if k.aside != nil {
			asides = append(asides, k.aside.hold)
		}
	}
	return holds, asides
}

func (l *livelist) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

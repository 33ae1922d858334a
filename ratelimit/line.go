package ratelimit

// place is a place in a line. It leaves its line before it is used again.
type place struct {
	expires    int64
	of         *held
	in         *line
	next, prev *place
}

// line is a list of places by the time at which they expire: the first one does so first. Places come almost always in
// that order, unless the clock was set back.
type line struct {
	first, last *place
	count       int
}

// join puts a place into the line, or moves it within.
func (l *line) join(p *place, expires int64) {
	p.leave()
	after := l.last
	for after != nil && after.expires > expires {
		after = after.prev
	}
	p.expires, p.in, p.prev = expires, l, after
	if after == nil {
		p.next, l.first = l.first, p
	} else {
		p.next, after.next = after.next, p
	}
	if p.next == nil {
		l.last = p
	} else {
		p.next.prev = p
	}
	l.count++
}

// leave takes a place out of its line, if it is in one.
func (p *place) leave() {
	l := p.in
	if l == nil {
		return
	}
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.in, p.next, p.prev = nil, nil, nil
	l.count--
}

// expired is the first place if it has expired before a moment.
func (l *line) expired(before int64) *place {
	if p := l.first; p != nil && p.expires <= before {
		return p
	}
	return nil
}

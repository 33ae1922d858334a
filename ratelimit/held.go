package ratelimit

// phase is how far a hold has come.
type phase uint8

const (
	live   phase = iota
	booked       // swept: its estimate is booked, and n of its takes is what that was
	gone         // settled
)

// held is a hold in Memory.
type held struct {
	id    string
	phase phase
	money bool  // it has an Amount, so somebody has to settle or to sweep it
	place place // in one of its tag's lines
	takes []taken
}

// taken is what a hold has of one limit.
type taken struct {
	of    *state // nil: the store was not asked about it
	kind  Kind
	key   string
	n     int64
	start int64 // of its window
	born  int64 // the state's when it was taken
	lease place // in its state's leases, while it has a slot
}

// tagged is what a tag's limits count, and its holds.
type tagged struct {
	name   string
	states [Amount + 1]map[string]*state // of each kind
	count  int                           // of states
	anchor *state                        // of no limit: by it the ring leads to the tag
	holds  map[string]*held

	bare, money line // live holds without and with an Amount
	booked      line // swept ones, until they are forgotten

	settled *held    // stands for all settled ones
	recent  []string // the ids of the last of them, the oldest at next
	next    int
}

// recentMost is how many settled holds of a tag Memory remembers. Whoever settles one twice does so soon.
const recentMost = 256

func newTagged(name string) *tagged {
	return &tagged{name: name, holds: map[string]*held{}, settled: &held{phase: gone}}
}

// put puts a hold in the line where it belongs.
func (t *tagged) put(h *held, expires int64) {
	switch {
	case h.phase == booked:
		t.booked.join(&h.place, expires)
	case h.money:
		t.money.join(&h.place, expires)
	default:
		t.bare.join(&h.place, expires)
	}
}

// finish remembers that a hold was settled.
func (t *tagged) finish(id string) {
	if len(t.recent) < recentMost {
		t.recent = append(t.recent, id)
	} else {
		if t.holds[t.recent[t.next]] == t.settled {
			delete(t.holds, t.recent[t.next])
		}
		t.recent[t.next] = id
		t.next = (t.next + 1) % recentMost
	}
	t.holds[id] = t.settled
}

// find is the hold with an id, nil if there is none or only one that ended long ago.
func (t *tagged) find(id string, now int64) *held {
	h := t.holds[id]
	if h != nil && h.phase == live && !h.money && h.place.expires <= now-grace {
		return nil
	}
	return h
}

// refresh takes from a hold what its state has forgotten.
func (k *taken) refresh() {
	if k.of != nil && k.born != k.of.born {
		k.n, k.start, k.born = 0, none, k.of.born
	}
}

// point makes the take one of a state.
func (k *taken) point(of *state) {
	if k.of == nil {
		k.of, k.born = of, of.born
		of.refs++
	}
}

// quiet tells whether no hold matters.
func (t *tagged) quiet() bool { return t.bare.count+t.money.count+t.booked.count == 0 }

// tidy forgets what nobody will ask for, a few at a time.
func (s *shard) tidy(t *tagged, now int64) {
	for range 2 {
		if p := t.bare.expired(now - grace); p != nil {
			s.forget(t, p.of)
		}
		if p := t.booked.expired(now); p != nil {
			s.forget(t, p.of)
		}
	}
}

// forget removes a hold.
func (s *shard) forget(t *tagged, h *held) {
	delete(t.holds, h.id)
	h.place.leave()
	for i := range h.takes {
		k := &h.takes[i]
		k.lease.leave()
		if k.of != nil {
			k.of.refs--
			k.of = nil
		}
	}
	s.free(h)
}

package routing

import (
	"sync"
	"time"
)

// Stick is what the calls that belong together have in common, and how long after the last of them it holds.
type Stick struct {
	key uint64 // 0: nothing
	ttl time.Duration
}

// Sticky is what makes calls belong together.
type Sticky uint8

// What calls stick by.
const (
	ByNothing Sticky = iota
	ByKey
	ByUser    // the user of the key; the key itself, if it is nobody's
	BySession // what the client says in x-vel-session
	ByPrefix  // the beginning of the conversation, which providers keep in their caches
	stickyKinds
)

var stickyNames = [stickyKinds]string{"", "key", "user", "session", "prefix"}

func stickyNamed(name string) Sticky {
	for s, known := range stickyNames {
		if known == name {
			return Sticky(s)
		}
	}
	return ByNothing
}

// longestPrefix is how much of a conversation's beginning is looked at.
const longestPrefix = 4 << 10

// stick is what a call has in common with those that it belongs to; 0: nothing. Organizations and routes are kept apart.
func (r *Route) stick(a *Ask) (h uint64) {
	switch r.StickBy {
	case ByKey:
		h = hashOf(string(a.Who.Key))
	case ByUser:
		if h = hashOf(string(a.Who.User)); a.Who.User == "" {
			h = hashOf(string(a.Who.Key))
		}
	case BySession:
		if h = a.session(); h == 0 {
			return 0
		}
	case ByPrefix:
		if h = a.prefix(); h == 0 {
			return 0
		}
	default:
		return 0
	}
	return max(1, blend(h^hashOf(string(a.Who.Org))*3^hashOf(r.Name)*5))
}

// beginning is the part of what is asked that stays as it is while a conversation grows: the first two members of a
// list, which are the instructions and the first question, or the first KiB of a text.
func beginning(input []byte) []byte {
	const ofText = 1 << 10
	if len(input) == 0 || input[0] != '[' {
		return input[:min(len(input), ofText)]
	}
	depth, members, quoted := 0, 0, false
	for i := 0; i < min(len(input), longestPrefix); i++ {
		switch c := input[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 1:
			if members++; members == 2 {
				return input[:i]
			}
		}
		if depth == 0 { // the list ends: what follows here later would be its third member or its second
			return input[:i]
		}
	}
	return input[:min(len(input), longestPrefix)]
}

const (
	memoryShards = 16
	perShard     = 4096 // entries of one generation; two are kept
)

// memory is where calls that belong together were answered. It is bounded: when one generation is full, it becomes the
// old one, and what was not used since the last change is forgotten.
type memory [memoryShards]struct {
	mu         sync.Mutex
	young, old map[uint64]place
}

// place is a target and until when it is remembered.
type place struct {
	target string
	until  time.Time
}

// find is the target of a key, or "".
func (m *memory) find(key uint64, now time.Time) string {
	s := &m[key%memoryShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.young[key]
	if !ok {
		p = s.old[key]
	}
	if now.After(p.until) {
		return ""
	}
	return p.target
}

// put remembers a target.
func (m *memory) put(k Stick, target string, now time.Time) {
	s := &m[k.key%memoryShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= perShard {
		s.young, s.old = make(map[uint64]place), s.young
	}
	s.young[k.key] = place{target, now.Add(k.ttl)}
}

// stuck is the id of the target where calls with this key were answered, or "".
func (s *State) stuck(key uint64, now time.Time) string { return s.places.find(key, now) }

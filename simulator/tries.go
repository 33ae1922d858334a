package simulator

import "sync"

// rememberedIDs bounds the ids that are remembered.
const rememberedIDs = 4096

// tries counts the calls that carried the same id, for fail=N. It remembers the last rememberedIDs ids.
type tries struct {
	mu    sync.Mutex // guards all below
	count map[string]int
	order []string // ids, oldest first
}

// fails counts a call and tells whether it is among the first n with its id.
func (t *tries) fails(id string, n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = map[string]int{}
	}
	if _, known := t.count[id]; !known {
		t.order = append(t.order, id)
		if len(t.order) > rememberedIDs {
			delete(t.count, t.order[0])
			t.order = t.order[1:]
		}
	}
	t.count[id]++
	return t.count[id] <= n
}

func (t *tries) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count, t.order = nil, nil
}

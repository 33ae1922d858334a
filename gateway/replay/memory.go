package replay

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// Memory is a shelf of one node. What was asked for least recently makes room.
type Memory struct {
	most int64 // bytes
	now  func() time.Time

	mu    sync.Mutex // guards all below
	byUse *list.List // of *kept, the last used first
	names map[Name]*list.Element
	bytes int64
}

type kept struct {
	name   Name
	answer *Answer
}

// NewMemory makes a shelf for about so many bytes.
func NewMemory(most int64, now func() time.Time) *Memory {
	return &Memory{most: most, now: now, byUse: list.New(), names: map[Name]*list.Element{}}
}

// Get is the answer with a name. It never fails.
func (m *Memory) Get(_ context.Context, name Name) (*Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.names[name]
	if !ok {
		return nil, nil
	}
	a := e.Value.(*kept).answer
	if !m.now().Before(a.Until) {
		m.drop(e)
		return nil, nil
	}
	m.byUse.MoveToFront(e)
	return a, nil
}

// Put keeps an answer, unless it is larger than the shelf. It never fails.
func (m *Memory) Put(_ context.Context, name Name, a *Answer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.names[name]; ok {
		m.drop(e)
	}
	if a.size() > m.most {
		return nil
	}
	m.names[name] = m.byUse.PushFront(&kept{name, a})
	for m.bytes += a.size(); m.bytes > m.most; {
		m.drop(m.byUse.Back())
	}
	return nil
}

// Purge takes answers away. It never fails.
func (m *Memory) Purge(_ context.Context, which Which) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e := m.byUse.Front(); e != nil; {
		next := e.Next()
		if which.Fits(e.Value.(*kept).answer) {
			m.drop(e)
		}
		e = next
	}
	return nil
}

// Held is how many answers the shelf has, and about how much memory they take.
func (m *Memory) Held() (answers int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.names), m.bytes
}

// drop takes an answer away. The caller holds mu.
func (m *Memory) drop(e *list.Element) {
	k := m.byUse.Remove(e).(*kept)
	delete(m.names, k.name)
	m.bytes -= k.answer.size()
}

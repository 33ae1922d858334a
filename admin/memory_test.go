package admin

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// memory is a tenancy.Store in memory. fail, if it is set, may refuse an operation.
type memory[T any, P interface {
	*T
	tenancy.Object
}] struct {
	prefix string
	fail   func(verb string, v *T) error
	by     func(tenancy.Actor) // sees who creates and changes

	mu   sync.Mutex
	rows map[tenancy.ID]T // guarded by mu
}

func newMemory[T any, P interface {
	*T
	tenancy.Object
}](prefix string, rows ...T) *memory[T, P] {
	m := &memory[T, P]{prefix: prefix, rows: map[tenancy.ID]T{}}
	for _, v := range rows {
		meta := tenancy.MetaOf(P(&v))
		meta.Rev = max(meta.Rev, 1)
		m.rows[meta.ID] = v
	}
	return m
}

func (m *memory[T, P]) refused(verb string, v *T) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(verb, v)
}

func (m *memory[T, P]) find(org, id tenancy.ID) (T, error) {
	v, ok := m.rows[id]
	if !ok || tenancy.MetaOf(P(&v)).Org != org {
		return *new(T), tenancy.ErrNotFound
	}
	return v, nil
}

func (m *memory[T, P]) Get(_ context.Context, org, id tenancy.ID) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(org, id)
	if err == nil {
		err = m.refused("get", &v)
	}
	return v, err
}

func (m *memory[T, P]) List(_ context.Context, org tenancy.ID, p tenancy.Page) ([]T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []T
	for _, v := range m.rows {
		meta := tenancy.MetaOf(P(&v))
		if (meta.Org == org || org == "") && meta.ID > p.After && (p.Name == "" || p.Name == meta.Name) && suits(&v, p) {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(tenancy.MetaOf(P(&a)).ID, tenancy.MetaOf(P(&b)).ID) })
	return list[:min(len(list), p.Limit)], m.refused("list", nil)
}

// suits is what only some kinds can be asked for.
func suits(v any, p tenancy.Page) bool {
	switch v := v.(type) {
	case *tenancy.User:
		return (p.Email == "" || p.Email == v.Email) && (p.Team == "" || slices.Contains(v.Teams, p.Team))
	case *tenancy.APIKey:
		return (p.Team == "" || p.Team == v.Team) && (p.User == "" || p.User == v.User)
	case *accounting.Limits:
		return v.Fits(&p)
	case *accounting.Budget:
		return v.Fits(&p)
	}
	return true
}

func (m *memory[T, P]) Create(_ context.Context, by tenancy.Actor, v T) (T, error) {
	if m.by != nil {
		m.by(by)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refused("create", &v); err != nil {
		return v, err
	}
	meta := tenancy.MetaOf(P(&v))
	for _, other := range m.rows {
		if o := tenancy.MetaOf(P(&other)); o.Name == meta.Name && (o.Org == meta.Org || meta.Org == "") {
			return v, &tenancy.Taken{Field: "name"}
		}
	}
	meta.ID = cmp.Or(meta.ID, tenancy.NewID(m.prefix))
	meta.Org = cmp.Or(meta.Org, meta.ID)
	meta.Rev, meta.Created, meta.Updated = 1, start, start
	m.rows[meta.ID] = v
	return v, nil
}

func (m *memory[T, P]) Update(_ context.Context, by tenancy.Actor, v T) (T, error) {
	if m.by != nil {
		m.by(by)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refused("update", &v); err != nil {
		return v, err
	}
	meta := tenancy.MetaOf(P(&v))
	stored, err := m.find(meta.Org, meta.ID)
	switch {
	case err != nil:
		return v, err
	case meta.Rev != 0 && meta.Rev != tenancy.MetaOf(P(&stored)).Rev:
		return v, tenancy.ErrStale
	}
	meta.Rev = tenancy.MetaOf(P(&stored)).Rev + 1
	m.rows[meta.ID] = v
	return v, nil
}

func (m *memory[T, P]) Delete(_ context.Context, _ tenancy.Actor, org, id tenancy.ID, rev int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(org, id)
	switch {
	case err != nil:
		return err
	case rev != 0 && rev != tenancy.MetaOf(P(&v)).Rev:
		return tenancy.ErrStale
	}
	if err := m.refused("delete", &v); err != nil {
		return err
	}
	delete(m.rows, id)
	return nil
}

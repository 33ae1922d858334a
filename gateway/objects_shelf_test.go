package gateway

import (
	"context"
	"slices"
	"sync"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// shelf is an object store in memory, with a fault if a test wants one.
type shelf struct {
	mu      sync.Mutex
	objects []routing.StoredObject // in the order in which they were made; without a kind: gone
	asked   int
	fault   error
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// all are the objects that are not gone.
func (s *shelf) all() []routing.StoredObject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.objects), func(o routing.StoredObject) bool { return o.Kind == "" })
}

func (s *shelf) ObjectOwners(_ context.Context, org tenancy.ID, ids []string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	found := map[string]string{}
	for _, o := range s.objects {
		if o.Org == org && o.Kind != "" && slices.Contains(ids, o.ID) && found[o.ID] == "" {
			found[o.ID] = o.Provider
		}
	}
	return found, s.fault
}

func (s *shelf) Objects(_ context.Context, p routing.ObjectPage) (page []routing.StoredObject, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.objects)
	if !p.Ascending {
		slices.Reverse(all)
	}
	behind := p.After == ""
	for _, o := range all {
		if behind && o.Org == p.Org && o.Kind == p.Kind && (p.Provider == "" || p.Provider == o.Provider) && len(page) < p.Limit {
			page = append(page, o)
		}
		behind = behind || o.Org == p.Org && o.ID == p.After
	}
	if !behind {
		return nil, tenancy.ErrNotFound
	}
	return page, s.fault
}

func (s *shelf) KeepObjects(_ context.Context, made []routing.StoredObject) (others []routing.StoredObject, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	for _, o := range made {
		i := slices.IndexFunc(s.objects, func(other routing.StoredObject) bool { return other.Provider == o.Provider && other.ID == o.ID })
		switch {
		case i < 0:
			s.objects = append(s.objects, o)
		case s.objects[i].Org != o.Org:
			others = append(others, o)
		}
	}
	return others, nil
}

func (s *shelf) ForgetObjects(_ context.Context, gone []routing.StoredObject) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range gone {
		for i := range s.objects {
			if other := &s.objects[i]; other.Org == o.Org && other.ID == o.ID && other.Provider == o.Provider {
				other.Kind = ""
			}
		}
	}
	return s.fault
}

package tenancy

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// shelf is a store of teams that does what it is told, and notes what reached it.
type shelf struct {
	teams   []Team
	reached []string
}

func (s *shelf) Get(_ context.Context, org, id ID) (Team, error) {
	i := slices.IndexFunc(s.teams, func(t Team) bool { return t.Org == org && t.ID == id })
	if i < 0 {
		return Team{}, ErrNotFound
	}
	return s.teams[i], nil
}

func (s *shelf) List(_ context.Context, org ID, p Page) (list []Team, err error) {
	for _, t := range s.teams {
		if t.Org == org && t.ID > p.After && len(list) < p.Limit {
			list = append(list, t)
		}
	}
	return list, nil
}

func (s *shelf) Create(_ context.Context, _ Actor, t Team) (Team, error) {
	s.reached = append(s.reached, "create "+t.Name)
	return t, nil
}

func (s *shelf) Update(_ context.Context, _ Actor, t Team) (Team, error) {
	s.reached = append(s.reached, "update "+string(t.ID))
	return t, nil
}

func (s *shelf) Delete(_ context.Context, _ Actor, _, id ID, _ int64) error {
	s.reached = append(s.reached, "delete "+string(id))
	return nil
}

func team(org, id ID, name string, by Manager) Team {
	return Team{Meta{ID: id, Org: org, Name: name, ManagedBy: by}}
}

func world() (*shelf, Store[Team]) {
	kept := &shelf{teams: []Team{team("org:a", "team_1", "mine", ByAPI), team("org:a", "team_2", "both", ByAPI), team("org_b", "team_3", "both", ByAPI)}}
	return kept, Declared(func() []Team {
		return []Team{team("org:a", "team:a/both", "both", ByFile), team("org:a", "team:a/file", "file", ByFile)}
	}, kept)
}

// TestDeclaredLists: both are seen in one order, page by page, and who has a declared name is marked.
func TestDeclaredLists(t *testing.T) {
	t.Parallel()
	_, s := world()
	var seen []ID
	var shadowed []ID
	p := Page{Limit: 1}
	for {
		page, err := s.List(t.Context(), "org:a", p)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, v := range page {
			seen = append(seen, v.ID)
			if v.Shadowed {
				shadowed = append(shadowed, v.ID)
			}
		}
		p.After = page[len(page)-1].ID
	}
	if want := []ID{"team:a/both", "team:a/file", "team_1", "team_2"}; !slices.Equal(seen, want) {
		t.Errorf("%v, want %v", seen, want)
	}
	if !slices.Equal(shadowed, []ID{"team_2"}) {
		t.Errorf("shadowed are %v", shadowed)
	}
	other, err := s.List(t.Context(), "org_b", Page{Limit: 10})
	if err != nil || len(other) != 1 || other[0].ID != "team_3" || other[0].Shadowed {
		t.Errorf("another organization sees %v, error %v", other, err)
	}
	named, err := s.List(t.Context(), "org:a", Page{Limit: 10, User: "user_1"})
	if err != nil || slices.ContainsFunc(named, func(v Team) bool { return v.ManagedBy == ByFile }) {
		t.Errorf("what the file declares belongs to a user: %v, error %v", named, err)
	}
}

func TestDeclaredIsReadOnly(t *testing.T) {
	t.Parallel()
	kept, s := world()
	ctx, by := t.Context(), Actor{}
	for what, tt := range map[string]struct {
		do   func() error
		want error
	}{
		"get declared":       {func() error { _, err := s.Get(ctx, "org:a", "team:a/file"); return err }, nil},
		"get another's":      {func() error { _, err := s.Get(ctx, "org_b", "team:a/file"); return err }, ErrNotFound},
		"get stored":         {func() error { _, err := s.Get(ctx, "org:a", "team_1"); return err }, nil},
		"change declared":    {func() error { _, err := s.Update(ctx, by, team("org:a", "team:a/file", "x", ByAPI)); return err }, ErrReadOnly},
		"delete declared":    {func() error { return s.Delete(ctx, by, "org:a", "team:a/file", 0) }, ErrReadOnly},
		"change stored":      {func() error { _, err := s.Update(ctx, by, team("org:a", "team_1", "x", ByAPI)); return err }, nil},
		"delete stored":      {func() error { return s.Delete(ctx, by, "org:a", "team_1", 0) }, nil},
		"the name elsewhere": {func() error { _, err := s.Create(ctx, by, team("org_b", "", "file", ByAPI)); return err }, nil},
	} {
		if err := tt.do(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
	taken := (*Taken)(nil)
	if _, err := s.Create(ctx, by, team("org:a", "", "file", ByAPI)); !errors.As(err, &taken) || taken.Field != "name" {
		t.Errorf("a declared name is made again: %v", err)
	}
	slices.Sort(kept.reached)
	if want := []string{"create file", "delete team_1", "update team_1"}; !slices.Equal(kept.reached, want) {
		t.Errorf("the store was asked to %v, want %v", kept.reached, want)
	}
}

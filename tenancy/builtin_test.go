package tenancy

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// roleStore keeps one role, and notes what it is asked to do.
type roleStore struct {
	role  Role
	wrote *[]string
}

func (s roleStore) Get(_ context.Context, org, id ID) (Role, error) {
	if org != s.role.Org || id != s.role.ID {
		return Role{}, ErrNotFound
	}
	return s.role, nil
}

func (s roleStore) List(_ context.Context, org ID, p Page) ([]Role, error) {
	if org != s.role.Org || p.After >= s.role.ID {
		return nil, nil
	}
	return []Role{s.role}, nil
}

func (s roleStore) Create(_ context.Context, _ Actor, r Role) (Role, error) {
	*s.wrote = append(*s.wrote, "create "+r.Name)
	return r, nil
}

func (s roleStore) Update(_ context.Context, _ Actor, r Role) (Role, error) {
	*s.wrote = append(*s.wrote, "update "+r.Name)
	return r, nil
}

func (s roleStore) Delete(_ context.Context, _ Actor, _, id ID, _ int64) error {
	*s.wrote = append(*s.wrote, "delete "+string(id))
	return nil
}

func TestBuiltInRolesBesideOthers(t *testing.T) {
	t.Parallel()
	ctx, by, wrote := t.Context(), Vel(), []string{}
	s := WithBuiltIn(roleStore{Role{Meta: Meta{ID: "role_own", Org: "org_a", Name: "own"}}, &wrote})
	for org, want := range map[ID][]ID{
		"org_a":  {AgentManager, OrgAdmin, "role_own", TaskExecutor, Viewer},
		"org_b":  {AgentManager, OrgAdmin, TaskExecutor, Viewer},
		Platform: {AgentManager, OrgAdmin, PlatformAdmin, TaskExecutor, Viewer},
	} {
		list, err := s.List(ctx, org, Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var ids []ID
		for _, r := range list {
			ids = append(ids, r.ID)
			if got, err := s.Get(ctx, org, r.ID); err != nil || got.Org != org {
				t.Errorf("%s of %s: %+v, %v", r.ID, org, got, err)
			}
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s has %q, want %q", org, ids, want)
		}
	}
	if page, _ := s.List(ctx, "org_a", Page{After: OrgAdmin, Limit: 2}); len(page) != 2 || page[0].ID != "role_own" {
		t.Errorf("page %v", page)
	}
	if _, err := s.Get(ctx, "org_a", PlatformAdmin); !errors.Is(err, ErrNotFound) {
		t.Errorf("an organization has platform_admin: %v", err)
	}
	viewer := Role{Meta: Meta{ID: Viewer, Org: "org_a", Name: "viewer"}}
	_, created := s.Create(ctx, by, Role{Meta: Meta{Org: "org_a", Name: "viewer"}})
	_, updated := s.Update(ctx, by, viewer)
	if _, ok := errors.AsType[*Taken](created); !ok || updated != ErrReadOnly || s.Delete(ctx, by, "org_a", Viewer, 0) != ErrReadOnly {
		t.Errorf("built-in ones change: %v, %v", created, updated)
	}
	own := Role{Meta: Meta{ID: "role_own", Org: "org_a", Name: "owned"}}
	_, err := s.Create(ctx, by, own)
	_, err2 := s.Update(ctx, by, own)
	if err = errors.Join(err, err2, s.Delete(ctx, by, "org_a", "role_own", 0)); err != nil || !slices.Equal(wrote, []string{"create owned", "update owned", "delete role_own"}) {
		t.Errorf("wrote %q, %v", wrote, err)
	}
}

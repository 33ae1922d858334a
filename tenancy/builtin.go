package tenancy

import "context"

// WithBuiltIn shows the built-in roles beside those that an organization has made. They are read-only.
func WithBuiltIn(next Store[Role]) Store[Role] { return builtInRoles{next} }

type builtInRoles struct{ next Store[Role] }

// of is the store as one organization sees it.
func (s builtInRoles) of(org ID) Store[Role] {
	return Declared(func() []Role { return BuiltInRoles(org) }, s.next)
}

func (s builtInRoles) Get(ctx context.Context, org, id ID) (Role, error) {
	return s.of(org).Get(ctx, org, id)
}

func (s builtInRoles) List(ctx context.Context, org ID, p Page) ([]Role, error) {
	return s.of(org).List(ctx, org, p)
}

func (s builtInRoles) Create(ctx context.Context, by Actor, r Role) (Role, error) {
	return s.of(r.Org).Create(ctx, by, r)
}

func (s builtInRoles) Update(ctx context.Context, by Actor, r Role) (Role, error) {
	return s.of(r.Org).Update(ctx, by, r)
}

func (s builtInRoles) Delete(ctx context.Context, by Actor, org, id ID, rev int64) error {
	return s.of(org).Delete(ctx, by, org, id, rev)
}

package tenancy

import (
	"cmp"
	"context"
	"slices"
)

// Declared shows what a file declares beside what a store keeps. Declared objects are read-only; an object of the
// store that has the name of a declared one is marked as shadowed, and none with such a name can be made.
func Declared[T any, P interface {
	*T
	Object
}](file func() []T, next Store[T]) Store[T] {
	return &declared[T, P]{file, next}
}

type declared[T any, P interface {
	*T
	Object
}] struct {
	file func() []T // in the order of ids
	next Store[T]
}

// find is the declared object with this id, or the one that has this name in the organization.
func (d *declared[T, P]) find(org, id ID, name string) (found T, ok bool) {
	for _, v := range d.file() {
		m := P(&v).object()
		if m.ID == id && (m.Org == org || org == "") || name != "" && m.Name == name && (m.Org == org || m.ID == m.Org) {
			return v, true
		}
	}
	return found, false
}

// mark says of a stored object whether a declared one hides it.
func (d *declared[T, P]) mark(v T) T {
	m := P(&v).object()
	_, m.Shadowed = d.find(m.Org, "", m.Name)
	return v
}

func (d *declared[T, P]) Get(ctx context.Context, org, id ID) (T, error) {
	if v, ok := d.find(org, id, ""); ok {
		return v, nil
	}
	v, err := d.next.Get(ctx, org, id)
	if err != nil {
		return v, err
	}
	return d.mark(v), nil
}

// List merges the two in the order of ids.
func (d *declared[T, P]) List(ctx context.Context, org ID, p Page) ([]T, error) {
	stored, err := d.next.List(ctx, org, p)
	if err != nil {
		return nil, err
	}
	for i := range stored {
		stored[i] = d.mark(stored[i])
	}
	for _, v := range d.file() {
		if m := P(&v).object(); (m.Org == org || org == "") && m.ID > p.After && asked(P(&v), &p) {
			stored = append(stored, v)
		}
	}
	slices.SortFunc(stored, func(a, b T) int { return cmp.Compare(P(&a).object().ID, P(&b).object().ID) })
	return stored[:min(len(stored), p.Limit)], nil
}

// asked tells whether a list asks for a declared object. One that has nothing but its Meta is of no team, user or key.
func asked(v Object, p *Page) bool {
	if v, ok := v.(interface{ Fits(p *Page) bool }); ok {
		return v.Fits(p)
	}
	return (p.Name == "" || p.Name == v.object().Name) && p.Team == "" && p.User == "" && p.Key == "" && p.Email == ""
}

func (d *declared[T, P]) Create(ctx context.Context, by Actor, v T) (T, error) {
	m := P(&v).object()
	if _, ok := d.find(m.Org, m.ID, m.Name); ok {
		return v, &Taken{Field: "name"}
	}
	return d.next.Create(ctx, by, v)
}

func (d *declared[T, P]) Update(ctx context.Context, by Actor, v T) (T, error) {
	m := P(&v).object()
	if _, ok := d.find(m.Org, m.ID, ""); ok {
		return v, ErrReadOnly
	}
	if _, ok := d.find(m.Org, "", m.Name); ok { // only one that the file has shadowed may keep such a name
		stored, err := d.next.Get(ctx, m.Org, m.ID)
		if err != nil {
			return v, err
		}
		if P(&stored).object().Name != m.Name {
			return v, &Taken{Field: "name"}
		}
	}
	updated, err := d.next.Update(ctx, by, v)
	if err != nil {
		return updated, err
	}
	return d.mark(updated), nil
}

func (d *declared[T, P]) Delete(ctx context.Context, by Actor, org, id ID, rev int64) error {
	if _, ok := d.find(org, id, ""); ok {
		return ErrReadOnly
	}
	return d.next.Delete(ctx, by, org, id, rev)
}

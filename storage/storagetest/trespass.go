package storagetest

import (
	"context"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// booksOf checks that the ledger shows one organization nothing of another one.
func booksOf(t *testing.T, read func(context.Context, accounting.LedgerQuery) ([]accounting.LedgerTotal, error), me, other tenant) {
	t.Helper()
	list, err := read(t.Context(), accounting.LedgerQuery{Org: me.org, Budget: me.budget.ID})
	must(t, err)
	same(t, "my ledger", list, []accounting.LedgerTotal{{Org: me.org, Budget: me.budget.ID, Window: month, Entries: 1, Held: 4_000, Spent: 4_200, Overrun: 200}})
	list, err = read(t.Context(), accounting.LedgerQuery{Org: me.org})
	must(t, err)
	for _, v := range list {
		if v.Org != me.org {
			t.Errorf("in my ledger: %+v", v)
		}
	}
}

// trespass tries each method of a store on an object of another organization.
func trespass[T any, P interface {
	*T
	tenancy.Object
}](t *testing.T, in tenancy.Store[T], me, id tenancy.ID) {
	t.Helper()
	ctx := t.Context()
	v, err := in.Get(ctx, me, id)
	wants(t, "get", err, tenancy.ErrNotFound)
	same(t, "what was not found", v, *new(T))
	list, err := in.List(ctx, me, tenancy.Page{Limit: 100})
	must(t, err)
	for _, v := range list {
		if m := tenancy.MetaOf(P(&v)); m.Org != me || m.ID == id {
			t.Errorf("in my list: %+v", m)
		}
	}
	if len(list) != 1 {
		t.Errorf("my list has %d objects", len(list))
	}
	v = list[0]
	tenancy.MetaOf(P(&v)).ID, tenancy.MetaOf(P(&v)).Rev = id, 0
	_, err = in.Update(ctx, vel, v)
	wants(t, "update", err, tenancy.ErrNotFound)
	wants(t, "delete", in.Delete(ctx, vel, me, id, 0), tenancy.ErrNotFound)
	if m := tenancy.MetaOf(P(&v)); m.Org != m.ID {
		m.Name = "thief"
		if _, err := in.Create(ctx, vel, v); err == nil {
			t.Error("an object was made in the place of somebody else's")
		}
	}
	if list, err = in.List(ctx, "", tenancy.Page{Limit: 100}); err != nil {
		t.Fatal(err)
	}
	if _, overall := any(in).(tenancy.Store[tenancy.Org]); !overall && len(list) > 0 {
		t.Errorf("a list of no organization has %d objects", len(list))
	}
}

package storagetest

import (
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// hooked makes a webhook.
func hooked(t *testing.T, db *storage.DB, org tenancy.ID, name string, events ...string) tasks.Webhook {
	t.Helper()
	return create(t, db.Webhooks(), tasks.Webhook{Meta: meta(org, name), URL: "https://example.com/" + name, Events: events, Secret: "sealed"})
}

// delivered are the deliveries to a webhook, the oldest first.
func delivered(t *testing.T, db *storage.DB, w tasks.Webhook) (list []tasks.Delivery) {
	t.Helper()
	found, err := db.Deliveries(t.Context(), tasks.DeliveryQuery{Org: w.Org, Webhook: w.ID, Limit: 100})
	must(t, err)
	for i := range found {
		list = append([]tasks.Delivery{found[i]}, list...)
	}
	return list
}

// emitted makes something happen that is told of.
func emitted(t *testing.T, db *storage.DB, org tenancy.ID, kind string, object tenancy.ID) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	e := tenancy.NewAuditEvent(by, org, "targets.opened", tenancy.AuditObject{Kind: "target", ID: object}, now)
	must(t, db.Emit(t.Context(), e, tasks.Notice{Org: org, Type: kind, Object: object, At: now, Data: []byte(`{"a":1}`)}))
}

// A webhook is kept as every object is; its secret changes by rotation alone.
func webhooks(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o := org(t, db, "acme")
	w := hooked(t, db, o, "ops", "task.*")
	w.URL, w.Secret, w.Disabled, w.Events = "https://example.com/other", "not so", true, []string{"*"}
	changed, err := db.Webhooks().Update(ctx, by, w)
	must(t, err)
	if changed.Secret != "sealed" || !changed.Disabled || changed.URL != w.URL || changed.Events[0] != "*" {
		t.Errorf("%+v", changed)
	}
	until := at.Add(time.Hour)
	rotated, err := db.RotateWebhook(ctx, by, o, w.ID, changed.Rev, "another", until)
	must(t, err)
	if rotated.Secret != "another" || rotated.Old != "sealed" || !rotated.OldUntil.Equal(until) {
		t.Errorf("%+v", rotated)
	}
	_, err = db.RotateWebhook(ctx, by, o, w.ID, changed.Rev, "late", until)
	wants(t, "a rotation of what was seen before", err, tenancy.ErrStale)
	rotated, err = db.RotateWebhook(ctx, by, o, w.ID, 0, "at once", time.Time{})
	must(t, err)
	same(t, "the secret before", rotated.Old, "")
	must(t, db.Webhooks().Delete(ctx, by, o, w.ID, 0))
}

// Who wants to be told is, in the transaction that makes it happen, and nobody else; of one object in the order of what happened.
func deliveries(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	all, some := hooked(t, db, o, "all", "*"), hooked(t, db, o, "some", "batch.*", "task.failed")
	disabled := hooked(t, db, o, "disabled", "*")
	disabled.Disabled = true
	_, err := db.Webhooks().Update(ctx, by, disabled)
	must(t, err)
	k := made(t, db, oneTask(o, user))
	_, err = db.StopTask(ctx, by, o, k.ID)
	must(t, err)
	emitted(t, db, o, "task.failed", k.ID)
	emitted(t, db, o, "task.failed", "task_other")
	list := delivered(t, db, all)
	if len(list) != 3 || list[0].Type != "task.cancelled" || list[0].Object != k.ID || list[1].Type != "task.failed" || len(delivered(t, db, some)) != 2 || len(delivered(t, db, disabled)) != 0 {
		t.Fatalf("%+v", list)
	}
	// The second one about the task waits for the first; the one about another task does not.
	_, err = db.LoadDelivery(ctx, o, list[1].ID, list[1].Rev)
	wants(t, "one behind another", err, tenancy.ErrNotFound)
	p, err := db.LoadDelivery(ctx, o, list[2].ID, list[2].Rev)
	must(t, err)
	if p.Notice.Type != "task.failed" || string(p.Notice.Data) != `{"a":1}` || p.Webhook.URL != all.URL || p.Notice.ID == "" {
		t.Errorf("%+v", p)
	}
	_, err = db.LoadDelivery(ctx, o, list[2].ID, list[2].Rev)
	wants(t, "one that somebody tries", err, tenancy.ErrNotFound)
	first, err := db.LoadDelivery(ctx, o, list[0].ID, list[0].Rev)
	must(t, err)
	if !strings.Contains(string(first.Notice.Data), string(k.ID)) {
		t.Errorf("%s", first.Notice.Data)
	}
	first.State, first.Due, first.Tries, first.Attempts = tasks.Undelivered, at, 1, []tasks.Sending{{At: at, Took: time.Second, Status: 500, Error: "e", Request: "r", Answer: "a"}}
	first.Webhook.Failing = at
	must(t, db.EndDelivery(ctx, first, ""))
	got, err := db.Delivery(ctx, o, list[0].ID)
	must(t, err)
	same(t, "its attempts", got.Attempts, first.Attempts)
	hook, err := db.Webhooks().Get(ctx, o, all.ID)
	must(t, err)
	if !hook.Failing.Equal(at) {
		t.Errorf("failing since %s", hook.Failing)
	}
	late := *first // who has lost it changes nothing
	late.State = tasks.Delivered
	must(t, db.EndDelivery(ctx, &late, "gone"))
	first, err = db.LoadDelivery(ctx, o, list[0].ID, got.Rev)
	must(t, err)
	first.State, first.Ended, first.Webhook.Failing = tasks.Delivered, at, time.Time{}
	must(t, db.EndDelivery(ctx, first, ""))
	second, err := db.LoadDelivery(ctx, o, list[1].ID, list[1].Rev)
	must(t, err)
	second.State, second.Ended = tasks.Dead, at
	must(t, db.EndDelivery(ctx, second, "it answered 410: it is gone"))
	hook, err = db.Webhooks().Get(ctx, o, all.ID)
	must(t, err)
	if !hook.Disabled || hook.Why != "it answered 410: it is gone" || !hook.Failing.IsZero() {
		t.Errorf("%+v", hook)
	}
	again, err := db.Redeliver(ctx, by, o, list[1].ID)
	must(t, err)
	if again.State != tasks.Undelivered || again.Tries != 0 {
		t.Errorf("%+v", again)
	}
	dead, err := db.Deliveries(ctx, tasks.DeliveryQuery{Org: o, Webhook: all.ID, State: tasks.Delivered, Limit: 10})
	must(t, err)
	same(t, "what arrived", len(dead), 1)
	must(t, db.Webhooks().Delete(ctx, by, o, all.ID, 0))
	_, err = db.Delivery(ctx, o, list[0].ID)
	wants(t, "one of a webhook that is gone", err, tenancy.ErrNotFound)
	// What ends, and what a budget comes to, is told of.
	b := oneBatch(o, user, 1)
	filled(t, db, b, 1)
	_, err = db.StopBatch(ctx, by, o, b.ID)
	must(t, err)
	if list := delivered(t, db, some); list[len(list)-1].Type != "batch.cancelled" || list[len(list)-1].Object != b.ID {
		t.Errorf("%+v", list)
	}
	money := hooked(t, db, o, "money", "budget.*")
	budget := create(t, db.Budgets(), budgetOf(o, "monthly"))
	_, err = db.NoteBudget(ctx, &budget, month, 80, 1)
	must(t, err)
	if list := delivered(t, db, money); len(list) != 1 || list[0].Type != "budget.warning" {
		t.Errorf("%+v", list)
	}
}

package admin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// hooks keeps webhooks in memory, with what is on its way to them.
type hooks struct {
	*memory[tasks.Webhook, *tasks.Webhook]
	parcels map[tenancy.ID]*tasks.Parcel
	tried   []tasks.Notice
}

func newHooks() *hooks {
	return &hooks{newMemory[tasks.Webhook]("webhook"), map[tenancy.ID]*tasks.Parcel{}, nil}
}

func (h *hooks) RotateWebhook(ctx context.Context, by tenancy.Actor, org, id tenancy.ID, _ int64, sealed string, oldUntil time.Time) (tasks.Webhook, error) {
	w, err := h.Get(ctx, org, id)
	if err != nil {
		return w, err
	}
	w.Old, w.Secret, w.OldUntil = w.Secret, sealed, oldUntil
	return h.Update(ctx, by, w)
}

func (h *hooks) Delivery(_ context.Context, org, id tenancy.ID) (tasks.Parcel, error) {
	if p, ok := h.parcels[id]; ok && p.Org == org {
		return *p, nil
	}
	return tasks.Parcel{}, tenancy.ErrNotFound
}

func (h *hooks) Deliveries(_ context.Context, q tasks.DeliveryQuery) (list []tasks.Delivery, err error) {
	for _, p := range h.parcels {
		if p.Org == q.Org && p.Delivery.Webhook == q.Webhook && (q.State == "" || p.State == q.State) && (q.Before == "" || p.ID < q.Before) {
			list = append(list, p.Delivery)
		}
	}
	return list[:min(len(list), q.Limit)], nil
}

func (h *hooks) Redeliver(_ context.Context, _ tenancy.Actor, org, id tenancy.ID) (tasks.Delivery, error) {
	p, ok := h.parcels[id]
	if !ok || p.Org != org {
		return tasks.Delivery{}, tenancy.ErrNotFound
	}
	p.State = tasks.Undelivered
	return p.Delivery, nil
}

func (h *hooks) Try(_ context.Context, _ *tasks.Webhook, n *tasks.Notice) tasks.Sending {
	h.tried = append(h.tried, *n)
	return tasks.Sending{Status: 204, Request: string(n.Body())}
}

// A webhook's secret is shown once, and again only as another one.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var made Webhook
	w.do("admin", "POST", "/api/webhooks", json.RawMessage(`{"name":"hook","url":"https://example.com/h","events":["task.*","budget.warning"]}`)).want(201).into(&made)
	stored := w.hooks.rows[made.ID]
	if !strings.HasPrefix(made.Secret, "whsec_") || strings.Contains(stored.Secret, made.Secret[6:]) || stored.Secret == "" {
		t.Errorf("%+v, %+v", made, stored)
	}
	at := "/api/webhooks/" + string(made.ID)
	if got := w.do("viewer", "GET", at, nil).want(200); strings.Contains(string(got.body), "secret\":\"") {
		t.Errorf("%s", got.body)
	}
	var rotated Webhook
	w.do("admin", "POST", at+"/rotate", map[string]any{"overlap_seconds": 60}).want(200).into(&rotated)
	if rotated.Secret == made.Secret || rotated.Secret == "" || rotated.OldUntil == nil || !rotated.OldUntil.Equal(start.Add(time.Minute)) {
		t.Errorf("%+v", rotated)
	}
	for body, place := range map[string]string{
		`{"name":"a","url":"http://example.com","events":["*"]}`:             "body.url",
		`{"name":"a","url":"https://u:p@example.com","events":["*"]}`:        "body.url",
		`{"name":"a","url":"https://example.com#f","events":["*"]}`:          "body.url",
		`{"name":"a","url":"ftp://example.com","events":["*"]}`:              "body.url",
		`{"name":"a","url":"example.com","events":["*"]}`:                    "body.url",
		`{"name":"a","url":"https://example.com","events":["moon.*"]}`:       "body.events",
		`{"name":"a","url":"https://example.com","events":["task"]}`:         "body.events",
		`{"name":"a","url":"https://example.com","events":["task.*failed"]}`: "body.events",
		`{"name":" ","url":"https://example.com","events":["*"]}`:            "body.name",
	} {
		if p := w.do("admin", "POST", "/api/webhooks", json.RawMessage(body)).problem(invalid); p.Errors[0].Location != place {
			t.Errorf("%s: %+v", body, p.Errors)
		}
	}
	stored.Disabled, stored.Why, stored.Failing = true, "nothing", start
	w.hooks.rows[made.ID] = stored
	w.do("admin", "PUT", at, json.RawMessage(`{"name":"ops","url":"https://example.com/h","events":["*"]}`)).want(200).into(&made)
	if made.Disabled || made.Why != nil || made.Failing != nil {
		t.Errorf("enabled again it is %+v", made)
	}
	var sent Sending
	w.do("admin", "POST", at+"/test", nil).want(200).into(&sent)
	if sent.Status == nil || *sent.Status != 204 || len(w.hooks.tried) != 1 || w.hooks.tried[0].Type != "webhook.test" {
		t.Errorf("%+v, %+v", sent, w.hooks.tried)
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hooks.parcels["delivery_1"] = &tasks.Parcel{
		Delivery: tasks.Delivery{
			ID: "delivery_1", Org: acme, Webhook: "webhook_acme", Notice: "evt_1", Type: "task.failed", Object: "task_1", State: tasks.Dead, Created: start, Ended: start,
			Attempts: []tasks.Sending{{At: start, Took: time.Second, Error: "there was no answer in time", Request: "{}"}},
		},
		Notice: tasks.Notice{ID: "evt_1", Org: acme, Type: "task.failed", At: start, Data: json.RawMessage(`{"id":"task_1"}`)},
	}
	var list struct{ Data []Delivery }
	if w.do("admin", "GET", "/api/webhooks/webhook_acme/deliveries?state=dead", nil).want(200).into(&list); len(list.Data) != 1 || list.Data[0].Due != nil {
		t.Errorf("%+v", list)
	}
	var whole DeliveryWhole
	got := w.do("admin", "GET", "/api/deliveries/delivery_1", nil).want(200)
	if got.into(&whole); len(whole.Attempts) != 1 || whole.Attempts[0].Status != nil || !strings.Contains(string(got.body), `"body":{"type":"task.failed","timestamp":"2027-01-15T12:00:00Z","data":{"id":"task_1"}}`) {
		t.Errorf("%s", got.body)
	}
	var d Delivery
	if w.do("admin", "POST", "/api/deliveries/delivery_1/redeliver", nil).want(200).into(&d); d.State != "pending" {
		t.Errorf("%+v", d)
	}
	w.do("viewer", "GET", "/api/deliveries/delivery_1", nil).problem(notAllowed)
	w.do("outsider", "GET", "/api/deliveries/delivery_1", nil).problem(notFound)
}
